package lab

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var update = flag.Bool("update", false, "write the golden files")

// fake is a row with computed values.
func fake(name string) *Experiment {
	e := &Experiment{Section: SectionServer, Row: Row{
		Name: name, Question: "Who is the fastest?", Method: "Nobody runs.", Variable: "things", LogX: true,
		Subjects: []string{"hare", "hedgehog", "yard"},
		Settings: []Setting{{Label: "10 things", X: 10, Quick: true}, {Label: "100 things", X: 100}},
		Figures: []Figure{
			{Name: "speed", Unit: "m/s", Better: Higher, Chart: true}, {Name: "weight", Unit: "kg"},
		},
	}}
	e.Measure = func(_ context.Context, _ *Bench, r Run) (Values, error) {
		i := float64(slices.Index(e.Subjects, r.Subject))
		return Values{"speed": (10 + 3*i + float64(r.Round)/4) * math.Sqrt(r.Setting.X), "weight": 4 - i}, nil
	}
	e.Targets = []Target{
		{Work: "running", Figure: "speed", Setting: "10 things", Subject: "hedgehog", Against: "hare", AtLeast: 1.2},
		{Work: "being light", Figure: "weight", Setting: "10 things", Subject: "hare", AtMost: 2},
	}
	e.Guesses = []Guess{{"the hare is faster", "speed", "10 things", "hare", "hedgehog", Higher, ""}}
	e.Growth = []Growth{{"speed", "hare", "", 300, "the speed of sound", false}}
	return e
}

// Runs are interleaved, and every second round has the opposite order of the one before.
func TestPlan(t *testing.T) {
	e := fake("race")
	e.Excludes = func(subject string, s Setting) bool { return subject == "yard" && s.X == 100 }
	var order []string
	for _, r := range plan(e, 2) {
		order = append(order, r.Setting.Label[:3]+" "+r.Subject)
	}
	want := []string{
		"10  hare", "10  hedgehog", "10  yard", "100 hare", "100 hedgehog",
		"10  yard", "10  hedgehog", "10  hare", "100 hedgehog", "100 hare",
	}
	if !slices.Equal(order, want) {
		t.Errorf("the plan is %q, want %q", order, want)
	}
}

// A report has rows, charts and conclusions, and the same raw data give the same report.
func TestConduct(t *testing.T) {
	dir := t.TempDir()
	rows := []*Experiment{fake("race"), fake("walk")}
	o := Options{Out: dir, Progress: io.Discard}
	if err := run(context.Background(), o, rows); err != nil {
		t.Fatal(err)
	}
	first := contents(t, dir)
	for _, want := range []string{
		"### race", "### walk", "**Contents:** [How many lines does one server take?](#how-many-lines-does-one-server-take) · ",
		"missed by 100 %", "not measured", "no law: measured at 2 settings, a law needs 5",
	} {
		if !strings.Contains(first[markdownFile], want) {
			t.Errorf("the report does not say %q:\n%s", want, first[markdownFile])
		}
	}
	for _, chart := range []string{"charts/race-speed.svg", "charts/walk-speed.svg"} {
		if !strings.Contains(first[markdownFile], "]("+chart+")\n") || !strings.Contains(first[chart], "<svg") {
			t.Errorf("%s is not there, or the report does not show it", chart)
		}
	}
	if len(first) != 5 {
		t.Errorf("the report has %d files, want 5", len(first))
	}
	again := t.TempDir()
	o = Options{From: filepath.Join(dir, rawFile), Out: again, Progress: io.Discard}
	if err := run(context.Background(), o, rows); err != nil {
		t.Fatal(err)
	}
	second := contents(t, again)
	for name := range first {
		if first[name] != second[name] {
			t.Errorf("%s is another one when made of raw.json", name)
		}
	}
}

func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	if err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(filepath.Join(dir, name))
		files[name] = string(text)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return files
}

