package lab

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// conclusions are the results of the rules for all rows.
type conclusions struct {
	breaks      []string // sentences about growth
	unsupported []string
	duels       []compared
	standings   [][]string // tables; the first row is the head
	targets     [][]string
	guesses     [][]string
	growth      [][]string
}

// duels are the pairs that the study compares.
var duels = [][2]string{{"loop", "goroutines"}, {"flood", "ask"}, {thisHerd, otherHerd}}

// conclude applies the rules to all rows.
func conclude(r *Results, experiments []*Experiment) *conclusions {
	c := &conclusions{
		standings: [][]string{{"row", "figure", "at", "verdict", "ratio to", "ratio"}},
		targets:   [][]string{{"target", "of", "to", "wanted", "measured", "verdict"}},
		guesses:   [][]string{{"the paper supposes", "measured", "ratio", "verdict"}},
		growth:    [][]string{{"figure", "of", "up to", "goes as", "at ten times", "limit", "reached at"}},
	}
	for _, pair := range duels {
		c.duels = append(c.duels, duel(r, pair[0], pair[1]))
	}
	for _, d := range r.Rows {
		c.ofStandings(d)
		c.ofTrouble(d)
		if i := slices.IndexFunc(experiments, func(e *Experiment) bool { return e.Name == d.Name }); i >= 0 {
			c.ofTargets(d, experiments[i].Targets)
			c.ofGuesses(d, experiments[i].Guesses)
			c.ofGrowth(d, experiments[i].Growth)
		}
	}
	return c
}

// compared is the result of a duel.
type compared struct {
	tallies []string   // a sentence for each figure
	table   [][]string // a line for each setting
}

// duel compares two subjects in all figures of all rows.
func duel(r *Results, a, b string) compared {
	c := compared{table: [][]string{{"figure", "at", a + " to " + b, "better"}}}
	for _, d := range r.Rows {
		for _, f := range d.Figures {
			if f.Better == "" {
				continue
			}
			var order []string // of the verdicts
			count := map[string]int{}
			for _, setting := range d.Settings {
				ratio := d.ratio(a, b, setting.Label, f.Name)
				if ratio.N == 0 {
					continue
				}
				verdict := d.better(a, b, setting.Label, f)
				if count[verdict]++; count[verdict] == 1 {
					order = append(order, verdict)
				}
				c.table = append(c.table, []string{d.Name + ": " + f.Name, setting.Label, spread(ratio), verdict})
			}
			if len(order) > 0 {
				c.tallies = append(c.tallies, d.Name+", "+f.Name+": "+tally(order, count)+".")
			}
		}
	}
	return c
}

// Verdicts other than a subject.
const (
	noDifference = "no difference"
	tooFewRounds = "too few rounds"
)

// better returns the better one of two subjects, or another verdict.
func (d *Data) better(a, b, setting string, f Figure) string {
	switch d.relation(a, b, setting, f.Name) {
	case Unknown:
		return tooFewRounds
	case Same:
		return noDifference
	case Above:
		if f.Better == Higher {
			return a
		}
	case Below:
		if f.Better == Lower {
			return a
		}
	}
	return b
}

// tally describes how often each verdict occurred.
func tally(order []string, count map[string]int) string {
	var all []string
	for _, verdict := range order {
		is := " is better at "
		if verdict == noDifference || verdict == tooFewRounds {
			is = " at "
		}
		settings := " settings"
		if count[verdict] == 1 {
			settings = " setting"
		}
		all = append(all, verdict+is+number(float64(count[verdict]))+settings)
	}
	return strings.Join(all, ", ")
}

