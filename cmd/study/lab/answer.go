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
		"**When goroutines win.** " + whoWins(all, SecondIs) + inAll(all, SecondIs),
		"**When the event loop wins.** " + whoWins(all, FirstIs) + inAll(all, FirstIs) + neither(engineDuel(all)) +
			onOneCore(all),
		"**Twisted, Node.js and Go.** " + otherLoops(all),
		"**What flooding costs.** " + costOfFlooding(r, all),
		"**The herd as a whole.** " + asHerd(r, all),
	}
}

// examples is how many workloads a sentence names.
const examples = 3

// whoWins says where one of the engines loop and goroutines is better: the first, or the second.
func whoWins(all comparisons, wanted Verdict) string {
	duel := engineDuel(all)
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
	slices.SortStableFunc(won, func(a, b measured) int { return cmp.Compare(b.lead(), a.lead()) })
	slices.SortStableFunc(open, func(a, b measured) int { return cmp.Compare(a.Ratio.P, b.Ratio.P) })
	switch {
	case tooFew:
		return fmt.Sprintf("Nothing is decided: there are fewer than %d rounds. %s", enough,
			leaning(duel, wanted))
	case len(won) == 0 && len(open) == 0:
		return fmt.Sprintf("In none of the %d workloads below, and no measurement leans that way.", len(duel))
	case len(won) == 0:
		return fmt.Sprintf("In none of the %d workloads below by more than chance. Closest, but not decided: %s.", len(duel),
			open[0].sentence(wanted))
	}
	var texts []string
	for _, m := range won[:min(examples, len(won))] {
		texts = append(texts, m.sentence(wanted)+atMoreCPU(all, m))
	}
	return fmt.Sprintf("In %d of the %d workloads below. The largest differences in the chart: %s.", len(won), len(duel), strings.Join(texts, "; "))
}

// neither says in how many workloads no engine is better.
func neither(duel []measured) string {
	count := map[Verdict]int{}
	for _, m := range duel {
		count[m.Verdict]++
	}
	text := ""
	if n := count[Alike]; n > 0 {
		text += fmt.Sprintf(" In %d of the workloads below they are alike.", n)
	}
	if n := count[Undecided]; n > 0 {
		are := "are"
		if n == 1 {
			are = "is"
		}
		text += fmt.Sprintf(" %d of the workloads below %s not decided.", n, are)
	}
	return text
}

