package lab

import (
	"fmt"
	"math"
)

// Target is a goal for a figure: a ratio between two subjects, or a value.
type Target struct {
	Work    string // description
	Figure  string
	Setting string
	Subject string
	Against string  // "" for a value instead of a ratio
	AtLeast float64 // or
	AtMost  float64 // the one that is not zero applies
}

// Outcome is the result of a target.
type Outcome struct {
	Target
	Measured Summary
	Met      bool
	Always   bool    // in every run
	By       float64 // how much the median is better than the target, relative to it; negative if missed
}

// outcome evaluates a target; ok is false if it was not measured.
func outcome(d *Data, t Target) (o Outcome, ok bool) {
	o.Target = t
	if t.Against == "" {
		o.Measured = d.summary(t.Subject, t.Setting, t.Figure)
	} else {
		o.Measured = d.ratio(t.Subject, t.Against, t.Setting, t.Figure)
	}
	m := o.Measured
	if t.AtLeast != 0 {
		o.By = m.Median/t.AtLeast - 1
		o.Met, o.Always = m.Median >= t.AtLeast, m.Min >= t.AtLeast
	} else {
		o.By = 1 - m.Median/t.AtMost
		o.Met, o.Always = m.Median <= t.AtMost, m.Max <= t.AtMost
	}
	return o, m.N > 0
}

// verdict is the text of an outcome.
func (o Outcome) verdict() string {
	few := ""
	if o.Measured.N < enough {
		few = fmt.Sprintf(" (too few runs to rely on: %d)", o.Measured.N)
	}
	switch {
	case !o.Met:
		return fmt.Sprintf("missed by %.0f %%%s", math.Ceil(-100*o.By-1e-6), few)
	case o.Always:
		return "met in every run" + few
	}
	return "met in the median, not in every run" + few
}

// Guess is a supposition of the paper about two subjects, in measurable form.
type Guess struct {
	Paper   string // the supposition, and its section
	Figure  string
	Setting string
	Subject string
	Than    string
	Expect  Better // of Subject's values
	Given   string // why it is true by construction, and not a comparison; "" if it may fail
}

// verdict says what the comparison of Subject to Than says of a guess.
func (g Guess) verdict(c *Comparison) string {
	switch {
	case g.Given != "":
		return "true by construction: " + g.Given
	case c.Verdict == Undecided || c.Verdict == Alike:
		return "left open: " + c.text()
	case c.Verdict == NotMeasured || c.Verdict == TooFewRounds:
		return c.text()
	case (c.Ratio.Mean > 1) == (g.Expect == Higher):
		return "confirmed"
	}
	return "contradicted"
}
