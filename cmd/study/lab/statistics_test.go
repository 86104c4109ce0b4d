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
		{[]float64{3}, Summary{1, 3, 3, 3}},
		{[]float64{4, 1, 3}, Summary{3, 3, 1, 4}},
		{[]float64{4, 1, 3, 2}, Summary{4, 2.5, 1, 4}},
		{[]float64{5, 5, 5, 5, 100}, Summary{5, 5, 5, 100}},
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

func TestRelate(t *testing.T) {
	by := func(values ...float64) map[int]float64 {
		m := map[int]float64{}
		for round, v := range values {
			if v >= 0 {
				m[round] = v
			}
		}
		return m
	}
	const missing = -1
	for _, c := range []struct {
		a, b map[int]float64
		want Relation
	}{
		{by(1, 2, 1, 2, 1), by(3, 4, 3, 4, 3), Below},
		{by(1, 2, 10, 2, 1), by(2, 3, 11, 3, 2), Below}, // the machine was fast in one round
		{by(3, 4, 3, 4, 3), by(1, 2, 1, 2, 1), Above},
		{by(0, 0, 0, 0, 0), by(1, 2, 1, 2, 1), Below},
		{by(1, 2, 1, 2, 1), by(0, 0, 0, 0, 0), Above},
		{by(1, 2, 1, 5, 1), by(3, 4, 3, 4, 3), Same},
		{by(1, 2, 1, 4, 1), by(3, 4, 3, 4, 3), Same}, // they are equal in one
		{by(2, 2, 2, 2, 2), by(2, 2, 2, 2, 2), Same},
		{by(1, 2, 1, 2), by(3, 4, 3, 4, 3), Unknown},
		{by(1, 2, missing, 2, 1), by(3, 4, 3, 4, 3), Unknown},
		{by(missing, 2, 1, 2, 1, 1), by(3, missing, 3, 4, 3, 3), Unknown},
		{by(1, 2, missing, 2, 1, 1), by(3, 4, 3, 4, 3, 3), Below},
	} {
		if got := relate(c.a, c.b); got != c.want {
			t.Errorf("relate(%v, %v) = %v, want %v", c.a, c.b, got, c.want)
		}
	}
}

func TestRatiosAreOfTheSameRound(t *testing.T) {
	a := map[int]float64{0: 10, 1: 20, 2: 30, 4: 7}
	b := map[int]float64{0: 5, 1: 5, 2: 0, 3: 1}
	got := slices.Sorted(slices.Values(ratios(a, b)))
	if want := []float64{2, 4}; !slices.Equal(got, want) {
		t.Errorf("ratios are %v, want %v", got, want)
	}
}

func TestExponent(t *testing.T) {
	for _, c := range []struct{ x1, y1, x2, y2, want float64 }{
		{1, 3, 10, 30, 1}, {1, 3, 10, 300, 2}, {10, 5, 1000, 5, 0}, {1, 30, 10, 3, -1},
		{0, 1, 10, 10, 0}, {1, 0, 10, 10, 0}, {5, 1, 5, 2, 0},
	} {
		if got := exponent(c.x1, c.y1, c.x2, c.y2); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("exponent(%v, %v, %v, %v) = %v, want %v", c.x1, c.y1, c.x2, c.y2, got, c.want)
		}
	}
}
