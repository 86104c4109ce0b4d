package feed

import "serverherd/protocol"

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

// Cursor is a follower's position in a Store's feed: everything up to it has been returned. Loop only. It is a number,
// so any number of cursors cost the Store nothing. The zero Cursor is not usable; see Store.Head.
type Cursor struct {
	store *Store
	seq   uint64 // everything up to here has been returned, or replaced by a record beyond
	ahead uint64 // records up to here were read ahead
}

// Head returns a cursor before the first record of the feed.
func (s *Store) Head() *Cursor { return &Cursor{store: s} }

// End returns a cursor behind the last record of the feed.
func (s *Store) End() *Cursor { return &Cursor{store: s, seq: s.feed.tail} }

// peek returns the cell of the record after the cursor; false if there is none. It moves the cursor over the holes before
// it, so that nobody looks at them again: no position is taken twice.
func (c *Cursor) peek() (ref, bool) {
	seq, r, ok := c.store.feed.next(c.seq)
	if !ok {
		c.seq = c.store.feed.tail
		return 0, false
	}
	c.seq = seq - 1
	return r, true
}

// Next returns the record after the cursor and moves the cursor behind it; false when the cursor has caught up.
func (c *Cursor) Next() (item Item, ok bool) {
	r, ok := c.peek()
	if ok {
		if c.seq >= c.ahead && c.store.feed.tail-c.seq > nextAheadLag && c.store.Len() >= PrefetchClients {
			c.readAhead()
		}
		c.seq++
		c.store.cells.read(r, &item)
	}
	return item, ok
}

// Next reads nextAhead records ahead, unless one of the last nextAheadLag positions is reached, whose records were written a
// short while ago and are in the processor's cache.
const (
	nextAhead    = 32
	nextAheadLag = 1 << segmentBits
)

// readAhead reads the cells of the next records, so that the processor waits for all of them at once: see Store.Prefetch.
func (c *Cursor) readAhead() {
	var cells [nextAhead]ref
	n := 0
	for c.ahead = c.seq; n < nextAhead; n++ {
		seq, r, ok := c.store.feed.next(c.ahead)
		if !ok {
			break
		}
		c.ahead, cells[n] = seq, r
	}
	read := uint64(0)
	for _, r := range cells[:n] {
		p := c.store.cells.cell(r)
		read += uint64(p[0]) + uint64(p[len(p)/2]) + uint64(p[len(p)-1])
	}
	c.store.prefetched = read
}

// Position is the greatest p such that every record up to p has been returned.
func (c *Cursor) Position() uint64 {
	c.peek()
	return c.seq
}

// CaughtUp reports whether no record follows.
func (c *Cursor) CaughtUp() bool {
	_, more := c.peek()
	return !more
}

// Advance moves the cursor behind every record with a position of at most seq.
func (c *Cursor) Advance(seq uint64) { c.seq = max(c.seq, min(seq, c.store.feed.tail)) }

// MoveTo moves the cursor to the position of o.
func (c *Cursor) MoveTo(o *Cursor) { c.seq, c.ahead = o.seq, o.ahead }

// Rewind moves the cursor before the first record of the feed.
func (c *Cursor) Rewind() { c.seq, c.ahead = 0, 0 }
