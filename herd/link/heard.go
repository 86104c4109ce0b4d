package link

import (
	"time"

	"serverherd/herd/feed"
	"serverherd/protocol"
)

// A repair that does not help is tried again later and later.
const (
	MinRepairPause = 10 * time.Second
	MaxRepairPause = 10 * time.Minute
)

// Heard is how far this server has a neighbor's feed, and whether both hold the same. It outlives
// connections.
//
// Invariants:
//
//  1. All of it is about one process of the neighbor: the one whose proof was taken last. With another
//     process everything is forgotten but whole, the pause before a repair and the former processes.
//  2. Every record with a position of at most seq is here.
//  3. Only the MARKs of current count, the connection that was proven last. A connection that was replaced never
//     counts again, not even when what replaced it is gone: it may be a former process's.
//  4. A repair that is due makes the next WELCOME ask for everything.
//  5. Two states are compared only if all of either feed is on the other side: then a difference is real.
type Heard struct {
	store      *feed.Store
	epoch      protocol.Epoch // the process; 0: none has proven itself yet
	current    *Inbound       // nil once it is gone
	formers    []*former      // processes that another one has replaced, the first one first
	seq        uint64         // the last MARK whose records are all applied here
	seqKnown   bool           // there was one
	full       bool           // the neighbor lacks records for max_clients, as its last MARK says
	everSynced bool           // once, all of its feed has been here since this server started
	repairDue  bool           // a repair is due
	closed     bool           // this server is leaving

	checked       time.Time     // the last comparison; zero: none
	divergedSince time.Time     // zero: the same when last compared
	nextRepair    timer         // not before; 0: now
	pause         time.Duration // before the repair after that one
}

// NewHeard returns a Heard for a neighbor of which nothing is known.
func NewHeard(store *feed.Store) *Heard { return &Heard{store: store} }

// Epoch is the process that proved itself last; 0: none.
func (h *Heard) Epoch() protocol.Epoch { return h.epoch }

// Seq is the position up to which all of its feed is here; false if that is unknown.
func (h *Heard) Seq() (seq uint64, any bool) { return h.seq, h.seqKnown }

// Current says whether in is the connection whose MARKs count.
func (h *Heard) Current(in *Inbound) bool { return h.current == in }

// Full says whether the neighbor lacks records for max_clients.
func (h *Heard) Full() bool { return h.full }

// Whole says whether once all of the neighbor's feed has been here since this server started.
func (h *Heard) EverSynced() bool { return h.everSynced }

// Agreement is when the states were compared last, and since when they differ; zero if never, and if they do not.
func (h *Heard) Agreement() (checked, divergedSince time.Time) { return h.checked, h.divergedSince }

// Close is called when this server is about to leave: what comes from now on is handed on to nobody, so it
// is neither applied nor acknowledged.
func (h *Heard) Close() { h.closed = true }

// Left is called when a connection is lost, and says whether it was the current one.
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
	}
	h.current = in
}

// since is the resume point for WELCOME: the epoch and the last seq of the neighbor's feed that
// we have all of, or none.
func (h *Heard) resumePoint() (protocol.Epoch, uint64) {
	if h.repairDue || !h.seqKnown {
		h.repairDue, h.seq, h.seqKnown = false, 0, false
		return 0, 0
	}
	return h.epoch, h.seq
}

// of is what a MARK for a process says of its feed: nothing, unless it is the process that was heard.
func (h *Heard) seqOf(peer protocol.Epoch) (seq uint64, any bool) {
	if h.epoch != peer {
		return 0, false
	}
	return h.seq, h.seqKnown
}

// marked takes a MARK of the current connection: up to its seq everything is here.
func (h *Heard) marked(m protocol.Mark, now Time, out *Output) {
	if !h.seqKnown || m.Seq != h.seq {
		h.seq, h.seqKnown = m.Seq, true
		out.add(Event{Kind: HeardMore})
	}
	h.everSynced = h.everSynced || m.Seq == m.Tail
	h.full = m.Full
	if m.Seq != m.Tail || !m.HeardAny || m.Heard != h.store.Tail() || m.Full || h.store.Overflowed() {
		return
	}
	h.checked = now.Wall
	if m.Count == uint64(h.store.Len()) && m.Digest == h.store.Digest() {
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
