package places

import (
	"context"
	"fmt"
	"math"

	"github.com/tidwall/rtree"
)

// Rank is the order of the embedded data's answers.
type Rank uint8

const (
	// ByClass puts towns before airports before small fields before heliports, each by distance.
	// By distance alone, 14 of the first 20 places near UCLA are heliports.
	ByClass Rank = iota
	// ByDistance is by distance alone.
	ByDistance
)

// ParseRank finds a rank by its name, class or distance.
func ParseRank(name string) (Rank, error) {
	switch name {
	case "class":
		return ByClass, nil
	case "distance":
		return ByDistance, nil
	}
	return 0, fmt.Errorf("rank %q is neither \"class\" nor \"distance\"", name)
}

// maxResults is how many places an answer has at most, as Google's.
const maxResults = 20

// Embedded is the Provider of the data in the binary, in memory. Immutable: any goroutine.
type Embedded struct {
	table table
	index rtree.RTreeGN[float32, uint32] // by longitude and latitude, in degrees
	rank  Rank
}

var _ Provider = (*Embedded)(nil)

// NewEmbedded unpacks and indexes the data, which takes some 100 ms and 20 MB.
func NewEmbedded(rank Rank) (*Embedded, error) {
	e := &Embedded{rank: rank}
	for _, packed := range [][]byte{packedGeoNames, packedAirports} {
		if err := e.table.add(packed); err != nil {
			return nil, err
		}
	}
	for i := range e.table.len() {
		at := [2]float32{float32(e.table.lng[i]) * unit, float32(e.table.lat[i]) * unit}
		e.index.Insert(at, at, uint32(i))
	}
	return e, nil
}

// Len is the number of places.
func (e *Embedded) Len() int { return e.table.len() }

// Nearby implements Provider. It never fails and takes some 20 microseconds.
func (e *Embedded) Nearby(_ context.Context, q Query) (Result, error) {
	var best top
	best.rank = e.rank
	e.within(q, func(i uint32, metres float64) {
		best.offer(candidate{i, e.table.kind[i].class(), metres})
	})
	return e.answer(best.found[:best.n]), nil
}

// Count is how many places there are within the query's radius.
func (e *Embedded) Count(q Query) (n int) {
	e.within(q, func(uint32, float64) { n++ })
	return n
}

// within calls f for each place within the radius. The boxes that it searches are a little larger
// than need be, since the index holds single precision; the distance decides.
func (e *Embedded) within(q Query, f func(i uint32, metres float64)) {
	radius := float64(q.RadiusM)
	sin, cos := math.Sincos(q.Lat * degree)
	for _, b := range boxes(q.Lat, q.Lng, radius) {
		e.index.Search([2]float32{float32(b.west), float32(b.south)}, [2]float32{float32(b.east), float32(b.north)},
			func(_, _ [2]float32, i uint32) bool {
				m := distance(sin, cos, q.Lng, float64(e.table.lat[i])*unit, float64(e.table.lng[i])*unit)
				if m <= radius {
					f(i, m)
				}
				return true
			})
	}
}

const (
	earthRadiusM = 6371008.8 // IUGG's mean radius
	degree       = math.Pi / 180
	slack        = 1e-4 // degrees: more than single precision loses at 180
)

// box is a part of the map, in degrees.
type box struct{ west, south, east, north float64 }

// boxes cover the circle around a position: one box, two at the date line, and a whole cap where
// the circle holds a pole.
func boxes(lat, lng, radius float64) []box {
	angle := radius / earthRadiusM
	b := box{-180, lat - angle/degree - slack, 180, lat + angle/degree + slack}
	if b.north >= 90 || b.south <= -90 {
		return []box{b}
	}
	// Seen from the pole, the circle is widest where its meridian is a tangent.
	wide := math.Asin(math.Min(1, math.Sin(angle)/math.Cos(lat*degree)))/degree + slack
	b.west, b.east = lng-wide, lng+wide
	switch {
	case b.west < -180:
		return []box{{-180, b.south, b.east, b.north}, {b.west + 360, b.south, 180, b.north}}
	case b.east > 180:
		return []box{{b.west, b.south, 180, b.north}, {-180, b.south, b.east - 360, b.north}}
	}
	return []box{b}
}

// Distance is how far two positions, in degrees, are apart on a sphere, in metres.
func Distance(lat1, lng1, lat2, lng2 float64) float64 {
	sin, cos := math.Sincos(lat1 * degree)
	return distance(sin, cos, lng1, lat2, lng2)
}

// distance takes the sine and cosine of the first latitude. It goes by the chord, which is exact
// for points close together, where the angle's cosine is not.
func distance(sin1, cos1, lng1, lat2, lng2 float64) float64 {
	sin2, cos2 := math.Sincos(lat2 * degree)
	sinL, cosL := math.Sincos((lng2 - lng1) * degree)
	x, y, z := cos2*cosL-cos1, cos2*sinL, sin2-sin1
	return 2 * earthRadiusM * math.Asin(math.Min(1, math.Sqrt(x*x+y*y+z*z)/2))
}

// candidate is a place within the radius.
type candidate struct {
	place  uint32
	class  uint8
	metres float64
}

// top keeps the best candidates, in order. Equal ones stay in the order of the data.
type top struct {
	rank  Rank
	n     int
	found [maxResults]candidate
}

func (t *top) before(a, b *candidate) bool {
	if t.rank == ByClass && a.class != b.class {
		return a.class < b.class
	}
	return a.metres < b.metres || a.metres == b.metres && a.place < b.place
}

func (t *top) offer(c candidate) {
	if t.n == len(t.found) {
		if !t.before(&c, &t.found[t.n-1]) {
			return
		}
		t.n--
	}
	i := t.n
	for ; i > 0 && t.before(&c, &t.found[i-1]); i-- {
		t.found[i] = t.found[i-1]
	}
	t.found[i] = c
	t.n++
}
