package lab

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Rules are by what everything that a report concludes is computed. They are printed before the
// first run and stand in the report.
var Rules = []string{
	"Runs are interleaved: in each round every setting is measured with every subject in turn, and " +
		"each round begins with another one. Each run is against a server that was started for it, and " +
		"what happens while it warms up is not counted.",
	"A value is a median of the runs, with [least, greatest].",
	fmt.Sprintf("Two are compared round by round, as the machine is now faster and now slower for both. One "+
		"is better if it was so in every round, of which there must be at least %d; else there is no "+
		"difference. Of two that are alike one seems better by chance in %d of %d such comparisons of %d "+
		"rounds, so of many comparisons a few are decided by chance. With fewer rounds nothing is concluded.",
		enough, 2, 1<<enough, enough),
	"Where a server is much less than 100 % busy and its loader is not, a ratio of replies says less of the " +
		"servers than one of CPU per reply.",
	"First is who is better than every other. Where the best median is no different from others, " +
		"they are first together. Yardsticks do not take part.",
	"A ratio is taken run by run, of two runs of the same round, and is a median with [least, greatest].",
	"A target is met if the median reaches it; whether every run did is said beside it. What it is " +
		"missed by is the part of it that the median lacks.",
	"A guess of the paper is borne out if the two differ as it says, contradicted if they differ " +
		"the other way, and otherwise left open.",
	"Growth: between the last two settings of a series a figure goes as a power of the variable, " +
		"or, where there is a part that does not grow, along a line, and is taken to go on like that. " +
		"What breaks first is what reaches its limit at the smallest multiple.",
	"A run with a wrong reply, with servers that end up different, or with dropped log entries is " +
		"void. It is repeated, and told of.",
}

// Standing is who is first in one figure at one setting.
type Standing struct {
	Figure  Figure
	Setting string
	First   []string // more than one: no difference between them; in the order of their medians
	Next    string   // the best of the others, or of First the second; "" if there is only one
	Ratio   Summary  // of the first to Next
	Enough  bool     // there were runs enough to say so
}

// standing ranks the subjects that were measured. Yardsticks are not asked about.
func standing(d *Data, subjects []string, f Figure, setting string) (s Standing, ok bool) {
	s = Standing{Figure: f, Setting: setting, Enough: true}
	sums := map[string]Summary{}
	var ranked []string
	for _, subject := range subjects {
		if sum := d.summary(subject, setting, f.Name); sum.N > 0 {
			sums[subject] = sum
			ranked = append(ranked, subject)
		}
	}
	if len(ranked) < 2 {
		return s, false
	}
	slices.SortStableFunc(ranked, func(a, b string) int {
		order := cmp.Compare(sums[a].Median, sums[b].Median)
		if f.Better == Higher {
			return -order
		}
		return order
	})
	s.First, s.Next = ranked[:1], ranked[1]
	for _, other := range ranked[1:] {
		switch d.relation(ranked[0], other, setting, f.Name) {
		case Unknown:
			s.Enough = false
		case Same:
			s.First = append(s.First[:len(s.First):len(s.First)], other)
		}
	}
	for _, other := range ranked { // the next is the first that is behind, if any is
		if !slices.Contains(s.First, other) {
			s.Next = other
			break
		}
	}
	s.Ratio = d.ratio(ranked[0], s.Next, setting, f.Name)
	return s, true
}

// verdict is a standing in words.
func (s Standing) verdict() string {
	switch {
	case !s.Enough:
		return fmt.Sprintf("too few runs; %s has the best median", s.First[0])
	case len(s.First) > 1:
		return "no difference between " + list(s.First)
	}
	return s.First[0] + " is first"
}

// Target is what a figure of this study is to reach: a ratio between two subjects, or a value.
type Target struct {
	Work    string // in words
	Figure  string
	Setting string
	Subject string
	Against string  // "": the value itself counts
	AtLeast float64 // or
	AtMost  float64 // whichever is not zero
}

// Outcome is what became of a target.
type Outcome struct {
	Target
	Measured Summary
	Met      bool
	Always   bool    // in every run
	By       float64 // the part of the target that the median is beyond it, negative if it is missed
}

