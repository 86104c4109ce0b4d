package soak

import (
	"bytes"
	"image/color"
	"math"
	"slices"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

const (
	chartWidth  = 26 * vg.Centimeter
	panelHeight = 5.2 * vg.Centimeter
	legendWidth = 5.2 * vg.Centimeter // to the right of each panel
)

// Colors that can be told apart with any kind of color vision (Okabe and Ito).
var (
	blue   = color.RGBA{0x00, 0x72, 0xB2, 0xFF}
	orange = color.RGBA{0xD5, 0x5E, 0x00, 0xFF}
	green  = color.RGBA{0x00, 0x9E, 0x73, 0xFF}
	purple = color.RGBA{0x9C, 0x4F, 0x8C, 0xFF}
	faint  = color.RGBA{0xB9, 0xC2, 0xCB, 0xFF} // servers that were restarted
	grid   = color.RGBA{0xE6, 0xE9, 0xEC, 0xFF}
	ink    = color.RGBA{0x22, 0x2B, 0x34, 0xFF}
	shade  = color.RGBA{0xF6, 0xDD, 0xCF, 0xFF} // while a fault lasts
)

// panel is one of the plots, which share the axis of time.
type panel struct {
	*plot.Plot
	run  *Run
	unit float64 // seconds of the axis' unit
	keys plot.Legend
}

// chart draws all panels above each other.
func (r *Run) chart() ([]byte, error) {
	panels := []*panel{r.waits(), r.servers("memory of each server, MiB", measures[0], measures[1]),
		r.servers("descriptors and goroutines of each server", measures[2], measures[3]),
		r.servers("log files and journal of each server, MiB", measures[5], measures[4]), r.rates()}
	height := panelHeight * vg.Length(len(panels))
	canvas := vgsvg.New(chartWidth, height)
	whole := draw.New(canvas)
	whole.FillPolygon(color.White, []vg.Point{{}, {X: chartWidth}, {X: chartWidth, Y: height},
		{Y: height}}) // the page may be dark
	tiles := draw.Tiles{Rows: len(panels), Cols: 1, PadTop: vg.Points(6), PadBottom: vg.Points(6),
		PadLeft:  vg.Points(6),
		PadRight: legendWidth, PadY: vg.Points(8)}
	var plots [][]*plot.Plot
	for _, p := range panels {
		plots = append(plots, []*plot.Plot{p.Plot})
	}
	for i, row := range plot.Align(plots, tiles, whole) {
		plots[i][0].Draw(row[0])
		right := row[0]
		right.Min.X, right.Max.X = chartWidth-legendWidth+vg.Points(14), chartWidth
		right.Max.Y -= vg.Points(20)
		panels[i].keys.Draw(right)
	}
	var b bytes.Buffer
	_, err := canvas.WriteTo(&b)
	return b.Bytes(), err
}

func (r *Run) panel(title string) *panel {
	p := &panel{Plot: plot.New(), run: r, unit: 60, keys: plot.NewLegend()}
	label := "minutes"
	if r.Seconds < 180 {
		p.unit, label = 1, "seconds"
	}
	for _, s := range []*font.Font{&p.X.Label.TextStyle.Font, &p.X.Tick.Label.Font, &p.Y.Tick.Label.Font,
		&p.keys.TextStyle.Font, &p.Title.TextStyle.Font} {
		s.Variant, s.Size = "Sans", 9
	}
	p.Title.TextStyle.Font.Size = 11
	p.Title.Text, p.Title.Padding, p.X.Label.Text = title, 5, label
	for _, c := range []*color.Color{&p.Title.TextStyle.Color, &p.X.Label.TextStyle.Color, &p.X.Tick.Label.Color,
		&p.Y.Tick.Label.Color, &p.keys.TextStyle.Color} {
		*c = ink
	}
	p.X.Tick.Marker, p.Y.Tick.Marker = ticks{plot.DefaultTicks{}}, ticks{plot.DefaultTicks{}}
	p.keys.Top, p.keys.Left, p.keys.Padding, p.keys.ThumbnailWidth = true, true, 3, vg.Points(18)
	lines := plotter.NewGrid()
	lines.Vertical.Width, lines.Horizontal.Color = 0, grid
	p.Add(lines)
	return p
}

// done fixes the axes when all data are there, with some room at the top.
func (p *panel) done(room float64) *panel {
	p.X.Min, p.X.Max = 0, p.run.Seconds/p.unit
	if _, log := p.Y.Scale.(plot.LogScale); log {
		p.Y.Max = p.Y.Min * math.Pow(p.Y.Max/p.Y.Min, 1+room)
	} else {
		p.Y.Min, p.Y.Max = 0, max(1, p.Y.Max*(1+room))
	}
	return p
}

// line adds a line, and a name to the legend if there is one.
func (p *panel) line(name string, c color.Color, width vg.Length, dashed bool, at, values []float64) {
	var points plotter.XYs
	for i := range at {
		points = append(points, plotter.XY{X: at[i] / p.unit, Y: values[i]})
	}
	if len(points) == 0 {
		return
	}
	l, err := plotter.NewLine(points)
	if err != nil {
		return // not a number
	}
	l.Color, l.Width = c, width
	if dashed {
		l.Dashes = []vg.Length{vg.Points(4), vg.Points(2)}
	}
	p.Add(l)
	if name != "" {
		p.keys.Add(name, l)
	}
}

// waits are the bystanders' waits, with the faults behind them.
func (r *Run) waits() *panel {
	p := r.panel("bystanders: wait for a reply, ms (logarithmic)")
	var at, p50, p99, longest []float64
	least, most := math.Inf(1), 0.0
	for _, i := range r.Bystanders {
		if i.Waits == 0 {
			continue
		}
		at, p50, p99, longest = append(at, i.At), append(p50, i.P50), append(p99, i.P99), append(longest, i.Max)
		least, most = min(least, i.P50), max(most, i.Max)
	}
	if len(at) == 0 {
		return p.done(0)
	}
	low, high := math.Pow(10, math.Floor(math.Log10(max(least, 0.001)))), math.Pow(10, math.Ceil(math.Log10(max(most,
		0.01))))
	var span *plotter.Polygon
	for _, f := range r.Faults {
		x0, x1 := f.At/p.unit, max(f.End/p.unit, f.At/p.unit+r.Seconds/p.unit/600)
		poly, err := plotter.NewPolygon(plotter.XYs{{X: x0, Y: low}, {X: x1, Y: low}, {X: x1, Y: high * 10}, {X: x0,
			Y: high * 10}})
		if err != nil {
			continue
		}
		poly.Color, poly.LineStyle.Width = shade, 0
		p.Add(poly)
		span = poly
	}
	p.line("longest", faint, 1, false, at, longest)
	p.line("p99", orange, 1.5, false, at, p99)
	p.line("p50", blue, 1.5, false, at, p50)
	if span != nil {
		p.keys.Add("a fault", span)
	}
	p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, ticks{plot.LogTicks{Prec: -1}}
	p.Y.Min, p.Y.Max = low, high
	return p.done(0.05)
}

// servers are two measurements of all servers. Those that were never restarted are highlighted.
func (r *Run) servers(title string, of, dashed measure) *panel {
	p := r.panel(title)
	colors := []color.Color{blue, orange}
	for _, kept := range []bool{false, true} {
		n := 0
		for _, s := range r.Series {
			if slices.Contains(r.Kept, s.Server) != kept {
				continue
			}
			c, width, first, second := color.Color(faint), vg.Length(0.8), "", ""
			if kept {
				c, width = colors[n%2], 1.5
				first, second = s.Server+": "+of.short(), s.Server+": "+dashed.short()
			} else if n == 0 {
				first = "servers that are restarted"
			}
			n++
			p.line(first, c, width, false, s.At, of.of(s))
			p.line(second, c, width, true, s.At, dashed.of(s))
		}
	}
	return p.done(0.08)
}

func (r *Run) rates() *panel {
	p := r.panel("replies to well-behaved clients and attacks, a second")
	var at, replies, attacks []float64
	for _, i := range r.Bystanders {
		at, replies, attacks = append(at, i.At), append(replies, i.Replies), append(attacks, i.Attacks)
	}
	p.line("replies", green, 1.5, false, at, replies)
	p.line("attacks", purple, 1.5, false, at, attacks)
	return p.done(0.05)
}

// short is the name without the unit.
func (m measure) short() string {
	name, _, _ := bytes.Cut([]byte(m.name), []byte(","))
	return string(name)
}

// ticks are labeled with plain numbers: 10,000 and not 1e+04.
type ticks struct{ plot.Ticker }

// Ticks implements plot.Ticker.
func (t ticks) Ticks(least, most float64) (all []plot.Tick) {
	for _, tick := range t.Ticker.Ticks(least, most) {
		if tick.Value < least || tick.Value > most {
			continue
		}
		switch {
		case tick.Label == "":
		case tick.Value >= 1000:
			tick.Label = grouped(int64(tick.Value))
		default:
			tick.Label = strconv.FormatFloat(tick.Value, 'g', 4, 64)
		}
		all = append(all, tick)
	}
	return all
}
