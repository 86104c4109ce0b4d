package demo

import (
	"math"
	"testing"
)

// bearing is the direction of a path at its beginning, in degrees from north.
func bearing(p Path) float64 {
	north := Point{p.from.point().Lat + 90, p.from.point().Lng}.vector()
	east := vector{-math.Sin(p.from.point().Lng * degree), math.Cos(p.from.point().Lng * degree), 0}
	return math.Mod(math.Atan2(p.ahead.dot(east), p.ahead.dot(north))/degree+360, 360)
}

// Distances and bearings that are known, among them the example of the Aviation Formulary.
func TestPath(t *testing.T) {
	lax, jfk := Point{33.95, -118.4}, Point{40 + 38./60, -73 - 47./60}
	for _, test := range []struct {
		name     string
		from, to Point
		degrees  float64 // of the great circle
		bearing  float64 // -1: any
		part     float64
		at       Point // after that part
	}{
		{"Los Angeles to New York", lax, jfk, 0.623585 / degree, 1.150035 / degree, 0.4, Point{38 + 40.167/60, -101 - 37.570/60}},
		{"and back", jfk, lax, 0.623585 / degree, -1, 1, lax},
		{"along the equator", Point{0, 10}, Point{0, 100}, 90, 90, 0.5, Point{0, 55}},
		{"along a meridian", Point{10, 20}, Point{-40, 20}, 50, 180, 0.2, Point{0, 20}},
		{"over the antimeridian, east", Point{0, 170}, Point{0, -170}, 20, 90, 0.75, Point{0, -175}},
		{"over the antimeridian, west", Point{0, -170}, Point{0, 170}, 20, 270, 0.25, Point{0, -175}},
		{"over the north pole", Point{80, 0}, Point{80, 180}, 20, 0, 0.5, Point{90, 0}},
		{"over the south pole", Point{-70, -90}, Point{-80, 90}, 30, 180, 0.5, Point{-85, -90}},
		{"from the north pole", Point{90, 0}, Point{0, 120}, 90, -1, 0.5, Point{45, 120}},
		{"to the south pole", Point{0, -60}, Point{-90, 0}, 90, 180, 0.5, Point{-45, -60}},
		{"nowhere", Point{51.5, -0.46}, Point{51.5, -0.46}, 0, -1, 0.5, Point{51.5, -0.46}},
		{"nowhere, at a pole", Point{90, 0}, Point{90, 50}, 0, -1, 0.5, Point{90, 0}},
		{"to the opposite point", Point{30, 40}, Point{-30, -140}, 180, -1, 1, Point{-30, -140}},
		{"from pole to pole", Point{90, 0}, Point{-90, 0}, 180, -1, 1, Point{-90, 0}},
	} {
		p := NewPath(test.from, test.to)
		if got := p.angle / degree; math.Abs(got-test.degrees) > 1e-4 {
			t.Errorf("%s: %.5f°, want %.5f°", test.name, got, test.degrees)
		}
		if got := bearing(p); test.bearing >= 0 && math.Abs(got-test.bearing) > 1e-3 && math.Abs(got-test.bearing) < 359.999 {
			t.Errorf("%s: bearing %.4f°, want %.4f°", test.name, got, test.bearing)
		}
		for part, want := range map[float64]Point{0: test.from, test.part: test.at, 1: test.to, 2: test.to, -1: test.from} {
			if got := p.At(part); NewPath(got, want).angle/degree > 1e-4 {
				t.Errorf("%s: after %g of the way %v, want %v", test.name, part, got, want)
			}
		}
		for n := range 101 { // evenly, and within the ranges of degrees
			got := p.At(float64(n) / 100)
			if d := NewPath(test.from, got).angle; math.Abs(d-p.angle*float64(n)/100) > 1e-6 ||
				!(math.Abs(got.Lat) <= 90 && math.Abs(got.Lng) <= 180) {
				t.Errorf("%s: %v after %d%%", test.name, got, n)
			}
		}
	}
}
