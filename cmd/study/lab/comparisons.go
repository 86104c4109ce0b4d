package lab

import "slices"

// Verdict is the result of a comparison of two subjects.
type Verdict uint8

// Verdicts.
const (
	NotMeasured Verdict = iota
	TooFewRounds
	Undecided
	Alike   // within leastDifference
	FirstIs // the first subject is better
	SecondIs
)

// Comparison is a comparison of two subjects in one figure at one setting.
type Comparison struct {
	Row, Setting  string
	Figure        Figure
	First, Second string
	Ratio         Estimate // of First's values to Second's
	Verdict       Verdict
	rejected      bool // that both are alike, corrected for the number of comparisons of the pair
}

// pairs are the pairs of subjects that are compared, in every figure for which it is said what is better.
var pairs = [][2]string{
	{"loop", "goroutines"}, {flooding, asking}, {thisHerd, otherHerd},
	{"loop", twisted}, {"loop", nodeJS}, {nodeJS, twisted},
}

// comparisons are all comparisons of a report. Those of a pair are corrected for their number together: that flooding
// differs a lot from asking must not make it easier for an engine to win.
type comparisons []*Comparison

// compare makes all comparisons of all rows.
func compare(r *Results) comparisons {
	var all comparisons
	for _, pair := range pairs {
		var p []float64
		var tests comparisons // that have a p-value
		for _, d := range r.Rows {
			for _, f := range d.Figures {
				if f.Better == "" {
					continue
				}
				for _, s := range d.Settings {
					if s.ByConstruction {
						continue
					}
					c := &Comparison{Row: d.Name, Setting: s.Label, Figure: f, First: pair[0], Second: pair[1],
						Ratio: d.paired(pair[0], pair[1], s.Label, f.Name)}
					if c.Ratio.N == 0 {
						continue
					}
					all = append(all, c)
					if c.Verdict = TooFewRounds; c.Ratio.N >= enough {
						tests, p = append(tests, c), append(p, c.Ratio.P)
					}
				}
			}
		}
		for i, is := range rejected(p, falseVerdicts) {
			tests[i].rejected = is
			tests[i].Verdict = tests[i].decide()
		}
	}
	return all
}

// decide returns the verdict of a comparison with enough rounds.
func (c *Comparison) decide() Verdict {
	higher := c.Ratio.Mean > 1
	switch {
	case c.Ratio.Low >= 1/leastDifference && c.Ratio.High <= leastDifference:
		return Alike
	case !c.rejected || max(c.Ratio.Mean, 1/c.Ratio.Mean) < leastDifference:
		return Undecided
	case higher == (c.Figure.Better == Higher):
		return FirstIs
	}
	return SecondIs
}

// advantage is how many times as good as the second subject the first one is.
func (c *Comparison) advantage() Estimate {
	if c.Figure.Better == Lower {
		return c.Ratio.inverse()
	}
	return c.Ratio
}

// inverse is the same comparison with the subjects exchanged.
func (c *Comparison) inverse() *Comparison {
	i := *c
	i.First, i.Second, i.Ratio = c.Second, c.First, c.Ratio.inverse()
	switch c.Verdict {
	case FirstIs:
		i.Verdict = SecondIs
	case SecondIs:
		i.Verdict = FirstIs
	}
	return &i
}

// of finds a comparison of two subjects, in either order. If there is none, it is one that was not measured.
func (all comparisons) of(row, setting, figure, first, second string) *Comparison {
	for _, c := range all {
		if c.Row != row || c.Setting != setting || c.Figure.Name != figure {
			continue
		}
		if c.First == first && c.Second == second {
			return c
		}
		if c.First == second && c.Second == first {
			return c.inverse()
		}
	}
	return &Comparison{Row: row, Setting: setting, Figure: Figure{Name: figure}, First: first, Second: second}
}

// decided counts the comparisons that say who is better.
func (all comparisons) decided() (n int) {
	for _, c := range all {
		if c.Verdict == FirstIs || c.Verdict == SecondIs {
			n++
		}
	}
	return n
}

// tested counts the comparisons that had enough rounds.
func (all comparisons) tested() (n int) {
	for _, c := range all {
		if c.Verdict > TooFewRounds {
			n++
		}
	}
	return n
}

// ofRow are those comparisons of one row.
func (all comparisons) ofRow(row string) comparisons {
	return slices.DeleteFunc(slices.Clone(all), func(c *Comparison) bool { return c.Row != row })
}

// text is the verdict in words.
func (c *Comparison) text() string {
	switch c.Verdict {
	case TooFewRounds:
		return "too few rounds"
	case Undecided:
		return "not decided"
	case Alike:
		return "alike"
	case FirstIs:
		return c.First
	case SecondIs:
		return c.Second
	}
	return "not measured"
}
