package lab

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Rules are the rules by which the conclusions are computed. They are printed before the first run and are
// part of the report.
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
	fmt.Sprintf("A ratio is taken run by run, of two runs of the same round, and is a median with [least, "+
		"greatest]. Of %d rounds, least and greatest are a confidence interval of %.0f %% for the median; of "+
		"more rounds, of more.", enough, 100*confidence(enough)),
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

// Standing is the ranking of the subjects for one figure at one setting.
type Standing struct {
	Figure  Figure
	Setting string
	First   []string // more than one if there is no difference between them, by median
	Next    string   // the best of the others, or else the second of First; "" if there is only one subject
	Ratio   Summary  // of First[0] to Next
	Enough  bool     // there were enough runs
}

// standing ranks the measured subjects. Callers exclude yardsticks.
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
	for _, other := range ranked { // Next is the best one behind First, if any
		if !slices.Contains(s.First, other) {
			s.Next = other
			break
		}
	}
	s.Ratio = d.ratio(ranked[0], s.Next, setting, f.Name)
	return s, true
}

// verdict is the text of a standing.
func (s Standing) verdict() string {
	switch {
	case !s.Enough:
		return fmt.Sprintf("too few runs; %s has the best median", s.First[0])
	case len(s.First) > 1:
		return "no difference between " + list(s.First)
	}
	return s.First[0] + " is first"
}

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

// Guess is a hypothesis of the paper about two subjects, in measurable form.
type Guess struct {
	Paper   string // the hypothesis, and its section
	Figure  string
	Setting string
	Subject string
	Than    string
	Expect  Relation // of Subject's values to Than's: Above or Below
}

// Tested is the result of a guess.
type Tested struct {
	Guess
	Subjects [2]Summary
	Ratio    Summary
	Verdict  string
}

// tested evaluates a guess.
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

// Growth is a limit for a figure of a series.
type Growth struct {
	Figure  string
	Subject string
	Series  string
	Limit   float64
	Why     string // reason for the limit
	Line    bool   // extrapolate linearly instead of by a power law
}

// Extrapolated is the extrapolation of a figure beyond the measured settings.
type Extrapolated struct {
	Growth
	Last     Setting // the largest that was measured
	Value    float64 // at Last
	Exponent float64 // of the power law
	AtTen    float64 // extrapolated value at ten times Last
	Breaks   float64 // the multiple of Last at which the limit is reached; +Inf for never
}

// extrapolated applies the rule of growth; ok is false with fewer than two settings.
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
	case e.Exponent <= 0.01: // no measurable growth
		e.Breaks = math.Inf(1)
	default:
		e.Breaks = math.Pow(g.Limit/e.Value, 1/e.Exponent)
	}
	return e, true
}

// alongLine extrapolates linearly.
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

// way describes the growth.
func (e Extrapolated) way(variable string) string {
	if e.Line {
		return "a line"
	}
	return fmt.Sprintf("%s^%.2f", variable, e.Exponent)
}

// breaksFirst returns the one that reaches its limit first; ok is false if none does.
func breaksFirst(all []Extrapolated) (first Extrapolated, ok bool) {
	first.Breaks = math.Inf(1)
	for _, e := range all {
		if e.Breaks < first.Breaks {
			first, ok = e, true
		}
	}
	return first, ok
}

// list joins words with commas and "and".
func list(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}
