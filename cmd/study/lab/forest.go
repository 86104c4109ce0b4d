package lab

import (
	"fmt"
	"image/color"
	"math"

	"gonum.org/v1/plot/vg"
)

// duelTitle is the title of the summary's chart.
const duelTitle = "Event loop or goroutines: which is better, and by how much"

// Sizes of charts that consist of rows.
const (
	margin    = 10
	rowHeight = 16
	barHeight = 10
)

// forest draws the workloads of the summary: a dot for each ratio and a line for its confidence interval, the
// event loop's wins to the right of 1 and those of goroutines to the left. It is nil without workloads.
func forest(duel []measured) ([]byte, error) {
	if len(duel) == 0 {
		return nil, nil
	}
	label, value := textStyle(9.5, false, black), textStyle(9, false, black)
	var names, values []string
	groups := 0
	for i, m := range duel {
		names, values = append(names, m.name), append(values, m.value())
		if i == 0 || duel[i-1].group != m.group {
			groups++
		}
	}
	const top, bottom = 72, 46
	height := vg.Length(top + bottom + rowHeight*len(duel) + 20*groups)
	c := newCanvas(height)
	c.write(textStyle(13, true, black), margin, 16, left, duelTitle)
	axis := scale{
		from: margin + widest(label, names) + 14, to: chartWidth - margin - widest(value, values) - 14, most: reach(duel),
	}
	c.legend(axis)

	// The background: the ticks, the band of what is no difference, and 1.
	end := height - bottom
	edge := axis.at(leastDifference) - axis.at(1)
	c.rectangle(axis.at(1)-edge, top-8, 2*edge, end-top+8, band)
	c.line(axis.at(1), top-8, axis.at(1), end, 1, muted)
	c.write(value, axis.at(1), end+10, center, "1 ×")
	for _, x := range []float64{1.5, 2, 3, 4, 6, 8} {
		if x > axis.most {
			break
		}
		for _, v := range []float64{x, 1 / x} {
			c.line(axis.at(v), top-8, axis.at(v), end, 0.5, faint)
			c.write(value, axis.at(v), end+10, center, short(x)+" ×")
		}
	}
	c.write(textStyle(9.5, true, orange), axis.from, end+24, left, "← goroutines better")
	c.write(textStyle(9.5, true, blue), axis.to, end+24, right, "event loop better →")
	c.write(textStyle(8.5, false, muted), margin, end+38, left, fmt.Sprintf("Dot: mean ratio of all rounds. Line: %.0f %% "+
		"confidence interval. Gray band: ratios below %.2f, which do not count.", 100*intervalOfRatio, leastDifference))

	y := vg.Length(top)
	for i, m := range duel {
		if i == 0 || duel[i-1].group != m.group {
			c.write(textStyle(9.5, true, black), margin, y+6, left, m.group)
			y += 20
		}
		c.comparison(axis, m, y)
		c.write(label, margin, y, left, m.name)
		value.Color = m.ink()
		c.write(value, chartWidth-margin, y, right, values[i])
		y += rowHeight
	}
	return c.bytes()
}

// scale is a logarithmic axis around 1.
type scale struct {
	from, to vg.Length
	most     float64 // at both ends, which is also 1/most
}

func (s scale) at(ratio float64) vg.Length {
	x := math.Log(min(max(ratio, 1/s.most), s.most)) / math.Log(s.most) // -1 to 1
	return s.from + (s.to-s.from)*vg.Length(1+x)/2
}

// reach is the end of the axis: room for every mean. Intervals may go beyond.
func reach(duel []measured) float64 {
	most := 1.0
	for _, m := range duel {
		most = max(most, m.lead())
	}
	for _, end := range []float64{2, 3, 4, 6, 8} {
		if most*1.05 <= end {
			return end
		}
	}
	return most * 1.1
}

func (c *canvas) legend(axis scale) {
	style := textStyle(9.5, false, black)
	x := vg.Length(margin + 4)
	for _, item := range []struct {
		ink    color.Color
		filled bool
		words  string
	}{
		{blue, true, "event loop better"}, {orange, true, "goroutines better"}, {muted, false, "not decided, or alike"},
	} {
		c.line(x-4, 38, x+12, 38, 1.5, item.ink)
		c.dot(x+4, 38, 3.6, item.ink, item.filled)
		c.write(style, x+18, 38, left, item.words)
		x += 18 + style.Width(item.words) + 22
	}
}

// ink is the color of the winner.
func (m measured) ink() color.Color {
	switch m.Verdict {
	case FirstIs:
		return blue
	case SecondIs:
		return orange
	}
	return muted
}

// value is how many times as good the better one is, with the interval.
func (m measured) value() string {
	ratio := m.advantage()
	if ratio.Mean < 1 {
		ratio = ratio.inverse()
	}
	return times(ratio.Mean) + doubt(ratio)
}

// comparison draws the dot and the line of a workload. A line that goes beyond the axis ends with an arrow.
func (c *canvas) comparison(axis scale, m measured, y vg.Length) {
	ratio, ink := m.advantage(), m.ink()
	low, high := axis.at(ratio.Low), axis.at(ratio.High)
	c.line(low, y, high, y, 1.6, ink)
	if ratio.Low < 1/axis.most {
		c.line(low, y, low+4, y-3, 1.2, ink)
		c.line(low, y, low+4, y+3, 1.2, ink)
	}
	if ratio.High > axis.most {
		c.line(high, y, high-4, y-3, 1.2, ink)
		c.line(high, y, high-4, y+3, 1.2, ink)
	}
	c.dot(axis.at(ratio.Mean), y, 3.8, ink, m.Verdict == FirstIs || m.Verdict == SecondIs)
}