// --only replaces its row and keeps the others.
func TestOnlyReplacesItsRow(t *testing.T) {
	dir := t.TempDir()
	rows := []*Experiment{fake("race"), fake("walk")}
	for _, o := range []Options{{Rounds: 2}, {Only: []string{"race"}, Rounds: 3}} {
		o.Out, o.Progress = dir, io.Discard
		if err := run(context.Background(), o, rows); err != nil {
			t.Fatal(err)
		}
	}
	r, err := readResults(filepath.Join(dir, rawFile))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Rows) != 2 || r.Rows[0].Name != "race" || r.Rows[0].Rounds != 3 || r.Rows[1].Rounds != 2 {
		t.Errorf("raw.json has %d rows: %+v", len(r.Rows), r.Rows)
	}
	err = run(context.Background(), Options{Out: dir, Only: []string{"swim"}, Progress: io.Discard}, rows)
	if !errors.Is(err, ErrUnknownRow) || !strings.Contains(err.Error(), "race, walk") {
		t.Errorf("a row that there is not: %v", err)
	}
}

// A row on demand runs only if it is named, once.
func TestOnDemand(t *testing.T) {
	dir := t.TempDir()
	big := fake("marathon")
	big.OnDemand = true
	rows := []*Experiment{fake("race"), big}
	for _, o := range []Options{{Rounds: 2}, {Only: []string{"marathon"}}, {}} {
		o.Out, o.Progress = dir, io.Discard
		if err := run(context.Background(), o, rows); err != nil {
			t.Fatal(err)
		}
		r, err := readResults(filepath.Join(dir, rawFile))
		if err != nil {
			t.Fatal(err)
		}
		named := len(o.Only) > 0
		if got := len(r.Rows) == 2; got != named {
			t.Errorf("%+v: there are %d rows", o, len(r.Rows))
		}
		if named && r.Rows[1].Rounds != onDemandRounds {
			t.Errorf("%d rounds", r.Rows[1].Rounds)
		}
	}
}

// What does not fit is not run, and it is said what is missing.
func TestRoomForClients(t *testing.T) {
	for _, c := range []struct {
		memory, disk float64
		want         string
	}{
		{0, 0, ""}, {4.5e9, 3e9, ""},
		{4e9, 3e9, "10000000 clients need 4.5 GB of memory, and 4.0 GB are available"},
		{5e9, 2e9, "10000000 clients need 3.0 GB of disk, and /tmp has 2.0 GB: set TMPDIR to another directory"},
	} {
		err := roomFor(10_000_000, c.memory, c.disk, "/tmp")
		_, cannot := classify(err)
		if c.want == "" && err != nil || c.want != "" && (err == nil || err.Error() != c.want || !cannot) {
			t.Errorf("memory %v, disk %v: %v, want %q", c.memory, c.disk, err, c.want)
		}
	}
}

// In a ring of 20, ten servers have a third neighbor. Every server names those that name it.
func TestCrossedRing(t *testing.T) {
	for n, edges := range map[int]int{5: 5, 20: 25} {
		names, neighbors := crossedRing(n)
		ends := 0
		for _, name := range names {
			ends += len(neighbors[name])
			for _, other := range neighbors[name] {
				if !slices.Contains(neighbors[other], name) || other == name {
					t.Errorf("of %d: %s is no neighbor of %s", n, name, other)
				}
			}
		}
		if len(names) != n || ends != 2*edges {
			t.Errorf("%d servers have %d edges, want %d", len(names), ends/2, edges)
		}
	}
}

