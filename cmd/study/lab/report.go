package lab

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// report makes the report. Experiments add conclusions; a row whose experiment no longer exists is shown
// without them.
func report(r *Results, experiments []*Experiment) *document {
	d := &document{}
	d.heading(1, "Event loop or goroutines, flood or ask: the study of the server herd")
	d.paragraph("Made by make study. Servers and what loads them share the machine's cores: compare " +
		"figures of one row with each other, not with figures from elsewhere. Everything below is " +
		"computed from raw.json, the conclusions by the rules that follow, which were stated before " +
		"the first run. Charts show medians with least and greatest.")
	d.heading(2, "Rules")
	d.list(r.Rules)
	concluded := conclude(r, experiments)
	concluded.write(d)
	d.heading(2, "Rows")
	d.paragraph("Each is a question, how it was measured, and its figures.")
	for _, data := range r.Rows {
		reportRow(d, data)
	}
	concluded.writeStandings(d)
	reportEnvironments(d, r)
	return d
}

// reportRow adds the figures of a row.
func reportRow(d *document, data *Data) {
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
		if !f.Chart {
			continue
		}
		if err := charts(data, f, d.chart); err != nil {
			d.paragraph("There is no %v.", err)
		}
	}
}

// runsOf describes the runs of a row.
func runsOf(data *Data) string {
	text := fmt.Sprintf("%d rounds", data.Rounds)
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

// spread formats a median with minimum and maximum; "" if there are no values.
func spread(s Summary) string {
	switch s.N {
	case 0:
		return ""
	case 1:
		return number(s.Median)
	}
	return fmt.Sprintf("%s [%s, %s]", number(s.Median), number(s.Min), number(s.Max))
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

// sortedKeys returns a map's keys in order.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
