package feed

import "serverherd/protocol"

// node is one element of the feed: a client's entry, or a marker for cursors. One type serves both, so that the
// list needs neither an interface nor a second allocation.
type node struct {
	prev, next *node
	seq        uint64          // position of an entry; 0 in a marker
	hash       uint64          // an entry's summand of the digest
	from       protocol.Epoch  // the process that sent an entry; 0: a client of this server
	record     protocol.Record // of an entry; the node owns its bytes
	applied    int64           // when an entry was stored, in Unix nanoseconds
	cursors    int             // number of cursors at a marker; 0 in an entry
}

func (n *node) isMarker() bool { return n.cursors > 0 }

func (n *node) unlink() {
	n.prev.next, n.next.prev = n.next, n.prev
}

func (n *node) linkAfter(p *node) {
	n.prev, n.next = p, p.next
	p.next.prev, p.next = n, n
}

// Item is a record returned by a cursor. Its bytes belong to the Store and are valid until the Store is next
// changed: copy what is kept beyond the turn.
type Item struct {
	Record protocol.Record
	Seq    uint64         // position in the feed
	From   protocol.Epoch // the process that sent it; 0: a client of this server
	Hash   uint64         // its summand of the digest, the same on every server
	// Applied is when it was stored, in Unix nanoseconds: see Store.SetTime.
	Applied int64
}

func (n *node) item() Item {
	return Item{Record: n.record, Seq: n.seq, From: n.from, Hash: n.hash, Applied: n.applied}
}

// Cursor is a follower's position in a Store's feed: everything before it has been returned. Loop only. Cursors
// at the same position share one marker, so a new record costs nothing per follower that has caught up. The zero
// Cursor is not usable; see Store.Head.
type Cursor struct {
	store *Store
	at    *node // the marker
}

// Head returns a cursor before the first record of the feed.
func (s *Store) Head() *Cursor {
	c := &Cursor{store: s}
	c.moveAfter(&s.root)
	return c
}

// End returns a cursor behind the last record of the feed.
func (s *Store) End() *Cursor {
	c := &Cursor{store: s}
	last := s.root.prev
	for last.isMarker() {
		last = last.prev
	}
	c.moveAfter(last)
	return c
}

// moveAfter puts the cursor right behind n, at the marker that is already there if there is one.
func (c *Cursor) moveAfter(n *node) {
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

// release detaches the cursor from its marker.
func (c *Cursor) release() {
	if c.at.cursors--; c.at.cursors == 0 {
		c.at.unlink()
		c.store.freeMarker(c.at)
	}
	c.at = nil
}

// peek returns the entry after the cursor, or nil. It merges adjacent markers: they become adjacent when the
// entries between them move to the tail.
func (c *Cursor) peek() *node {
	if c.at == nil {
		panic("feed: closed cursor used")
	}
	for c.at.next.isMarker() {
		m := c.at.next
		m.cursors++
		c.release()
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
	c.release()
	c.moveAfter(n)
}

// Next returns the record after the cursor and moves the cursor behind it; false when the cursor has caught up.
func (c *Cursor) Next() (Item, bool) {
	n := c.peek()
	if n == nil {
		return Item{}, false
	}
	c.pass(n)
	return n.item(), true
}

// Position is the greatest p such that every record up to p has been returned.
func (c *Cursor) Position() uint64 {
	if n := c.peek(); n != nil {
		return n.seq - 1
	}
	return c.store.tail
}

// CaughtUp reports whether no record follows.
func (c *Cursor) CaughtUp() bool { return c.peek() == nil }

// Advance moves the cursor behind every record with a position of at most seq. It costs O(1) per record passed.
func (c *Cursor) Advance(seq uint64) {
	for n := c.peek(); n != nil && n.seq <= seq; n = c.peek() {
		c.pass(n)
	}
}

// MoveTo moves the cursor to the position of o.
func (c *Cursor) MoveTo(o *Cursor) {
	if c == o {
		return
	}
	o.at.cursors++
	at := o.at
	if c.at != nil {
		c.release()
	}
	c.at = at
}

// Rewind moves the cursor before the first record of the feed.
func (c *Cursor) Rewind() {
	if c.at != nil {
		c.release()
	}
	c.moveAfter(&c.store.root)
}

// Close releases the cursor. After Close only MoveTo and Rewind may be called.
func (c *Cursor) Close() {
	if c.at != nil {
		c.release()
	}
}

// maxFreeMarkers is the maximum number of markers kept for reuse.
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
