package herd

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"serverherd/protocol"
)

// drain is what a server keeps of its stop. Loop only.
type drain struct {
	begun bool
	since time.Time
	done  func()  // tells the reactor that the server may go; nil once it has been called
	errs  []error // what the stop leaves undone
}

// leaving is what a link keeps of its server's stop.
//
// A link that is up hands over the rest of the feed. One that is not is dialled once, at once: the
// neighbor's process may be a new one that has nothing yet, whatever the one before it had
// acknowledged. Where that dial, or its handshake, comes to nothing, nobody is there to hand
// anything to. A link that is lost is dialled likewise, and once more after each connection on
// which something was acknowledged: a neighbor that finds a difference drops the link to ask for
// everything again.
//
// A neighbor that was connected when the stop began, and whose connection broke, has crashed, and its
// next process may need a moment to listen. It is dialed until the server leaves, and the server does
// not leave while it has records that no neighbor took: see Server.retries. One that closed its
// connection in good order has probably stopped, too: nobody waits for it.
type linkDrain struct {
	wasUp         bool // when the stop began
	closedCleanly bool // the last connection of the stop ended in good order
	lastDial      bool // nothing has been acknowledged since a dial of the stop
	unreachable   bool // nobody was there
	// To a neighbor without a handshake: everything up to delivered has been written, and the
	// connection is closing, or has been closed in good order.
	closing   bool
	delivered uint64
}

// crashed says whether the neighbor was connected when the stop began, and did not leave in good order.
func (ld *linkDrain) crashed() bool { return ld.wasUp && !ld.closedCleanly }

// over says whether the server is about to go: nothing that comes now is handed over.
func (d *drain) over() bool { return d.begun && d.done == nil }

// StopError says what the server left undone when it stopped, for the exit code of its process; nil
// if nothing. Call it once the reactor's Run has returned.
func (srv *Server) StopError() error {
	err := errors.Join(srv.drain.errs...)
	if srv.journal != nil {
		err = errors.Join(err, srv.journal.stopError())
	}
	return err
}

// stop is the server's way out: it stops listening, answers what it has read, and lets every link
// hand over the rest of the feed. It calls done when all of that has happened, or when the drain
// time is over.
//
// Two servers that stop together do not wait for each other. Each goes on to take and acknowledge
// what comes on the connections that stand, so each comes to the end of its feed. The first to go
// ends its connections, and a dial to it is refused. What it acknowledged before counts as handed over.
func (srv *Server) stop(done func()) {
	srv.drain = drain{begun: true, since: srv.reactor.Now(), done: done}
	srv.port.StopListening()
	srv.reactor.CallLater(srv.cfg.Limits.Drain, srv.drainTimeout)
	for _, n := range srv.neighbors {
		n.link.beginDrain()
	}
	for _, s := range slices.Backward(srv.sessions) {
		if s.inbound == nil {
			s.beginDrain()
		}
	}
	if srv.journal != nil {
		srv.journal.beginDrain()
	}
	srv.pumpSoon()
	srv.checkDrained()
}

// drained lets the server go once nothing is owed to anyone. Whatever may end the last thing that is
// owed calls it. To a connection in the middle of a handshake nothing is owed.
func (srv *Server) checkDrained() {
	clients := srv.admitted[asClient] + srv.admitted[asOverflow] - srv.pendingHandshakes
	if srv.drain.done == nil || clients > 0 {
		return
	}
	all := true
	for _, n := range srv.neighbors { // each, for it may have its last step to take
		all = n.link.drained() && all
	}
	if !all {
		return
	}
	if srv.journal != nil && !srv.journal.idle() {
		srv.journal.pump()
		return
	}
	if srv.retriesCrashed() && srv.unreplicated(true) > 0 {
		return
	}
	srv.finishDrain(srv.unreplicated(false))
}

// retries says whether there is a neighbor that crashed, was not there at the last dial, and is dialed
// again.
func (srv *Server) retriesCrashed() bool {
	return slices.ContainsFunc(srv.neighbors, func(n *neighbor) bool {
		return n.link.drain.crashed() && n.link.drain.unreachable
	})
}

