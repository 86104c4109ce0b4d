package lab

import (
	"math"
	"slices"
	"testing"
)

func TestSummarize(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   Summary
	}{
		{nil, Summary{}},
		{[]float64{3}, Summary{1, 3, 3, 3, 3, 3}},
		{[]float64{4, 1, 3}, Summary{3, 3, 1, 4, 1, 4}},
		{[]float64{4, 1, 3, 2}, Summary{4, 2.5, 1, 4, 1, 4}},
		{[]float64{5, 5, 5, 5, 100}, Summary{5, 5, 5, 100, 5, 100}},
		{[]float64{9, 8, 7, 6, 5, 4, 3, 2, 1, 0}, Summary{10, 4.5, 0, 9, 1, 8}},
	} {
		before := slices.Clone(c.values)
		if got := summarize(c.values); got != c.want {
			t.Errorf("summarize(%v) = %+v, want %+v", c.values, got, c.want)
		}
		if !slices.Equal(before, c.values) {
			t.Errorf("summarize has changed %v", before)
		}
	}
}

// The interval of a median is the narrowest with enough coverage. The numbers are those of sign test tables.
func TestInterval(t *testing.T) {
	for n, want := range map[int]struct {
		below    int
		coverage float64
	}{
		1: {0, 0}, 2: {0, 0.5}, 5: {0, 0.9375}, 6: {0, 0.96875}, 7: {0, 0.984375}, 8: {1, 0.9296875}, 10: {1, 0.978515625},
		20: {5, 0.9586105},
	} {
		below, coverage := interval(n)
		if below != want.below || math.Abs(coverage-want.coverage) > 1e-6 {
			t.Errorf("of %d values %d are below the interval, coverage %v; want %+v", n, below, coverage, want)
		}
	}
}

// byRound are values by round; those below 0 are missing.
func byRound(values ...float64) map[int]float64 {
	m := map[int]float64{}
	for round, v := range values {
		if v >= 0 {
			m[round] = v
		}
	}
	return m
}

func TestPaired(t *testing.T) {
	e := math.E
	for _, c := range []struct {
		name string
		a, b map[int]float64
		want Estimate
	}{
		// The logarithms are 1, 2, 3, 4, 5: t = 3/(1.5811/sqrt(5)) = 4.2426, p = 0.01324; 2.7764 times 0.7071 is 1.9632.
		{"one to five", byRound(e, e*e, math.Pow(e, 3), math.Pow(e, 4), math.Pow(e, 5)), byRound(1, 1, 1, 1, 1),
			Estimate{5, math.Exp(3), math.Exp(3 - 1.96324), math.Exp(3 + 1.96324), 0.013236}},
		{"the machine was fast in one round", byRound(2, 4, 200), byRound(1, 2, 100), Estimate{3, 2, 2, 2, 0}},
		{"equal", byRound(2, 4, 200), byRound(2, 4, 200), Estimate{3, 1, 1, 1, 1}},
		{"only rounds with both", byRound(8, -1, 6, 5), byRound(4, 3, -1, 2.5, 7), Estimate{2, 2, 2, 2, 0}},
		{"without zero", byRound(8, 1, 0, 8), byRound(4, 0, 3, 4), Estimate{2, 2, 2, 2, 0}},
		{"one round", byRound(3), byRound(2), Estimate{1, 1.5, 0, math.Inf(1), 1}},
		{"none", byRound(), byRound(2), Estimate{}},
	} {
		got := paired(c.a, c.b)
		for i, pair := range [][2]float64{{got.Mean, c.want.Mean}, {got.Low, c.want.Low}, {got.High, c.want.High}, {got.P, c.want.P}} {
			if got.N != c.want.N || pair[0] != pair[1] && math.Abs(pair[0]-pair[1]) > 1e-4*pair[1] {
				t.Errorf("%s: %+v, want %+v (%d)", c.name, got, c.want, i)
			}
		}
	}
	i := Estimate{5, 2, 1.6, 2.5, 0.1}.inverse()
	if i.Mean != 0.5 || i.Low != 0.4 || i.High != 0.625 || i.P != 0.1 {
		t.Errorf("the inverse is %+v", i)
	}
}

// The example of Benjamini and Hochberg (1995): of 15 hypotheses 4 are rejected at 5 %, where Bonferroni's
// correction rejects 3.
func TestRejected(t *testing.T) {
	p := []float64{0.0459, 0.0001, 0.0095, 0.0004, 0.6528, 0.0019, 0.0278, 0.0201, 0.0298, 0.0344, 0.3240, 0.4262, 0.5719, 0.7590, 1}
	got := rejected(p, 0.05)
	var which []float64
	for i, is := range got {
		if is {
			which = append(which, p[i])
		}
	}
	slices.Sort(which)
	if want := []float64{0.0001, 0.0004, 0.0019, 0.0095}; !slices.Equal(which, want) {
		t.Errorf("rejected are %v, want %v", which, want)
	}
	if len(rejected(nil, 0.05)) != 0 {
		t.Error("of no hypotheses some are rejected")
	}
}

func TestFit(t *testing.T) {
	x := []float64{1, 10, 100, 1000, 10_000}
	for _, c := range []struct {
		name string
		y    []float64
		line bool
		want law
	}{
		{"a square", []float64{3, 300, 3e4, 3e6, 3e8}, false, law{false, 3, 2, 1, 0}},
		{"a constant", []float64{5, 5, 5, 5, 5}, false, law{false, 5, 0, 1, 0}},
		{"a line", []float64{12, 30, 210, 2010, 20_010}, true, law{true, 10, 2, 1, 0}},
		{"one value is off", []float64{1, 10, 200, 1000, 10_000}, false, law{false, 1.1487, 1, 0.9928, 0.741}},
	} {
		l := fit(x, c.y, c.line)
		if l.straight != c.line || math.Abs(l.From-c.want.From) > 1e-3 || math.Abs(l.Slope-c.want.Slope) > 1e-3 ||
			math.Abs(l.RSquared-c.want.RSquared) > 1e-3 || math.Abs(l.Off-c.want.Off) > 1e-2 {
			t.Errorf("%s: %+v, want %+v", c.name, l, c.want)
		}
	}
	if got := (law{false, 5, 0, 1, 0}).reaches(100); !math.IsInf(got, 1) {
		t.Errorf("a constant reaches its limit at %v", got)
	}
	if got := (law{true, 10, 2, 1, 0}).reaches(100); got != 45 {
		t.Errorf("a line reaches its limit at %v, want 45", got)
	}
	if got := (law{false, 3, 2, 1, 0}).reaches(300); math.Abs(got-10) > 1e-9 {
		t.Errorf("a square reaches its limit at %v, want 10", got)
	}
}
