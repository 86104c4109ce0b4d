package lab

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// costOfFlooding compares the messages of flooding and of asking, for each topology of the row.
func costOfFlooding(r *Results, all comparisons) string {
	d := r.row("flood-or-ask")
	if d == nil {
		return "Not measured."
	}
	var bills []*bill
	for _, series := range seriesOf(d.Settings) {
		if b := billOf(d, all, series); b != nil {
			bills = append(bills, b)
		}
	}
	if len(bills) == 0 {
		return "Not measured."
	}
	text := bills[0].threshold("a simulated ") + bills[0].extremes(d) + priceOf(d, bills[0].series)
	for _, b := range bills[1:] {
		text += " " + b.threshold("a ")
	}
	return text
}

// priceOf says what flooding costs besides messages, in one topology, and what it brings.
func priceOf(d *Data, series string) string {
	stale := 0.0
	for _, s := range ofSeries(d.Settings, series) {
		stale = max(stale, d.summary(flooding, s.Label, "stale answers").Median)
	}
	asked := d.summary(asking, "1:1, "+series, "response time of queries")
	if asked.N == 0 {
		return ""
	}
	label := "1:1, " + series
	lines := ""
	if e := d.paired(flooding, asking, label, "lines per operation"); e.N > 0 {
		lines = fmt.Sprintf(" These are updates and requests; with acknowledgements and signs of life flooding sends %s times%s as "+
			"many lines at one query per update.", times(e.Mean), doubt(e))
	}
	return lines + fmt.Sprintf(" A flooded herd stores every record at every server, and up to %s %% of its answers are stale; it "+
		"answers where it is asked, and asking takes %s ms (p99, with %d ms from server to server).", number(stale),
		number(asked.Median), hop.Milliseconds())
}

// linesOfFlooding counts all lines between servers, also those that acknowledge and keep links alive.
func linesOfFlooding(d *Data) string {
	var texts []string
	for _, series := range seriesOf(d.Settings) {
		label := "1:1, " + series
		flooded, asked := d.summary(flooding, label, "lines per operation"), d.summary(asking, label, "lines per operation")
		if flooded.N > 0 && asked.N > 0 {
			texts = append(texts, fmt.Sprintf("%s and %s lines in a %s", number(flooded.Median), number(asked.Median), series))
		}
	}
	if len(texts) == 0 {
		return ""
	}
	return "With the lines that acknowledge and keep links alive, an operation takes, flooding and asking at one query per " +
		"update: " + strings.Join(texts, ", ") + "."
}

// bill is what flooding costs in one topology.
type bill struct {
	series            string
	dearest, cheapest *Comparison // of flooding to asking
	pays, costs       float64     // queries per update: from which on, and up to which, flooding is better and worse
}

// billOf compares the messages in one topology; nil if nothing was measured.
func billOf(d *Data, all comparisons, series string) *bill {
	b := &bill{series: series, pays: math.Inf(1)}
	for _, s := range ofSeries(d.Settings, series) {
		c := all.of(d.Name, s.Label, "messages per operation", flooding, asking)
		if c.Verdict == NotMeasured {
			continue
		}
		if b.dearest == nil || c.Ratio.Mean > b.dearest.Ratio.Mean {
			b.dearest = c
		}
		if b.cheapest == nil || c.Ratio.Mean < b.cheapest.Ratio.Mean {
			b.cheapest = c
		}
		switch c.Verdict {
		case FirstIs:
			b.pays = min(b.pays, s.X)
		case SecondIs:
			b.costs = max(b.costs, s.X)
		}
	}
	if b.dearest == nil {
		return nil
	}
	return b
}

// extremes are the most and the least that flooding costs.
func (b *bill) extremes(d *Data) string {
	text := fmt.Sprintf(" At %s flooding sends %s times%s as many as asking", ratioOf(d.at(b.dearest.Setting)),
		times(b.dearest.Ratio.Mean), doubt(b.dearest.Ratio))
	if b.cheapest.Ratio.Mean < 1 {
		text += fmt.Sprintf("; at %s asking sends %s times%s as many", ratioOf(d.at(b.cheapest.Setting)),
			times(1/b.cheapest.Ratio.Mean), doubt(b.cheapest.Ratio.inverse()))
	}
	return text + "."
}

// threshold says from where on flooding sends fewer messages.
func (b *bill) threshold(a string) string {
	in := "In " + a + b.series
	switch {
	case math.IsInf(b.pays, 1):
		return in + " flooding sends fewer messages nowhere, as far as was measured."
	case b.costs == 0:
		return fmt.Sprintf("%s flooding sends fewer messages from %s per update on, the least measured.", in, queries(b.pays))
	case b.costs > b.pays:
		return in + " there is no number of queries per update from which on flooding sends fewer messages."
	}
	return fmt.Sprintf("%s flooding sends fewer messages from %s per update on; up to %s per update asking sends fewer.", in,
		queries(b.pays), queries(b.costs))
}

// at is the value of a setting.
func (d *Data) at(label string) float64 {
	return d.Settings[slices.IndexFunc(d.Settings, func(s Setting) bool { return s.Label == label })].X
}

// ratioOf is a ratio of queries to updates in words.
func ratioOf(x float64) string {
	if x < 1 {
		return fmt.Sprintf("%s updates per query", number(1/x))
	}
	return queries(x) + " per update"
}

func queries(n float64) string {
	if n == 1 {
		return "1 query"
	}
	return number(n) + " queries"
}
