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

func TestStanding(t *testing.T) {
	slow, fast, middle := []float64{1, 1, 2, 2, 1}, []float64{8, 9, 8, 9, 10}, []float64{2, 5, 9, 5, 8}
	for _, c := range []struct {
		name   string
		better Better
		values map[string][]float64
		want   string
		next   string
	}{
		{"a winner", Higher, map[string][]float64{"a": slow, "b": fast}, "b is first", "a"},
		{"less is better", Lower, map[string][]float64{"a": slow, "b": fast}, "a is first", "b"},
		{"no difference", Higher, map[string][]float64{"a": middle, "b": fast}, "no difference between b and a", "a"},
		{"two are no different, one is behind", Higher,
			map[string][]float64{"a": slow[:], "b": fast, "c": {8, 9, 9, 7, 8}}, "no difference between b and c", "a"},
		{"too few", Higher, map[string][]float64{"a": slow[:4], "b": fast},
			"too few runs; b has the best median", "a"},
		{"of one who was not measured", Higher, map[string][]float64{"a": slow, "b": fast, "c": nil}, "b is first", "a"},
		{"alone", Higher, map[string][]float64{"a": slow}, "", ""},
	} {
		d := at10(c.better, c.values)
		s, ok := standing(d, d.Subjects, d.Figures[0], "10 things")
		if ok != (c.want != "") {
			t.Errorf("%s: there is a standing: %v", c.name, ok)
		}
		if ok && (s.verdict() != c.want || s.Next != c.next) {
			t.Errorf("%s: %q, next %q; want %q, %q", c.name, s.verdict(), s.Next, c.want, c.next)
		}
	}
}

// A duel counts for each figure how often each subject is better, and lists the settings.
func TestDuel(t *testing.T) {
	at := map[string][]float64{"10 things": {4, 4, 6, 4, 4}, "100 things": {1, 2, 3, 2, 1}, "many": {1}}
	half := map[string][]float64{"10 things": {2, 2, 3, 2, 2}, "100 things": {1, 2, 4, 2, 1}, "many": {2}}
	settings := append(atTen, Setting{Label: "100 things", X: 100}, Setting{Label: "many", X: 1000})
	for better, who := range map[Better]string{Higher: "loop", Lower: "goroutines"} {
		d := made(better, settings, map[string]map[string][]float64{"loop": at, "goroutines": half})
		got := duel(&Results{Rows: []*Data{d, made(better, settings, nil)}}, "loop", "goroutines")
		want := [][]string{
			{"figure", "at", "loop to goroutines", "better"},
			{"made: speed", "10 things", "2 [2, 2]", who},
			{"made: speed", "100 things", "1 [0.75, 1]", "no difference"},
			{"made: speed", "many", "0.5", "too few rounds"},
		}
		if !slices.EqualFunc(got.table, want, slices.Equal[[]string]) {
			t.Errorf("%s is better: %q, want %q", better, got.table, want)
		}
		sentence := "made, speed: " + who +
			" is better at 1 setting, no difference at 1 setting, too few rounds at 1 setting."
		if !slices.Equal(got.tallies, []string{sentence}) {
			t.Errorf("%s is better: %q, want %q", better, got.tallies, sentence)
		}
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

func TestTested(t *testing.T) {
	low, high := []float64{1, 2, 1, 2, 1}, []float64{5, 6, 5, 6, 5}
	for _, c := range []struct {
		a, b   []float64
		expect Relation
		want   string
	}{
		{low, high, Below, "borne out"}, {low, high, Above, "contradicted"},
		{high, low, Above, "borne out"}, {high, low, Below, "contradicted"},
		{low, low, Below, "left open: no difference"},
		{low[:3], high, Below, "too few runs"}, {nil, high, Below, "not measured"},
	} {
		d := at10(Higher, map[string][]float64{"a": c.a, "b": c.b})
		g := Guess{Figure: "speed", Setting: "10 things", Subject: "a", Than: "b", Expect: c.expect}
		if got := tested(d, g).Verdict; got != c.want {
			t.Errorf("%v, %v: %q, want %q", c.a, c.b, got, c.want)
		}
	}
}

func TestExtrapolated(t *testing.T) {
	settings := []Setting{{Label: "1", X: 1}, {Label: "10", X: 10}, {Label: "100", X: 100}}
	grow := func(values ...float64) *Data {
		by := map[string][]float64{}
		for i, v := range values {
			by[settings[i].Label] = []float64{v}
		}
		return made(Lower, settings, map[string]map[string][]float64{"a": by})
	}
	for _, c := range []struct {
		name                    string
		d                       *Data
		exponent, atTen, breaks float64
	}{
		{"as the variable", grow(1, 10, 100), 1, 1000, 5},
		{"as its square", grow(1, 1, 100), 2, 10_000, math.Sqrt(5)},
		{"not at all", grow(7, 5, 5), 0, 5, math.Inf(1)},
		{"downwards", grow(7, 10, 1), -1, 0.1, math.Inf(1)},
		{"beyond its limit already", grow(1, 100, 1000), 1, 10_000, 1},
		{"where the last setting is missing", grow(1, 10), 1, 100, 50},
	} {
		e, ok := extrapolated(c.d, Growth{Figure: "speed", Subject: "a", Limit: 500})
		if !ok || math.Abs(e.Exponent-c.exponent) > 1e-9 || math.Abs(e.AtTen-c.atTen) > 1e-6 ||
			e.Breaks != c.breaks && math.Abs(e.Breaks-c.breaks) > 1e-9 {
			t.Errorf("%s: %+v, want exponent %v, %v at ten times, reached at %v", c.name, e, c.exponent, c.atTen,
				c.breaks)
		}
	}
	for _, c := range []struct {
		name          string
		d             *Data
		atTen, breaks float64
	}{
		{"from a part that does not grow", grow(10, 19, 109), 1009, 4.91},
		{"level", grow(1, 10, 10), 10, math.Inf(1)},
		{"beyond its limit already", grow(1, 100, 1000), 10_000, 1},
	} {
		e, ok := extrapolated(c.d, Growth{Figure: "speed", Subject: "a", Limit: 500, Line: true})
		if !ok || math.Abs(e.AtTen-c.atTen) > 1e-6 || e.Breaks != c.breaks && math.Abs(e.Breaks-c.breaks) > 1e-9 {
			t.Errorf("a line %s: %+v, want %v at ten times, reached at %v", c.name, e, c.atTen, c.breaks)
		}
	}
	if _, ok := extrapolated(grow(1), Growth{Figure: "speed", Subject: "a", Limit: 500}); ok {
		t.Error("one point was extrapolated")
	}
	first, ok := breaksFirst([]Extrapolated{{Breaks: math.Inf(1)}, {Breaks: 4}, {Breaks: 3}, {Breaks: 9}})
	if !ok || first.Breaks != 3 {
		t.Errorf("what breaks first is %+v", first)
	}
	if _, ok := breaksFirst([]Extrapolated{{Breaks: math.Inf(1)}}); ok {
		t.Error("what never breaks breaks first")
	}
}
