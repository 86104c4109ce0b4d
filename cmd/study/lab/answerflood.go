package lab

import (
	"fmt"
	"math"
	"slices"
)

// costOfFlooding compares the messages of flooding and of asking, for each topology of the row.
func costOfFlooding(r *Results, all comparisons) string {
	d := r.row("flood-or-ask")
	if d == nil {
		return "Not measured."
	}
	var first *bill
	text := ""
	for _, series := range seriesOf(d.Settings) {
		b := billOf(d, all, series)
		switch {
		case b == nil:
			continue
		case first == nil:
			first, text = b, b.sentences(d)
		case b.dearest.Ratio.Mean > 1 && b.cheapest.Ratio.Mean < 1 && first.cheapest.Ratio.Mean < 1 &&
			d.at(b.dearest.Setting) == d.at(first.dearest.Setting) && d.at(b.cheapest.Setting) == d.at(first.cheapest.Setting):
			text += fmt.Sprintf(" In a %s: %s times%s and %s times%s. %s", series, times(b.dearest.Ratio.Mean),
				doubt(b.dearest.Ratio), times(1/b.cheapest.Ratio.Mean), doubt(b.cheapest.Ratio.inverse()), b.threshold())
		default:
			text += " " + b.sentences(d)
		}
	}
	if first == nil {
		return "Not measured."
	}
	const busy = "1:1, ring of 5"
	if s := d.summary(asking, busy, "response time of queries"); s.N > 0 {
		text += fmt.Sprintf(" In return a flooded herd answers every query where it is asked; asking takes %s ms (p99 in the "+
			"ring, with %d ms from server to server).", number(s.Median), hop.Milliseconds())
	}
	return text
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

// sentences say what flooding costs at most, what asking does, and from where on flooding pays.
func (b *bill) sentences(d *Data) string {
	text := fmt.Sprintf("In a simulated %s flooding sends %s times%s the messages of asking at %s", b.series,
		times(b.dearest.Ratio.Mean), doubt(b.dearest.Ratio), ratioOf(d.at(b.dearest.Setting)))
	if b.cheapest.Ratio.Mean < 1 {
		text += fmt.Sprintf("; asking sends %s times%s those of flooding at %s", times(1/b.cheapest.Ratio.Mean),
			doubt(b.cheapest.Ratio.inverse()), ratioOf(d.at(b.cheapest.Setting)))
	}
	return text + ". " + b.threshold()
}

// threshold says from where on flooding sends fewer messages.
func (b *bill) threshold() string {
	switch {
	case math.IsInf(b.pays, 1):
		return "Flooding sends fewer nowhere, as far as was measured."
	case b.costs == 0:
		return fmt.Sprintf("Flooding sends fewer from %s per update on, the least measured.", queries(b.pays))
	case b.costs > b.pays:
		return "There is no number of queries per update from which on flooding sends fewer."
	}
	return fmt.Sprintf("Flooding sends fewer from %s per update on, asking up to %s.", queries(b.pays), queries(b.costs))
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
