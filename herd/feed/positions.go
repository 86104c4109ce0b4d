package feed

import "slices"

// positions is the feed: which cell is at which position. A position is taken once and becomes a hole when its record
// moves. Positions are in segments, segments in groups. Empty ones are given back, so that a client that has not moved
// for long costs a segment and not all that came since.
type positions struct {
	tail   uint64 // the last position that was taken; 0: none
	first  uint64 // number of groups[0]
	groups []*group
	spare  *segment // empty and dense, to be used next
}

// group is 1<<groupBits segments, nil where there is none.
type group struct {
	count    int
	segments [1 << groupBits]*segment
}

// segment is 1<<segmentBits positions. A dense one has a place for each, 0 where there is a hole. A sparse one has
// sorted lists, in which holes may be left.
type segment struct {
	count  int // without holes
	dense  *[1 << segmentBits]ref
	places []uint16
	refs   []ref
}

const (
	segmentBits = 12
	groupBits   = 12
	// sparse is how many records a segment has when it becomes sparse: it takes less memory then, and those who
	// follow the feed do not look at too many holes.
	sparse = 1 << segmentBits / 8
)

// split splits a position.
func split(seq uint64) (group, segment uint64, place uint16) {
	return seq >> (segmentBits + groupBits), seq >> segmentBits % (1 << groupBits), uint16(seq % (1 << segmentBits))
}

// add takes the next position for a cell.
func (p *positions) add(r ref) (seq uint64) {
	p.tail++
	g, s, place := split(p.tail)
	if place == 0 {
		p.settle(p.tail - 1)
	}
	if len(p.groups) == 0 {
		p.first = g
	}
	for g >= p.first+uint64(len(p.groups)) {
		p.groups = append(p.groups, nil)
	}
	in := &p.groups[g-p.first]
	if *in == nil {
		*in = &group{}
	}
	to := &(*in).segments[s]
	if *to == nil {
		(*in).count++
		if *to, p.spare = p.spare, nil; *to == nil {
			*to = &segment{dense: new([1 << segmentBits]ref)}
		}
	}
	(*to).dense[place] = r
	(*to).count++
	return p.tail
}

// segment returns the segment of a position, which must be taken.
func (p *positions) segment(seq uint64) (*segment, uint16) {
	g, s, place := split(seq)
	return p.groups[g-p.first].segments[s], place
}

// replace changes the cell at a position.
func (p *positions) replace(seq uint64, r ref) {
	s, place := p.segment(seq)
	*s.at(place) = r
}

// remove makes a position a hole.
func (p *positions) remove(seq uint64) {
	s, place := p.segment(seq)
	*s.at(place) = 0
	s.count--
	if seq>>segmentBits != p.tail>>segmentBits { // that one is settled when the next one begins
		p.settle(seq)
	}
}

// settle makes the segment of a position as small as it may be.
func (p *positions) settle(seq uint64) {
	s, _ := p.segment(seq)
	switch {
	case s == nil: // position 0 alone
	case s.count == 0:
		p.release(seq)
	case s.dense != nil && s.count <= sparse, s.dense == nil && s.count < len(s.refs)/2:
		s.compact()
	}
}

// release gives an empty segment back, and its group if that is empty, too.
func (p *positions) release(seq uint64) {
	g, n, _ := split(seq)
	in := p.groups[g-p.first]
	if s := in.segments[n]; s.dense != nil {
		p.spare = s
	}
	in.segments[n] = nil
	if in.count--; in.count > 0 {
		return
	}
	p.groups[g-p.first] = nil
	for len(p.groups) > 0 && p.groups[0] == nil {
		p.groups = p.groups[1:]
		p.first++
	}
}

// next returns the first position after seq that has a cell, and the cell; false: there is none.
func (p *positions) next(seq uint64) (uint64, ref, bool) {
	if seq = max(seq+1, p.first<<(segmentBits+groupBits)); seq > p.tail {
		return 0, 0, false
	}
	g, n, place := split(seq)
	for ; g < p.first+uint64(len(p.groups)); g, n, place = g+1, 0, 0 {
		in := p.groups[g-p.first]
		if in == nil {
			continue
		}
		for ; n < 1<<groupBits; n, place = n+1, 0 {
			if in.segments[n] == nil {
				continue
			}
			if at, r := in.segments[n].next(place); r != 0 {
				return g<<(segmentBits+groupBits) | n<<segmentBits | uint64(at), r, true
			}
		}
	}
	return 0, 0, false
}

// at returns where the cell of a place is, which must be there.
func (s *segment) at(place uint16) *ref {
	if s.dense != nil {
		return &s.dense[place]
	}
	i, _ := slices.BinarySearch(s.places, place)
	return &s.refs[i]
}

// next returns the first place from place on that has a cell, and the cell; 0: there is none.
func (s *segment) next(place uint16) (uint16, ref) {
	if s.dense != nil {
		for i, r := range s.dense[place:] {
			if r != 0 {
				return place + uint16(i), r
			}
		}
		return 0, 0
	}
	i, _ := slices.BinarySearch(s.places, place)
	for ; i < len(s.refs); i++ {
		if s.refs[i] != 0 {
			return s.places[i], s.refs[i]
		}
	}
	return 0, 0
}

// compact makes a segment sparse and removes its holes.
func (s *segment) compact() {
	small := segment{count: s.count, places: make([]uint16, 0, s.count), refs: make([]ref, 0, s.count)}
	for place, r := s.next(0); r != 0; place, r = s.next(place + 1) {
		small.places, small.refs = append(small.places, place), append(small.refs, r)
		if place == 1<<segmentBits-1 {
			break
		}
	}
	*s = small
}
