package lab

import (
	"math"
	"strings"
	"testing"
)

// scattered are values around a mean, which differ a little from round to round.
func scattered(mean float64, rounds int) []float64 {
	var all []float64
	for i := range rounds {
		all = append(all, mean*(1+0.01*float64(i%3)))
	}
	return all
}

// story is made-up data: values by row, figure, setting and subject.
type story map[string]map[string]map[string]map[string][]float64

// results are the data of a story, with figures of the experiments.
func (s story) results() *Results {
	r := &Results{}
	for _, e := range All() {
		figures, ok := s[e.Name]
		if !ok {
			continue
		}
		d := &Data{Row: e.Row, Rounds: 5, Environment: Environment{Affinity: 2}}
		for _, figure := range sortedKeys(figures) {
			for setting, subjects := range figures[figure] {
				for subject, values := range subjects {
					for round, v := range values {
						d.Samples = append(d.Samples, Sample{Subject: subject, Setting: setting, Round: round, Values: Values{figure: v}})
					}
				}
			}
		}
		r.Rows = append(r.Rows, d)
	}
	return r
}

func (s story) add(row, figure, setting string, values map[string][]float64) story {
	if s[row] == nil {
		s[row] = map[string]map[string]map[string][]float64{}
	}
	if s[row][figure] == nil {
		s[row][figure] = map[string]map[string][]float64{}
	}
	s[row][figure][setting] = values
	return s
}

// duelOf is a story of loop and goroutines in lines per second and in CPU per reply, at one workload.
func duelOf(replies, cpu float64, rounds int) story {
	const at = fewConns + loggedMany
	uneven := func(mean float64) []float64 { // for an undecided comparison, means that scatter
		all := scattered(mean, rounds)
		if math.Abs(mean-1) < 0.2 {
			for i := range all {
				all[i] *= []float64{1.4, 0.75, 1.1}[i%3]
			}
		}
		return all
	}
	return story{}.
		add("throughput", "replies", at, map[string][]float64{"loop": uneven(replies), "goroutines": scattered(1, rounds)}).
		add("throughput", "CPU per reply", at, map[string][]float64{"loop": uneven(cpu), "goroutines": scattered(1, rounds)})
}

