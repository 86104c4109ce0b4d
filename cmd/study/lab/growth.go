package lab

import (
	"fmt"
	"math"
)

// Growth is a figure of a series that a law is fitted to, and its limit.
type Growth struct {
	Figure  string
	Subject string
	Series  string
	Limit   float64
	Why     string // reason for the limit
	Line    bool   // a line instead of a power law
}

// Extrapolated is a law of growth, and what it says beyond the measured settings.
type Extrapolated struct {
	Growth
	law
	Points int
	Last   Setting // the largest that was measured
	AtTen  float64 // at ten times Last
	Breaks float64 // the multiple of Last at which the limit is reached; +Inf for never
	Not    string  // why there is no law; "" if there is
}

// extrapolated applies the rule of growth; ok is false if nothing was measured.
func extrapolated(d *Data, g Growth) (e Extrapolated, ok bool) {
	e.Growth = g
	var x, y []float64
	for _, s := range d.Settings {
		sum := d.summary(g.Subject, s.Label, g.Figure)
		if s.Series != g.Series || sum.N == 0 || s.X <= 0 || sum.Median <= 0 {
			continue
		}
		x, y = append(x, s.X), append(y, sum.Median)
		e.Last = s
	}
	if e.Points = len(x); e.Points == 0 {
		return e, false
	}
	if e.Points < enoughPoints {
		e.Not = fmt.Sprintf("measured at %d settings, a law needs %d", e.Points, enoughPoints)
		return e, true
	}
	e.law = fit(x, y, g.Line)
	if e.Off > mostOff {
		e.Not = fmt.Sprintf("a value is %.0f %% off the best fit", 100*e.Off)
		return e, true
	}
	e.AtTen = e.at(10 * e.Last.X)
	e.Breaks = e.reaches(g.Limit) / e.Last.X
	if y[len(y)-1] >= g.Limit {
		e.Breaks = 1
	}
	return e, true
}

// way describes the law.
func (e Extrapolated) way(variable string) string {
	switch {
	case e.Not != "":
		return "no law: " + e.Not
	case e.Line:
		return fmt.Sprintf("%s + %s × %s", number(e.From), number(e.Slope), variable)
	}
	return fmt.Sprintf("%s^%.2f", variable, e.Slope)
}

// quality says how well the law fits.
func (e Extrapolated) quality() string {
	if e.Not != "" {
		return ""
	}
	return fmt.Sprintf("r² %.3f, off by %.0f %% at most", e.RSquared, 100*e.Off)
}

// multiple describes a multiple of the largest setting.
func multiple(x float64) string {
	switch {
	case math.IsInf(x, 1):
		return "never, as it does not grow"
	case x <= 1:
		return "what was measured already"
	case x > 1e6:
		return "more than a million times as much"
	}
	return number(x) + " times as much"
}

// breaksFirst returns the one that reaches its limit first; ok is false if none does.
func breaksFirst(all []Extrapolated) (first Extrapolated, ok bool) {
	first.Breaks = math.Inf(1)
	for _, e := range all {
		if e.Not == "" && e.Breaks < first.Breaks {
			first, ok = e, true
		}
	}
	return first, ok
}
