package link

import (
	"serverherd/herd/feed"
	"serverherd/protocol"
)

// Sent is how far a neighbor has this server's feed. It outlives connections.
//
// Invariants:
//
//  1. All of it is about one process of the neighbor: the one that the last WELCOME named. Another
//     process, or one that names no place that can be right, begins with nothing acknowledged.
//  2. acked <= highest. An ACK beyond what MARKs ever said is none, and so is such a WELCOME.
//  3. The cursor stands behind every record with a position of at most acked, and before every other.
//  4. Once a repair is due, no WELCOME resumes until something of the copy is acknowledged. Until the copy
//     is done, it skips nothing.
type Sent struct {
	store       *feed.Store
	peer        protocol.Epoch // the process; 0: none was ever welcomed
	cursor      *feed.Cursor   // at acked
	acked       uint64         // all up to here has been acknowledged
	highest     uint64         // seq of the greatest MARK ever sent to peer
	skipNothing bool           // a repair: records learned from peer are sent to it too
	repairDue   bool           // the next WELCOME begins a repair, whatever it names
}

// NewSent returns a Sent for a neighbor that has nothing.
func NewSent(store *feed.Store) *Sent { return &Sent{store: store, cursor: store.Head()} }

// Peer is the process that was welcomed last; 0: none.
func (s *Sent) Peer() protocol.Epoch { return s.peer }

// Acked is the position up to which peer has acknowledged the feed.
func (s *Sent) Acked() uint64 { return s.acked }

// Cursor is where Acked is, for others to be moved there. It must not be moved itself.
func (s *Sent) Cursor() *feed.Cursor { return s.cursor }

// Repair makes the next connection begin with everything, skipping nothing.
func (s *Sent) Repair() { s.repairDue = true }

// welcomed decides where the feed goes on. Only a process that we know, and a place between what
// it has acknowledged and what we sent it, is a resume; everything else is a full copy.
func (s *Sent) welcomed(self protocol.Epoch, w protocol.Welcome) (resumed, grown bool) {
	known := w.Epoch == s.peer
	s.peer = w.Epoch
	if known && !s.repairDue && w.SinceEpoch == self && w.SinceSeq >= s.acked && w.SinceSeq <= s.highest {
		return true, s.acknowledged(w.SinceSeq)
	}
	// A process that had a place and asks for everything has lost something, perhaps what
	// it once sent us itself. A repair that was cut is one until it is done.
	s.skipNothing = s.repairDue || known && (s.acked > 0 || s.skipNothing)
	s.acked, s.highest = 0, 0
	s.cursor.Rewind()
	return false, false
}

// acknowledged notes that peer has the feed up to seq, and says whether that is more than was known.
func (s *Sent) acknowledged(seq uint64) (grown bool) {
	grown = seq > s.acked
	s.acked = seq
	s.cursor.Advance(seq)
	return grown
}
