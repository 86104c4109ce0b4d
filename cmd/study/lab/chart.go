package lab

import (
	"bytes"
	"fmt"
	"image/color"
	"math"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Sizes of a chart. The legend is to the right of the data.
const (
	chartWidth  = 18 * vg.Centimeter
	chartHeight = 9 * vg.Centimeter
	legendWidth = 4 * vg.Centimeter
	barHeight   = 0.6 * vg.Centimeter
)

// charts draws a chart for each series of a figure: a line per subject over the variable, or bars if the
// series has one setting. Error bars are minimum and maximum.
func charts(d *Data, f Figure, draw func(title string, svg []byte)) error {
	for _, series := range seriesOf(d.Settings) {
		var settings []Setting
		for _, s := range d.Settings {
			if s.Series == series {
				settings = append(settings, s)
			}
		}
		title := d.Name + ": " + f.Name
		switch {
		case len(settings) == 1: // the label includes the series
			title += ", " + settings[0].Label
		case series != "":
			title += ", " + series
		}
		svg, err := drawn(d, f, settings)
		if err != nil {
			return fmt.Errorf("chart %s: %w", title, err)
		}
		if svg != nil {
			draw(title, svg)
		}
	}
	return nil
}

// drawn draws one chart; nil if there is no data. It recovers from panics of the library, so that the
// report is completed.
func drawn(d *Data, f Figure, settings []Setting) (svg []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	c, any := newChart(d, f), false
	if len(settings) == 1 {
		any, err = c.bars(d, f, settings[0])
	} else {
		any, err = c.lines(d, f, settings)
	}
	if err != nil || !any {
		return nil, err
	}
	return c.svg(len(settings) > 1)
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

// chart is one plot.
type chart struct {
	plot   *plot.Plot
	legend plot.Legend // of lines; bars are labeled at the axis
	height vg.Length
}

func newChart(d *Data, f Figure) *chart {
	p, legend := plot.New(), plot.NewLegend()
	for _, s := range []*font.Font{
		&p.X.Label.TextStyle.Font, &p.Y.Label.TextStyle.Font, &p.X.Tick.Label.Font, &p.Y.Tick.Label.Font,
		&legend.TextStyle.Font, &p.Title.TextStyle.Font,
	} {
		s.Variant, s.Size = "Sans", 10
	}
	// The label of Y is the title: the library reserves space for it twice along a logarithmic axis.
	p.X.Label.Text, p.Title.Text, p.Title.Padding = d.Variable, f.Name+", "+f.Unit, 3
	legend.Top, legend.Left, legend.Padding = true, true, 3
	p.Y.Tick.Marker = ticks{plot.DefaultTicks{}}
	return &chart{p, legend, chartHeight}
}

// points are a subject's values by setting, for package plotter.
type points struct {
	plotter.XYs
	plotter.YErrors
}

// whisker is the error bar of a summary.
func whisker(s Summary) struct{ Low, High float64 } {
	return struct{ Low, High float64 }{s.Median - s.Min, s.Max - s.Median}
}

// lines draws a line per subject.
func (c *chart) lines(d *Data, f Figure, settings []Setting) (any bool, err error) {
	grid := plotter.NewGrid()
	grid.Vertical.Width = 0
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
			least = min(least, sum.Min)
			linearX = linearX || s.X <= 0
		}
		if len(p.XYs) == 0 {
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
		colors := plotutil.DarkColors
		line.Color = colors[i%len(colors)]
		line.Dashes = plotutil.Dashes(i / len(colors)) // a repeated color is dashed
		dots.Color, dots.Shape, bars.Color = line.Color, plotutil.Shape(i), line.Color
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
		c.plot.Y.Scale, c.plot.Y.Tick.Marker = plot.LogScale{}, ticks{plot.LogTicks{Prec: -1}}
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

// spans are the points of horizontal bars.
type spans struct {
	plotter.XYs
	plotter.XErrors
}

// bars draws a bar per subject, the first at the top.
func (c *chart) bars(d *Data, f Figure, s Setting) (any bool, err error) {
	var names []string
	var p spans
	var lengths plotter.Values
	for i := len(d.Subjects) - 1; i >= 0; i-- {
		sum := d.summary(d.Subjects[i], s.Label, f.Name)
		if sum.N == 0 {
			continue
		}
		p.XYs = append(p.XYs, plotter.XY{X: sum.Median, Y: float64(len(names))})
		p.XErrors = append(p.XErrors, whisker(sum))
		lengths = append(lengths, sum.Median)
		names = append(names, d.Subjects[i])
	}
	if len(names) == 0 {
		return false, nil
	}
	bars, err := plotter.NewBarChart(lengths, barHeight)
	if err != nil {
		return false, err
	}
	bars.Horizontal, bars.Color, bars.LineStyle.Width = true, color.Gray{0xB0}, 0
	whiskers, err := plotter.NewXErrorBars(p)
	if err != nil {
		return false, err
	}
	grid := plotter.NewGrid()
	grid.Horizontal.Width = 0
	c.plot.Add(grid, bars, whiskers)
	c.plot.NominalY(names...)
	c.plot.Y.Min, c.plot.Y.Max = -0.6, float64(len(names))-0.4
	c.plot.X.Label.Text, c.plot.X.Min = "", min(0, c.plot.X.Min)
	c.plot.X.Tick.Marker = ticks{plot.DefaultTicks{}}
	c.height = vg.Length(len(names))*1.6*barHeight + 2*vg.Centimeter
	return true, nil
}

func (c *chart) svg(legend bool) ([]byte, error) {
	canvas := vgsvg.New(chartWidth, c.height)
	data := draw.New(canvas)
	data.FillPolygon(color.White, []vg.Point{ // includes the legend: the page may be dark
		{}, {X: chartWidth}, {X: chartWidth, Y: c.height}, {Y: c.height},
	})
	if legend {
		c.legend.Draw(draw.Crop(data, chartWidth-legendWidth, 0, 0, 0))
		data = draw.Crop(data, 0, -legendWidth, 0, 0)
	}
	c.plot.Draw(data)
	var b bytes.Buffer
	_, err := canvas.WriteTo(&b)
	return b.Bytes(), err
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
