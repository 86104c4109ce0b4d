package site

import (
	"encoding/binary"
	"testing"
)

// coast is the rings of a coastline: points in units of 1/200 degree.
type coast [][][2]int64

func readCoast(t *testing.T, packed []byte) (c coast) {
	t.Helper()
	uvarint := func() int {
		v, n := binary.Uvarint(packed)
		if n <= 0 {
			t.Fatal("the file is cut off")
		}
		packed = packed[n:]
		return int(v)
	}
	varint := func() int64 {
		v, n := binary.Varint(packed)
		if n <= 0 {
			t.Fatal("the file is cut off")
		}
		packed = packed[n:]
		return v
	}
	var at [2]int64
	for range uvarint() {
		ring := make([][2]int64, uvarint())
		for i := range ring {
			at[0] += varint()
			at[1] += varint()
			ring[i] = at
		}
		c = append(c, ring)
	}
	if len(packed) > 0 {
		t.Errorf("%d bytes too many", len(packed))
	}
	return c
}

// land reports whether a place is inside an odd number of rings, as a canvas fills them, which the page draws three times,
// one turn of the world apart.
func (c coast) land(lat, lng float64) (inside bool) {
	for _, turn := range []float64{-360, 0, 360} {
		x, y := (lng+turn)*200+0.25, lat*200+0.25
		for _, ring := range c {
			last := ring[len(ring)-1]
			for _, p := range ring {
				if (float64(p[1]) > y) != (float64(last[1]) > y) &&
					x < float64(last[0]-p[0])*(y-float64(p[1]))/float64(last[1]-p[1])+float64(p[0]) {
					inside = !inside
				}
				last = p
			}
		}
	}
	return inside
}

// The coastlines have land and sea where the world has them.
func TestCoastlines(t *testing.T) {
	for _, one := range []struct {
		file          string
		rings, points int
	}{{"land-110m.bin", 126, 4999}, {"land-50m.bin", 1420, 59206}} {
		t.Run(one.file, func(t *testing.T) {
			packed, err := assets.ReadFile("assets/" + one.file)
			if err != nil {
				t.Fatal(err)
			}
			c := readCoast(t, packed)
			points := 0
			for _, ring := range c {
				points += len(ring)
				for i, p := range ring {
					last := ring[(i+len(ring)-1)%len(ring)]
					if d := p[0] - last[0]; p[1] < -90*200 || p[1] > 90*200 || p[0] < -180*200 || p[0] > 360*200 ||
						(d > 60*200 || d < -60*200) && p[1] > -90*200 {
						t.Fatalf("%v after %v", p, last)
					}
				}
			}
			if len(c) != one.rings || points != one.points {
				t.Errorf("%d rings, %d points", len(c), points)
			}
			for _, place := range []struct {
				name     string
				lat, lng float64
				land     bool
			}{
				{"Paris", 48.85, 2.35, true}, {"Denver", 39.7, -105, true}, {"Alice Springs", -23.7, 133.9, true},
				{"Manaus", -3.1, -60, true}, {"Moscow", 55.75, 37.6, true}, {"Chukotka, beyond the date line", 67, -175, true},
				{"Chukotka, before it", 67, 175, true}, {"South Pole", -89.5, 12, true}, {"Vostok", -78.5, 106.8, true},
				{"Atlantic", 35, -40, false}, {"Pacific", 0, -150, false}, {"Indian Ocean", -30, 80, false},
				{"at the date line", 10, 179.9, false}, {"Mediterranean", 35, 18, false}, {"Caspian Sea", 42, 50.5, false},
				{"Arctic Ocean", 88, 0, false},
			} {
				if got := c.land(place.lat, place.lng); got != place.land {
					t.Errorf("%s: land %v", place.name, got)
				}
			}
		})
	}
}
