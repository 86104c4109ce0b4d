package lab

import (
	"math"
	"slices"

	"gonum.org/v1/plot/vg"
)

// bar is a value with its confidence interval; one without a subject is a heading.
type bar struct {
	label string
	Summary
}

// barsOf are the bars of a figure: of each setting, under its label if there are several, one for each subject.
func barsOf(d *Data, f Figure, settings []Setting) (all []bar) {
	for _, s := range settings {
		var group []bar
		for _, subject := range d.Subjects {
			if sum := d.summary(subject, s.Label, f.Name); sum.N > 0 {
				group = append(group, bar{subject, sum})
			}
		}
		if len(group) > 0 && len(settings) > 1 {
			group = slices.Insert(group, 0, bar{label: s.Label})
		}
		all = append(all, group...)
	}
	return all
}

// drawBars draws horizontal bars from 0, the values to the right of them. On a logarithmic axis, which has no
// 0, there are dots instead. It is nil without bars.
func drawBars(title, unit string, all []bar, log bool) ([]byte, error) {
	var labels, values []string
	least, greatest := math.Inf(1), 0.0
	for _, b := range all {
		labels, values = append(labels, b.label), append(values, b.value())
		if b.N > 0 {
			least, greatest = min(least, b.Low), max(greatest, b.High)
		}
	}
	if greatest == 0 {
		return nil, nil
	}
	log = log && least > 0 && greatest > least
	label, value := textStyle(9.5, false, black), textStyle(9, false, black)
	const top, bottom = 42, 36
	height := vg.Length(top + bottom + rowHeight*len(all))
	c := newCanvas(height)
	c.write(textStyle(12, true, black), margin, 16, left, title)
	from := margin + widest(label, labels) + 10
	to := chartWidth - margin - widest(value, values) - 12
	ticks, end := steps(greatest)
	at := func(v float64) vg.Length { return from + (to-from)*vg.Length(v/end) }
	if log {
		ticks = nil
		for _, t := range (decades{}).Ticks(least, greatest) {
			ticks = append(ticks, t.Value)
		}
		at = func(v float64) vg.Length {
			return from + 8 + (to-from-8)*vg.Length(math.Log(v/least)/math.Log(greatest/least))
		}
	}
	base := height - bottom
	for _, t := range ticks {
		c.line(at(t), top-10, at(t), base, 0.5, faint)
		c.write(value, at(t), base+9, center, short(t))
	}
	c.write(value, (from+to)/2, base+23, center, unit)
	y := vg.Length(top)
	for i, b := range all {
		if b.N == 0 {
			c.write(textStyle(9.5, true, black), margin, y, left, b.label)
		} else {
			c.measure(b, at, from, y, log)
			c.write(label, from-6, y, right, b.label)
			c.write(value, chartWidth-margin, y, right, values[i])
		}
		y += rowHeight
	}
	c.line(from, top-10, from, base, 1, muted)
	return c.bytes()
}

// measure draws a value and its interval: a bar or, if log, a dot.
func (c *canvas) measure(b bar, at func(float64) vg.Length, from, y vg.Length, log bool) {
	ink, low, high := colorOf(b.label), at(b.Low), at(b.High)
	if log {
		c.line(low, y, high, y, 1.6, ink)
		c.dot(at(b.Median), y, 3.8, ink, true)
		return
	}
	c.rectangle(from, y-barHeight/2, at(b.Median)-from, barHeight, ink)
	c.line(low, y, high, y, 1.2, black)
	c.line(low, y-3, low, y+3, 1.2, black)
	c.line(high, y-3, high, y+3, 1.2, black)
}

func (b bar) value() string {
	switch b.N {
	case 0:
		return ""
	case 1:
		return short3(b.Median)
	}
	return short3(b.Median) + " (" + short3(b.Low) + " to " + short3(b.High) + ")"
}
