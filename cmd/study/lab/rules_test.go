package lab

import (
	"math"
	"slices"
	"strings"
	"testing"
)

// made returns data of one figure from its values by round, by subject and setting.
func made(better Better, settings []Setting, values map[string]map[string][]float64) *Data {
	d := &Data{Row: Row{Name: "made", Variable: "things", Settings: settings,
		Figures: []Figure{{Name: "speed", Unit: "1/s", Better: better, Chart: true}}}}
	for _, subject := range sortedKeys(values) {
		d.Subjects = append(d.Subjects, subject)
		for _, s := range settings {
			for round, v := range values[subject][s.Label] {
				d.Samples = append(d.Samples, Sample{Subject: subject, Setting: s.Label, Round: round,
					Values: Values{"speed": v}})
			}
		}
	}
	return d
}

var atTen = []Setting{{Label: "10 things", X: 10}}

// at10 is made for one setting.
func at10(better Better, values map[string][]float64) *Data {
	all := map[string]map[string][]float64{}
	for subject, v := range values {
		all[subject] = map[string][]float64{"10 things": v}
	}
	return made(better, atTen, all)
}

// A verdict needs enough rounds, a p-value that is small for the number of comparisons, and a difference that
// counts.
func TestVerdicts(t *testing.T) {
	base := []float64{100, 110, 90, 105, 95, 100}
	by := func(factors ...float64) []float64 {
		all := make([]float64, len(base))
		for i, v := range base {
			all[i] = v * factors[i%len(factors)]
		}
		return all
	}
	for _, c := range []struct {
		name string
		loop []float64
		want [2]Verdict // if higher is better, if lower
	}{
		{"clearly more", by(1.2, 1.21, 1.19), [2]Verdict{FirstIs, SecondIs}},
		{"clearly less", by(0.8, 0.81, 0.79), [2]Verdict{SecondIs, FirstIs}},
		{"clearly, but too little to count", by(1.03, 1.031, 1.029), [2]Verdict{Alike, Alike}},
		{"perhaps too little to count", by(1.02, 1.06), [2]Verdict{Undecided, Undecided}}, // p = 0.006
		{"alike", by(1, 1.01, 0.99), [2]Verdict{Alike, Alike}},
		{"anything", by(1.5, 0.7, 1.1), [2]Verdict{Undecided, Undecided}},
		{"too few", by(1.2, 1.21)[:4], [2]Verdict{TooFewRounds, TooFewRounds}},
	} {
		for i, better := range []Better{Higher, Lower} {
			r := &Results{Rows: []*Data{at10(better, map[string][]float64{"loop": c.loop, "goroutines": base})}}
			all := compare(r)
			if got := all.of("made", "10 things", "speed", "loop", "goroutines").Verdict; len(all) != 1 || got != c.want[i] {
				t.Errorf("%s: %s is better: %v, want %v", c.name, better, got, c.want[i])
			}
			inverse := all.of("made", "10 things", "speed", "goroutines", "loop")
			if want := compare(r)[0].inverse(); inverse.Verdict != want.Verdict || inverse.First != "goroutines" {
				t.Errorf("%s: the other way round %+v, want %+v", c.name, inverse, want)
			}
		}
	}
	if got := (comparisons{}).of("made", "10 things", "speed", "loop", "goroutines"); got.Verdict != NotMeasured {
		t.Errorf("what was not measured: %v", got.Verdict)
	}
}

// What is decided alone is not decided as one of many.
func TestVerdictsAreCorrected(t *testing.T) {
	odd := map[string][]float64{"loop": {1.1, 1.35, 1.2, 1.12, 1.3}, "goroutines": {1, 1, 1, 1, 1}} // p = 0.0085
	if got := compare(&Results{Rows: []*Data{at10(Higher, odd)}}); got[0].Verdict != FirstIs {
		t.Fatalf("alone: %+v", got[0])
	}
	settings := append([]Setting{}, atTen...)
	values := map[string]map[string][]float64{"loop": {"10 things": odd["loop"]}, "goroutines": {"10 things": odd["goroutines"]}}
	for _, label := range []string{"a", "b", "c"} {
		settings = append(settings, Setting{Label: label})
		values["loop"][label], values["goroutines"][label] = []float64{1, 2, 1, 2, 1}, []float64{2, 1, 2, 1, 1}
	}
	all := compare(&Results{Rows: []*Data{made(Higher, settings, values)}})
	if all[0].Verdict != Undecided || all.tested() != 4 || all.decided() != 0 {
		t.Errorf("of four: %+v", all[0])
	}
}

