package lab

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Sizes of a chart with lines. The legend is to the right of the data.
const (
	chartHeight = 8.5 * vg.Centimeter
	legendWidth = 4 * vg.Centimeter
)

// charts draws a chart for each series of a figure: a line per subject over the variable, or bars for each
// setting if the variable is a category, or if the row has no series with several settings. Error bars are
// confidence intervals of the median.
func charts(d *Data, f Figure, add func(name, title string, svg []byte)) error {
	several := false
	for _, series := range seriesOf(d.Settings) {
		several = several || len(ofSeries(d.Settings, series)) > 1
	}
	for _, series := range seriesOf(d.Settings) {
		settings := ofSeries(d.Settings, series)
		if several && len(settings) == 1 {
			continue // it is in the tables
		}
		of := series
		if len(settings) == 1 {
			of = settings[0].Label // which includes the series
		}
		name, title := d.Name+": "+f.Name+", "+of, titleOf(f, of)
		svg, err := drawn(d, f, title, settings)
		if err != nil {
			return fmt.Errorf("chart %s: %w", name, err)
		}
		if svg != nil {
			add(name, title, svg)
		}
	}
	return nil
}

// titleOf is the title of a chart: a figure, and what of.
func titleOf(f Figure, of string) string {
	title := upper(f.Name)
	if f.Name == "p99" {
		title = "Response time, 99th percentile"
	}
	if of != "" {
		title += ": " + strings.NewReplacer(loggedMany, "16 lines in flight", loggedOne, "1 line in flight").Replace(of)
	}
	return title
}

func ofSeries(settings []Setting, series string) (all []Setting) {
	for _, s := range settings {
		if s.Series == series {
			all = append(all, s)
		}
	}
	return all
}

// drawn draws one chart; nil if there is no data. It recovers from panics of the library, so that the
// report is completed.
func drawn(d *Data, f Figure, title string, settings []Setting) (svg []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	if len(settings) == 1 || d.Categories {
		return drawBars(title, f.Unit, barsOf(d, f, settings), f.LogY)
	}
	c := newChart(d, f, title)
	any, err := c.lines(d, f, settings)
	if err != nil || !any {
		return nil, err
	}
	return c.svg()
}

// seriesOf returns the series in order.
func seriesOf(settings []Setting) []string {
	var all []string
	for _, s := range settings {
		if len(all) == 0 || all[len(all)-1] != s.Series {
			all = append(all, s.Series)
		}
	}
	return all
}

// chart is one plot with lines.
type chart struct {
	plot        *plot.Plot
	legend      plot.Legend
	title, unit string // of Y: the library reserves space for its label twice along a logarithmic axis
}

func newChart(d *Data, f Figure, title string) *chart {
	p, legend := plot.New(), plot.NewLegend()
	for _, s := range []*font.Font{
		&p.X.Label.TextStyle.Font, &p.Y.Label.TextStyle.Font, &p.X.Tick.Label.Font, &p.Y.Tick.Label.Font,
		&legend.TextStyle.Font,
	} {
		s.Variant, s.Size = "Sans", 9.5
	}
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.LineStyle.Color, axis.Tick.LineStyle.Color, axis.Tick.Label.Color = muted, muted, black
		axis.Label.TextStyle.Color = black
	}
	p.X.Label.Text, p.X.Label.Padding = d.Variable, 3
	legend.Top, legend.Left, legend.Padding = true, true, 3
	p.Y.Tick.Marker = ticks{plot.DefaultTicks{}}
	return &chart{p, legend, title, f.Unit}
}

// points are a subject's values by setting, for package plotter.
type points struct {
	plotter.XYs
	plotter.YErrors
}

// whisker is the error bar of a summary.
func whisker(s Summary) struct{ Low, High float64 } {
	return struct{ Low, High float64 }{s.Median - s.Low, s.High - s.Median}
}

