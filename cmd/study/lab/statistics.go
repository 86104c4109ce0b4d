package lab

import (
	"cmp"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"
)

// Summary summarizes the values of one figure, of one subject at one setting.
type Summary struct {
	N                int
	Median, Min, Max float64
	// Low and High are a confidence interval of the median, see interval.
	Low, High float64
}

// summarize summarizes values in any order. The median of an even number is the mean of the middle two.
// Without values everything is zero.
func summarize(values []float64) Summary {
	if len(values) == 0 {
		return Summary{}
	}
	v := slices.Sorted(slices.Values(values))
	n := len(v)
	below, _ := interval(n)
	s := Summary{N: n, Median: v[n/2], Min: v[0], Max: v[n-1], Low: v[below], High: v[n-1-below]}
	if n%2 == 0 {
		s.Median = v[n/2-1]/2 + v[n/2]/2
	}
	return s
}

// interval says which of n sorted values enclose the median of their distribution, whatever it is: the one with
// this number of values below it, and the one with as many above it. Coverage is the probability. It is the
// narrowest interval with a coverage of at least leastCoverage, or the widest.
func interval(n int) (below int, coverage float64) {
	coin := distuv.Binomial{N: float64(n), P: 0.5} // the number of values below the median
	at := func(below int) float64 { return 1 - 2*coin.CDF(float64(below)) }
	for below+1 < (n+1)/2 && at(below+1) >= leastCoverage {
		below++
	}
	return below, max(0, at(below))
}

// Estimate is the geometric mean of the ratios of two subjects, round by round, with its confidence interval.
type Estimate struct {
	N               int
	Mean, Low, High float64
	P               float64 // of a ratio at least as far from 1, if both were alike
}

// paired compares the values of two subjects by round: Student's t test on the logarithms of their ratios.
// Runs of one round are close in time, so that load on the machine affects both. Rounds in which either is
// missing or not positive are left out. With fewer than two rounds there is no interval.
func paired(a, b map[int]float64) Estimate {
	var logs []float64
	for _, round := range sortedKeys(a) {
		if w, ok := b[round]; ok && w > 0 && a[round] > 0 {
			logs = append(logs, math.Log(a[round]/w))
		}
	}
	n := len(logs)
	if n == 0 {
		return Estimate{}
	}
	mean := stat.Mean(logs, nil)
	e := Estimate{N: n, Mean: math.Exp(mean), Low: 0, High: math.Inf(1), P: 1}
	if n < 2 {
		return e
	}
	t := distuv.StudentsT{Sigma: 1, Nu: float64(n - 1)}
	deviation := stat.StdDev(logs, nil)
	half := t.Quantile(1-(1-intervalOfRatio)/2) * stat.StdErr(deviation, float64(n))
	e.Low, e.High = math.Exp(mean-half), math.Exp(mean+half)
	switch {
	case deviation > 1e-12: // equal values differ by rounding
		e.P = 2 * t.CDF(-math.Abs(mean)/stat.StdErr(deviation, float64(n)))
	case math.Abs(mean) > 1e-12:
		e.P = 0
	}
	return e
}

// inverse is the estimate of b to a.
func (e Estimate) inverse() Estimate {
	e.Mean, e.Low, e.High = 1/e.Mean, 1/e.High, 1/e.Low
	return e
}

// rejected says which of many null hypotheses are rejected, by their p-values: Benjamini and Hochberg's
// procedure. Of those that are, the expected part that is true is at most rate.
func rejected(p []float64, rate float64) []bool {
	order := make([]int, len(p))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, k int) int { return cmp.Compare(p[i], p[k]) })
	last := -1
	for rank, i := range order {
		if p[i] <= rate*float64(rank+1)/float64(len(p)) {
			last = rank
		}
	}
	all := make([]bool, len(p))
	for _, i := range order[:last+1] {
		all[i] = true
	}
	return all
}

// law is a fit to points: a line y = From + Slope x, or a power law y = From x^Slope.
type law struct {
	straight    bool // a line
	From, Slope float64
	RSquared    float64 // of logarithms, of a power law
	Off         float64 // the largest deviation of a point, as a part of the law's value
}

// fit fits a law by least squares; of a power law, those of logarithms.
func fit(x, y []float64, line bool) law {
	l := law{straight: line}
	a, b := x, y
	if !line {
		a, b = logarithms(x), logarithms(y)
	}
	l.From, l.Slope = stat.LinearRegression(a, b, nil, false)
	l.RSquared = 1 // of points that do not differ
	if stat.StdDev(b, nil) > 1e-12 {
		l.RSquared = stat.RSquared(a, b, nil, l.From, l.Slope)
	}
	if !line {
		l.From = math.Exp(l.From)
	}
	for i := range x {
		l.Off = max(l.Off, math.Abs(y[i]/l.at(x[i])-1))
	}
	return l
}

func logarithms(values []float64) []float64 {
	all := make([]float64, len(values))
	for i, v := range values {
		all[i] = math.Log(v)
	}
	return all
}

func (l law) at(x float64) float64 {
	if l.straight {
		return l.From + l.Slope*x
	}
	return l.From * math.Pow(x, l.Slope)
}

// reaches returns the x at which the law reaches a limit; +Inf if it does not grow.
func (l law) reaches(limit float64) float64 {
	if l.straight && l.Slope <= 0 || !l.straight && l.Slope < leastExponent {
		return math.Inf(1)
	}
	if l.straight {
		return (limit - l.From) / l.Slope
	}
	return math.Pow(limit/l.From, 1/l.Slope)
}
