package soak

import (
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// measured is a run of n samples, in which one server loses a goroutine with each sample.
func measured(n int) *Run {
	r := &Run{
		Command: "make soak SOAK=1h SEED=7", Seed: 7, Date: "2026-11-28", Machine: "a machine",
		Seconds: float64(12 * n), Warm: 60,
		Kept:   []string{"Alford", "Holiday"},
		Faults: []Fault{{At: 10, End: 20, Kind: "kill -9", What: "Ball killed for 10.0 s", Live: 0.5, Agreed: 0.1}},
		Attacks: []Attack{{Name: "HTTP", Does: "a GET | a POST", Attempts: 12345,
			Saw: map[string]int{"closed": 12344}, Counter: "other_protocols", Counted: 12345,
			Log: "other protocol refused", Entries: 7}},
		Checks: []Check{{Wanted: "this", Measured: "that", Met: true},
			{Wanted: "bystanders' p99 of an earlier version", Measured: "old"},
			{Wanted: "heap of Alford flat: old", Measured: "old"}},
	}
	for _, name := range []string{"Alford", "Ball", "Holiday"} {
		s := Series{Server: name}
		for i := range n {
			leak := 0.0
			if name == "Holiday" {
				leak = float64(i)
			}
			s.At = append(s.At, float64(12*i))
			s.Resident, s.Heap, s.Journal, s.Log = append(s.Resident, 80), append(s.Heap, 40), append(s.Journal, 3),
				append(s.Log, 2)
			s.Descriptors, s.Goroutines = append(s.Descriptors, float64(60+i%3)), append(s.Goroutines, 30+leak)
		}
		r.Series = append(r.Series, s)
	}
	for i := range n {
		r.Bystanders = append(r.Bystanders, Interval{At: float64(12 * (i + 1)), Waits: 100, P50: 0.5, P99: 7, Max: 90,
			Replies: 300, Attacks: 200})
	}
	return r
}

// checked are the verdicts of a run, by what is wanted.
func checked(r *Run) map[string]Check {
	r.Judge()
	all := map[string]Check{}
	for _, c := range r.Checks {
		all[c.Wanted] = c
	}
	return all
}

// In a long run memory may rise at first and must stay then. A leak shows, and what goes up and down does not.
func TestFlat(t *testing.T) {
	const quarter = "resident memory, MiB of Alford flat: at most 8 more in the last quarter"
	const sixth = "resident memory, MiB of Alford flat: at most 48 more in the last sixth"
	for _, c := range []struct {
		name                string
		n                   int     // samples
		rises, until, leaks float64 // MiB in the first samples, how many, and in each sample
		met                 bool
		wanted              string
	}{
		{"a long run", 300, 0, 0, 0, true, quarter},
		{"it fills at first", 300, 60, 75, 0, true, quarter},
		{"it rises still", 300, 60, 300, 0, false, quarter},
		{"7 MiB in a quarter", 300, 0, 0, 7.0 / 75, true, quarter},
		{"9 MiB in a quarter", 300, 0, 0, 9.0 / 75, false, quarter},
		{"a short run fills", 140, 40, 140, 0, true, sixth},
		{"a short run leaks", 140, 80, 140, 0, false, sixth},
	} {
		r := measured(c.n)
		for i := range r.Series[0].Resident {
			rise := 0.0
			if c.until > 0 {
				rise = c.rises * min(1, float64(i)/c.until)
			}
			r.Series[0].Resident[i] = 20 + rise + c.leaks*float64(i) + float64(i%3)
		}
		if got, ok := checked(r)[c.wanted]; !ok || got.Met != c.met {
			t.Errorf("%s: %t, %+v of %+v", c.name, ok, got, r.Checks)
		}
	}
	all := checked(measured(300))
	for name, met := range map[string]bool{"goroutines of Holiday": false, "goroutines of Alford": true,
		"descriptors of Holiday": true} { // Holiday loses 75 goroutines in a quarter
		if c, ok := all[name+" flat: at most 8 more in the last quarter"]; !ok || c.Met != met {
			t.Errorf("%s: %+v", name, c)
		}
	}
	if c, ok := all["heap in use, MiB of Alford flat: at most 4 more in the last quarter"]; !ok || !c.Met {
		t.Errorf("%+v", c)
	}
	r := measured(300)
	r.Series[0].At, r.Series[0].Heap = r.Series[0].At[:100], r.Series[0].Heap[:100] // later it did not answer
	r.Series[0].Resident, r.Series[0].Descriptors = r.Series[0].Resident[:100], r.Series[0].Descriptors[:100]
	r.Series[0].Goroutines = r.Series[0].Goroutines[:100]
	if c := checked(r)["heap in use, MiB of Alford flat: at most 4 more in the last quarter"]; c.Met {
		t.Error("flat without samples")
	}
	r = measured(300)
	if r.Scaled = true; len(checked(r)) != 2 {
		t.Errorf("scaled down: %+v", r.Checks)
	}
}

// The leak that would be seen is the one at which a heap is not flat any more.
func TestLeak(t *testing.T) {
	r := measured(300)
	r.Attacks = []Attack{{Attempts: 60_000}, {Attempts: 30_000}, {Attempts: 60_000}} // at three servers
	each, one := r.leak()                                                            // 12,500 and 5,000 in a quarter at one server
	if each < 335 || each > 336 || one < 838 || one > 839 {
		t.Errorf("%.1f and %.1f bytes", each, one)
	}
	if text := r.flatness(); !strings.Contains(text, "336 bytes for each attack, or 839 for each attack of one kind.") ||
		!strings.Contains(text, "resident memory, MiB: 8; heap in use, MiB: 4; descriptors: 8; goroutines: 8.") {
		t.Error(text)
	}
	if text := measured(140).flatness(); !strings.Contains(text, "still filling") ||
		!strings.Contains(text, "resident memory, MiB: 48; heap in use, MiB: 24;") {
		t.Error(text)
	}
}

// withWaits gives a run the waits of all its intervals: n of 1 ms, and slow ones of a second while there is a fault.
func withWaits(t *testing.T, r *Run, n, slow int64) *Run {
	t.Helper()
	calm, faulty := NewHistogram(), NewHistogram()
	_ = calm.RecordValues(1000, n)
	_ = faulty.RecordValues(1_000_000, slow)
	var err error
	if r.Waits, err = NewWaits(calm, faulty); err != nil {
		t.Fatal(err)
	}
	return r
}

// The p99 is that of all waits. A few intervals that are very slow count, though the median interval is fast.
func TestWaits(t *testing.T) {
	const whole = "bystanders' p99 of the whole run at most 50 ms"
	if c := checked(withWaits(t, measured(300), 9950, 50))[whole]; !c.Met || c.Measured != "1.0 ms; above in 0% of 300 intervals" {
		t.Errorf("%+v", c)
	}
	r := withWaits(t, measured(300), 9800, 200)
	for i := range 30 {
		r.Bystanders[i].P99 = 900
	}
	if c := checked(r)[whole]; c.Met || c.Measured != "1000.4 ms; above in 10% of 300 intervals" {
		t.Errorf("%+v", c)
	}
	text := string(r.report())
	for _, want := range []string{"| all | 10,000 | 1.0 | 1.0 | 1,000 | 1,000 | 1,000 |",
		"| no fault anywhere | 9,800 | 1.0 | 1.0 | 1.0 | 1.0 | 1.0 |",
		"| a fault elsewhere | 200 | 1,000 | 1,000 | 1,000 | 1,000 | 1,000 |", "of 10 checks are missed:** bystanders' p99\nof the whole run at most 50 ms"} {
		if !strings.Contains(text, want) {
			t.Errorf("the report lacks %q:\n%s", want, text)
		}
	}
	h, err := hdrhistogram.Decode([]byte(r.Waits.All.Histogram))
	if err != nil || h.TotalCount() != 10_000 {
		t.Errorf("the histogram is %v, %v", h, err)
	}
	if r.Scaled = true; !checked(r)[whole+" (scaled down: not judged)"].Met {
		t.Errorf("scaled down: %+v", r.Checks)
	}
}

// A raw.json of an earlier version has no waits of the whole run: the report says so.
func TestWithoutWaits(t *testing.T) {
	r := measured(300)
	for i := range 90 {
		r.Bystanders[i].P99 = 60
	}
	c, ok := checked(r)["bystanders' p99 at most 50 ms in the median interval"]
	if !ok || !c.Met || c.Measured != "7.0 ms; above in 30% of 300 intervals; the p99 of all waits was not kept" {
		t.Errorf("%+v", r.Checks)
	}
	text := strings.Join(strings.Fields(string(r.report())), " ")
	if !strings.Contains(text, "is above 50 ms in 30% of 300 intervals, and 7.0 ms in the median one. The p99 of all waits was not kept, and") ||
		strings.Contains(text, "| no fault anywhere") || strings.Contains(text, "old") {
		t.Errorf("the report is %s", text)
	}
}

// The report has all files, with links to each other and nothing of this machine; the page stays small for an hour.
func TestWrite(t *testing.T) {
	for _, n := range []int{0, 1, 2, 300} { // a run may be cut short
		dir := filepath.Join(t.TempDir(), "new", "report")
		r := withWaits(t, measured(n), 1000, 1)
		r.Series[2].Goroutines = slices.Clone(r.Series[0].Goroutines)
		r.Errors = []string{strings.Repeat("a long error ", 30), strings.Repeat("längste", 50)}
		r.Note = "compilers ran beside it."
		if r.Judge(); len(r.Checks) > 2 {
			for i := range r.Checks {
				r.Checks[i].Met = true
			}
		}
		if err := r.Write(dir); err != nil {
			t.Fatalf("%d samples: %v", n, err)
		}
		files := map[string]string{}
		for _, name := range []string{"report.md", "chart.svg", "raw.json"} {
			text, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(text), dir) || len(text) > 300_000 {
				t.Errorf("%s has %d bytes, or the directory's name", name, len(text))
			}
			files[name] = string(text)
		}
		for _, link := range regexp.MustCompile(`\]\((.*?)\)`).FindAllStringSubmatch(files["report.md"], -1) {
			if files[link[1]] == "" {
				t.Errorf("no file %s", link[1])
			}
		}
		for _, want := range []string{"12,345", "a GET \\| a POST", r.Command,
			"other work meanwhile: compilers ran beside it. "} {
			if !strings.Contains(strings.ReplaceAll(files["report.md"], "\n", " "), want) {
				t.Errorf("the report lacks %q:\n%s", want, files["report.md"])
			}
		}
		for line := range strings.Lines(files["report.md"]) {
			if !utf8.ValidString(line) || len(line) > 111 && !strings.HasPrefix(line, "|") {
				t.Errorf("a line of the report has %d bytes: %s", len(line), line)
			}
		}
		again, err := Read(filepath.Join(dir, "raw.json"))
		if err != nil {
			t.Fatal(err)
		}
		if string(again.report()) != files["report.md"] {
			t.Errorf("raw.json makes another report:\n%s", again.report())
		}
		for d := xml.NewDecoder(strings.NewReader(files["chart.svg"])); ; {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("chart.svg: %v", err)
			}
		}
		if strings.Contains(files["chart.svg"], "NaN") || strings.Contains(files["chart.svg"], "Inf") {
			t.Errorf("%d samples: the chart has what is no number", n)
		}
	}
}

