// Command coastline makes the coastlines of the page's map from an npm package:
//
//	from=$(mktemp -d)
//	(cd $from && tar xzf $(npm pack --silent world-atlas@2.0.2))
//	go run ./cmd/herd/console/site/coastline -from $from/package
//
// world-atlas (ISC license) is Natural Earth's data, which is in the public domain, as TopoJSON. A file that is made is
// uvarints: the number of rings, and for each ring the number of its points and then, zigzag coded, how much farther
// east and north each one is than the one before it, in units of 1/200 degree. The first point of the file counts from
// 0, 0, the first one of any other ring from the last point before it. The last point of a ring is connected with its
// first one. A ring that crosses the date line goes on beyond 180 degrees, up to 360, and Antarctica's goes around the world and
// then along the pole. Land is what is inside an odd number of rings. Long rings come first. assets/land.js reads it.
package main

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"math"
	"os"
	"path/filepath"
	"slices"
)

// sources are the files of world-atlas 2.0.2 with their checksums.
var sources = []struct{ from, sum, to string }{
	{"land-110m.json", "ead5f68119c49a9250902e7da303bcb209341bbb8fefe7369a439b48b704658a", "land-110m.bin"},
	{"land-50m.json", "619477ff690c086885e45cb91707d783805561bd75ae8e437b7d4694b0204e0f", "land-50m.bin"},
}

const perDegree = 200

func main() {
	log.SetFlags(0)
	from := flag.String("from", ".", "folder of the unpacked package")
	to := flag.String("to", "cmd/herd/console/site/assets", "folder of the files to make")
	flag.Parse()
	for _, s := range sources {
		if err := convert(filepath.Join(*from, s.from), s.sum, filepath.Join(*to, s.to)); err != nil {
			log.Fatal(err)
		}
	}
}

func convert(from, sum, to string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if got := fmt.Sprintf("%x", sha256.Sum256(text)); got != sum {
		return fmt.Errorf("%s: sha256 %s, expected %s", from, got, sum)
	}
	var t topology
	if err := json.Unmarshal(text, &t); err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	packed, points := pack(t.rings())
	fmt.Printf("%s: %d points, %d bytes\n", to, points, len(packed))
	return os.WriteFile(to, packed, 0o644)
}

// topology is a TopoJSON file of land: a collection of one MultiPolygon.
type topology struct {
	Arcs      [][][2]float64 // points, each as the difference from the one before it
	Transform struct{ Scale, Translate [2]float64 }
	Objects   struct {
		Land struct {
			Geometries []struct {
				Arcs [][][]int // polygons of rings of arcs: i, or ^i for arc i from its end to its beginning
			}
		}
	}
}

// point is a position in units of 1/perDegree degree.
type point struct{ x, y int64 }

// rings returns the rings of all polygons, the longest first, without points that are equal to the one before.
func (t *topology) rings() (all [][]point) {
	for _, g := range t.Objects.Land.Geometries {
		for _, polygon := range g.Arcs {
			for _, arcs := range polygon {
				var ring []point
				for _, i := range arcs {
					if i >= 0 {
						ring = append(ring, t.arc(i)...)
						continue
					}
					back := t.arc(^i)
					slices.Reverse(back)
					ring = append(ring, back...)
				}
				ring = slices.Compact(unwrap(ring))
				if len(ring) >= 3 {
					all = append(all, ring)
				}
			}
		}
	}
	slices.SortStableFunc(all, func(a, b []point) int { return cmp.Compare(len(b), len(a)) })
	return all
}

// unwrap makes a closed ring, which ends where it begins, continuous at the date line, and leaves out its end.
func unwrap(ring []point) []point {
	const around, pole = 360 * perDegree, -90 * perDegree
	for i := 1; i < len(ring); i++ {
		for ring[i].x-ring[i-1].x > around/2 {
			ring[i].x -= around
		}
		for ring[i].x-ring[i-1].x < -around/2 {
			ring[i].x += around
		}
	}
	west := slices.MinFunc(ring, func(a, b point) int { return cmp.Compare(a.x, b.x) }).x
	turn := int64(math.Floor(float64(west+around/2)/around)) * around
	for i := range ring {
		ring[i].x -= turn // its western end is within 180 degrees
	}
	first, last := ring[0], ring[len(ring)-1]
	if first.x != last.x {
		return append(ring, point{last.x, pole}, point{first.x, pole})
	}
	return ring[:len(ring)-1]
}

func (t *topology) arc(i int) (points []point) {
	var sum [2]float64
	unit := func(k int) int64 {
		return int64(math.Round((sum[k]*t.Transform.Scale[k] + t.Transform.Translate[k]) * perDegree))
	}
	for _, d := range t.Arcs[i] {
		sum[0] += d[0]
		sum[1] += d[1]
		points = append(points, point{unit(0), unit(1)})
	}
	return points
}

func pack(rings [][]point) (packed []byte, points int) {
	packed = binary.AppendUvarint(packed, uint64(len(rings)))
	var last point
	for _, ring := range rings {
		points += len(ring)
		packed = binary.AppendUvarint(packed, uint64(len(ring)))
		for _, p := range ring {
			packed = binary.AppendVarint(packed, p.x-last.x)
			packed = binary.AppendVarint(packed, p.y-last.y)
			last = p
		}
	}
	return packed, points
}
