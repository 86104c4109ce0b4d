package lab

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
)

// answers are the sentences that the report begins with, one for each question. They are computed.
func answers(r *Results, all comparisons) []string {
	return []string{
		"**When goroutines win.** " + whoWins(r, engineDuel(all), SecondIs) + inAll(all, SecondIs),
		"**When the event loop wins.** " + whoWins(r, engineDuel(all), FirstIs) + inAll(all, FirstIs),
		"**Twisted, Node.js and Go.** " + otherLoops(all),
		"**What flooding costs.** " + costOfFlooding(r, all),
		"**The herd as a whole.** " + asHerd(r, all),
	}
}

// examples is how many workloads a sentence names.
const examples = 3

// whoWins says where one of the engines loop and goroutines is better: the first, or the second.
func whoWins(r *Results, duel []measured, wanted Verdict) string {
	if len(duel) == 0 {
		return "Not measured."
	}
	var won, open []measured
	tooFew := true
	for _, m := range duel {
		if m.Verdict != TooFewRounds {
			tooFew = false
		}
		if m.Verdict == wanted {
			won = append(won, m)
		}
		if leans := m.advantage().Mean > 1; m.Verdict == Undecided && leans == (wanted == FirstIs) {
			open = append(open, m)
		}
	}
	most := func(a, b measured) int { return cmp.Compare(b.lead(), a.lead()) }
	slices.SortStableFunc(won, most)
	slices.SortStableFunc(open, most)
	switch {
	case tooFew:
		return fmt.Sprintf("Nothing is decided: there are fewer than %d rounds. %s", enough,
			leaning(duel, wanted))
	case len(won) == 0 && len(open) == 0:
		return fmt.Sprintf("In none of the %d workloads below, and no measurement leans that way.", len(duel))
	case len(won) == 0:
		return fmt.Sprintf("In none of the %d workloads below beyond chance. Closest, but not decided: %s.", len(duel),
			open[0].sentence(wanted))
	}
	var texts []string
	for _, m := range won[:min(examples, len(won))] {
		texts = append(texts, m.sentence(wanted)+busy(r, m))
	}
	return fmt.Sprintf("In %d of the %d workloads below. Most clearly: %s.", len(won), len(duel), strings.Join(texts, "; "))
}

// leaning is a sentence for the workload that leans most to the wanted side, without a verdict.
func leaning(duel []measured, wanted Verdict) string {
	best := slices.MaxFunc(duel, func(a, b measured) int {
		if wanted == FirstIs {
			return cmp.Compare(a.advantage().Mean, b.advantage().Mean)
		}
		return cmp.Compare(b.advantage().Mean, a.advantage().Mean)
	})
	if (best.advantage().Mean > 1) != (wanted == FirstIs) {
		return "No measurement leans that way."
	}
	return "The measurement that leans most that way: " + best.sentence(wanted) + "."
}

// lead is how many times as good the better one is.
func (m measured) lead() float64 { return max(m.advantage().Mean, 1/m.advantage().Mean) }

// sentence compares the engines at a workload. The subject is the one whose value is greater, so that no ratio
// is below 1; wanted is the one that is better.
func (m measured) sentence(wanted Verdict) string {
	ratio := m.advantage()
	subject, object := m.First, m.Second
	if wanted == SecondIs {
		ratio, subject, object = ratio.inverse(), object, subject
	}
	if m.Figure.Better == Lower { // the greater value is the worse one's
		subject, object = object, subject
	}
	verb := m.amount.one
	if plainNames[subject].plural {
		verb = m.amount.many
	}
	return fmt.Sprintf("%s %s %s times%s %s %s %s", plainNames[subject].name, verb, times(ratio.Mean), doubt(ratio),
		m.amount.of, plainNames[object].name, m.phrase)
}

// busy says how many cores the two kept busy, where the figure says so.
func busy(r *Results, m measured) string {
	if m.Figure.Better != Higher {
		return ""
	}
	d := r.row(m.Row)
	loop, goroutines := d.summary("loop", m.Setting, serverBusy), d.summary("goroutines", m.Setting, serverBusy)
	if loop.N == 0 || goroutines.N == 0 {
		return ""
	}
	return fmt.Sprintf(" (the event loop keeps %.2f cores busy, goroutines %.2f)", loop.Median/100,
		goroutines.Median/100)
}

