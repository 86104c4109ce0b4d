package lab

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Headings of the report.
const (
	headAnswer      = "Event loop or goroutines, flood or ask"
	headPaper       = "What the paper supposed, and what was measured"
	headUnsupported = "What was void or is missing"
	headTargets     = "Targets"
	headRules       = "Method and rules"
	headReadme      = "The table of README.md"
	headTables      = "Tables"
	headEnvironment = "Environment"
)

// report makes the report: the answer, then what it stands on. A row whose experiment no longer exists is in
// the tables only.
func report(r *Results, experiments []*Experiment) *document {
	r = current(r, experiments)
	all := compare(r)
	concluded := conclude(r, experiments, all)
	d := &document{}
	d.heading(1, headAnswer)
	d.numbered(answers(r, all))
	d.paragraph("%s", doubts(all))
	d.picture("answer", duelTitle, func() ([]byte, error) { return forest(engineDuel(all)) })
	contents := d.reserve()
	d.paragraph("%s", words)
	d.paragraph("%s", confidenceIn(r, all))
	for _, s := range sections {
		reportSection(d, s, r, experiments, all, concluded)
	}
	if len(concluded.guesses) > 1 {
		d.heading(2, headPaper)
		d.table(concluded.guesses)
	}
	if len(concluded.unsupported) > 0 {
		d.heading(2, headUnsupported)
		d.list(concluded.unsupported)
	}
	if len(concluded.targets) > 1 {
		d.heading(2, headTargets)
		d.table(concluded.targets)
	}
	reportRules(d, r)
	if table := readmeTable(r); len(table) > 1 {
		d.heading(2, headReadme)
		d.paragraph("%s", readmeCaption(r))
		d.table(table)
	}
	d.heading(2, headTables)
	d.paragraph("Each row of the study: its question, how it was measured, and its figures. A value is a median with its " +
		"confidence interval in brackets.")
	for _, data := range r.Rows {
		reportRow(d, data, all.ofRow(data.Name))
	}
	reportEnvironments(d, r)
	d.blocks[contents].text = "**Contents:** " + d.contents()
	return d
}

// current returns the results with figures and rows as the experiments describe them now: what is compared and
// drawn is decided by the program, and not by the data. Results are not changed.
func current(r *Results, experiments []*Experiment) *Results {
	c := *r
	c.Rows = nil
	for _, data := range r.Rows {
		d := *data
		if e := experimentOf(experiments, d.Name); e != nil {
			d.LogX, d.Categories = e.LogX, e.Categories
			d.Settings = slices.Clone(d.Settings)
			for i, s := range d.Settings {
				d.Settings[i].ByConstruction = slices.ContainsFunc(e.Settings, func(t Setting) bool {
					return t.Label == s.Label && t.ByConstruction
				})
			}
			d.Figures = slices.Clone(d.Figures)
			for i, f := range d.Figures {
				if k := slices.IndexFunc(e.Figures, func(g Figure) bool { return g.Name == f.Name }); k >= 0 {
					d.Figures[i] = e.Figures[k]
				}
			}
		}
		c.Rows = append(c.Rows, &d)
	}
	return &c
}

// reportSection adds a section: what its rows say of loop and goroutines in a line each, and their charts.
func reportSection(
	d *document, s Section, r *Results, experiments []*Experiment, all comparisons, c *conclusions,
) {
	mark := len(d.blocks)
	d.heading(2, string(s))
	if s == SectionPeers {
		reportPeers(d, r)
	}
	for _, data := range r.Rows {
		e := experimentOf(experiments, data.Name)
		if e == nil || e.Section != s {
			continue
		}
		said := fmt.Sprintf("**%s** %s %s ([tables](#%s))", data.Question, tally(all.ofRow(data.Name)), qualified(data), anchor(data.Name))
		d.paragraph("%s", strings.Join(strings.Fields(said), " "))
		if e.Summary != nil {
			if text := e.Summary(data); text != "" {
				d.paragraph("%s", text)
			}
		}
		for _, f := range data.Figures {
			if f.Chart {
				d.attempt(charts(data, f, d.chart))
			}
		}
	}
	if s == SectionGrowth && len(c.growth) > 1 {
		d.list(c.breaks)
		d.table(c.growth)
	}
	if len(d.blocks) == mark+1 {
		d.blocks = d.blocks[:mark] // nothing was measured
	}
}

