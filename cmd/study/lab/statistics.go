package lab

import (
	"math"
	"slices"
)

// enough is how many rounds it takes to say that two subjects differ.
const enough = 5

// Summary is what the runs of one subject at one setting gave for one figure.
type Summary struct {
	N                int
	Median, Min, Max float64
}

// summarize sums up values in any order. The median of an even number of them is the mean of the
// two in the middle. Of none everything is zero.
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

// Relation is what the rule of no difference says about two subjects.
type Relation uint8

// The relations of a to b.
const (
	Unknown Relation = iota // too few rounds with both
	Same                    // now one is greater, now the other, or they are equal
	Below                   // a is less than b in every round
	Above
)

// relate applies the rule to what two subjects had, by round: the same as to ask whether the least
// and the greatest of ratios have 1 between them, but for values of zero.
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

// ratios divides what two subjects had in the same round, which are neighbors in time: a machine
// that was slow for one was slow for the other. Rounds in which either is missing, or b is zero,
// are left out.
func ratios(a, b map[int]float64) []float64 {
	var all []float64
	for round, v := range a {
		if w, ok := b[round]; ok && w != 0 {
			all = append(all, v/w)
		}
	}
	return all
}

// exponent is the k of y = c x^k through two points, zero where there is none.
func exponent(x1, y1, x2, y2 float64) float64 {
	if x1 <= 0 || x2 <= 0 || y1 <= 0 || y2 <= 0 || x1 == x2 {
		return 0
	}
	return math.Log(y2/y1) / math.Log(x2/x1)
}