// lines draws a line per subject.
func (c *chart) lines(d *Data, f Figure, settings []Setting) (any bool, err error) {
	grid := plotter.NewGrid()
	grid.Vertical.Width, grid.Horizontal.Color = 0, faint
	c.plot.Add(grid)
	least, linearX, linearY := math.Inf(1), !d.LogX, !f.LogY
	for i, subject := range d.Subjects {
		var p points
		for _, s := range settings {
			sum := d.summary(subject, s.Label, f.Name)
			if sum.N == 0 {
				continue
			}
			p.XYs = append(p.XYs, plotter.XY{X: s.X, Y: sum.Median})
			p.YErrors = append(p.YErrors, whisker(sum))
			least = min(least, sum.Low)
			linearX = linearX || s.X <= 0
		}
		if len(p.XYs) < 2 { // no line; the tables have it
			continue
		}
		any = true
		line, dots, err := plotter.NewLinePoints(p.XYs)
		if err != nil {
			return false, err
		}
		bars, err := plotter.NewYErrorBars(p)
		if err != nil {
			return false, err
		}
		line.Color, line.Width = colorOf(subject), 1.2
		if line.Color == blue || line.Color == orange { // what the question is about
			line.Width = 2.2
		}
		dots.Color, dots.Shape, dots.Radius, bars.Color = line.Color, plotutil.Shape(i), 3, line.Color
		c.plot.Add(line, dots, bars)
		c.legend.Add(subject, line, dots)
	}
	if !any {
		return false, nil
	}
	if !linearX && c.plot.X.Min > 0 && c.plot.X.Max > c.plot.X.Min {
		c.plot.X.Scale = plot.LogScale{}
	}
	var at plot.ConstantTicks
	for _, s := range settings {
		at = append(at, plot.Tick{Value: s.X, Label: short(s.X)})
	}
	c.plot.X.Tick.Marker = at
	if !linearY && least > 0 && c.plot.Y.Max > c.plot.Y.Min {
		c.plot.Y.Scale, c.plot.Y.Tick.Marker = plot.LogScale{}, decades{}
	} else {
		c.plot.Y.Min = min(0, c.plot.Y.Min)
	}
	c.room()
	return true, nil
}

// room adds space above the largest value.
func (c *chart) room() {
	y := &c.plot.Y
	if _, log := y.Scale.(plot.LogScale); log {
		y.Max *= math.Pow(y.Max/y.Min, 0.03)
	} else {
		y.Max += 0.03 * (y.Max - y.Min)
	}
	if y.Max <= y.Min {
		y.Max = y.Min + 1
	}
}

func (c *chart) svg() ([]byte, error) {
	svg := vgsvg.New(chartWidth, chartHeight)
	data := draw.New(svg)
	data.FillPolygon(c.plot.BackgroundColor, []vg.Point{ // includes the legend: the page may be dark
		{}, {X: chartWidth}, {X: chartWidth, Y: chartHeight}, {Y: chartHeight},
	})
	top := &canvas{svg, data, chartHeight}
	top.write(textStyle(12, true, black), margin, 16, left, c.title)
	top.write(textStyle(9, false, muted), margin, 31, left, c.unit)
	c.legend.Draw(draw.Crop(data, chartWidth-legendWidth, 0, 0, -40))
	c.plot.Draw(draw.Crop(data, margin/2, -legendWidth, margin/2, -40))
	return svgBytes(svg)
}

// ticks wraps a plot.Ticker and formats its labels by short: 10 k, not 1e+04.
type ticks struct{ plot.Ticker }

// Ticks implements plot.Ticker. It drops labels outside the axis, which would take space.
func (t ticks) Ticks(least, most float64) (all []plot.Tick) {
	for _, tick := range t.Ticker.Ticks(least, most) {
		if tick.Value < least || tick.Value > most {
			continue
		}
		if tick.Label != "" {
			tick.Label = short(tick.Value)
		}
		all = append(all, tick)
	}
	return all
}

// decades are the ticks of a logarithmic axis: 1, 2 and 5 of each power of ten.
type decades struct{}

// Ticks implements plot.Ticker.
func (decades) Ticks(least, most float64) (all []plot.Tick) {
	for power := math.Floor(math.Log10(least)); power <= math.Log10(most); power++ {
		for _, digit := range []float64{1, 2, 5} {
			if v := digit * math.Pow(10, power); v >= least && v <= most {
				all = append(all, plot.Tick{Value: v, Label: short(v)})
			}
		}
	}
	return all
}

// short formats a number with an SI prefix.
func short(v float64) string {
	for _, unit := range []struct {
		size float64
		name string
	}{{1e9, " G"}, {1e6, " M"}, {1e3, " k"}} {
		if math.Abs(v) >= unit.size {
			return strconv.FormatFloat(v/unit.size, 'g', 4, 64) + unit.name
		}
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}

// short3 is short with three significant digits.
func short3(v float64) string {
	if v == 0 {
		return "0"
	}
	digits := math.Pow(10, 2-math.Floor(math.Log10(math.Abs(v))))
	return short(math.Round(v*digits) / digits)
}