// inAll says how many of all comparisons of the two engines one wins, and names a few that goroutines win.
func inAll(all comparisons, wanted Verdict) string {
	var won []string
	tested := 0
	for _, c := range all {
		if c.First != "loop" || c.Second != "goroutines" || c.Verdict <= TooFewRounds {
			continue
		}
		tested++
		if c.Verdict == wanted {
			won = append(won, fmt.Sprintf("%s, %s at %s", c.Row, c.Figure.Name, c.Setting))
		}
	}
	if tested == 0 {
		return ""
	}
	if wanted == FirstIs {
		return fmt.Sprintf(" In all it wins %d of %d comparisons with goroutines.", len(won), tested)
	}
	text := fmt.Sprintf(" In all they win %d of %d comparisons with the event loop", len(won), tested)
	if len(won) > 0 && len(won) <= examples {
		text += " (" + strings.Join(won, "; ") + ")"
	}
	return text + "."
}

// otherLoops compares the event loop in Go with Twisted and Node.js, and these with each other.
func otherLoops(all comparisons) string {
	settings := []struct{ label, phrase string }{
		{fewConns + loggedOne, "one line in flight"}, {fewConns + loggedMany, "16"},
	}
	var go2, between []string
	var verdicts []*Comparison
	for _, s := range settings {
		t := all.of("throughput", s.label, "replies", "loop", twisted)
		n := all.of("throughput", s.label, "replies", "loop", nodeJS)
		c := all.of("throughput", s.label, "replies", nodeJS, twisted)
		if t.Verdict == NotMeasured || n.Verdict == NotMeasured || c.Verdict == NotMeasured {
			continue
		}
		go2 = append(go2, fmt.Sprintf("%s times%s as many lines as Twisted and %s times%s as many as Node.js with %s",
			times(t.Ratio.Mean), doubt(t.Ratio), times(n.Ratio.Mean), doubt(n.Ratio), s.phrase))
		between = append(between, fmt.Sprintf("%s times%s as many as Twisted with %s", times(c.Ratio.Mean), doubt(c.Ratio), s.phrase))
		verdicts = append(verdicts, c)
	}
	if len(go2) == 0 {
		return "Not measured."
	}
	return fmt.Sprintf("On 50 connections the event loop in Go answers %s. Node.js answers %s. The supposition that "+
		"Node.js could outperform Twisted (6.3.3) is %s.", strings.Join(go2, "; "),
		strings.Join(between, " and "), supposed(verdicts))
}

// supposed sums up comparisons in which the first is supposed to be better.
func supposed(all []*Comparison) string {
	count := map[Verdict]int{}
	for _, c := range all {
		count[c.Verdict]++
	}
	switch {
	case count[FirstIs] == len(all):
		return "confirmed"
	case count[SecondIs] == len(all):
		return "contradicted"
	case count[FirstIs] > 0 && count[SecondIs] == 0:
		return fmt.Sprintf("confirmed at %d of %d workloads and open at the rest", count[FirstIs], len(all))
	case count[SecondIs] > 0 && count[FirstIs] == 0:
		return fmt.Sprintf("contradicted at %d of %d workloads and open at the rest", count[SecondIs], len(all))
	case count[FirstIs] > 0:
		return "confirmed at some workloads and contradicted at others"
	}
	return "not decided"
}

// asHerd says what a herd of five applies, what that costs, and how soon it is everywhere.
func asHerd(r *Results, all comparisons) string {
	d := r.row("herd-peers")
	if d == nil {
		return "Not measured."
	}
	var texts []string
	if s := d.summary("loop", atAll, "applied everywhere"); s.N > 0 {
		texts = append(texts, fmt.Sprintf("Five servers on the event loop, saturated, take %s updates per second%s until "+
			"all five are equal; neighbors that lag get only the newest update of a client.%s", rounded(s.Median), interval2(s),
			versus(all, d.Name, atAll, "applied everywhere", "Goroutines take")))
	}
	if s := d.summary("loop", atFixedRate, costEverywhere); s.N > 0 {
		texts = append(texts, fmt.Sprintf("At 5,000 updates per second an update that is applied everywhere costs %s us of "+
			"CPU%s, of all five together.%s", number(s.Median), interval2(s),
			versus(all, d.Name, atFixedRate, costEverywhere, "Goroutines need")))
	} else {
		texts = append(texts, "CPU time per update applied everywhere was not measured.")
	}
	p50, p99 := d.summary("loop", atAll, "propagation p50"), d.summary("loop", atAll, "propagation p99")
	if p50.N > 0 && p99.N > 0 {
		texts = append(texts, fmt.Sprintf("At 200 updates per second half of the updates are everywhere within %s ms%s, 99 of "+
			"100 within %s ms%s.", number(p50.Median), interval2(p50), number(p99.Median), interval2(p99)))
	}
	return strings.Join(texts, " ")
}

