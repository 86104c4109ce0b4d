package herd

import (
	"slices"
	"time"

	"go.uber.org/zap"

	"serverherd/protocol"
	"serverherd/reactor"
)

const (
	// maxReplaced bounds the former processes remembered of a neighbor.
	maxReplaced = 64
	// A former process that was taken back is not taken back again before minReturnPause, then twice
	// that, up to maxReturnPause.
	minReturnPause = 10 * time.Second
	maxReturnPause = 2 * time.Minute
	// returnQuiet after the end of its pause, a process that was not taken back meanwhile begins with
	// the shortest pause again.
	returnQuiet = 10 * time.Minute
	// claimTime is how long two processes are said to claim one name after the last sign of it. One
	// that is refused dials again well within it.
	claimTime = 30 * time.Second
)

// former is a process of a neighbor that another one has replaced. These are the rules that decide
// which of several processes is the neighbor:
//
//  1. While our link is past its handshake, it is the process at the other end of the link, for
//     herd.toml says where a server is. Any other process is refused, and one that is connected
//     already is asked whether it is still there, and cut off if it is.
//  2. While the link is not, a process that was never seen replaces the one before it: this is what
//     a restart looks like. If the old process ended without a word, and the link still waits for
//     it, the new one is refused until the link is dropped for its silence.
//  3. While the link is not, a former process is refused as long as a connection of the one that
//     replaced it stands.
//  4. When none does, the first to dial is taken. A former process is taken back as an unknown
//     one, with WELCOME "- 0": positions in its feed were forgotten when it was replaced.
//  5. Each such change costs two full copies, and so each process has a pause of its own before it
//     is taken back again. A process that comes and goes uses up its own pause only: it cannot
//     keep out the one that should have the name. A process taken by rule 1 needs no pause. What
//     replaced it has used up its own, or our link was lost and has found another process, which
//     is a copy anyhow.
//
// The pause is a timer, not a difference of two clock readings. Loop only.
type former struct {
	epoch  protocol.Epoch
	pause  time.Duration // the last one; 0: none, or long ago
	barred bool          // until it is over
	timer  *reactor.DelayedCall
}

// former finds a former process; nil if epoch is none.
func (n *neighbor) former(epoch protocol.Epoch) *former {
	for _, f := range n.replaced {
		if f.epoch == epoch {
			return f
		}
	}
	return nil
}

// replace remembers the process at hand as a former one. One that was taken back is remembered
// already, with its pause.
func (n *neighbor) replace() {
	if n.heard.Epoch() == 0 || n.former(n.heard.Epoch()) != nil {
		return
	}
	if len(n.replaced) == maxReplaced {
		n.replaced = slices.Delete(n.replaced, 0, 1)
	}
	n.replaced = append(n.replaced, &former{epoch: n.heard.Epoch()})
}

// admits says whether a process that has proven to be the neighbor is the one, and notes what follows
// for the alarm and for the pauses.
func (n *neighbor) admits(epoch protocol.Epoch) bool {
	f := n.former(epoch)
	switch {
	case n.elsewhere(epoch):
		n.link.sender.contest(epoch)
		return false
	case epoch == n.heard.Epoch() || f == nil:
		return true
	case n.link.sending():
		n.takeBack(f, 0)
		return true
	case f.barred || n.stands():
		n.claimed(claimRefused, epoch)
		return false
	}
	f.bar(n.server.reactor)
	n.takeBack(f, f.pause)
	return true
}

// bar begins a pause.
func (f *former) bar(clock reactor.Clock) {
	if f.timer != nil {
		f.timer.Cancel()
	}
	f.pause = min(max(2*f.pause, minReturnPause), maxReturnPause)
	f.barred = true
	f.timer = clock.CallLater(f.pause, func() {
		f.barred = false
		f.timer = clock.CallLater(returnQuiet, func() { f.pause, f.timer = 0, nil })
	})
}

// takeBack notes that a former process is the neighbor's again.
func (n *neighbor) takeBack(f *former, pause time.Duration) {
	n.counters.takenBack++
	n.claimed(claimTakenBack, f.epoch)
	n.server.log.Warn("former process taken back", zap.String("neighbor", n.name),
		zap.Stringer("epoch", f.epoch), zap.Duration("not_again_for", pause))
}

// elsewhere says whether another process than this one is at the neighbor's address.
func (n *neighbor) elsewhere(epoch protocol.Epoch) bool {
	return n.link.sending() && n.link.sent.Peer() != epoch
}

// stands says whether there is a connection from the process whose proof was taken last.
func (n *neighbor) stands() bool {
	return slices.ContainsFunc(n.inbounds, func(in *inbound) bool { return in.machine.Epoch() == n.heard.Epoch() })
}

// askOthers asks the processes behind connections that are not from the neighbor's address.
func (n *neighbor) askOthers() {
	for _, in := range n.inbounds {
		if n.elsewhere(in.machine.Epoch()) {
			in.ask()
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
	state string               // claimRefused or claimTakenBack
	since time.Time            // when the first sign came
	over  *reactor.DelayedCall // claimTime after the last; nil: one process claims the name
}

// claimed notes a sign that there is another process of the neighbor's name.
func (n *neighbor) claimed(state string, other protocol.Epoch) {
	c, s := &n.claims, n.server
	if c.over == nil {
		c.since = s.reactor.Now()
		epoch := n.heard.Epoch()
		if n.link.sending() {
			epoch = n.link.sent.Peer()
		}
		s.log.Error("two processes claim one name", zap.String("neighbor", n.name),
			zap.Stringer("epoch", epoch), zap.Stringer("other", other), zap.String("state", state))
	} else {
		c.over.Cancel()
	}
	c.state = state
	c.over = s.reactor.CallLater(claimTime, func() {
		c.over = nil
		s.log.Info("one process claims the name again", zap.String("neighbor", n.name))
	})
}

// status fills in the alarm.
func (c *claims) status(st *LinkStatus) {
	if c.over != nil {
		since := c.since
		st.Duplicate, st.DuplicateSince = c.state, &since
	}
}
