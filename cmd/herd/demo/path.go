package demo

import "math"

// Point is a position in degrees, north and east positive.
type Point struct{ Lat, Lng float64 }

// vector is a point on the unit sphere: x to 0° east on the equator, z to the north pole.
type vector [3]float64

const degree = math.Pi / 180

func (p Point) vector() vector {
	sinLat, cosLat := math.Sincos(p.Lat * degree)
	sinLng, cosLng := math.Sincos(p.Lng * degree)
	return vector{cosLat * cosLng, cosLat * sinLng, sinLat}
}

func (v vector) point() Point {
	return Point{math.Atan2(v[2], math.Hypot(v[0], v[1])) / degree, math.Atan2(v[1], v[0]) / degree}
}

func (v vector) dot(w vector) float64 { return v[0]*w[0] + v[1]*w[1] + v[2]*w[2] }

// plus returns a*v + b*w.
func (v vector) plus(a float64, w vector, b float64) vector {
	return vector{a*v[0] + b*w[0], a*v[1] + b*w[1], a*v[2] + b*w[2]}
}

// Path is the shortest way between two points: an arc of a great circle. Between opposite points it is one of the many.
type Path struct {
	from  vector
	ahead vector  // perpendicular to from, in the direction of the path
	angle float64 // from end to end, in radians
}

// NewPath returns the path between two points.
func NewPath(from, to Point) Path {
	a, b := from.vector(), to.vector()
	cos := a.dot(b)
	side := b.plus(1, a, -cos)
	sin := math.Sqrt(side.dot(side))
	p := Path{from: a, angle: math.Atan2(sin, cos)}
	if sin < 1e-9 { // the same point or the opposite one: any direction
		axis := vector{0, 0, 1}
		if math.Abs(a[2]) > 0.5 {
			axis = vector{1, 0, 0}
		}
		side = axis.plus(1, a, -axis.dot(a))
		sin = math.Sqrt(side.dot(side))
	}
	p.ahead = side.plus(1/sin, side, 0)
	return p
}

// At returns the point after a part of the path, from 0 to 1.
func (p Path) At(part float64) Point {
	sin, cos := math.Sincos(p.angle * min(max(part, 0), 1))
	return p.from.plus(cos, p.ahead, sin).point()
}
