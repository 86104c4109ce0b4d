package places

import "math"

const (
	earthRadiusM = 6371008.8 // IUGG's mean radius
	degree       = math.Pi / 180
	unit         = 1e-5 // degrees per unit of a packed coordinate, about a meter of latitude
)

// Distance returns the great-circle distance in meters of two positions in degrees.
func Distance(lat1, lng1, lat2, lng2 float64) float64 {
	c := newCircle(lat1, lng1, 0)
	return 2 * earthRadiusM * math.Asin(math.Sqrt(min(1, c.haversine(lat2, lng2))))
}

// circle is the area within a distance of a position.
type circle struct {
	lat, lng float64 // degrees
	angle    float64 // the angular radius, in radians
	sin, cos float64 // of lat
	limit    float64 // the haversine of the radius
}

func newCircle(lat, lng, radiusM float64) circle {
	c := circle{lat: lat, lng: lng, angle: min(radiusM/earthRadiusM, math.Pi)}
	c.sin, c.cos = math.Sincos(lat * degree)
	half := math.Sin(c.angle / 2)
	c.limit = half * half
	return c
}

// haversine returns the haversine of the angle between the center and a position: sin²(angle/2), from 0 to
// 1. Unlike the cosine it is accurate for points close together. The cosine of the position's latitude is
// derived from the difference of latitudes, which saves a third trigonometric function.
func (c *circle) haversine(lat, lng float64) float64 {
	a := sine((lat - c.lat) * (degree / 2))
	b := sine((lng - c.lng) * (degree / 2))
	cos := c.cos*(1-2*a*a) - c.sin*2*a*math.Sqrt(1-a*a)
	return a*a + c.cos*cos*b*b
}

// sine is math.Sin, faster for the small angles of a search: there the next term of the series is below the
// last bit.
func sine(x float64) float64 {
	if x > 0.01 || x < -0.01 {
		return math.Sin(x)
	}
	y := x * x
	return x * (1 - y*(1./6)*(1-y*(1./20)))
}

// box is a rectangle on the map, including its edges, in units of packed coordinates.
type box struct{ west, south, east, north int64 }

func (b *box) holds(lat, lng int32) bool {
	return int64(lat) >= b.south && int64(lat) <= b.north &&
		int64(lng) >= b.west && int64(lng) <= b.east
}

// boxes cover the circle: one box, two at the date line, or a whole polar cap if the circle contains a
// pole. They do not overlap.
func (c *circle) boxes() (boxes [2]box, n int) {
	high := c.angle / degree
	south, north := c.lat-high, c.lat+high
	b := box{-180_00000, -outward(-south), 180_00000, outward(north)}
	if north >= 90 || south <= -90 {
		return [2]box{b}, 1
	}
	// The circle is widest in longitude where a meridian is tangent to it.
	wide := math.Asin(min(1, math.Sin(c.angle)/c.cos)) / degree
	b.west, b.east = -outward(wide-c.lng), outward(wide+c.lng)
	other := b
	switch {
	case b.west < -180_00000:
		other.west, other.east = b.west+360_00000, 180_00000
		b.west = -180_00000
	case b.east > 180_00000:
		other.west, other.east = -180_00000, b.east-360_00000
		b.east = 180_00000
	default:
		return [2]box{b}, 1
	}
	return [2]box{b, other}, 2
}

// outward converts an edge to units, rounded away from the center by more than floating-point errors.
func outward(degrees float64) int64 { return int64(math.Ceil(degrees/unit)) + 1 }
