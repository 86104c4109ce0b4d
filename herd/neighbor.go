package herd

import (
	"slices"

	"go.uber.org/zap"

	"serverherd/herd/link"
	"serverherd/protocol"
)

// maxInbounds is how many proven connections of one neighbor are kept: the current one and older ones that
// are still read.
const maxInbounds = 4

// neighbor is a server that this one shares an edge with: the link that we dial to send, the inbound links on
// which it sends, and what is known about its process and its state. Loop only.
type neighbor struct {
	server *Server
	index  int // in Server.neighbors
	name   string
	addr   string
	link   *outbound

	inbounds   []*inbound  // proven, the newest last
	claims     claims      // duplicates of its name
	heard      *link.Heard // how far its feed was received
	synced     bool        // all of it was received once
	skew       link.Skew
	clockWrong bool // as logged: its clock differs too much
	counters   linkCounters
	dialedAddr string // the address at which a dial found it last; "" for none

	// Of a legacy neighbor: see legacyInbound.
	legacyEpoch    protocol.Epoch // stands for its process; 0: none yet
	legacyInbounds int            // sessions on which its AT lines come
}

// linkCounters count events on both links of an edge since the process started.
type linkCounters struct {
	atSent, atReceived, duplicates, badLines, copies, resumes, repairs, stalls,
	dialsFailed, takenBack uint64
}

// join accepts a connection that has completed a handshake as this neighbor. It reports false if another
// process uses the name: see link.Heard.Admit.
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

// inboundLost removes a connection that is lost. If it was the current one, no connection's MARKs count now.
// A process that is alive behind another connection must dial again, so these are pinged at once.
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

// repair makes both servers send each other everything, including what came from the other. The greater record
// wins, so it does not matter which side was wrong. m is the MARK that showed the difference.
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

// heardMore is called when more of its feed was received.
func (n *neighbor) heardMore() {
	if !n.synced && n.heard.EverSynced() {
		n.synced = true
		if seq, _ := n.heard.Seq(); seq > 0 && n.server.bridge != nil {
			n.server.bridge.empty = false
		}
	}
	n.markSoon()
}

// markSoon schedules a MARK, which tells the neighbor how far its feed was received.
func (n *neighbor) markSoon() {
	if s := n.link.sender; s != nil {
		s.markSoon()
	}
}

// ready reports whether clients of this server see everything that the neighbor had: its feed was complete
// here once, or the neighbor is down or legacy and will not say when it is.
func (n *neighbor) ready() bool {
	nobody := n.link.state == linkDown || n.link.state == linkLegacy
	return n.link.tried && (n.heard.EverSynced() || nobody && len(n.inbounds) == 0)
}

// Agreements are the values of LinkStatus.Agreement.
var Agreements = []string{notCompared: "unknown", inSync: "in sync", differs: "diverged", lacksRecords: "full"}

const (
	notCompared = iota
	inSync
	differs
	lacksRecords
)

// status is the neighbor's part of Status.
func (n *neighbor) status() LinkStatus {
	o, c := n.link, &n.counters
	acked := o.sent.Acked()
	heard, _ := n.heard.Seq()
	store := n.server.store
	st := LinkStatus{
		Neighbor: n.name, Address: n.addr,
		State: o.state.String(), Since: o.since, Error: o.downReason,
		Sent: acked, Acknowledged: acked, Behind: min(store.Tail()-acked, uint64(store.Len())),
		TLS:       o.secure,
		Receiving: len(n.inbounds)+n.legacyInbounds > 0, Heard: heard,
		Agreement: Agreements[notCompared],
		ATSent:    c.atSent, ATReceived: c.atReceived, Duplicates: c.duplicates,
		BadLines: c.badLines, Copies: c.copies, Resumes: c.resumes, Repairs: c.repairs,
		Stalls: c.stalls, DialsFailed: c.dialsFailed, TakenBack: c.takenBack,
		Checks: n.heard.Checks(),
	}
	n.claims.status(&st)
	checked, diverged := n.heard.Agreement()
	if !checked.IsZero() {
		st.Checked = &checked
		if n.server.reactor.Now().Sub(checked) <= ComparisonAge {
			st.Agreement = Agreements[inSync]
		}
	}
	if !diverged.IsZero() {
		st.DivergedSince, st.Agreement = &diverged, Agreements[differs]
	}
	if n.heard.Full() || n.server.store.Overflowed() {
		st.Agreement = Agreements[lacksRecords]
	}
	if ahead, uncertainty, ok := n.skew.Offset(); ok {
		st.Clock = &ClockStatus{ahead.Seconds(), uncertainty.Seconds(), n.clockWrong}
	}
	if o.sender != nil {
		o.sender.status(&st)
	}
	return st
}
