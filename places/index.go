package places

import (
	"context"
	"encoding/json"
	"iter"

	"github.com/tidwall/rtree"
)

// Index is a Provider for places in memory. Immutable: any goroutine.
type Index struct {
	table  table
	runs   rtree.RTreeGN[int64, uint32] // the first place of each run, by the run's bounding box
	rank   Rank
	source string  // prefix of place ids
	before []Field // the members of every answer before its results
}

var _ Provider = (*Index)(nil)

// runLength is how many places share a box of the index. The table is sorted along a curve, so consecutive
// places are near each other and a run's box is small. Fewer boxes make the index faster to build and
// smaller.
const runLength = 16

// newIndex indexes places that are sorted by Curve. Credits are a JSON array.
func newIndex(all table, rank Rank, source, credits string) *Index {
	e := &Index{
		table: all, rank: rank, source: source,
		before: []Field{{attributions, json.RawMessage(credits)}},
	}
	for first := 0; first < e.table.len(); first += runLength {
		b := e.table.around(first, min(first+runLength, e.table.len()))
		e.runs.Insert([2]int64{b.west, b.south}, [2]int64{b.east, b.north}, uint32(first))
	}
	return e
}

// Len is the number of places.
func (e *Index) Len() int { return e.table.len() }

// All returns all places, in the order of the index. Only those of NewEmbedded have a meaningful Kind.
func (e *Index) All() iter.Seq[Place] {
	return func(yield func(Place) bool) {
		// #nosec G115 -- a file has at most maxFilePlaces, the embedded places are fewer
		for i := range uint32(e.table.len()) {
			if !yield(e.table.place(i)) {
				return
			}
		}
	}
}

// Nearby implements Provider. It never fails, never blocks and takes about 20 microseconds. The minimum
// radius is one meter, the resolution of the data.
func (e *Index) Nearby(_ context.Context, q Query) (Result, error) {
	best := top{rank: e.rank}
	e.within(q, func(i uint32, hav float64) {
		best.offer(candidate{i, e.table.class[e.table.kind[i]], hav})
	})
	return e.answer(best.found[:best.n]), nil
}

func (e *Index) types(i uint32) string { return e.table.types[e.table.kind[i]] }

// Count returns the number of places within the query's radius.
func (e *Index) Count(q Query) (n int) {
	e.within(q, func(uint32, float64) { n++ })
	return n
}

// within calls f for each place within the radius, once, with the haversine of its distance.
func (e *Index) within(q Query, f func(i uint32, hav float64)) {
	c := newCircle(q.Lat, q.Lng, float64(max(q.RadiusM, 1)))
	boxes, n := c.boxes()
	for _, b := range boxes[:n] {
		low, high := [2]int64{b.west, b.south}, [2]int64{b.east, b.north}
		e.runs.Search(low, high, func(_, _ [2]int64, first uint32) bool {
			// #nosec G115 -- a file has at most maxFilePlaces, the embedded places are fewer
			for i := first; i < min(first+runLength, uint32(e.table.len())); i++ {
				lat, lng := e.table.lat[i], e.table.lng[i]
				if !b.holds(lat, lng) {
					continue
				}
				if hav := c.haversine(float64(lat)*unit, float64(lng)*unit); hav <= c.limit {
					f(i, hav)
				}
			}
			return true
		})
	}
}