// What is easy to decide of one pair does not make it easier to decide another.
func TestPairsAreCorrectedApart(t *testing.T) {
	odd := at10(Higher, map[string][]float64{"loop": {1.1, 1.35, 1.2, 1.12, 1.3}, "goroutines": {1, 1, 1, 1, 1}}) // p = 0.009
	noise := at10(Higher, map[string][]float64{"loop": {1, 2, 1, 2, 1}, "goroutines": {2, 1, 2, 1, 1}})
	rows := []*Data{odd, noise}
	for range 10 {
		rows = append(rows, at10(Higher, map[string][]float64{flooding: {9, 9.1, 9, 9.2, 9}, asking: {1, 1, 1, 1, 1}}))
	}
	all := compare(&Results{Rows: rows})
	if c := all[0]; c.First != "loop" || c.Verdict != Undecided || all.decided() != 10 {
		t.Errorf("beside ten that are clear: %+v, %d are decided", c, all.decided())
	}
}

// A figure without a better direction is not compared: it differs by construction.
func TestByConstruction(t *testing.T) {
	d := at10("", map[string][]float64{flooding: {0, 0, 0, 0, 0}, asking: {5, 6, 7, 8, 9}})
	if all := compare(&Results{Rows: []*Data{d}}); len(all) != 0 {
		t.Errorf("compared: %+v", all[0])
	}
	for _, f := range floodOrAsk().Figures {
		if strings.HasPrefix(f.Name, "response time") && f.Better != "" {
			t.Errorf("%s is compared", f.Name)
		}
	}
	// Nor is a setting of which the experiment itself makes the result, whatever the data say.
	e := slowHandler()
	d = &Data{Row: e.Row}
	d.Settings = slices.Clone(d.Settings)
	for i, s := range d.Settings {
		d.Settings[i].ByConstruction = false
		for round := range enough {
			for k, subject := range d.Subjects {
				d.Samples = append(d.Samples, Sample{Subject: subject, Setting: s.Label, Round: round,
					Values: Values{"p99": float64(1 + k + round)}})
			}
		}
	}
	var compared []string
	for _, c := range compare(current(&Results{Rows: []*Data{d}}, All())) {
		compared = append(compared, c.Setting)
	}
	if want := []string{"0 ms in another thread", "10 ms in another thread", "100 ms in another thread"}; !slices.Equal(compared, want) {
		t.Errorf("compared: %q, want %q", compared, want)
	}
}

func TestOutcome(t *testing.T) {
	d := at10(Higher, map[string][]float64{"a": {10, 12, 11, 13, 14}, "b": {10, 10, 10, 10, 10}})
	for _, c := range []struct {
		target Target
		want   string
	}{
		{Target{Subject: "a", Against: "b", AtLeast: 1}, "met in every run"},
		{Target{Subject: "a", Against: "b", AtLeast: 1.2}, "met in the median, not in every run"},
		{Target{Subject: "a", Against: "b", AtLeast: 1.5}, "missed by 20 %"},
		{Target{Subject: "a", AtMost: 14}, "met in every run"},
		{Target{Subject: "a", AtMost: 12}, "met in the median, not in every run"},
		{Target{Subject: "a", AtMost: 10}, "missed by 20 %"},
	} {
		c.target.Setting, c.target.Figure = "10 things", "speed"
		o, ok := outcome(d, c.target)
		if got := o.verdict(); !ok || got != c.want {
			t.Errorf("%+v: %q, want %q", c.target, got, c.want)
		}
	}
	if _, ok := outcome(d, Target{Subject: "c", Setting: "10 things", Figure: "speed", AtLeast: 1}); ok {
		t.Error("what was not measured has an outcome")
	}
	few := at10(Higher, map[string][]float64{"a": {2, 2}})
	o, _ := outcome(few, Target{Subject: "a", Setting: "10 things", Figure: "speed", AtLeast: 1})
	if got := o.verdict(); !strings.Contains(got, "too few runs to rely on: 2") {
		t.Errorf("verdict of two runs: %q", got)
	}
}