// ofStandings adds the rankings of a row.
func (c *conclusions) ofStandings(d *Data) {
	var subjects, few []string
	for _, s := range d.Subjects {
		if !slices.Contains(d.Yardsticks, s) {
			subjects = append(subjects, s)
		}
	}
	for _, f := range d.Figures {
		if f.Better == "" {
			continue
		}
		tooFew := false
		for _, setting := range d.Settings {
			s, ok := standing(d, subjects, f, setting.Label)
			if !ok {
				continue
			}
			c.standings = append(c.standings, []string{d.Name, f.Name + ", " + f.Unit, setting.Label,
				s.verdict(), s.First[0] + " to " + s.Next, spread(s.Ratio)})
			tooFew = tooFew || !s.Enough
		}
		if tooFew {
			few = append(few, f.Name)
		}
	}
	if len(few) > 0 {
		c.unsupported = append(c.unsupported,
			fmt.Sprintf("%s: there are too few runs to say who is first in %s.", d.Name, list(few)))
	}
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

func (c *conclusions) ofTargets(d *Data, targets []Target) {
	for _, t := range targets {
		if t.Against != "" && !slices.Contains(d.Subjects, t.Against) {
			continue
		}
		o, ok := outcome(d, t)
		wanted := "at least " + number(t.AtLeast)
		if t.AtLeast == 0 {
			wanted = "at most " + number(t.AtMost)
		}
		against, measured, verdict := t.Against, spread(o.Measured), o.verdict()
		if against == "" {
			f, _ := d.figure(t.Figure)
			against, wanted = "", wanted+" "+f.Unit
		}
		if !ok {
			measured, verdict = "", "not measured"
		}
		c.targets = append(c.targets, []string{t.Work + ": " + t.Figure, t.Subject, against, wanted,
			measured, verdict})
	}
}

func (c *conclusions) ofGuesses(d *Data, guesses []Guess) {
	for _, g := range guesses {
		t := tested(d, g)
		f, _ := d.figure(g.Figure)
		measured := fmt.Sprintf("%s, %s, at %s: %s %s, %s %s", g.Figure, f.Unit, g.Setting,
			g.Subject, spread(t.Subjects[0]), g.Than, spread(t.Subjects[1]))
		c.guesses = append(c.guesses, []string{g.Paper, measured, spread(t.Ratio), t.Verdict})
	}
}

// ofGrowth adds extrapolations and the limit that is reached first.
func (c *conclusions) ofGrowth(d *Data, growth []Growth) {
	var all []Extrapolated
	for _, g := range growth {
		e, ok := extrapolated(d, g)
		if !ok {
			continue
		}
		all = append(all, e)
		f, _ := d.figure(g.Figure)
		c.growth = append(c.growth, []string{d.Name + ": " + g.Figure + ", " + f.Unit,
			named(g.Subject, g.Series), e.Last.Label, e.way(d.Variable),
			number(e.AtTen), number(g.Limit) + ", " + g.Why, multiple(e.Breaks)})
	}
	if len(all) == 0 {
		return
	}
	first, ok := breaksFirst(all)
	switch {
	case !ok:
		c.breaks = append(c.breaks, d.Name+": no figure grows towards its limit.")
	case first.Breaks <= 10:
		c.breaks = append(c.breaks, fmt.Sprintf(
			"%s: at ten times %s what breaks first is %s of %s: its limit of %s (%s) is reached at %s.",
			d.Name, first.Last.Label, first.Figure, named(first.Subject, first.Series),
			number(first.Limit), first.Why, multiple(first.Breaks)))
	default:
		c.breaks = append(c.breaks, fmt.Sprintf(
			"%s: at ten times %s nothing breaks; the first to do so is %s of %s, at %s.", d.Name,
			first.Last.Label, first.Figure, named(first.Subject, first.Series), multiple(first.Breaks)))
	}
}

func named(subject, series string) string {
	if series == "" {
		return subject
	}
	return subject + ", " + series
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

// write adds the conclusions to a document, the duels first.
func (c *conclusions) write(d *document) {
	d.heading(2, "Conclusions")
	for i, pair := range duels {
		if len(c.duels[i].tallies) > 0 {
			d.heading(3, pair[0]+" or "+pair[1])
			d.list(c.duels[i].tallies)
		}
	}
	if len(c.guesses) > 1 {
		d.heading(3, "What the paper supposed, and what was measured")
		d.table(c.guesses)
	}
	if len(c.targets) > 1 {
		d.heading(3, "Targets")
		d.table(c.targets)
	}
	if len(c.growth) > 1 {
		d.heading(3, "Growth, and what breaks first")
		d.list(c.breaks)
		d.table(c.growth)
	}
	if len(c.unsupported) > 0 {
		d.heading(3, "What the data do not support")
		d.list(c.unsupported)
	}
}

// writeStandings adds the long tables, for the end of the document.
func (c *conclusions) writeStandings(d *document) {
	for i, pair := range duels {
		if len(c.duels[i].tallies) > 0 {
			d.heading(2, pair[0]+" or "+pair[1]+", setting by setting")
			d.table(c.duels[i].table)
		}
	}
	if len(c.standings) > 1 {
		d.heading(2, "Who is first, setting by setting")
		d.table(c.standings)
	}
}