func TestAnswers(t *testing.T) {
	one, many := fewConns+loggedOne, fewConns+loggedMany
	peers := func(node, twist float64) story {
		return story{}.
			add("throughput", "replies", one, map[string][]float64{
				"loop": scattered(4, 5), nodeJS: scattered(node, 5), twisted: scattered(2, 5)}).
			add("throughput", "replies", many, map[string][]float64{
				"loop": scattered(4, 5), nodeJS: scattered(2, 5), twisted: scattered(twist, 5)})
	}
	against := func(v float64) map[string][]float64 { // messages of flooding, where asking takes 1
		return map[string][]float64{flooding: scattered(v, 5), asking: {1, 1, 1, 1, 1}}
	}
	messages := func(values ...float64) story {
		s := story{}
		for i, v := range values {
			s.add("flood-or-ask", "messages per operation",
				[]string{"100:1, ring of 5", "1:1, ring of 5", "1:100, ring of 5"}[i], against(v))
		}
		return s
	}
	for _, c := range []struct {
		name  string
		story story
		of    int      // which of the five
		want  []string // parts of the answer
	}{
		{"goroutines win", duelOf(0.5, 1, 5), 0, []string{
			"In 1 of the 2 workloads below. The largest differences in the chart: goroutines answer 2.00 times (2.00 to 2.00) ",
			"as many lines per second with 50 connections that each have 16 lines in flight.", "In all they win 1 of 2 comparisons, by 2.00 times (2.00 to 2.00) at most (replies at 50 connections, pipeline 16, row throughput)."}},
		{"goroutines win in CPU", duelOf(1, 2, 5), 0, []string{"In 1 of the 2 workloads below. The largest differences in the chart: the event loop needs 2.",
			"as much CPU time per reply with 50"}},
		{"then the loop does not", duelOf(0.5, 2, 5), 1, []string{
			"In none of the 2 workloads below, and no measurement leans that way. In all it wins 0 of 2"}},
		{"the loop wins", duelOf(2, 0.5, 5), 1, []string{
			"In 2 of the 2 workloads below. The largest differences in the chart: the event loop answers 2.", " times (",
			"; goroutines need 2.00 times ("}},
		{"nothing is decided", duelOf(1.1, 0.9, 5), 1, []string{
			"In none of the 2 workloads below by more than chance. Closest, but not decided: ",
			" 2 of the workloads below are not decided."}},
		{"one core each", story{}.
			add("placement", "replies", apartOne, map[string][]float64{"loop": scattered(1, 5), "goroutines": scattered(1, 5)}).
			add("placement", "replies", apartMany, map[string][]float64{"loop": scattered(2, 5), "goroutines": scattered(1, 5)}), 1,
			[]string{"the event loop answers 1.00 times (1.00 to 1.00) as many lines with one line in flight (alike) and 2.00 times (2.00 to 2.00) " +
				"as many lines with 16 (the event loop is better)."}},
		{"too few rounds", duelOf(0.5, 0.5, 3), 0, []string{"Nothing is decided: there are fewer than 5 rounds. " +
			"The measurement that leans most that way: goroutines answer"}},
		{"one round", duelOf(0.5, 0.5, 1), 0, []string{"goroutines answer 2.00 times (one round) as many"}},
		{"no engines", story{}, 0, []string{"Not measured."}},
		{"Node.js is better", peers(3, 1), 2, []string{
			"the event loop in Go answers 2.00 times (2.00 to 2.00) as many lines per second as Twisted and 1.33 times",
			"as many as Node.js. With 16 in flight it answers 4.00 times", "2.00 times (2.00 to 2.00) as many as Node.js.",
			"(section 6.3.3 of the paper) is confirmed: Node.js answers 1.50 times (1.50 to 1.50) as many with one line in flight and 2.00"}},
		{"Twisted is better", peers(1, 3), 2, []string{"is contradicted: "}},
		{"at one workload", peers(2, 1), 2, []string{"is confirmed at 1 of 2 workloads and open at the rest: "}},
		{"both ways", peers(3, 3), 2, []string{"is confirmed at some workloads and contradicted at others: "}},
		{"no Node.js", story{}.add("throughput", "replies", one, map[string][]float64{"loop": scattered(4, 5),
			twisted: scattered(2, 5)}), 2, []string{"With one line in flight on each of 50 connections the event loop in Go " +
			"answers 2.00 times (2.00 to 2.00) as many lines per second as Twisted."}},
		{"no peers", duelOf(2, 2, 5), 2, []string{"Not measured."}},
		{"flooding pays", messages(50, 1.5, 0.1), 3, []string{
			"In a simulated ring of 5 flooding sends fewer messages from 100 queries per update on; up to 1 query per update asking sends fewer.",
			"At 100 updates per query flooding sends 50.4 times (", "as many as asking; at 100 queries per update asking sends 9.92 times ("}},
		{"flooding never pays", messages(50, 30), 3, []string{"flooding sends fewer messages nowhere, as far as was measured."}},
		{"flooding always pays", messages(0.5, 0.1), 3, []string{
			"flooding sends fewer messages from 0.01 queries per update on, the least measured."}},
		{"not in order", messages(0.5, 3), 3, []string{
			"there is no number of queries per update from which on flooding sends fewer messages."}},
		{"what else it costs", messages(50, 1.5, 0.1).
			add("flood-or-ask", "lines per operation", "1:1, ring of 5", map[string][]float64{flooding: {7}, asking: {3}}).
			add("flood-or-ask", "stale answers", "100:1, ring of 5", map[string][]float64{flooding: {0.5}}).
			add("flood-or-ask", "response time of queries", "1:1, ring of 5", map[string][]float64{asking: {20}}), 3, []string{
			"signs of life flooding sends 2.33 times (one round) as many lines at one query per update.", "up to 0.5 % of its answers are stale",
			"asking takes 20 ms (p99, with 5 ms from server to server)."}},
		{"two topologies", messages(50, 1.5, 0.1).
			add("flood-or-ask", "messages per operation", "100:1, random graph of 20", against(20)).
			add("flood-or-ask", "messages per operation", "1:100, random graph of 20", against(0.5)), 3,
			[]string{"In a random graph of 20 flooding sends fewer messages from 100 queries per update on; up to 0.01 queries " +
				"per update asking sends fewer."}},
		{"no simulation", story{}, 3, []string{"Not measured."}},
		{"a herd", story{}.
			add("herd-peers", untilEqual, atAll, map[string][]float64{"loop": scattered(563_000, 5)}).
			add("herd-peers", ofEach, atAll, map[string][]float64{"loop": scattered(2, 5)}).
			add("herd-peers", applications, atAll, map[string][]float64{"loop": scattered(1_126_000, 5),
				"goroutines": scattered(563_000, 5), twisted: scattered(112_600, 5)}).
			add("herd-peers", costEverywhere, atFixedRate, map[string][]float64{"loop": scattered(40, 5), "goroutines": scattered(80, 5)}).
			add("herd-peers", "propagation p50", atLowRate, map[string][]float64{"loop": scattered(0.2, 5)}).
			add("herd-peers", "propagation p99", atLowRate, map[string][]float64{"loop": scattered(0.4, 5)}), 4,
			[]string{"accept 569,000 updates per second (563,000 to 574,000), counted until all are equal; a neighbor", "an update is applied at 2.02 of",
				"costs 40.4 us of CPU time (40 to 40.8) in all five together. Goroutines: 0.50 times (0.50 to 0.50) as many updates " +
					"applied per second, 2.00 times (2.00 to 2.00) as much CPU time. Twisted: 0.10 times (0.10 to 0.10) as many",
				"within 0.202 ms (0.2 to 0.204), 99 of 100 within 0.404 ms"}},
		{"a herd of older data", story{}.add("herd-peers", "accepted", atAll, map[string][]float64{"loop": scattered(5000, 5)}), 4,
			[]string{"CPU time per update applied everywhere was not measured."}},
		{"no herd", story{}, 4, []string{"Not measured."}},
	} {
		r := c.story.results()
		got := answers(r, compare(r))
		if len(got) != 5 {
			t.Fatalf("%d answers", len(got))
		}
		for _, want := range c.want {
			if !strings.Contains(got[c.of], want) {
				t.Errorf("%s: the answer does not say %q:\n%s", c.name, want, got[c.of])
			}
		}
	}
}