// versus compares goroutines and Twisted with the event loop in a figure of the herd.
func versus(all comparisons, row, setting, figure, what string) string {
	c := all.of(row, setting, figure, "goroutines", "loop")
	if c.Verdict == NotMeasured {
		return ""
	}
	text := fmt.Sprintf(" %s %s times%s as many, %s", what, times(c.Ratio.Mean), doubt(c.Ratio), c.plainVerdict())
	if c.Figure.Better == Lower {
		text = strings.Replace(text, "as many", "as much", 1)
	}
	if t := all.of(row, setting, figure, twisted, "loop"); t.Verdict != NotMeasured {
		text += fmt.Sprintf("; Twisted %s times%s", times(t.Ratio.Mean), doubt(t.Ratio))
	}
	return text + "."
}

// plainVerdict is the verdict on goroutines and the event loop, in a sentence.
func (c *Comparison) plainVerdict() string {
	if n, ok := plainNames[c.text()]; ok {
		if n.plural {
			return n.name + " are better"
		}
		return n.name + " is better"
	}
	return c.text()
}

// doubt is a confidence interval of a ratio, in brackets; "" if there is none.
func doubt(e Estimate) string {
	if e.N < 2 {
		return " (one round)"
	}
	return fmt.Sprintf(" (%s to %s)", times(e.Low), times(e.High))
}

// interval2 is the confidence interval of a median, in brackets.
func interval2(s Summary) string {
	if s.N < 2 {
		return " (one round)"
	}
	return fmt.Sprintf(" (%s to %s)", rounded(s.Low), rounded(s.High))
}

// times formats a ratio.
func times(x float64) string {
	switch {
	case x >= 100:
		return fmt.Sprintf("%.0f", x)
	case x >= 10:
		return fmt.Sprintf("%.1f", x)
	}
	return fmt.Sprintf("%.2f", x)
}

// rounded formats a value with three significant digits, and commas between thousands.
func rounded(v float64) string {
	if v < 1000 {
		return number(v)
	}
	step := math.Pow(10, math.Floor(math.Log10(v))-2)
	text := fmt.Sprintf("%.0f", math.Round(v/step)*step)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// confidenceIn is the paragraph behind the answers: on what they stand.
func confidenceIn(r *Results, all comparisons) string {
	tested, decided := all.tested(), all.decided()
	if tested == 0 {
		return fmt.Sprintf("Nothing is decided: no comparison has the %d rounds that a verdict needs.%s", enough, measuredOn(r))
	}
	return fmt.Sprintf("Brackets are confidence intervals: %.0f %% of ratios, at least %.0f %% of medians. "+
		"Of %d comparisons in this report %d have a winner. They are corrected for their number: at most %.0f %% of "+
		"the winners, here %s, are expected to be false. Servers and the programs that load them share the machine's "+
		"cores, so that absolute numbers are low and only ratios can be carried elsewhere, with care.%s",
		100*intervalOfRatio, 100*leastCoverage, tested, decided, 100*falseVerdicts, number(falseVerdicts*float64(decided)),
		measuredOn(r))
}

// measuredOn says when and on what the rows were measured, and in how many rounds.
func measuredOn(r *Results) string {
	if len(r.Rows) == 0 {
		return ""
	}
	const day = "2006-01-02"
	first, last := r.Rows[0].Begun.UTC().Format(day), r.Rows[0].Begun.UTC().Format(day)
	few, many := r.Rows[0].Rounds, r.Rows[0].Rounds
	for _, d := range r.Rows {
		begun := d.Begun.UTC().Format(day)
		first, last = min(first, begun), max(last, begun)
		few, many = min(few, d.Rounds), max(many, d.Rounds)
	}
	when, rounds := first, fmt.Sprint(few)
	if last != first {
		when += " to " + last
	}
	if many != few {
		rounds += fmt.Sprintf(" to %d", many)
	}
	e := r.Rows[0].Environment
	return fmt.Sprintf(" Measured %s on %d cores of %s, in %s rounds; in simulated rows a round is a seed.", when, e.Affinity,
		cmp.Or(e.CPU, "an unknown CPU"), rounds)
}