// A subject that is often void at a setting is tried as long as there can be enough rounds for a verdict.
func TestVoidRounds(t *testing.T) {
	for _, c := range []struct{ rounds, void, want int }{
		{10, 5, 5}, {10, 6, 0}, {10, 9, 0}, {5, 1, 4}, {5, 2, 0}, {1, 1, 0},
	} {
		e := fake("race")
		measure := e.Measure
		tries := 0
		e.Measure = func(ctx context.Context, b *Bench, r Run) (Values, error) {
			if r.Subject == "hare" && r.Setting.X == 10 {
				if tries++; r.Round < c.void {
					return nil, Void("it ran too fast")
				}
			}
			return measure(ctx, b, r)
		}
		dir := t.TempDir()
		o := Options{Out: dir, Progress: io.Discard, Rounds: c.rounds}
		if err := run(context.Background(), o, []*Experiment{e}); err != nil {
			t.Fatal(err)
		}
		r, err := readResults(filepath.Join(dir, rawFile))
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Rows[0].summary("hare", "10 things", "speed").N; got != c.want {
			t.Errorf("%d of %d rounds void: %d values, want %d", c.void, c.rounds, got, c.want)
		}
		if most := maxTries*min(c.void, max(maxFailures, c.rounds-enough+1)) + c.want; tries != most {
			t.Errorf("%d of %d rounds void: %d tries, want %d", c.void, c.rounds, tries, most)
		}
	}
}

// A void run that waited for its timeout counts as a failure: it is not tried again and again.
func TestSlowVoids(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, calls := fake("race"), 0
		c := &conductor{
			experiment: e, data: &Data{Row: e.Row}, failures: map[[2]string]int{}, voids: map[[2]string]int{},
			starts: func(Run) {}, ended: func(time.Duration) {},
			one: func(context.Context, Run) (Values, error) {
				calls++
				time.Sleep(slowVoid)
				return nil, Void("they do not agree")
			},
		}
		c.conduct(t.Context(), fullRounds)
		if want := maxFailures * len(e.Subjects) * len(e.Settings); calls != want {
			t.Errorf("%d runs, want %d", calls, want)
		}
	})
}

// Failed, void and missing subjects do not affect others.
func TestTroubleStaysWhereItIs(t *testing.T) {
	e := fake("race")
	measure := e.Measure
	calls := map[string]int{}
	e.Measure = func(ctx context.Context, b *Bench, r Run) (Values, error) {
		if r.Setting.X != 10 {
			return measure(ctx, b, r)
		}
		calls[r.Subject]++
		switch {
		case r.Subject == "hare":
			panic("it fell asleep")
		case r.Subject == "hedgehog" && calls[r.Subject] == 1:
			return nil, Void("two of them ran")
		}
		return measure(ctx, b, r)
	}
	e.Missing = func(subject string) string {
		if subject == "yard" {
			return "no yard here; apt-get install yard"
		}
		return ""
	}
	dir := t.TempDir()
	if err := run(context.Background(), Options{Out: dir, Progress: io.Discard}, []*Experiment{e}); err != nil {
		t.Fatal(err)
	}
	if calls["hare"] != maxFailures || calls["hedgehog"] != fullRounds+1 || calls["yard"] != 0 {
		t.Errorf("runs at 10 things: %v", calls)
	}
	r, err := readResults(filepath.Join(dir, rawFile))
	if err != nil {
		t.Fatal(err)
	}
	d := r.Rows[0]
	for subject, want := range map[string][2]int{"hare": {0, fullRounds}, "hedgehog": {fullRounds, fullRounds}, "yard": {0, 0}} {
		for i, setting := range []string{"10 things", "100 things"} {
			if n := d.summary(subject, setting, "speed").N; n != want[i] {
				t.Errorf("%s at %s has %d values, want %d", subject, setting, n, want[i])
			}
		}
	}
	text := contents(t, dir)[markdownFile]
	for _, want := range []string{"it fell asleep", "two of them ran", "apt-get install yard"} {
		if !strings.Contains(text, want) {
			t.Errorf("the report does not say %q", want)
		}
	}
}

// After an interruption there is a report of the measurements so far.
func TestInterrupted(t *testing.T) {
	e := fake("race")
	ctx, cancel := context.WithCancel(context.Background())
	measure, runs := e.Measure, 0
	e.Measure = func(ctx context.Context, b *Bench, r Run) (Values, error) {
		if runs++; runs == 4 {
			cancel()
		}
		return measure(ctx, b, r)
	}
	dir := t.TempDir()
	err := run(ctx, Options{Out: dir, Progress: io.Discard}, []*Experiment{e, fake("walk")})
	if err != ErrInterrupted {
		t.Fatalf("the study ended with %v", err)
	}
	text := contents(t, dir)[markdownFile]
	if !strings.Contains(text, "race was interrupted") || !strings.Contains(text, "| 10 things |") ||
		strings.Contains(text, "## walk") {
		t.Errorf("the report is:\n%s", text)
	}
}

