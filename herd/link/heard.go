package link

import (
	"time"

	"serverherd/herd/feed"
	"serverherd/protocol"
)

// States that change are compared again movingPause after the last comparison, or movingRetry after one that could not
// tell.
const (
	movingPause = time.Second
	movingRetry = 10 * time.Millisecond
)

// A repair that does not help is repeated after a pause that doubles.
const (
	MinRepairPause = 10 * time.Second
	MaxRepairPause = 10 * time.Minute
)

// Heard is how much of a neighbor's feed this server has, and whether both have the same state. It outlives
// connections.
//
// Invariants:
//
//  1. All of it is about one process of the neighbor: the one that last completed a handshake. With another
//     process everything is reset, except formers, everSynced, checks, nextMoving, repairDue, closed, nextRepair and
//     pause.
//  2. Every record with a position of at most seq was applied here, or dropped: after Close, as a BadLine, or
//     as feed.Full. The comparison of the states finds a BadLine. After feed.Full there is no comparison:
//     Status says full.
//  3. Only the MARKs of current count, the connection that last completed a handshake. A connection that was
//     replaced never counts again, not even when its replacement is gone: it may be a former process's.
//  4. A repair that is due makes the next WELCOME ask for everything.
//  5. Two states are found to differ only if it is known which records the other side had when it sent its digest:
//     then a difference is real. See compare.
type Heard struct {
	store      *feed.Store
	sent       *Sent          // to the same neighbor
	epoch      protocol.Epoch // its process; 0: none has completed a handshake yet
	current    *Inbound       // nil once it is gone
	formers    []*former      // former processes, the oldest first
	seq        uint64         // of the last MARK, all of whose records are applied here
	seqKnown   bool           // there was a MARK
	full       bool           // as the last MARK says, the neighbor lacks records because of max_clients
	everSynced bool           // all of its feed has been here at least once since this server started
	repairDue  bool           // a repair is due
	closed     bool           // this server is stopping

	// Positions in our own feed. same[seq%feed.Recent] is seq if the process has sent the record at that position
	// itself, though it was here already, and no later one with the same remainder. older is our tail when it last sent
	// a record older than ours.
	same  []uint64
	older uint64

	checked       time.Time     // the last comparison; zero: none
	nextMoving    timer         // states that change are not compared before; 0: now
	checks        uint64        // comparisons since this server started
	divergedSince time.Time     // zero: equal when last compared
	nextRepair    timer         // not before; 0: now
	pause         time.Duration // before the repair after that one
}

// NewHeard returns a Heard for a neighbor that has not connected yet.
func NewHeard(store *feed.Store, sent *Sent) *Heard { return &Heard{store: store, sent: sent} }

// Epoch returns the process that last completed a handshake; 0: none.
func (h *Heard) Epoch() protocol.Epoch { return h.epoch }

// Knows reports whether an epoch is that of its process or of a former one.
func (h *Heard) Knows(epoch protocol.Epoch) bool {
	return epoch != 0 && (epoch == h.epoch || h.former(epoch) != nil)
}

// Seq returns the position up to which all of the neighbor's feed is here; false if unknown.
func (h *Heard) Seq() (seq uint64, any bool) { return h.seq, h.seqKnown }

// Current reports whether in is the connection whose MARKs count.
func (h *Heard) Current(in *Inbound) bool { return h.current == in }

// Full reports whether the neighbor lacks records because of max_clients.
func (h *Heard) Full() bool { return h.full }

// EverSynced reports whether all of the neighbor's feed has been here at least once since this server
// started.
func (h *Heard) EverSynced() bool { return h.everSynced }

// Agreement returns when the states were last compared (zero: never), and since when they differ (zero: they
// do not).
func (h *Heard) Agreement() (checked, divergedSince time.Time) { return h.checked, h.divergedSince }

// Checks returns how often the states were compared since this server started.
func (h *Heard) Checks() uint64 { return h.checks }

// Close is called when this server is about to stop. It could not forward what it receives, so it neither
// applies nor acknowledges anything from now on.
func (h *Heard) Close() { h.closed = true }

// Lost is called when a connection is lost, and reports whether it was the current one.
func (h *Heard) Lost(in *Inbound) (current bool) {
	if current = h.current == in; current {
		h.current = nil
	}
	return current
}