// qualified says what else has to be known of the figures of a row.
func qualified(data *Data) string {
	switch {
	case data.Quick:
		return "A quick study: fewer settings, shorter runs."
	case data.Interrupted:
		return "It was interrupted."
	}
	return ""
}

// tally counts the verdicts on a row, of each pair with any.
func tally(all comparisons) string {
	var texts []string
	for _, pair := range pairs[:3] {
		count := map[string]int{}
		for _, c := range all {
			if c.First == pair[0] && c.Second == pair[1] {
				count[c.text()]++
			}
		}
		if len(count) == 0 {
			continue
		}
		parts := []string{
			fmt.Sprintf("%s is better in %d", pair[0], count[pair[0]]), fmt.Sprintf("%s in %d", pair[1], count[pair[1]]),
		}
		for _, verdict := range []string{"alike", "not decided", "too few rounds"} {
			if n := count[verdict]; n > 0 {
				parts = append(parts, fmt.Sprintf("%s %d", verdict, n))
			}
		}
		texts = append(texts, "Comparisons: "+strings.Join(parts, ", ")+".")
	}
	return strings.Join(texts, " ")
}

// reportPeers adds the charts of all subjects at 50 connections.
func reportPeers(d *document, r *Results) {
	data := r.row("throughput")
	if data == nil {
		return
	}
	d.paragraph("IAMATs to one server on 50 connections. Redis and the bare servers are yardsticks: they do less, and log " +
		"nothing. " + otherWork)
	for _, name := range []string{"replies", "CPU per reply"} {
		f, _ := data.figure(name)
		for _, pipeline := range []string{loggedOne, loggedMany} {
			label := fewConns + pipeline
			title := titleOf(f, label)
			d.picture("peers: "+name+", "+pipeline, title, func() ([]byte, error) {
				return drawBars(title, f.Unit, barsOf(data, f, []Setting{{Label: label}}), false)
			})
		}
	}
	if data := r.row("latency"); data != nil {
		f, _ := data.figure("p99")
		title := "Response time, 99th percentile: at one rate for all, half of the peak of the slowest one"
		d.picture("peers: p99", title, func() ([]byte, error) {
			return drawBars(title, f.Unit, barsOf(data, f, []Setting{{Label: halfOfAll}}), false)
		})
	}
}

// reportRules adds the rules and where they were stated.
func reportRules(d *document, r *Results) {
	d.heading(2, headRules)
	d.paragraph("Everything in this report is computed from raw.json by `bin/study --from raw.json`. Servers and what " +
		"loads them share the machine's cores: compare figures of one row with each other, not with figures from elsewhere.")
	d.list(Rules)
	if !slices.Equal(r.Rules, Rules) {
		d.paragraph("These rules are newer than the data. raw.json has those that were stated before the runs.")
	}
	rows := map[Stated][]string{}
	var order []Stated
	for _, data := range r.Rows {
		if rows[data.Stated] == nil {
			order = append(order, data.Stated)
		}
		rows[data.Stated] = append(rows[data.Stated], data.Name)
	}
	var texts []string
	for _, s := range order {
		text := fmt.Sprintf("%s: %s.", list(rows[s]), s.text())
		if len(order) == 1 {
			text = fmt.Sprintf("Of every row %s.", s.text())
		}
		if command := s.command(); command != "" {
			text += " `" + command + "` shows them, and [Tables](#" + anchor(headTables) + ") says when each row began."
		}
		if command := s.since(); command != "" {
			text += " This report was computed by rules that changed after that; `" + command + "` shows how."
		}
		texts = append(texts, text)
	}
	if len(texts) > 0 {
		d.paragraph("%s", upper(strings.Join(texts, " ")))
	}
}

// reportRow adds the figures of a row, and the ratios of what was compared.
func reportRow(d *document, data *Data, compared comparisons) {
	d.heading(3, data.Name)
	d.paragraph("%s %s %s", data.Question, data.Method, runsOf(data))
	d.list(troubles(data))
	var notes []string
	for _, name := range sortedKeys(data.Notes) {
		notes = append(notes, fmt.Sprintf("%s: %s", name, number(data.Notes[name])))
	}
	d.list(notes)
	for _, f := range data.Figures {
		d.table(figureTable(data, f))
	}
	table := [][]string{{"compared", "at", "of", "ratio", "better"}}
	for _, c := range compared {
		table = append(table, []string{
			c.Figure.Name, c.Setting, c.First + " to " + c.Second, times(c.Ratio.Mean) + doubt(c.Ratio), c.text(),
		})
	}
	d.table(table)
}

