package link

import "serverherd/protocol"

// Heard is how far this server has a neighbor's feed. It outlives connections.
//
// Invariants:
//
//  1. All of it is about one process of the neighbor: the one that proved itself last. With another
//     process everything is forgotten.
//  2. Every record with a position of at most seq is here.
type Heard struct {
	epoch protocol.Epoch // the process; 0: none has proven itself yet
	seq   uint64         // the last MARK whose records are all applied here
	any   bool           // there was one
}

// Epoch is the process that proved itself last; 0: none.
func (h *Heard) Epoch() protocol.Epoch { return h.epoch }

// Seq is the position up to which all of its feed is here; false if that is unknown.
func (h *Heard) Seq() (seq uint64, any bool) { return h.seq, h.any }

// Join notes the process that has proven itself, and says whether it is another one than before.
func (h *Heard) Join(epoch protocol.Epoch) (other bool) {
	if epoch == h.epoch {
		return false
	}
	*h = Heard{epoch: epoch}
	return true
}

// Forget forgets how far its feed is here.
func (h *Heard) Forget() { h.seq, h.any = 0, false }

// Mark notes that its feed is here up to seq, and says whether that is news.
func (h *Heard) Mark(seq uint64) (news bool) {
	news = !h.any || seq != h.seq
	h.seq, h.any = seq, true
	return news
}

// of is what a MARK for a process says of its feed: nothing, unless it is the process that was heard.
func (h *Heard) of(peer protocol.Epoch) (seq uint64, any bool) {
	if h.epoch != peer {
		return 0, false
	}
	return h.seq, h.any
}
