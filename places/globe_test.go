package places

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// Searches by the index agree with a scan of all places that uses another distance formula.
func TestAgainstBruteForce(t *testing.T) {
	e := embedded(t, ByDistance)
	queries := []Query{
		{0, 179.99, 50_000}, {-16.8, 179.99, 50_000}, {-16.8, -179.99, 50_000}, {65.5, 179.99, 50_000},
		{-89.9, 0, 50_000}, {78.2, 15.6, 50_000}, {82.5, -62.3, 50_000},
		{34.06893, -118.445127, 50_000}, {34.06893, -118.445127, 1}, {35.681236, 139.767125, 50_000},
		{0, 0, 0}, {48.85341, 2.3488, 0}, {-89.9, 0, 1_500_000}, {64, 179, 1_500_000}, {10, 10, 30_000_000},
	}
	chance := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		p := e.table.place(chance.Uint32N(uint32(e.Len())))
		queries = append(queries, Query{
			Lat:     float64(p.Lat)*unit + chance.Float64()/10 - 0.05,
			Lng:     float64(p.Lng)*unit + chance.Float64()/10 - 0.05,
			RadiusM: chance.IntN(50_001),
		})
	}
	checkSearch(t, e, queries)
}

// Generated places near the poles and the date line, where the data have few.
func TestPolesAndDateLine(t *testing.T) {
	var all table
	chance := rand.New(rand.NewPCG(5, 6))
	put := func(n int, south, north, west, east float64) {
		for range n {
			all.lat = append(all.lat, int32(math.Round((south+chance.Float64()*(north-south))/unit)))
			all.lng = append(all.lng, int32(math.Round((west+chance.Float64()*(east-west))/unit)))
		}
	}
	for _, lat := range []float64{0, 45, -60, 80, 89} { // at 89 degrees, about 50 degrees of longitude are near
		put(200, lat-0.7, lat+0.7, 179, 180)
		put(200, lat-0.7, lat+0.7, -180, -179)
	}
	put(2000, 88, 90, -180, 180)
	put(2000, -90, -89, -180, 180)
	put(20, 90, 90, -180, 180)
	put(20, -90, -90, -180, 180)
	put(20, 0, 0, 180, 180)
	put(20, 0, 0, -180, -180)
	all.kind, all.class = make([]uint16, len(all.lat)), make([]uint8, 1)
	all.nameEnd, all.word = make([]uint32, len(all.lat)), make([]uint32, len(all.lat))
	all.words, all.types = []string{""}, []string{"[]"}
	var queries []Query
	for _, lat := range []float64{
		0, 45, -60, 80, 89, 89.5, 89.55, 89.5503, 89.551, 89.9, 90, -89.5, -89.6, -89.9, -90,
	} {
		for _, lng := range []float64{-180, -179.99, -179.6, -100, 0, 10, 179.55, 179.6, 179.99, 180} {
			queries = append(queries, Query{lat, lng, 50_000}, Query{lat, lng, 1_000})
		}
	}
	checkSearch(t, newIndex(all, ByDistance, "test", "[]"), queries)
}

// checkSearch compares searches with a scan of all places.
func checkSearch(t *testing.T, e *Index, queries []Query) {
	t.Helper()
	at := make([]vector, e.Len())
	for i := range at {
		at[i] = vectorOf(float64(e.table.lat[i])*unit, float64(e.table.lng[i])*unit)
	}
	const some = 7 // also check one of so many answers
	for k, q := range queries {
		got := make([]uint8, e.Len())
		e.within(q, func(i uint32, _ float64) { got[i]++ })
		radius, center := float64(max(q.RadiusM, 1)), vectorOf(q.Lat, q.Lng)
		var all []float64
		for i, v := range at {
			m, n := v.meters(center), got[i]
			if n > 0 {
				all = append(all, m)
			}
			if m < radius-1e-3 && n != 1 || m > radius+1e-3 && n != 0 {
				t.Errorf("%+v: place %d at %v m was found %d times", q, i, m, n)
			}
		}
		if k%some == 0 {
			checkNearest(t, e, q, all)
		}
	}
}

// checkNearest compares an answer, sorted by distance, with the distances of all places in range.
func checkNearest(t *testing.T, e *Index, q Query, all []float64) {
	t.Helper()
	slices.Sort(all)
	r, err := e.Nearby(t.Context(), q)
	if err != nil || len(r.Results) != min(len(all), maxResults) {
		t.Fatalf("%+v: %d results of %d places, %v", q, len(r.Results), len(all), err)
	}
	for i, raw := range r.Results {
		s, err := Summarize(raw)
		if err != nil {
			t.Fatal(err)
		}
		m := vectorOf(s.Lat, s.Lng).meters(vectorOf(q.Lat, q.Lng))
		if math.Abs(m-all[i]) > 1e-3 {
			t.Errorf("%+v: result %d is at %v m, want %v", q, i, m, all[i])
		}
	}
}

// vector is a position on the unit sphere.
type vector [3]float64

func vectorOf(lat, lng float64) vector {
	sin, cos := math.Sincos(lat * degree)
	sinL, cosL := math.Sincos(lng * degree)
	return vector{cos * cosL, cos * sinL, sin}
}

// meters is the distance of two vectors over the ground, exact at any distance.
func (a vector) meters(b vector) float64 {
	x, y, z := a[1]*b[2]-a[2]*b[1], a[2]*b[0]-a[0]*b[2], a[0]*b[1]-a[1]*b[0]
	return earthRadiusM * math.Atan2(math.Sqrt(x*x+y*y+z*z), a[0]*b[0]+a[1]*b[1]+a[2]*b[2])
}

func TestDistance(t *testing.T) {
	chance := rand.New(rand.NewPCG(3, 4))
	for range 1000 {
		lat1, lng1 := chance.Float64()*180-90, chance.Float64()*360-180
		lat2, lng2 := chance.Float64()*180-90, chance.Float64()*360-180
		got, want := Distance(lat1, lng1, lat2, lng2), vectorOf(lat1, lng1).meters(vectorOf(lat2, lng2))
		if math.Abs(got-want) > 1e-3 {
			t.Errorf("%v %v to %v %v: %v, want %v", lat1, lng1, lat2, lng2, got, want)
		}
	}
	for _, c := range [][5]float64{
		{0, 0, 0, 0, 0}, {0, 179.5, 0, -179.5, 111195.08}, {90, 0, 90, 123, 0},
		{90, 0, -90, 50, math.Pi * earthRadiusM},
	} {
		if got := Distance(c[0], c[1], c[2], c[3]); math.Abs(got-c[4]) > 0.01 {
			t.Errorf("%v: %v", c, got)
		}
	}
}
