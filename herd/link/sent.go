package link

import (
	"serverherd/herd/feed"
	"serverherd/protocol"
)

// Sent is how much of this server's feed a neighbor has. It outlives connections.
//
// Invariants:
//
//  1. All of it but repairDue is about one process of the neighbor: the one of the last WELCOME. Another
//     process, or one that asks for a position that cannot be right, starts with nothing acknowledged.
//  2. acked <= highest. An ACK beyond the greatest MARK is invalid, and so is such a WELCOME.
//  3. The cursor is after every record with a position of at most acked, and before all others.
//  4. Once a repair is due, no WELCOME is a resume until something of the copy is acknowledged. Until the
//     copy is complete, it includes what the neighbor sent us itself. This requires that the owner drops
//     the connection in the call of Repair: an ACK on it would end the repair.
type Sent struct {
	store       *feed.Store
	peer        protocol.Epoch // the process; 0: none was ever welcomed
	cursor      *feed.Cursor   // at acked
	acked       uint64         // everything up to here was acknowledged
	highest     uint64         // seq of the greatest MARK sent to peer
	incomplete  uint64         // the MARKs sent to peer beyond this position had our tail as their seq
	skipNothing bool           // in a repair: records received from peer are sent to it, too
	repairDue   bool           // the next WELCOME begins a repair, whatever it asks for
}

// NewSent returns a Sent for a neighbor that has nothing yet.
func NewSent(store *feed.Store) *Sent { return &Sent{store: store, cursor: store.Head()} }

// Peer returns the process that was last welcomed; 0: none.
func (s *Sent) Peer() protocol.Epoch { return s.peer }

// Acked returns the position up to which peer has acknowledged the feed.
func (s *Sent) Acked() uint64 { return s.acked }

// Cursor returns the cursor at Acked, for other cursors to be moved to. It must not be moved itself.
func (s *Sent) Cursor() *feed.Cursor { return s.cursor }

// Repair makes the next connection a full copy, including what the neighbor sent us itself. The caller must drop
// the present connection before it passes another line to its Outbound.
func (s *Sent) Repair() { s.repairDue = true }

// welcomed decides where the feed continues. It is a resume only if the process is known and asks for a
// position between what it has acknowledged and what it was sent. Everything else is a full copy.
func (s *Sent) welcomed(self protocol.Epoch, w protocol.Welcome) (resumed, grown bool) {
	known := w.Epoch == s.peer
	s.peer = w.Epoch
	if known && !s.repairDue && w.SinceEpoch == self && w.SinceSeq >= s.acked && w.SinceSeq <= s.highest {
		return true, s.acknowledged(w.SinceSeq)
	}
	// A process that had a position and asks for everything has lost records, perhaps some that it once sent
	// us. An interrupted repair remains one until it is complete.
	s.skipNothing = s.repairDue || known && (s.acked > 0 || s.skipNothing)
	s.acked, s.highest, s.incomplete = 0, 0, s.store.Tail()
	s.cursor.Rewind()
	return false, false
}

// marked notes a MARK that is sent to peer.
func (s *Sent) marked(m protocol.Mark) {
	s.highest = max(s.highest, m.Seq)
	if m.Seq != m.Tail {
		s.incomplete = max(s.incomplete, m.Seq)
	}
}

// acknowledged records that peer has the feed up to seq, and reports whether acked has advanced.
func (s *Sent) acknowledged(seq uint64) (grown bool) {
	grown = seq > s.acked
	s.acked = seq
	s.cursor.Advance(seq)
	return grown
}