// onOneCore says what remains of the difference if the server has one core, and the loader another.
func onOneCore(all comparisons) string {
	var parts []string
	for _, s := range []struct{ label, phrase string }{{apartOne, "with one line in flight"}, {apartMany, "with 16"}} {
		if c := all.of("placement", s.label, "replies", "loop", "goroutines"); c.Verdict != NotMeasured {
			parts = append(parts, fmt.Sprintf("%s times%s as many lines %s (%s)", times(c.Ratio.Mean), doubt(c.Ratio), s.phrase,
				c.plainVerdict()))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return " Where the server has one core for itself, so that goroutines cannot spread over two, the event loop answers " +
		strings.Join(parts, " and ") + "."
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
// is below 1, and the other one is understood; wanted is the one that is better.
func (m measured) sentence(wanted Verdict) string {
	ratio := m.advantage()
	subject := m.First
	if wanted == SecondIs {
		ratio, subject = ratio.inverse(), m.Second
	}
	if m.Figure.Better == Lower { // the greater value is the worse one's
		subject = map[string]string{m.First: m.Second, m.Second: m.First}[subject]
	}
	of := strings.TrimSuffix(strings.TrimSuffix(m.amount.of, " as"), " of")
	return fmt.Sprintf("%s %s times%s %s %s", plainNames[subject].does(m.amount.one, m.amount.many), times(ratio.Mean),
		doubt(ratio), of, m.phrase)
}

// atMoreCPU says so if goroutines answer more because they use more of the processors.
func atMoreCPU(all comparisons, m measured) string {
	if m.Verdict != SecondIs || m.Figure.Better != Higher {
		return ""
	}
	for _, cost := range []string{"CPU per reply", "CPU per connection"} {
		if all.of(m.Row, m.Setting, cost, "loop", "goroutines").Verdict == FirstIs {
			return ", and need more CPU time for each"
		}
	}
	return ""
}

// inAll says how many of all comparisons of the two engines one wins, and by how much at most.
func inAll(all comparisons, wanted Verdict) string {
	won, tested := 0, 0
	var most *Comparison
	lead := func(c *Comparison) float64 { return max(c.Ratio.Mean, 1/c.Ratio.Mean) }
	for _, c := range all {
		if c.First != "loop" || c.Second != "goroutines" || c.Verdict <= TooFewRounds {
			continue
		}
		tested++
		if c.Verdict == wanted {
			won++
			if most == nil || lead(c) > lead(most) {
				most = c
			}
		}
	}
	if tested == 0 {
		return ""
	}
	who := "they win"
	if wanted == FirstIs {
		who = "it wins"
	}
	text := fmt.Sprintf(" In all %s %d of %d comparisons", who, won, tested)
	if most != nil {
		ratio := most.Ratio
		if ratio.Mean < 1 {
			ratio = ratio.inverse()
		}
		text += fmt.Sprintf(", by %s times%s at most (%s at %s, row %s)", times(ratio.Mean), doubt(ratio), most.Figure.Name,
			most.Setting, most.Row)
	}
	return text + "."
}

// otherLoops compares the event loop in Go with Twisted and Node.js, and these with each other.
func otherLoops(all comparisons) string {
	var texts []string
	var verdicts []*Comparison
	for _, s := range []struct{ label, phrase, amount string }{
		{fewConns + loggedOne, "With one line in flight on each of 50 connections the event loop in Go answers", "lines per second "},
		{fewConns + loggedMany, "With 16 in flight it answers", ""},
	} {
		var parts []string
		add := func(second, name string) {
			if c := all.of("throughput", s.label, "replies", "loop", second); c.Verdict != NotMeasured {
				parts = append(parts, fmt.Sprintf("%s times%s as many %sas %s", times(c.Ratio.Mean), doubt(c.Ratio), s.amount, name))
				s.amount = ""
			}
		}
		add(twisted, "Twisted")
		add(nodeJS, "Node.js")
		if len(parts) == 0 {
			continue
		}
		texts = append(texts, s.phrase+" "+strings.Join(parts, " and ")+".")
		if c := all.of("throughput", s.label, "replies", nodeJS, twisted); c.Verdict != NotMeasured {
			verdicts = append(verdicts, c)
		}
	}
	if len(texts) == 0 {
		return "Not measured."
	}
	if len(verdicts) > 0 {
		var ratios []string
		for i, c := range verdicts {
			in := []string{" with one line in flight", " with 16"}[i%2]
			ratios = append(ratios, times(c.Ratio.Mean)+" times"+doubt(c.Ratio)+" as many"+in)
		}
		texts = append(texts, fmt.Sprintf("The supposition that Node.js could outperform Twisted (section 6.3.3 of the paper) is %s: "+
			"Node.js answers %s.", supposed(verdicts), strings.Join(ratios, " and ")))
	}
	return strings.Join(texts, " ")
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

// asHerd says what a herd of five takes, what that costs, and how soon it is everywhere.
func asHerd(r *Results, all comparisons) string {
	d := r.row("herd-peers")
	if d == nil {
		return "Not measured."
	}
	var texts []string
	accepted, each := d.summary("loop", atAll, untilEqual), d.summary("loop", atAll, ofEach)
	if accepted.N > 0 && each.N > 0 {
		texts = append(texts, fmt.Sprintf("Five saturated servers on the event loop accept %s updates per second%s, counted until all "+
			"are equal; a neighbor that lags gets only the newest update of a client, so that on average an update is applied at %s "+
			"of the five.", rounded(accepted.Median),
			ofMedian(accepted), number(each.Median)))
	}
	if s := d.summary("loop", atFixedRate, costEverywhere); s.N > 0 {
		texts = append(texts, fmt.Sprintf("At 5,000 updates per second an update that is applied everywhere costs %s us of "+
			"CPU time%s in all five together.", number(s.Median), ofMedian(s)))
	} else {
		texts = append(texts, "CPU time per update applied everywhere was not measured.")
	}
	for _, subject := range []struct{ name, words string }{{"goroutines", "Goroutines"}, {twisted, "Twisted"}} {
		var parts []string
		add := func(setting, figure, what string) {
			if c := all.of(d.Name, setting, figure, subject.name, "loop"); c.Verdict != NotMeasured {
				parts = append(parts, fmt.Sprintf("%s times%s%s %s", times(c.Ratio.Mean), doubt(c.Ratio), c.unlessDecided(), what))
			}
		}
		add(atAll, applications, "as many updates applied per second")
		add(atFixedRate, costEverywhere, "as much CPU time")
		if len(parts) > 0 {
			texts = append(texts, fmt.Sprintf("%s: %s.", subject.words, strings.Join(parts, ", ")))
		}
	}
	p50, p99 := d.summary("loop", atLowRate, "propagation p50"), d.summary("loop", atLowRate, "propagation p99")
	if p50.N > 0 && p99.N > 0 {
		texts = append(texts, fmt.Sprintf("At 200 updates per second at one server, half of them are at the slowest of the others "+
			"within %s ms%s, 99 of 100 within %s ms%s.", number(p50.Median), ofMedian(p50), number(p99.Median), ofMedian(p99)))
	}
	return strings.Join(texts, " ")
}

// unlessDecided is the verdict in brackets, if none is better.
func (c *Comparison) unlessDecided() string {
	if c.Verdict == FirstIs || c.Verdict == SecondIs {
		return ""
	}
	return " (" + c.text() + ")"
}

// plainVerdict is the verdict in a sentence.
func (c *Comparison) plainVerdict() string {
	if n, ok := plainNames[c.text()]; ok {
		return n.does("is", "are") + " better"
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

// ofMedian is the confidence interval of a median, in brackets.
func ofMedian(s Summary) string {
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

// words says what the words of the answers mean.
const words = "**The words.** A server of the herd runs the same Go code on an event loop, which is one goroutine for all " +
	"connections, or with a goroutine for each connection. A line is an update or a query, and is answered with a line. " +
	"Flooding sends each update to all servers at once. Asking leaves it at one server, and the others ask it when they need " +
	"the record. A saturated server gets lines as fast as it answers them."

// doubts says in short how sure the answers are.
func doubts(all comparisons) string {
	tested, decided := all.tested(), all.decided()
	if tested == 0 {
		return fmt.Sprintf("Nothing is decided: no comparison has the %d rounds that a verdict needs.", enough)
	}
	return fmt.Sprintf("Brackets are confidence intervals, of %.0f %% for ratios and of at least %.0f %% for medians. %d of %d "+
		"comparisons have a winner; of the winners between the same two subjects at most %.0f %% are expected to be false. "+
		"A winner must also lead by %.0f %%.", 100*intervalOfRatio, 100*leastCoverage, decided, tested, 100*falseVerdicts,
		100*(leastDifference-1))
}

// confidenceIn is the paragraph behind the answers: on what they stand.
func confidenceIn(r *Results, all comparisons) string {
	sharing := ""
	if r.row("placement") != nil {
		sharing = "; [placement](#placement) shows what that changes"
	}
	text := "**The doubt.** "
	if tested := all.tested(); tested > 0 {
		text += fmt.Sprintf("An interval without 1 is not enough for a winner: if all were alike, about %.0f of %d would have such "+
			"an interval by chance. ", (1-intervalOfRatio)*float64(tested), tested)
	}
	return text + "Servers and the programs that load them share the machine's cores, which changes ratios, too" + sharing +
		". The same workload may differ from one row to another by more than its interval, as the machine does from one hour " +
		"to the next: compare figures of one row only." + measuredOn(r)
}

// measuredOn says when and on what the rows were measured, and in how many rounds.
func measuredOn(r *Results) string {
	if len(r.Rows) == 0 {
		return ""
	}
	const day = "2006-01-02"
	first, last := r.Rows[0].Begun.UTC().Format(day), r.Rows[0].Begun.UTC().Format(day)
	few, many := r.Rows[0].Rounds, r.Rows[0].Rounds
	var machines []string
	for _, d := range r.Rows {
		if cpu := cmp.Or(d.Environment.CPU, "an unknown CPU"); !slices.Contains(machines, cpu) {
			machines = append(machines, cpu)
		}
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
	return fmt.Sprintf(" Measured %s on %d cores of %s, in %s rounds; in simulated rows a round is a seed.", when,
		r.Rows[0].Environment.Affinity, list(machines), rounds)
}