// A row without figures makes the study fail at its end.
func TestNothingMeasured(t *testing.T) {
	e := fake("race")
	e.Measure = func(context.Context, *Bench, Run) (Values, error) { return Values{"speed": math.NaN()}, nil }
	dir := t.TempDir()
	err := run(context.Background(), Options{Out: dir, Progress: io.Discard}, []*Experiment{e, fake("walk")})
	if err == nil || !strings.Contains(err.Error(), "1 of 2 rows") {
		t.Errorf("the study ended with %v", err)
	}
	if text := contents(t, dir)[markdownFile]; !strings.Contains(text, "invalid figure") {
		t.Error("the report does not say why")
	}
}

// The report of fixed figures is equal to the golden file.
func TestReportIsGolden(t *testing.T) {
	e := fake("race")
	d := &Data{Row: e.Row, Begun: time.Unix(1.8e9, 0), Took: time.Minute, Rounds: 5, Length: time.Second,
		Stated:      Stated{Commit: "0123456789abcdef", Date: time.Unix(1.79e9, 0).UTC(), Digest: digestOfRules()},
		Environment: Environment{CPU: "a CPU", Cores: 2, Affinity: 2, Go: "go1", System: "any/any", Load: "1 2 3"},
		Skipped:     []Skipped{{"tortoise", "it has not come yet"}}}
	for _, r := range plan(e, 5) {
		v, _ := e.Measure(context.Background(), nil, r)
		d.Samples = append(d.Samples, Sample{Subject: r.Subject, Setting: r.Setting.Label, Round: r.Round, Values: v})
	}
	doc := report(&Results{Rules: []string{"Faster | is better."}, Rows: []*Data{d}}, []*Experiment{e})
	const golden = "testdata/report.md"
	if *update {
		if err := os.WriteFile(golden, doc.markdown(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got := doc.markdown(); !bytes.Equal(got, want) {
		t.Errorf("the report is not %s (go test ./cmd/study/lab -run Golden -update):\n%s", golden, got)
	}
	for _, b := range doc.blocks {
		if b.svg != nil {
			checkChart(t, b.svg)
		}
	}
	page, err := doc.page()
	if err != nil {
		t.Fatal(err)
	}
	checkPage(t, string(page), len(doc.charts()))
}

// checkPage checks that a page has its charts and tables in it and loads nothing.
func checkPage(t *testing.T, page string, charts int) {
	t.Helper()
	if got := strings.Count(page, "<svg role="); got != charts || charts == 0 {
		t.Errorf("the page has %d charts in it, want %d", got, charts)
	}
	for _, want := range []string{`<h2 id="method-and-rules">`, `<a href="#method-and-rules">`, "<th>speed, m/s</th>",
		"prefers-color-scheme: dark"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not have %q", want)
		}
	}
	for _, bad := range []string{"<img", "src=", "<link", "<script", "url("} {
		if strings.Contains(page, bad) {
			t.Errorf("the page has %q: it must be readable without a network", bad)
		}
	}
}

// checkChart checks that a chart is well-formed and has labels on its axes.
func checkChart(t *testing.T, svg []byte) {
	t.Helper()
	var text []string
	for d := xml.NewDecoder(bytes.NewReader(svg)); ; {
		token, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("the chart is no XML: %v\n%s", err, svg)
		}
		if c, ok := token.(xml.CharData); ok {
			text = append(text, strings.TrimSpace(string(c)))
		}
	}
	for _, want := range []string{"things", "Speed", "m/s", "hare", "hedgehog", "100"} {
		if !slices.Contains(text, want) {
			t.Errorf("the chart does not say %q: %q", want, text)
		}
	}
}
