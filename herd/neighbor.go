package herd

import (
	"slices"
	"time"

	"go.uber.org/zap"

	"serverherd/herd/link"
	"serverherd/protocol"
)

const (
	// maxIntakes bounds a neighbor's proven connections: the newest and those being read out.
	maxIntakes = 4
	// A repair that does not help is tried again later and later.
	minRepairPause = 10 * time.Second
	maxRepairPause = 10 * time.Minute
)

// neighbor is a server that this one shares an edge with: the link that we dial to send on, the
// intakes on which it sends to us, and what we know of its process and of its state. Loop only.
type neighbor struct {
	server *Server
	name   string
	addr   string
	link   *outbound

	intakes  []*intake  // proven connections from it, the newest last
	current  *intake    // the newest that ever was; nil once that is gone
	replaced []*former  // processes that another one has replaced, the first one first
	claims   claims     // whether two processes claim its name
	heard    link.Heard // how far its feed is here
	full     bool       // it lacks records for max_clients, as its last MARK says
	whole    bool       // once, all of its feed has been here since this server started
	restart  bool       // answer the next HELLO with "- 0": a repair
	agree    agreement
	skew     link.Skew
	clockOff bool // its clock is wrong, and the log has been told of it
	counters linkCounters
	reached  string // the address at which a dial found it last; "" for none

	// Of a neighbor that knows no handshake: see plainIntake.
	plain        protocol.Epoch // stands for its process; 0: none yet
	plainIntakes int            // connections on which its AT lines come
}

// linkCounters count events of both links of an edge since the process started.
type linkCounters struct {
	atSent, atReceived, duplicates, badLines, copies, resumes, repairs, stalls,
	dialsFailed, takenBack uint64
}

// agreement is what the last comparison of two whole states said.
type agreement struct {
	checked       time.Time     // zero: never compared
	divergedSince time.Time     // zero: in sync when last compared
	nextRepair    time.Time     // not before
	pause         time.Duration // before the repair after that one
}

// joined takes a connection that has proven to be from this neighbor's process epoch. It reports
// false when another process has that name: see former.
func (n *neighbor) joined(in *intake, epoch protocol.Epoch) bool {
	if !n.admits(epoch) {
		return false
	}
	if epoch != n.heard.Epoch() {
		n.replace()
		n.heard.Join(epoch)
		n.full = false
		n.skew = link.Skew{}
		n.agree.checked, n.agree.divergedSince = time.Time{}, time.Time{}
	}
	if len(n.intakes) == maxIntakes {
		n.intakes[0].session.abort(errReplaced)
		n.intakes = slices.Delete(n.intakes, 0, 1)
	}
	n.intakes = append(n.intakes, in)
	n.current = in
	n.askOthers()
	return true
}

// left forgets a connection that is gone. If it was the current one, the MARKs of none count now.
// Whatever process is still there behind another connection has to dial again, and is asked at once.
func (n *neighbor) left(in *intake) {
	if i := slices.Index(n.intakes, in); i >= 0 {
		n.intakes = slices.Delete(n.intakes, i, i+1)
	}
	if n.current == in {
		n.current = nil
		for _, other := range n.intakes {
			other.ask()
		}
	}
}

// newest says whether in is the connection whose MARKs count. One that was replaced never counts
// again, not even when what replaced it is gone: it may be a former process's.
func (n *neighbor) newest(in *intake) bool { return n.current == in }

// since is the resume point for WELCOME: the epoch and the last seq of the neighbor's feed that
// we have all of, or none.
func (n *neighbor) since() (protocol.Epoch, uint64) {
	seq, any := n.heard.Seq()
	if n.restart || !any {
		n.restart = false
		n.heard.Forget()
		return 0, 0
	}
	return n.heard.Epoch(), seq
}

// marked takes a MARK of the neighbor's newest connection: up to its seq everything is here.
func (n *neighbor) marked(m protocol.Mark) {
	if n.heard.Mark(m.Seq) {
		n.link.markSoon()
	}
	n.whole = n.whole || m.Seq == m.Tail
	n.full = m.Full
	s := n.server.store
	// Only if all of its feed is here, and all of ours was there, is a difference real.
	if m.Seq != m.Tail || !m.HeardAny || m.Heard != s.Tail() || m.Full || s.Overflowed() {
		return
	}
	now := n.server.reactor.Now()
	n.agree.checked = now
	if m.Count == uint64(s.Len()) && m.Digest == s.Digest() {
		n.agree.divergedSince, n.agree.pause = time.Time{}, 0
		return
	}
	if n.agree.divergedSince.IsZero() {
		n.agree.divergedSince = now
	}
	n.repair(m)
}

// repair makes both servers send each other everything, skipping nothing, so that the greater
// record wins whichever side was wrong.
func (n *neighbor) repair(m protocol.Mark) {
	now := n.server.reactor.Now()
	if now.Before(n.agree.nextRepair) {
		return
	}
	n.agree.pause = min(max(2*n.agree.pause, minRepairPause), maxRepairPause)
	n.agree.nextRepair = now.Add(n.agree.pause)
	n.counters.repairs++
	s := n.server.store
	n.server.log.Error("states differ, repairing", zap.String("neighbor", n.name),
		zap.Uint64("records", uint64(s.Len())), zap.Uint64("neighbor_records", m.Count),
		zap.Stringer("digest", s.Digest()), zap.Stringer("neighbor_digest", m.Digest))
	n.restart = true
	for _, in := range n.intakes {
		in.session.close(errDiverged)
	}
	n.link.recopy()
}

// ready says whether a client that asks this server need not miss what the neighbor had: its feed
// has come once, or there is nobody to send it and say that this was all.
func (n *neighbor) ready() bool {
	nobody := n.link.state == linkDown || n.link.state == linkPlain
	return n.link.tried && (n.whole || nobody && len(n.intakes) == 0)
}

// status is the neighbor's part of Status.
func (n *neighbor) status() LinkStatus {
	l, c := n.link, &n.counters
	acked := l.sent.Acked()
	heard, _ := n.heard.Seq()
	st := LinkStatus{
		Neighbor: n.name, Address: n.addr,
		State: l.state.String(), Since: l.since, Error: l.trouble,
		Sent: l.sentTo(), Acknowledged: acked, Behind: n.server.store.Tail() - acked,
		Unacknowledged: l.unacknowledged(),
		Receiving:      len(n.intakes)+n.plainIntakes > 0, Heard: heard,
		Agreement: "unknown",
		ATSent:    c.atSent, ATReceived: c.atReceived, Duplicates: c.duplicates,
		BadLines: c.badLines, Copies: c.copies, Resumes: c.resumes, Repairs: c.repairs,
		Stalls: c.stalls, DialsFailed: c.dialsFailed, TakenBack: c.takenBack,
	}
	n.claims.status(&st)
	if !n.agree.checked.IsZero() {
		checked := n.agree.checked
		st.Checked = &checked
		if n.server.reactor.Now().Sub(checked) <= ComparisonAge {
			st.Agreement = "in sync"
		}
	}
	if !n.agree.divergedSince.IsZero() {
		diverged := n.agree.divergedSince
		st.DivergedSince, st.Agreement = &diverged, "diverged"
	}
	if n.full || n.server.store.Overflowed() {
		st.Agreement = "full"
	}
	if ahead, uncertainty, ok := n.skew.Offset(); ok {
		st.Clock = &ClockStatus{ahead.Seconds(), uncertainty.Seconds(), n.clockOff}
	}
	if l.state == linkPlain {
		plainLink{l}.status(&st)
	}
	return st
}
