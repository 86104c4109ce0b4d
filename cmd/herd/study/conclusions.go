package study

import (
	"fmt"
	"math"
	"slices"
)

// conclusions are what the rules make of all that was measured.
type conclusions struct {
	supported   []string // sentences
	unsupported []string
	standings   [][]string // tables, the first row their head
	targets     [][]string
	guesses     [][]string
	growth      [][]string
}

// conclude applies the rules to each row.
func conclude(r *Results, experiments []*Experiment) *conclusions {
	c := &conclusions{
		standings: [][]string{{"row", "figure", "at", "verdict", "ratio to", "ratio"}},
		targets:   [][]string{{"target", "of", "to", "wanted", "measured", "verdict"}},
		guesses:   [][]string{{"the paper supposes", "measured", "ratio", "verdict"}},
		growth:    [][]string{{"figure", "of", "up to", "goes as", "at ten times", "limit", "reached at"}},
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

// tally is in how many settings who was what in one figure.
type tally struct {
	first            map[string]int
	together, tooFew int
	settings         int
}

// ofStandings says who is first: each in the table, and each figure in a sentence.
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
		t := tally{first: map[string]int{}}
		for _, setting := range d.Settings {
			s, ok := standing(d, subjects, f, setting.Label)
			if !ok {
				continue
			}
			c.standings = append(c.standings, []string{d.Name, f.Name + ", " + f.Unit, setting.Label,
				s.verdict(), s.First[0] + " to " + s.Next, spread(s.Ratio)})
			t.add(s)
		}
		c.ofTally(d, f, t)
		if t.tooFew > 0 {
			few = append(few, f.Name)
		}
	}
	if len(few) > 0 {
		c.unsupported = append(c.unsupported,
			fmt.Sprintf("%s: there are too few runs to say who is first in %s.", d.Name, list(few)))
	}
}

func (t *tally) add(s Standing) {
	t.settings++
	switch {
	case !s.Enough:
		t.tooFew++
	case len(s.First) > 1:
		t.together++
	default:
		t.first[s.First[0]]++
	}
}

// ofTally sums a figure up in a sentence.
func (c *conclusions) ofTally(d *Data, f Figure, t tally) {
	if t.settings == 0 {
		return
	}
	for _, subject := range d.Subjects { // in their order
		if n := t.first[subject]; n > 0 {
			c.supported = append(c.supported, fmt.Sprintf("%s, %s: %s is first at %d of %d settings.",
				d.Name, f.Name, subject, n, t.settings))
		}
	}
	if t.together > 0 {
		c.unsupported = append(c.unsupported, fmt.Sprintf(
			"%s, %s: at %d of %d settings the best does not differ from another.",
			d.Name, f.Name, t.together, t.settings))
	}
}

// ofTrouble says what is missing.
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

// ofGrowth extrapolates, and names what breaks first.
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
		c.supported = append(c.supported, d.Name+": no figure grows towards its limit.")
	case first.Breaks <= 10:
		c.supported = append(c.supported, fmt.Sprintf(
			"%s: at ten times %s what breaks first is %s of %s: its limit of %s (%s) is reached at %s.",
			d.Name, first.Last.Label, first.Figure, named(first.Subject, first.Series),
			number(first.Limit), first.Why, multiple(first.Breaks)))
	default:
		c.supported = append(c.supported, fmt.Sprintf(
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

// multiple is how many times as much, in words.
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

// write puts the conclusions into a document.
func (c *conclusions) write(d *document) {
	d.heading(2, "Conclusions")
	d.paragraph("What the data support:")
	d.list(orNothing(c.supported))
	d.paragraph("What they do not support:")
	d.list(orNothing(c.unsupported))
	for _, t := range []struct {
		title string
		rows  [][]string
	}{
		{"Targets", c.targets}, {"What the paper supposed, and what was measured", c.guesses},
		{"Growth, and what breaks first", c.growth}, {"Who is first", c.standings},
	} {
		if len(t.rows) > 1 {
			d.heading(3, t.title)
			d.table(t.rows)
		}
	}
}

func orNothing(all []string) []string {
	if len(all) == 0 {
		return []string{"Nothing."}
	}
	return all
}