// join makes in the current connection.
func (h *Heard) join(in *Inbound) {
	if in.epoch != h.epoch {
		h.rememberFormer()
		h.epoch, h.seq, h.seqKnown, h.full = in.epoch, 0, false, false
		h.checked, h.divergedSince = time.Time{}, time.Time{}
		h.same, h.older = nil, 0
	}
	h.current = in
}

// resumePoint returns what WELCOME asks for: the epoch and the last seq of the neighbor's feed that is
// complete here, or 0, 0.
func (h *Heard) resumePoint() (protocol.Epoch, uint64) {
	if h.repairDue || !h.seqKnown {
		h.repairDue, h.seq, h.seqKnown = false, 0, false
		return 0, 0
	}
	return h.epoch, h.seq
}

// seqOf returns what a MARK to a process says about its feed: nothing, unless Heard is about the same
// process.
func (h *Heard) seqOf(peer protocol.Epoch) (seq uint64, any bool) {
	if h.epoch != peer {
		return 0, false
	}
	return h.seq, h.seqKnown
}

// marked handles a MARK of the current connection: everything up to its seq is here.
func (h *Heard) marked(m protocol.Mark, now Time, out *Output) {
	if !h.seqKnown || m.Seq != h.seq {
		h.seq, h.seqKnown = m.Seq, true
		out.add(Event{Kind: HeardMore})
	}
	h.everSynced = h.everSynced || m.Seq == m.Tail
	h.full = m.Full
	if m.Seq != m.Tail || !m.HeardAny || m.Full || h.store.Overflowed() || h.closed {
		return
	}
	compared, equal := h.compare(m, now)
	if !compared {
		return
	}
	h.checked, h.nextMoving = now.Wall, now.in(movingPause)
	h.checks++
	if equal {
		h.divergedSince, h.pause = time.Time{}, 0
		return
	}
	if h.divergedSince.IsZero() {
		h.divergedSince = now.Wall
	}
	if h.nextRepair != 0 && !h.nextRepair.due(now) {
		return
	}
	h.pause = min(max(2*h.pause, MinRepairPause), MaxRepairPause)
	h.nextRepair = now.in(h.pause)
	h.repairDue = true
	out.add(Event{Kind: Diverged, Mark: m})
}

// dropped notes that the process from has sent a record that is not newer than ours. It is called after
// feed.Store.Apply.
func (h *Heard) dropped(from protocol.Epoch) {
	switch seq := h.store.Same(); {
	case from != h.epoch:
	case seq == 0:
		h.older = h.store.Tail()
	default:
		if h.same == nil {
			h.same = make([]uint64, feed.Recent)
		}
		if at := &h.same[seq%feed.Recent]; seq > *at {
			*at = seq
		}
	}
}

// compare compares the states if it is known what the neighbor's should be, and reports whether it did and whether they
// are equal. m is a MARK whose seq is the neighbor's tail.
//
// If its heard is our tail, each side has everything of the other, and so the same records. Under load it never is:
// while the MARK was on its way, we have applied further records. These are taken back, unless the neighbor had them:
//
//  1. What the neighbor had and has not received from us, it has sent to us before the MARK: we know from whom we have
//     a record, and same and older say what it sent although we had it.
//  2. What it received from us is what we held at heard, if our MARK was complete, that is if its seq was our tail.
//     Otherwise a record may have been replaced, before it was sent, by one that was not sent yet.
//  3. It may also have received what we have sent after that MARK.
//
// If one of these leaves a doubt, only equality is certain: it cannot be by chance. Of a difference the next MARK may
// tell more.
func (h *Heard) compare(m protocol.Mark, now Time) (compared, equal bool) {
	if m.Heard == h.store.Tail() {
		return true, m.Count == uint64(h.store.Len()) && m.Digest == h.store.Digest()
	}
	if h.nextMoving != 0 && !h.nextMoving.due(now) {
		return false, false
	}
	h.nextMoving = now.in(movingRetry)
	doubt := h.sent.peer != h.epoch || m.Heard <= h.sent.incomplete || m.Heard < h.older
	count, digest, ok := h.store.StateWith(m.Heard, func(seq uint64, from protocol.Epoch) bool {
		if from == h.epoch || h.same != nil && h.same[seq%feed.Recent] == seq {
			return true
		}
		doubt = doubt || seq <= h.sent.highest
		return false
	})
	equal = ok && m.Count == count && m.Digest == digest
	return equal || ok && !doubt, equal
}
