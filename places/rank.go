package places

import "fmt"

// Rank is the order of places in answers from the embedded data.
type Rank uint8

const (
	// ByClass orders by class (towns, airports, small airfields, heliports), then by distance. By distance
	// alone, most of the first 20 places near UCLA are heliports.
	ByClass Rank = iota
	// ByDistance orders by distance alone.
	ByDistance
)

// ParseRank parses "class" or "distance".
func ParseRank(name string) (Rank, error) {
	switch name {
	case "class":
		return ByClass, nil
	case "distance":
		return ByDistance, nil
	}
	return 0, fmt.Errorf("invalid rank %q: expected \"class\" or \"distance\"", name)
}

// maxResults is the maximum number of places in an answer, as with Google.
const maxResults = 20

// candidate is a place within the radius.
type candidate struct {
	place uint32
	class uint8
	hav   float64 // the haversine of its distance, which increases with the distance
}

// top keeps the best candidates, in order. Equal ones keep the order of the table.
type top struct {
	rank  Rank
	n     int
	found [maxResults]candidate
}

func (t *top) before(a, b *candidate) bool {
	if t.rank == ByClass && a.class != b.class {
		return a.class < b.class
	}
	return a.hav < b.hav || a.hav == b.hav && a.place < b.place
}

// offer keeps c if it is among the best so far. O(maxResults), but most candidates are rejected
// immediately.
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
