package soak

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
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
		Checks: []Check{{Wanted: "this", Measured: "that", Met: true}},
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

// A leak shows as a trend, and what goes up and down does not.
func TestTrend(t *testing.T) {
	r := measured(300)
	if first, last := Trend(r.Series[2].At, r.Series[2].Goroutines, r.Warm); last-first < 200 {
		t.Errorf("a leak is a trend from %v to %v", first, last)
	}
	if first, last := Trend(r.Series[0].At, r.Series[0].Descriptors, r.Warm); first != 61 || last != 61 {
		t.Errorf("no leak is a trend from %v to %v", first, last)
	}
	warming := []float64{10, 50, 90, 90, 90, 90, 90}
	if first, last := Trend([]float64{0, 1, 2, 3, 4, 5, 6}, warming, 2); first != 90 || last != 90 {
		t.Errorf("what grows before it is warm is a trend from %v to %v", first, last)
	}
	if first, last := Trend(nil, nil, 2); first != 0 || last != 0 {
		t.Error("nothing has a trend")
	}
}

// The report has all files, with links to each other and nothing of this machine; the page stays small for an hour.
func TestWrite(t *testing.T) {
	for _, n := range []int{0, 1, 2, 300} { // a run may be cut short
		dir := filepath.Join(t.TempDir(), "new", "report")
		r := measured(n)
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
		for _, want := range []string{"12,345", "a GET \\| a POST", r.Command, "Everything was as wanted"} {
			if !strings.Contains(files["report.md"], want) {
				t.Errorf("the report lacks %q:\n%s", want, files["report.md"])
			}
		}
		for line := range strings.Lines(files["report.md"]) {
			if len(line) > 111 && !strings.HasPrefix(line, "|") {
				t.Errorf("a line of the report has %d bytes: %s", len(line), line)
			}
		}
		var again Run
		if err := json.Unmarshal([]byte(files["raw.json"]),
			&again); err != nil || len(again.Series) != 3 || len(again.Series[0].At) != n {
			t.Errorf("raw.json: %v", err)
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
	r.Checks = append(r.Checks, Check{Wanted: "more", Measured: "less"})
	r.Errors = []string{"12.0 s, Ball killed: the bystander of Alford: nothing"}
	text := string(r.report())
	if first, _, _ := strings.Cut(text, "| wanted"); !strings.Contains(first, "**1 of 2 were not as wanted.**") {
		t.Errorf("the report begins %s", first)
	}
	if !strings.Contains(text, "| more | less | **MISSED** |") || !strings.Contains(text, "- "+r.Errors[0]) {
		t.Errorf("the report is %s", text)
	}
}
