package herd

import (
	"slices"
	"time"

	"go.uber.org/zap"

	"serverherd/herd/link"
	"serverherd/protocol"
	"serverherd/reactor"
)

// claimTime is how long two processes are said to claim one name after the last sign of it. One
// that is refused dials again well within it.
const claimTime = 30 * time.Second

// admits says whether a process that has proven to be the neighbor is the one, and notes what follows
// for the alarm.
func (n *neighbor) admits(epoch protocol.Epoch) bool {
	switch v, pause := n.heard.Admit(epoch, n.linkedEpoch(), n.lastProvenConnected(), n.server.time()); v {
	case link.LinkedElsewhere:
		n.link.sender.checkClaim(epoch)
		return false
	case link.Duplicate:
		n.noteClaim(claimRefused, epoch)
		return false
	case link.TakenBack:
		n.counters.takenBack++
		n.noteClaim(claimTakenBack, epoch)
		n.server.log.Warn("former process taken back", zap.String("neighbor", n.name),
			zap.Stringer("epoch", epoch), zap.Duration("not_again_for", pause))
	}
	return true
}

// linked is the process at the other end of our link, if that is past its handshake; 0 otherwise.
func (n *neighbor) linkedEpoch() protocol.Epoch {
	if n.link.sending() {
		return n.link.sent.Peer()
	}
	return 0
}

// elsewhere says whether another process than this one is at the neighbor's address.
func (n *neighbor) linkedToOther(epoch protocol.Epoch) bool {
	linked := n.linkedEpoch()
	return linked != 0 && linked != epoch
}

// stands says whether there is a connection from the process whose proof was taken last.
func (n *neighbor) lastProvenConnected() bool {
	return slices.ContainsFunc(n.inbounds, func(in *inbound) bool { return in.machine.Epoch() == n.heard.Epoch() })
}

// askOthers asks the processes behind connections that are not from the neighbor's address.
func (n *neighbor) pingOthers() {
	for _, in := range n.inbounds {
		if n.linkedToOther(in.machine.Epoch()) {
			in.ping()
		}
	}
}

// The states in which two processes claim a neighbor's name, as Status shows them.
const (
	claimRefused   = "refused"
	claimTakenBack = "taken back"
)

// claims says whether two processes claim a neighbor's name.
type claims struct {
	state  string               // claimRefused or claimTakenBack
	since  time.Time            // when the first sign came
	expiry *reactor.DelayedCall // claimTime after the last; nil: one process claims the name
}

// claimed notes a sign that there is another process of the neighbor's name.
func (n *neighbor) noteClaim(state string, other protocol.Epoch) {
	cl, srv := &n.claims, n.server
	if cl.expiry == nil {
		cl.since = srv.reactor.Now()
		epoch := n.heard.Epoch()
		if n.link.sending() {
			epoch = n.link.sent.Peer()
		}
		srv.log.Error("two processes claim one name", zap.String("neighbor", n.name),
			zap.Stringer("epoch", epoch), zap.Stringer("other", other), zap.String("state", state))
	} else {
		cl.expiry.Cancel()
	}
	cl.state = state
	cl.expiry = srv.reactor.CallLater(claimTime, func() {
		cl.expiry = nil
		srv.log.Info("duplicate name resolved", zap.String("neighbor", n.name))
	})
}

// status fills in the alarm.
func (cl *claims) status(st *LinkStatus) {
	if cl.expiry != nil {
		since := cl.since
		st.Duplicate, st.DuplicateSince = cl.state, &since
	}
}