func TestGuesses(t *testing.T) {
	low, high := []float64{1, 1.01, 0.99, 1, 1.02}, []float64{5, 5.1, 4.9, 5, 5.1}
	for _, c := range []struct {
		node, twisted []float64
		expect        Better
		given, want   string
	}{
		{low, high, Lower, "", "confirmed"}, {low, high, Higher, "", "contradicted"},
		{high, low, Higher, "", "confirmed"}, {high, low, Lower, "", "contradicted"},
		{low, low, Lower, "", "left open: alike"},
		{low, []float64{1, 2, 0.5, 1.5, 0.7}, Lower, "", "left open: not decided"},
		{low[:3], high, Lower, "", "too few rounds"}, {nil, high, Lower, "", "not measured"},
		{low, high, Higher, "it is so", "true by construction: it is so"},
	} {
		for _, better := range []Better{Higher, Lower} {
			all := compare(&Results{Rows: []*Data{at10(better, map[string][]float64{nodeJS: c.node, twisted: c.twisted})}})
			g := Guess{Figure: "speed", Setting: "10 things", Subject: nodeJS, Than: twisted, Expect: c.expect, Given: c.given}
			if got := g.verdict(all.of("made", g.Setting, g.Figure, g.Subject, g.Than)); got != c.want {
				t.Errorf("%v, %v: %q, want %q", c.node, c.twisted, got, c.want)
			}
		}
	}
}

func TestExtrapolated(t *testing.T) {
	settings := []Setting{
		{Label: "1", X: 1}, {Label: "10", X: 10}, {Label: "100", X: 100}, {Label: "1000", X: 1000}, {Label: "10000", X: 10_000},
	}
	grow := func(values ...float64) *Data {
		by := map[string][]float64{}
		for i, v := range values {
			by[settings[i].Label] = []float64{v}
		}
		return made(Lower, settings, map[string]map[string][]float64{"a": by})
	}
	for _, c := range []struct {
		name          string
		line          bool
		d             *Data
		atTen, breaks float64
		way           string
	}{
		{"as the variable", false, grow(1, 10, 100, 1000, 10_000), 100_000, 5, "things^1.00"},
		{"as its square", false, grow(1, 100, 1e4, 1e6, 1e8), 1e10, 1, "things^2.00"}, // beyond its limit already
		{"not at all", false, grow(5, 5, 5, 5, 5), 5, math.Inf(1), "things^0.00"},
		{"downwards", false, grow(1e4, 1000, 100, 10, 1), 0.1, math.Inf(1), "things^-1.00"},
		{"from a part that does not grow", true, grow(11, 20, 110, 1010, 10_010), 100_010, 4.999, "10 + 1 × things"},
		{"without a law", false, grow(1, 10, 300, 1000, 10_000), 0, 0, "no law: a value is 141 % off the best fit"},
		{"at too few settings", false, grow(1, 10, 100, 1000), 0, 0, "no law: measured at 4 settings, a law needs 5"},
	} {
		e, ok := extrapolated(c.d, Growth{Figure: "speed", Subject: "a", Limit: 50_000, Line: c.line})
		if !ok || e.way("things") != c.way || math.Abs(e.AtTen-c.atTen) > 1e-6*c.atTen ||
			e.Breaks != c.breaks && math.Abs(e.Breaks-c.breaks) > 1e-6 {
			t.Errorf("%s: %s, %+v, want %s, %v at ten times, reached at %v", c.name, e.way("things"), e, c.way, c.atTen, c.breaks)
		}
	}
	if _, ok := extrapolated(grow(), Growth{Figure: "speed", Subject: "a", Limit: 500}); ok {
		t.Error("nothing was extrapolated")
	}
	first, ok := breaksFirst([]Extrapolated{{Breaks: math.Inf(1)}, {Breaks: 4}, {Breaks: 3}, {Breaks: 1, Not: "no law"}})
	if !ok || first.Breaks != 3 {
		t.Errorf("what breaks first is %+v", first)
	}
	if _, ok := breaksFirst([]Extrapolated{{Breaks: math.Inf(1)}}); ok {
		t.Error("what never breaks breaks first")
	}
}

// Every series with a law has enough settings, and every workload of the summary is a setting of a row.
func TestRowsHaveWhatConclusionsNeed(t *testing.T) {
	for _, e := range All() {
		for _, g := range e.Growth {
			if n := len(ofSeries(e.Settings, g.Series)); n < enoughPoints {
				t.Errorf("%s: %s has %d settings in series %q, a law needs %d", e.Name, g.Figure, n, g.Series, enoughPoints)
			}
		}
	}
	for _, w := range workloads() {
		e := experimentOf(All(), w.row)
		if e == nil || e.OnDemand {
			t.Errorf("%s: no row %q in a study", w.name, w.row)
			continue
		}
		d := &Data{Row: e.Row}
		if f, ok := d.figure(w.figure); !ok || f.Better == "" {
			t.Errorf("%s: %s is not compared in %s", w.name, w.figure, w.row)
		}
		if !containsSetting(e.Settings, w.setting) {
			t.Errorf("%s: no setting %q in %s", w.name, w.setting, w.row)
		}
	}
}

func containsSetting(settings []Setting, label string) bool {
	for _, s := range settings {
		if s.Label == label {
			return true
		}
	}
	return false
}