// What was missed is said first.
func TestMissed(t *testing.T) {
	r := measured(3)
	r.Checks = []Check{{"this", "that", true}, {Wanted: "more", Measured: "less"}, {Wanted: "much more", Measured: "less"}}
	r.Errors = []string{"12.0 s, Ball killed: the bystander of Alford: nothing"}
	text := string(r.report())
	if first, _, _ := strings.Cut(text, "| wanted"); !strings.Contains(strings.Join(strings.Fields(first), " "),
		"**2 of 3 checks are missed:** more; much more.") {
		t.Errorf("the report begins %s", first)
	}
	if !strings.Contains(text, "| more | less | **MISSED** |") || !strings.Contains(text, "- "+r.Errors[0]) {
		t.Errorf("the report is %s", text)
	}
	r.Checks = r.Checks[:1]
	if text := string(r.report()); !strings.Contains(text, "All 1 checks are met.") {
		t.Errorf("the report is %s", text)
	}
}

// Several things that attackers saw have their shares.
func TestShares(t *testing.T) {
	a := Attack{Saw: map[string]int{"AT": 1, "> LIMIT": 3}}
	if got := saw(a); got != "`> LIMIT` 75%, `AT` 25%" {
		t.Error(got)
	}
	if got := saw(Attack{Saw: map[string]int{"closed": 3}}); got != "`closed`" {
		t.Error(got)
	}
}

var (
	raw  = flag.String("raw", filepath.Join("report", "raw.json"), "the measurements of TestReport")
	into = flag.String("into", "", "the directory to write the report of -raw to; without it they are compared")
)

// TestReport makes the report of measurements again. Without -into it compares it with the one that is there.
func TestReport(t *testing.T) {
	r, err := Read(*raw)
	if err != nil {
		t.Fatal(err)
	}
	if note := os.Getenv("SOAK_NOTE"); note != "" {
		r.Note = note
	}
	r.Judge()
	if *into != "" {
		if err := r.Write(*into); err != nil {
			t.Fatal(err)
		}
		t.Log(r.verdict())
		return
	}
	there, err := os.ReadFile(filepath.Join(filepath.Dir(*raw), "report.md"))
	if err != nil || string(there) != string(r.report()) {
		t.Errorf("the report is not that of %s, %v: make soakreport", *raw, err)
	}
}

// A directory that cannot be written is an error before a run, and nothing stays in one that can.
func TestWritable(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	if err := Writable(dir); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("%v in the directory, %v", left, err)
	}
	for _, bad := range []string{"/dev/null", "/proc/nope"} {
		if err := Writable(bad); err == nil {
			t.Errorf("%s can be written", bad)
		}
	}
}
