package feed

import "serverherd/protocol"

// node is one element of the feed: a client's entry, or a marker at which cursors stand. It has
// the same shape for both, so that the list needs neither interface nor second allocation.
type node struct {
	prev, next *node
	seq        uint64          // an entry's position; 0 in a marker
	hash       uint64          // an entry's part of the digest
	from       protocol.Epoch  // the process that an entry was learned from; 0: from its client
	record     protocol.Record // an entry's; its bytes belong to the node
	cursors    int             // how many stand at a marker; 0 in an entry
}

func (n *node) isMarker() bool { return n.cursors > 0 }

func (n *node) unlink() {
	n.prev.next, n.next.prev = n.next, n.prev
}

func (n *node) linkAfter(p *node) {
	n.prev, n.next = p, p.next
	p.next.prev, p.next = n, n
}

// Item is what a cursor hands over. Its record's bytes are the Store's: valid until the Store is
// next changed, so copy what is kept beyond the turn.
type Item struct {
	Record protocol.Record
	Seq    uint64         // its position in the feed
	From   protocol.Epoch // the process it was learned from; 0: from its client, here
}

// Cursor is a follower's place in a Store's feed: everything before it has been handed over. Loop
// only. Cursors at one place share one marker, so that ten thousand followers that have caught up
// cost a new record nothing. The zero Cursor is not usable; see Store.Head.
type Cursor struct {
	store *Store
	at    *node // the marker
}

// Head returns a cursor in front of the whole feed.
func (s *Store) Head() *Cursor {
	c := &Cursor{store: s}
	c.stand(&s.root)
	return c
}

// stand puts the cursor right behind n, at the marker that is there already if there is one.
func (c *Cursor) stand(n *node) {
	if m := n.next; m.isMarker() {
		m.cursors++
		c.at = m
		return
	}
	m := c.store.newMarker()
	m.cursors = 1
	m.linkAfter(n)
	c.at = m
}

// leave gives up the cursor's marker.
func (c *Cursor) leave() {
	if c.at.cursors--; c.at.cursors == 0 {
		c.at.unlink()
		c.store.freeMarker(c.at)
	}
	c.at = nil
}

// following returns the entry after the cursor, or nil. Markers that came to lie side by side,
// because what was between them moved to the tail, are merged on the way.
func (c *Cursor) following() *node {
	if c.at == nil {
		panic("feed: closed cursor used")
	}
	for c.at.next.isMarker() {
		m := c.at.next
		m.cursors++
		c.leave()
		c.at = m
	}
	if c.at.next == &c.store.root {
		return nil
	}
	return c.at.next
}

// pass moves the cursor behind n, the entry that follows it.
func (c *Cursor) pass(n *node) {
	if c.at.cursors == 1 && !n.next.isMarker() {
		c.at.unlink()
		c.at.linkAfter(n)
		return
	}
	c.leave()
	c.stand(n)
}

// Next hands over the record after the cursor and moves the cursor behind it; false when the
// cursor has caught up.
func (c *Cursor) Next() (Item, bool) {
	n := c.following()
	if n == nil {
		return Item{}, false
	}
	c.pass(n)
	return Item{Record: n.record, Seq: n.seq, From: n.from}, true
}

// Position is the last position p such that every record up to p has been handed over.
func (c *Cursor) Position() uint64 {
	if n := c.following(); n != nil {
		return n.seq - 1
	}
	return c.store.tail
}

// CaughtUp says whether nothing follows.
func (c *Cursor) CaughtUp() bool { return c.following() == nil }

// Advance moves the cursor behind every record with a position of at most seq. It costs a step
// for each record that it passes.
func (c *Cursor) Advance(seq uint64) {
	for n := c.following(); n != nil && n.seq <= seq; n = c.following() {
		c.pass(n)
	}
}

// MoveTo puts the cursor where o is.
func (c *Cursor) MoveTo(o *Cursor) {
	if c == o {
		return
	}
	o.at.cursors++
	at := o.at
	if c.at != nil {
		c.leave()
	}
	c.at = at
}

// Rewind puts the cursor in front of the whole feed.
func (c *Cursor) Rewind() {
	if c.at != nil {
		c.leave()
	}
	c.stand(&c.store.root)
}

// Close gives up the cursor's place. A closed cursor may be moved again, but not asked.
func (c *Cursor) Close() {
	if c.at != nil {
		c.leave()
	}
}

// maxFreeMarkers bounds the markers kept for reuse. A cursor that leaves a shared place needs one.
const maxFreeMarkers = 256

func (s *Store) newMarker() *node {
	if k := len(s.freeMarkers) - 1; k >= 0 {
		m := s.freeMarkers[k]
		s.freeMarkers = s.freeMarkers[:k]
		return m
	}
	return &node{}
}

func (s *Store) freeMarker(m *node) {
	m.prev, m.next = nil, nil
	if len(s.freeMarkers) < maxFreeMarkers {
		s.freeMarkers = append(s.freeMarkers, m)
	}
}
