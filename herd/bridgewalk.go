package herd

import (
	"math"
	"time"

	"serverherd/herd/feed"
	"serverherd/protocol"
)

// walk publishes records of the feed.
type walk struct {
	cursor *feed.Cursor
	// ahead publishes what is new while cursor may not yet, or has not come to from, where ahead was at first: see bridge.
	// nil: there is only cursor.
	ahead *feed.Cursor
	from  uint64
	delay time.Duration // for which others may publish a record first; 0: none
	// limit is how far the cursor may go: where the tail was delay ago, or longer. noted is where it was at turn, on
	// the steady clock.
	limit, noted uint64
	turn         time.Duration
}

// goAhead makes a walk go on where the walk of an earlier session has come to.
func (w *walk) goAhead(last *walk) {
	w.ahead = last.cursor
	if last.ahead != nil {
		w.ahead = last.ahead
	}
	w.from = w.ahead.Position()
}

// passed reports whether the record at a position was published, or skipped.
func (w *walk) passed(position uint64) bool {
	return position <= w.cursor.Position() ||
		w.ahead != nil && w.from < position && position <= w.ahead.Position()
}

// join makes one cursor of two when the first has come to where the other one began.
func (w *walk) join() {
	if w.ahead != nil && w.cursor.Position() >= w.from {
		w.cursor.MoveTo(w.ahead)
		w.ahead = nil
	}
}

// idle reports whether no record is left that may be published. complete: the first cursor may.
func (w *walk) idle(complete bool) bool {
	switch {
	case w.ahead != nil:
		return !complete && w.ahead.CaughtUp()
	default:
		return !complete || w.cursor.CaughtUp()
	}
}

// behind is an upper bound on the records left. Until the pass is complete, those before the cursor that is ahead are
// taken to be in the bucket, as they were.
func (w *walk) behind(complete bool, tail uint64) uint64 {
	if w.ahead == nil {
		return tail - w.cursor.Position()
	}
	left := tail - w.ahead.Position()
	if complete {
		left += w.from - min(w.from, w.cursor.Position())
	}
	return left
}

// shown is the set of positions of records that the bucket has and no walk has come to. A position that was replaced is
// never taken. So there are two sets, and the older one is dropped when the walks have passed all of its positions.
type shown struct {
	older, recent map[uint64]struct{}
	newest        uint64 // at least each position in older
}

func newShown() shown { return shown{older: map[uint64]struct{}{}, recent: map[uint64]struct{}{}} }

func (s *shown) len() int { return len(s.older) + len(s.recent) }

// take removes a position and reports whether it was there.
func (s *shown) take(position uint64) bool {
	n := s.len()
	delete(s.older, position)
	delete(s.recent, position)
	return s.len() < n
}

// forget drops positions that both walks have passed.
func (s *shown) forget(passed, tail uint64) {
	if passed >= s.newest && s.len() > 0 {
		s.older, s.recent, s.newest = s.recent, map[uint64]struct{}{}, tail
	}
}

// walkOf returns the walk that publishes a record.
func (s *bridgeSession) walkOf(r protocol.Record) *walk {
	if s.bridge.server.origins[string(r.Origin())] {
		return &s.own
	}
	return &s.foreign
}

// passed reports whether the walk that publishes a record has done so, or has skipped it.
func (s *bridgeSession) passed(r protocol.Record, position uint64) bool {
	return s.walkOf(r).passed(position)
}

// show notes that the bucket has the record at a position.
func (s *bridgeSession) show(r protocol.Record, position uint64) {
	if s.passed(r, position) {
		return
	}
	if s.shown.len() > s.bridge.server.store.Len()+bridgeRecords {
		s.shown = newShown() // most of them were replaced; the rest is published again
	}
	s.shown.recent[position] = struct{}{}
}

// publish adds the next records of the feed to the batch. It looks at most records and returns at how many. While two
// cursors publish, what is new has up to a half of the batch.
func (s *bridgeSession) publish(most int) (looked int) {
	if s.own.ahead != nil {
		share := 1
		if s.complete {
			share = 2
		}
		looked += s.walk(&s.own, s.own.ahead, math.MaxUint64, most, share)
	}
	if !s.complete {
		return looked
	}
	limit := uint64(math.MaxUint64)
	if s.own.ahead != nil {
		limit = s.own.from
	}
	looked += s.walk(&s.own, s.own.cursor, limit, most-looked, 1)
	s.own.join()
	looked += s.walk(&s.foreign, s.foreign.cursor, math.MaxUint64, most-looked, 1)
	s.live = s.live || s.own.ahead == nil && s.own.cursor.Position() >= s.target
	return looked
}

// walk adds the next records of one cursor, up to a limit and to 1/share of a batch.
func (s *bridgeSession) walk(w *walk, c *feed.Cursor, limit uint64, most, share int) (looked int) {
	if w.delay > 0 && (w != &s.own || !s.bridge.server.drain.begun) {
		limit = min(limit, w.limit)
	}
	for looked < most && len(s.batch) < bridgeRecords/share && len(s.texts) < bridgeBytes/share && c.Position() < limit {
		item, ok := c.Next()
		if !ok {
			break
		}
		looked++
		if s.walkOf(item.Record) != w {
			continue
		}
		if !s.shown.take(item.Seq) {
			s.put(item.Record, 0)
		}
	}
	return looked
}
