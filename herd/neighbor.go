package herd

import (
	"slices"

	"go.uber.org/zap"

	"serverherd/herd/link"
	"serverherd/protocol"
)

// maxInbounds bounds a neighbor's proven connections: the newest and those being read out.
const maxInbounds = 4

// neighbor is a server that this one shares an edge with: the link that we dial to send on, the
// inbound links on which it sends to us, and what we know of its process and of its state. Loop only.
type neighbor struct {
	server *Server
	name   string
	addr   string
	link   *outbound

	inbounds   []*inbound  // proven connections from it, the newest last
	claims     claims      // whether two processes claim its name
	heard      *link.Heard // how far its feed is here
	skew       link.Skew
	clockWrong bool // its clock is wrong, and the log has been told of it
	counters   linkCounters
	dialedAddr string // the address at which a dial found it last; "" for none

	// Of a neighbor that knows no handshake: see legacyInbound.
	legacyEpoch    protocol.Epoch // stands for its process; 0: none yet
	legacyInbounds int            // connections on which its AT lines come
}

// linkCounters count events of both links of an edge since the process started.
type linkCounters struct {
	atSent, atReceived, duplicates, badLines, copies, resumes, repairs, stalls,
	dialsFailed, takenBack uint64
}

// joined takes a connection that has proven to be from a process of this neighbor. It reports
// false when another process has that name: see link.Heard.Admit.
func (n *neighbor) join(in *inbound) bool {
	epoch := in.machine.Epoch()
	if !n.admits(epoch) {
		return false
	}
	if epoch != n.heard.Epoch() {
		n.skew = link.Skew{}
	}
	if len(n.inbounds) == maxInbounds {
		n.inbounds[0].session.abort(errReplaced)
		n.inbounds = slices.Delete(n.inbounds, 0, 1)
	}
	n.inbounds = append(n.inbounds, in)
	in.neighbor = n
	in.machine.Join(n.heard)
	n.pingOthers()
	return true
}

// left forgets a connection that is gone. If it was the current one, the MARKs of none count now.
// Whatever process is still there behind another connection has to dial again, and is asked at once.
func (n *neighbor) inboundLost(in *inbound) {
	if i := slices.Index(n.inbounds, in); i >= 0 {
		n.inbounds = slices.Delete(n.inbounds, i, i+1)
	}
	if n.heard.Lost(in.machine) {
		for _, other := range n.inbounds {
			other.ping()
		}
	}
}

// repair makes both servers send each other everything, skipping nothing, so that the greater
// record wins whichever side was wrong. m is the MARK that showed it.
func (n *neighbor) repair(m protocol.Mark) {
	n.counters.repairs++
	s := n.server.store
	n.server.log.Error("states diverged, repairing", zap.String("neighbor", n.name),
		zap.Uint64("records", uint64(s.Len())), zap.Uint64("neighbor_records", m.Count),
		zap.Stringer("digest", s.Digest()), zap.Stringer("neighbor_digest", m.Digest))
	for _, in := range n.inbounds {
		in.session.close(errDiverged)
	}
	n.link.repair()
}

// heardMore has the neighbor told before long how far its feed is here.
func (n *neighbor) markSoon() {
	if s := n.link.sender; s != nil {
		s.markSoon()
	}
}

// ready says whether a client that asks this server need not miss what the neighbor had: its feed
// has come once, or there is nobody to send it and say that this was all.
func (n *neighbor) ready() bool {
	nobody := n.link.state == linkDown || n.link.state == linkLegacy
	return n.link.tried && (n.heard.EverSynced() || nobody && len(n.inbounds) == 0)
}

// status is the neighbor's part of Status.
func (n *neighbor) status() LinkStatus {
	o, c := n.link, &n.counters
	acked := o.sent.Acked()
	heard, _ := n.heard.Seq()
	st := LinkStatus{
		Neighbor: n.name, Address: n.addr,
		State: o.state.String(), Since: o.since, Error: o.downReason,
		Sent: acked, Acknowledged: acked, Behind: n.server.store.Tail() - acked,
		Receiving: len(n.inbounds)+n.legacyInbounds > 0, Heard: heard,
		Agreement: "unknown",
		ATSent:    c.atSent, ATReceived: c.atReceived, Duplicates: c.duplicates,
		BadLines: c.badLines, Copies: c.copies, Resumes: c.resumes, Repairs: c.repairs,
		Stalls: c.stalls, DialsFailed: c.dialsFailed, TakenBack: c.takenBack,
	}
	n.claims.status(&st)
	checked, diverged := n.heard.Agreement()
	if !checked.IsZero() {
		st.Checked = &checked
		if n.server.reactor.Now().Sub(checked) <= ComparisonAge {
			st.Agreement = "in sync"
		}
	}
	if !diverged.IsZero() {
		st.DivergedSince, st.Agreement = &diverged, "diverged"
	}
	if n.heard.Full() || n.server.store.Overflowed() {
		st.Agreement = "full"
	}
	if ahead, uncertainty, ok := n.skew.Offset(); ok {
		st.Clock = &ClockStatus{ahead.Seconds(), uncertainty.Seconds(), n.clockWrong}
	}
	if o.sender != nil {
		o.sender.status(&st)
	}
	return st
}