// outcome says whether a target was met; ok is false where it was not measured.
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

// verdict is an outcome in words.
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

// Guess is what the paper supposed of two subjects, in a form that can be measured.
type Guess struct {
	Paper   string // what it supposed, and in which section
	Figure  string
	Setting string
	Subject string
	Than    string
	Expect  Relation // Above or Below: Subject's values to Than's
}

// Tested is what became of a guess.
type Tested struct {
	Guess
	Subjects [2]Summary
	Ratio    Summary
	Verdict  string
}

// tested compares a guess with what was measured.
func tested(d *Data, g Guess) Tested {
	t := Tested{Guess: g}
	t.Subjects = [2]Summary{
		d.summary(g.Subject, g.Setting, g.Figure), d.summary(g.Than, g.Setting, g.Figure),
	}
	t.Ratio = d.ratio(g.Subject, g.Than, g.Setting, g.Figure)
	switch r := d.relation(g.Subject, g.Than, g.Setting, g.Figure); {
	case t.Subjects[0].N == 0 || t.Subjects[1].N == 0:
		t.Verdict = "not measured"
	case r == Unknown:
		t.Verdict = "too few runs"
	case r == Same:
		t.Verdict = "left open: no difference"
	case r == g.Expect:
		t.Verdict = "borne out"
	default:
		t.Verdict = "contradicted"
	}
	return t
}

// Growth is a limit that a figure of a series must not pass.
type Growth struct {
	Figure  string
	Subject string
	Series  string
	Limit   float64
	Why     string // what the limit is
	Line    bool   // along a line, rather than as a power
}

// Extrapolated is how a figure goes on beyond what was measured.
type Extrapolated struct {
	Growth
	Last     Setting // the greatest that was measured
	Value    float64 // there
	Exponent float64 // the figure goes as the variable to this power
	AtTen    float64 // at ten times Last
	Breaks   float64 // the multiple of Last at which the limit is reached; +Inf: never
}

// extrapolated applies the rule of growth; ok is false where there are not two settings.
func extrapolated(d *Data, g Growth) (e Extrapolated, ok bool) {
	e.Growth = g
	var before Setting
	var beforeValue float64
	found := 0
	for _, s := range d.Settings {
		sum := d.summary(g.Subject, s.Label, g.Figure)
		if s.Series != g.Series || sum.N == 0 {
			continue
		}
		before, beforeValue = e.Last, e.Value
		e.Last, e.Value = s, sum.Median
		found++
	}
	if found < 2 {
		return e, false
	}
	if g.Line {
		e.alongLine((e.Value - beforeValue) / (e.Last.X - before.X))
		return e, true
	}
	e.Exponent = exponent(before.X, beforeValue, e.Last.X, e.Value)
	e.AtTen = e.Value * math.Pow(10, e.Exponent)
	switch {
	case e.Value >= g.Limit:
		e.Breaks = 1
	case e.Exponent <= 0.01: // it does not grow, as far as can be told
		e.Breaks = math.Inf(1)
	default:
		e.Breaks = math.Pow(g.Limit/e.Value, 1/e.Exponent)
	}
	return e, true
}

// alongLine goes on with a slope.
func (e *Extrapolated) alongLine(slope float64) {
	e.AtTen = e.Value + slope*9*e.Last.X
	switch {
	case e.Value >= e.Limit:
		e.Breaks = 1
	case slope <= 0:
		e.Breaks = math.Inf(1)
	default:
		e.Breaks = 1 + (e.Limit-e.Value)/slope/e.Last.X
	}
}

// way is how it goes on, in words.
func (e Extrapolated) way(variable string) string {
	if e.Line {
		return "a line"
	}
	return fmt.Sprintf("%s^%.2f", variable, e.Exponent)
}

// breaksFirst is the one whose limit is the nearest; ok is false where none is ever reached.
func breaksFirst(all []Extrapolated) (first Extrapolated, ok bool) {
	first.Breaks = math.Inf(1)
	for _, e := range all {
		if e.Breaks < first.Breaks {
			first, ok = e, true
		}
	}
	return first, ok
}

// list joins words as a sentence does.
func list(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}