// drainTimeout lets the server go though something is still owed. A client that does not read its
// replies is no failure, nor is a neighbor that lacks what another one has. Records that only this
// server has are one if there is a neighbor that could have had them.
func (srv *Server) drainTimeout() {
	if srv.drain.done == nil {
		return
	}
	srv.log.Warn("drain timed out", zap.Int("connections", len(srv.sessions)))
	lost, owed := srv.unreplicated(false), srv.unreplicated(true)
	for _, n := range srv.neighbors {
		count := 0
		switch o := n.link; {
		case o.up() && !o.drained():
			count = lost
		case o.drain.crashed():
			count = owed
		}
		if count > 0 {
			srv.addStopError(fmt.Errorf("%d records are on no other server: %s did not acknowledge them within %v",
				count, n.name, srv.cfg.Limits.Drain))
			break
		}
	}
	srv.finishDrain(lost)
}

// leaveUndone notes an error for StopError.
func (srv *Server) addStopError(err error) { srv.drain.errs = append(srv.drain.errs, err) }

// NotHandedOverMessage is the message of the log entry for records that no other server has at a stop.
const NotHandedOverMessage = "records not handed over"

// leave ends the drain; lost is how many records are unshared. The neighbors' connections end in good
// order, for a reset would tell a neighbor that stops, too, that this server has crashed.
func (srv *Server) finishDrain(lost int) {
	done := srv.drain.done
	srv.stopApplying()
	for _, n := range srv.neighbors {
		for _, in := range n.inbounds {
			in.session.t.LoseConnection()
		}
	}
	if lost > 0 {
		srv.log.Warn(NotHandedOverMessage, zap.Int("records", lost))
	}
	srv.log.Info("stopped", zap.String("server", srv.name),
		zap.Duration("took", srv.reactor.Now().Sub(srv.drain.since)), zap.Int("connections", len(srv.sessions)),
		zap.Int("not_handed_over", lost))
	done()
}

// takeNoMore makes the drain over: what comes from now on would be handed on to nobody.
func (srv *Server) stopApplying() {
	srv.drain.done = nil
	for _, n := range srv.neighbors {
		n.heard.Close()
	}
}

// unshared counts the records that only this server has, as far as it knows: no neighbor that is
// connected, in one direction or the other, has acknowledged or sent them, and they are not in the
// journal. With former, a neighbor that was connected when the stop began counts as connected: what
// its process had acknowledged when it left is handed over.
func (srv *Server) unreplicated(former bool) (n int) {
	from := srv.store.Head()
	defer from.Close()
	if srv.journal != nil {
		from.MoveTo(srv.journal.synced)
	}
	var connected []protocol.Epoch
	for _, n := range srv.neighbors {
		o := n.link
		if o.sending() || former && o.drain.wasUp && o.sent.Peer() != 0 {
			connected = append(connected, o.sent.Peer())
			if o.sent.Cursor().Position() > from.Position() {
				from.MoveTo(o.sent.Cursor())
			}
		}
		for _, in := range n.inbounds {
			connected = append(connected, in.machine.Epoch())
		}
		from.Advance(o.drain.delivered)
	}
	for {
		item, ok := from.Next()
		if !ok {
			return n
		}
		if !slices.Contains(connected, item.From) {
			n++
		}
	}
}

// drain begins the link's part of a stop.
func (o *outbound) beginDrain() {
	o.proofsRefused = 0
	o.drain.wasUp = o.up()
	o.client.ResetDelay()
	switch {
	case o.t == nil:
		// A dial that is under way may have been refused before the neighbor was started: if it fails,
		// there is one more.
		o.drain.lastDial = o.client.DialNow()
	case o.state == linkGreeting:
		o.drain.lastDial = true
	}
}

// dialsAgain says whether a link that has ended during a stop is dialed at once. If not, it has ended
// for good, unless the neighbor has crashed: it is dialed after reactor.MinRetryDelay, again and again.
func (o *outbound) dialsInDrain() bool {
	if !o.drain.lastDial && !o.drain.closing {
		o.drain.lastDial = true
		return true
	}
	o.drain.unreachable = true
	if o.drain.crashed() {
		o.client.ResetDelay()
	} else {
		o.client.Stop()
	}
	return false
}

// up says whether somebody is at the other end of the link.
func (o *outbound) up() bool { return o.sending() || o.state == linkLegacy }

// drained says whether everything has been handed over to whoever is at the other end, or nobody
// is.
func (o *outbound) drained() bool {
	if !o.up() {
		return o.drain.unreachable
	}
	return o.sender.drained()
}
