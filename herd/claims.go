package herd

import (
	"slices"
	"time"

	"go.uber.org/zap"

	"serverherd/herd/link"
	"serverherd/protocol"
	"serverherd/reactor"
)

// claimTime is how long a duplicate name is reported after the last sign of it. A process that is refused
// dials again well within this time.
const claimTime = 30 * time.Second

// admits decides whether a process that has completed a handshake under the neighbor's name is accepted. It
// reports duplicates of the name in log and status.
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

// linkedEpoch returns the epoch of the process at the other end of our link, or 0 if the link is not past its
// handshake.
func (n *neighbor) linkedEpoch() protocol.Epoch {
	if n.link.sending() {
		return n.link.sent.Peer()
	}
	return 0
}

// linkedToOther reports whether our link is connected to a different process than this one.
func (n *neighbor) linkedToOther(epoch protocol.Epoch) bool {
	linked := n.linkedEpoch()
	return linked != 0 && linked != epoch
}

// lastProvenConnected reports whether the process that last completed a handshake still has a connection to
// us.
func (n *neighbor) lastProvenConnected() bool {
	return slices.ContainsFunc(n.inbounds, func(in *inbound) bool { return in.machine.Epoch() == n.heard.Epoch() })
}

// pingOthers pings the processes behind connections that come from a different process than our link found.
func (n *neighbor) pingOthers() {
	for _, in := range n.inbounds {
		if n.linkedToOther(in.machine.Epoch()) {
			in.ping()
		}
	}
}

// How a duplicate of a neighbor's name was resolved, as shown in Status.
const (
	claimRefused   = "refused"
	claimTakenBack = "taken back"
)

// claims tracks whether two processes use a neighbor's name.
type claims struct {
	state  string               // claimRefused or claimTakenBack
	since  time.Time            // when the first sign came
	expiry *reactor.DelayedCall // claimTime after the last sign; nil: no duplicate
}

// noteClaim records a sign that another process uses the neighbor's name.
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

// status fills in the fields about a duplicate name.
func (cl *claims) status(st *LinkStatus) {
	if cl.expiry != nil {
		since := cl.since
		st.Duplicate, st.DuplicateSince = cl.state, &since
	}
}
