package lab

import (
	"fmt"
	"slices"
)

// conclusions are the results of the rules for all rows, but the comparisons.
type conclusions struct {
	breaks      []string // sentences about growth
	unsupported []string
	targets     [][]string // tables; the first row is the head
	guesses     [][]string
	growth      [][]string
}

// conclude applies the rules to all rows.
func conclude(r *Results, experiments []*Experiment, all comparisons) *conclusions {
	c := &conclusions{
		targets: [][]string{{"target", "of", "to", "wanted", "measured", "verdict"}},
		guesses: [][]string{{"the paper supposes", "measured", "ratio", "verdict"}},
		growth:  [][]string{{"figure", "of", "up to", "law", "fit", "at ten times", "limit", "reached at"}},
	}
	var few []string
	for _, d := range r.Rows {
		if d.Rounds < enough && len(d.Subjects) > 1 {
			few = append(few, d.Name)
		}
		c.ofTrouble(d)
		if e := experimentOf(experiments, d.Name); e != nil {
			c.ofTargets(d, e.Targets)
			c.ofGuesses(d, e.Guesses, all)
			c.ofGrowth(d, e.Growth)
			c.ofGaps(d, e)
		}
	}
	if len(few) > 0 {
		c.unsupported = append(c.unsupported, fmt.Sprintf("Fewer than %d rounds, and so no verdicts: %s.", enough, list(few)))
	}
	return c
}

func experimentOf(experiments []*Experiment, name string) *Experiment {
	i := slices.IndexFunc(experiments, func(e *Experiment) bool { return e.Name == name })
	if i < 0 {
		return nil
	}
	return experiments[i]
}

// ofTrouble adds what is missing in a row.
func (c *conclusions) ofTrouble(d *Data) {
	for _, text := range troubles(d) {
		c.unsupported = append(c.unsupported, d.Name+": "+text)
	}
	if d.Interrupted {
		c.unsupported = append(c.unsupported, d.Name+" was interrupted.")
	}
}

// ofGaps adds the figures and settings of an experiment that the data lack, for they are older than it.
func (c *conclusions) ofGaps(d *Data, e *Experiment) {
	if d.Quick {
		return
	}
	var lacking []string
	for _, f := range e.Figures {
		if _, ok := d.figure(f.Name); !ok {
			lacking = append(lacking, f.Name)
		}
	}
	for _, s := range e.Settings {
		if !s.Compared && !slices.ContainsFunc(d.Settings, func(t Setting) bool { return t.Label == s.Label }) {
			lacking = append(lacking, s.Label)
		}
	}
	if len(lacking) > 0 {
		c.unsupported = append(c.unsupported, fmt.Sprintf("%s: not measured yet: %s.", d.Name, list(lacking)))
	}
}

func (c *conclusions) ofTargets(d *Data, targets []Target) {
	for _, t := range targets {
		o, ok := outcome(d, t)
		if !ok && t.Against == otherHerd {
			continue // there is no second binary
		}
		wanted, against := "at least "+number(t.AtLeast), t.Against
		if t.AtMost != 0 {
			wanted = "at most " + number(t.AtMost)
		}
		measured, verdict := spread(o.Measured), o.verdict()
		if against == "" {
			f, _ := d.figure(t.Figure)
			wanted += " " + f.Unit
		}
		if !ok {
			measured, verdict = "", "not measured"
		}
		c.targets = append(c.targets, []string{t.Work + ": " + t.Figure, t.Subject, against, wanted,
			measured, verdict})
	}
}

func (c *conclusions) ofGuesses(d *Data, guesses []Guess, all comparisons) {
	for _, g := range guesses {
		f, _ := d.figure(g.Figure)
		measured := fmt.Sprintf("%s, %s, at %s: %s %s, %s %s", g.Figure, f.Unit, g.Setting,
			g.Subject, spread(d.summary(g.Subject, g.Setting, g.Figure)),
			g.Than, spread(d.summary(g.Than, g.Setting, g.Figure)))
		found := all.of(d.Name, g.Setting, g.Figure, g.Subject, g.Than)
		ratio := ""
		if found.Ratio.N > 0 {
			ratio = times(found.Ratio.Mean) + doubt(found.Ratio)
		}
		c.guesses = append(c.guesses, []string{g.Paper, measured, ratio, g.verdict(found)})
	}
}

// ofGrowth adds laws and the limit that is reached first.
func (c *conclusions) ofGrowth(d *Data, growth []Growth) {
	var all []Extrapolated
	for _, g := range growth {
		e, ok := extrapolated(d, g)
		if !ok {
			continue
		}
		f, _ := d.figure(g.Figure)
		row := []string{d.Name + ": " + g.Figure + ", " + f.Unit, named(g.Subject, g.Series), e.Last.Label, e.way(d.Variable),
			e.quality(), "", number(g.Limit) + ", " + g.Why, ""}
		if e.Not == "" {
			all = append(all, e)
			row[5], row[7] = number(e.AtTen), multiple(e.Breaks)
			if e.Breaks <= 1 && d.summary(g.Subject, e.Last.Label, g.Figure).Median < g.Limit {
				e.Breaks = 1.0001 // only the law is there already
				all[len(all)-1] = e
				row[7] = justBeyond
			}
		}
		c.growth = append(c.growth, row)
	}
	if len(all) == 0 {
		return
	}
	first, ok := breaksFirst(all)
	switch {
	case !ok:
		c.breaks = append(c.breaks, d.Name+": no figure with a law grows towards its limit.")
	case first.Breaks <= 10:
		c.breaks = append(c.breaks, fmt.Sprintf(
			"%s: at ten times %s what breaks first is %s of %s: its limit of %s (%s) is reached at %s.",
			d.Name, first.Last.Label, first.Figure, named(first.Subject, first.Series),
			number(first.Limit), first.Why, reached(first)))
	default:
		c.breaks = append(c.breaks, fmt.Sprintf(
			"%s: at ten times %s none of these figures reaches its limit; the first to do so is %s of %s, at %s.", d.Name,
			first.Last.Label, first.Figure, named(first.Subject, first.Series), multiple(first.Breaks)))
	}
}

// justBeyond is said of a limit that the law reaches at the largest setting, where the measured value does not.
const justBeyond = "little more than what was measured"

func reached(e Extrapolated) string {
	if e.Breaks > 1 && e.Breaks < 1.001 {
		return justBeyond
	}
	return multiple(e.Breaks)
}

func named(subject, series string) string {
	if series == "" {
		return subject
	}
	return subject + ", " + series
}
