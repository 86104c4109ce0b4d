package lab

import (
	"bytes"
	"image/color"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// chartWidth is the width of every chart.
const chartWidth = 18 * vg.Centimeter

// Colors. Those of subjects are of Okabe and Ito's palette, which color-blind people can tell apart; black text has
// enough contrast on white, and so have the two grays.
var (
	black  = rgb(0x1F2328)
	muted  = rgb(0x59636E)
	faint  = rgb(0xD1D9E0)
	band   = rgb(0xEEF1F4)
	blue   = rgb(0x0072B2)
	orange = rgb(0xD55E00)
)

// colorsOf are the colors of subjects: blue and orange for the two of a question, others for what is beside them.
var colorsOf = map[string]color.Color{
	"loop": blue, flooding: blue, thisHerd: blue, "one loop": blue, "ring": blue, withoutTLS: blue,
	"goroutines": orange, asking: orange, otherHerd: orange, "mesh": orange, tlsRequired: orange,
	"owner": rgb(0x8C6BB1), "random": rgb(0x009E73), tlsOptional: rgb(0x009E73),
	twisted: rgb(0x009E73), nodeJS: rgb(0xB8860B), "asyncio": rgb(0xC06090),
	redis: muted, redisBenchmark: muted, bareLoop: rgb(0x56A0CC), bareGoroutines: rgb(0xE69F50),
}

func rgb(x uint32) color.NRGBA { return color.NRGBA{uint8(x >> 16), uint8(x >> 8), uint8(x), 255} }

func colorOf(subject string) color.Color {
	if c, ok := colorsOf[subject]; ok {
		return c
	}
	return muted
}

// canvas is a chart that is drawn by hand: a title, and rows from the top to the bottom.
type canvas struct {
	svg    *vgsvg.Canvas
	draw   draw.Canvas
	height vg.Length
}

func newCanvas(height vg.Length) *canvas {
	svg := vgsvg.New(chartWidth, height)
	c := &canvas{svg, draw.New(svg), height}
	c.rectangle(0, 0, chartWidth, height, color.White) // the page may be dark
	return c
}

// textStyle is a sans-serif style.
func textStyle(size vg.Length, bold bool, c color.Color) text.Style {
	f := font.Font{Typeface: "Liberation", Variant: "Sans", Size: size}
	if bold {
		f.Weight = 2 // xfont.WeightBold-1 of x/image is semi-bold; the fonts have bold
	}
	return text.Style{Color: c, Font: f, Handler: plot.DefaultTextHandler}
}

// Alignments of text.
const (
	left, center, right = text.XLeft, text.XCenter, text.XRight
)

// write draws text. X is by the alignment, y the middle of the line, from the top.
func (c *canvas) write(s text.Style, x, y vg.Length, align text.XAlignment, words string) {
	s.XAlign, s.YAlign = align, text.YCenter
	c.draw.FillText(s, vg.Point{X: x, Y: c.height - y}, words)
}

func (c *canvas) rectangle(x, y, width, height vg.Length, fill color.Color) {
	top := c.height - y
	c.draw.FillPolygon(fill, []vg.Point{
		{X: x, Y: top}, {X: x + width, Y: top}, {X: x + width, Y: top - height}, {X: x, Y: top - height},
	})
}

func (c *canvas) line(x1, y1, x2, y2, width vg.Length, ink color.Color) {
	c.draw.StrokeLine2(draw.LineStyle{Color: ink, Width: width}, x1, c.height-y1, x2, c.height-y2)
}

// dot draws a filled circle, or a ring.
func (c *canvas) dot(x, y, radius vg.Length, ink color.Color, filled bool) {
	at := vg.Point{X: x, Y: c.height - y}
	c.draw.DrawGlyph(draw.GlyphStyle{Color: ink, Radius: radius, Shape: draw.CircleGlyph{}}, at)
	if !filled {
		c.draw.DrawGlyph(draw.GlyphStyle{Color: color.White, Radius: radius - 1.3, Shape: draw.CircleGlyph{}}, at)
	}
}

func (c *canvas) bytes() ([]byte, error) { return svgBytes(c.svg) }

// svgBytes is a chart with fonts that every system has something like.
func svgBytes(svg *vgsvg.Canvas) ([]byte, error) {
	var b bytes.Buffer
	_, err := svg.WriteTo(&b)
	return bytes.ReplaceAll(b.Bytes(), []byte("font-family:Liberation Sans;"),
		[]byte("font-family:Liberation Sans,Arial,Helvetica,sans-serif;")), err
}

// widest is the width of the widest text.
func widest(s text.Style, words []string) (most vg.Length) {
	for _, w := range words {
		most = max(most, s.Width(w))
	}
	return most
}

// steps are the ticks of an axis from 0 that ends at the greatest value or a little behind it.
func steps(greatest float64) (ticks []float64, end float64) {
	if greatest <= 0 {
		return []float64{0, 1}, 1
	}
	size := math.Pow(10, math.Floor(math.Log10(greatest)))
	step := size
	for _, part := range []float64{5, 2, 1, 0.5} {
		if greatest/(size/part) <= 6 {
			step = size / part
			break
		}
	}
	for x := 0.0; x <= greatest*1.0001; x += step {
		ticks = append(ticks, x)
	}
	return ticks, greatest * 1.02
}