// runsOf describes the runs of a row.
func runsOf(data *Data) string {
	text := fmt.Sprintf("%d rounds", data.Rounds)
	if data.Rounds == 1 {
		text = "1 round"
	}
	if data.Length > 0 {
		text += fmt.Sprintf(" of %v", data.Length)
	}
	text += fmt.Sprintf(", begun %s at a load average of %s, done in %v.",
		data.Begun.UTC().Format("2006-01-02 15:04 UTC"), data.Environment.Load, data.Took.Round(time.Second))
	if data.Quick {
		text += " A quick study: fewer settings, shorter runs."
	}
	if data.Interrupted {
		text += " It was interrupted: what there is follows."
	}
	return text
}

// figureTable has a row for each setting and a column for each subject that has values.
func figureTable(data *Data, f Figure) [][]string {
	var subjects []string
	for _, s := range data.Subjects {
		for _, setting := range data.Settings {
			if data.summary(s, setting.Label, f.Name).N > 0 {
				subjects = append(subjects, s)
				break
			}
		}
	}
	if len(subjects) == 0 {
		return nil
	}
	table := [][]string{append([]string{f.Name + ", " + f.Unit}, subjects...)}
	for _, setting := range data.Settings {
		row, any := []string{setting.Label}, false
		for _, s := range subjects {
			sum := data.summary(s, setting.Label, f.Name)
			any = any || sum.N > 0
			row = append(row, spread(sum))
		}
		if any {
			table = append(table, row)
		}
	}
	return table
}

// troubles lists what was skipped, void or failed, each kind once with a count.
func troubles(data *Data) []string {
	var all []string
	for _, s := range data.Skipped {
		if s.Subject == "" {
			all = append(all, "Skipped: "+s.Why)
		} else {
			all = append(all, fmt.Sprintf("%s skipped: %s", s.Subject, s.Why))
		}
	}
	counts := map[string]int{}
	var order []string
	for _, s := range data.Samples {
		text := ""
		switch {
		case s.Void != "":
			text = fmt.Sprintf("%s at %s was void: %s", s.Subject, s.Setting, s.Void)
		case s.Error != "":
			text = fmt.Sprintf("%s at %s failed: %s", s.Subject, s.Setting, s.Error)
		default:
			continue
		}
		if counts[text]++; counts[text] == 1 {
			order = append(order, text)
		}
	}
	for _, text := range order {
		if n := counts[text]; n > 1 {
			text += fmt.Sprintf(" (%d times)", n)
		}
		all = append(all, text)
	}
	return all
}

// reportEnvironments adds the environments of the rows, each once.
func reportEnvironments(d *document, r *Results) {
	d.heading(2, "Environment")
	rows := map[string][]string{} // by environment
	var order []string
	for _, data := range r.Rows {
		e := data.Environment
		e.Load = "" // differs for each row; raw.json has it
		text := strings.Join(e.sentences(), " ")
		if rows[text] == nil {
			order = append(order, text)
		}
		rows[text] = append(rows[text], data.Name)
	}
	for _, text := range order {
		if len(order) > 1 {
			d.paragraph("%s: %s", list(rows[text]), text)
		} else {
			d.paragraph("%s", text)
		}
	}
}

// spread formats a median with its confidence interval; "" if there are no values.
func spread(s Summary) string {
	switch s.N {
	case 0:
		return ""
	case 1:
		return number(s.Median)
	}
	return fmt.Sprintf("%s [%s, %s]", number(s.Median), number(s.Low), number(s.High))
}

// number formats a value with three significant digits, without decimals from 100 on.
func number(v float64) string {
	a := math.Abs(v)
	switch {
	case a >= 100 || v == math.Trunc(v):
		return strconv.FormatFloat(math.Round(v), 'f', -1, 64)
	case a >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case a >= 1:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

// upper begins a sentence with a capital letter.
func upper(text string) string { return strings.ToUpper(text[:1]) + text[1:] }

// sortedKeys returns a map's keys in order.
func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

// list joins words with commas and "and".
func list(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}
