package lab

import (
	"math"
	"slices"
)

// enough is the minimum number of rounds to conclude that two subjects differ.
const enough = 5

// Summary summarizes the values of one figure, of one subject at one setting.
type Summary struct {
	N                int
	Median, Min, Max float64
}

// summarize summarizes values in any order. The median of an even number is the mean of the middle two.
// Without values everything is zero.
func summarize(values []float64) Summary {
	if len(values) == 0 {
		return Summary{}
	}
	v := slices.Sorted(slices.Values(values))
	middle := len(v) / 2
	s := Summary{N: len(v), Median: v[middle], Min: v[0], Max: v[len(v)-1]}
	if len(v)%2 == 0 {
		s.Median = v[middle-1]/2 + v[middle]/2
	}
	return s
}

// confidence is the probability that the least and the greatest of n independent values enclose the median of
// their distribution, whatever it is: not all are on one side of it.
func confidence(n int) float64 { return 1 - math.Pow(0.5, float64(n-1)) }

// Relation is the result of a comparison of two subjects.
type Relation uint8

// Relations of a to b.
const (
	Unknown Relation = iota // too few rounds with both
	Same                    // neither is less in every round
	Below                   // a is less than b in every round
	Above
)

// relate compares the values of two subjects by round. Except for values of zero, that is the same as to
// check whether 1 is between the minimum and maximum of ratios.
func relate(a, b map[int]float64) Relation {
	rounds, below, above := 0, 0, 0
	for round, v := range a {
		w, ok := b[round]
		if !ok {
			continue
		}
		rounds++
		if v < w {
			below++
		} else if v > w {
			above++
		}
	}
	switch {
	case rounds < enough:
		return Unknown
	case below == rounds:
		return Below
	case above == rounds:
		return Above
	}
	return Same
}

// ratios returns the ratios of two subjects by round. Runs of one round are close in time, so that load on
// the machine affects both. Rounds in which either is missing or b is zero are skipped.
func ratios(a, b map[int]float64) []float64 {
	var all []float64
	for round, v := range a {
		if w, ok := b[round]; ok && w != 0 {
			all = append(all, v/w)
		}
	}
	return all
}

// exponent is the k of y = c x^k through two points; 0 if there is none.
func exponent(x1, y1, x2, y2 float64) float64 {
	if x1 <= 0 || x2 <= 0 || y1 <= 0 || y2 <= 0 || x1 == x2 {
		return 0
	}
	return math.Log(y2/y1) / math.Log(x2/x1)
}