// What is under the answers says how sure they are, and how many verdicts are expected to be false.
func TestExpectedFalseVerdicts(t *testing.T) {
	r := duelOf(0.5, 0.5, 5).results()
	if got := doubts(compare(r)); !strings.Contains(got, "2 of 2 comparisons have a winner; of the winners") ||
		!strings.Contains(got, "at most 1 % are expected to be false.") {
		t.Error(got)
	}
	if got := confidenceIn(r, compare(r)); !strings.Contains(got, "about 0 of 2 would have") {
		t.Error(got)
	}
	r = duelOf(0.5, 0.5, 4).results()
	if got := doubts(compare(r)); got != "Nothing is decided: no comparison has the 5 rounds that a verdict needs." {
		t.Error(got)
	}
	if got := confidenceIn(r, compare(r)); strings.Contains(got, "by chance") || !strings.Contains(got, " Measured ") {
		t.Error(got)
	}
}

// Goroutines that answer more by using more of the processors are said to.
func TestAtMoreCPU(t *testing.T) {
	r := duelOf(0.5, 0.5, 5).results() // the loop answers half as much, at half the cost
	if got := answers(r, compare(r))[0]; !strings.Contains(got, "16 lines in flight, and need more CPU time for each.") {
		t.Error(got)
	}
	r = duelOf(0.5, 2, 5).results()
	if got := answers(r, compare(r))[0]; strings.Contains(got, "more CPU time for each") {
		t.Error(got)
	}
}

// What a core for itself changes is said of each engine that was measured both ways.
func TestEffectOfPlacement(t *testing.T) {
	r := story{}.
		add("placement", "replies", apartOne, map[string][]float64{"loop": scattered(1, 5), "goroutines": scattered(3, 5)}).
		add("placement", "replies", bothShare+", "+loggedOne, map[string][]float64{"loop": scattered(2, 5), "goroutines": scattered(2, 5)}).
		results()
	got := effectOfPlacement(r.row("placement"))
	for _, want := range []string{"the event loop answers 0.50 times (0.50 to 0.50) as many lines with one line in flight as where both",
		"goroutines answer 1.50 times (1.50 to 1.50) as many"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q: %s", want, got)
		}
	}
	if got := effectOfPlacement(&Data{}); got != "" {
		t.Error(got)
	}
}

// A limit that only the law reaches at the largest setting was not reached by what was measured.
func TestLimitOfTheLawOnly(t *testing.T) {
	var settings []Setting
	values := map[string]map[string][]float64{"loop": {}}
	for i, v := range []float64{10.5, 19.5, 31, 39.5, 48} {
		label := string(rune('a' + i))
		settings = append(settings, Setting{Label: label, X: float64(10 * (i + 1))})
		values["loop"][label] = []float64{v, v, v, v, v}
	}
	c := &conclusions{growth: [][]string{{}}}
	c.ofGrowth(made(Lower, settings, values), []Growth{{Figure: "speed", Subject: "loop", Limit: 48.5, Why: "enough"}})
	if row := c.growth[1]; row[7] != justBeyond || !strings.HasSuffix(c.breaks[0], "is reached at "+justBeyond+".") {
		t.Errorf("%q, %q", row, c.breaks)
	}
}

// Whether all engines answer alike is said in the report.
func TestSameAnswers(t *testing.T) {
	d := &Data{Samples: []Sample{{Values: Values{"replies": 3001}}, {Values: Values{"replies": 3001}}}}
	if got := sameAnswers(d); !strings.HasPrefix(got, "Yes: 6,000 replies") && !strings.HasPrefix(got, "Yes: 6,002 replies") {
		t.Error(got)
	}
	d.Samples = append(d.Samples, Sample{Void: "2 of 3001 replies differ"})
	if got := sameAnswers(d); got != "Not in every run: 1 of 3 are void or failed." {
		t.Error(got)
	}
	if got := sameAnswers(&Data{}); got != "" {
		t.Error(got)
	}
}

// Beside the messages of flooding, all lines between servers are said.
func TestLinesOfFlooding(t *testing.T) {
	r := story{}.add("flood-or-ask", "lines per operation", "1:1, ring of 5", map[string][]float64{flooding: {7}, asking: {3}}).results()
	if got := linesOfFlooding(r.row("flood-or-ask")); !strings.HasSuffix(got, "at one query per update: 7 and 3 lines in a ring of 5.") {
		t.Error(got)
	}
	if got := linesOfFlooding(duelOf(1, 1, 5).results().row("throughput")); got != "" {
		t.Error(got)
	}
}

func TestRounded(t *testing.T) {
	for v, want := range map[float64]string{0.194: "0.194", 1234: "1,230", 562_725: "563,000", 1_234_567: "1,230,000", 999: "999"} {
		if got := rounded(v); got != want {
			t.Errorf("rounded(%v) = %s, want %s", v, got, want)
		}
	}
}
