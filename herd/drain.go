package herd

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"serverherd/protocol"
)

// drain is the state of a server's shutdown. Loop only.
type drain struct {
	begun bool
	since time.Time
	done  func()  // tells the reactor that the server has finished; nil once called
	errs  []error // what the shutdown could not complete
}

// linkDrain is a link's part of its server's shutdown.
//
// A link that is up hands over the rest of the feed. One that is down is dialed once, at once: the
// neighbor may have been restarted, and then it lacks everything, whatever its process before had
// acknowledged. If that dial or its handshake fails, there is nobody to hand anything to. A link that is
// lost is dialed in the same way, and once more after each connection on which something was
// acknowledged: a neighbor that detects a difference closes the link to request everything again.
//
// A neighbor that was connected when the shutdown began, and whose connection was reset, has crashed, and
// its next process may need a moment until it listens. It is dialed until the shutdown ends, and the
// shutdown does not end while there are records that no neighbor has: see Server.retriesCrashed. A
// neighbor that closed its connection in order is probably stopping, too: it is not waited for.
type linkDrain struct {
	wasUp         bool // when the shutdown began
	closedCleanly bool // the last connection was closed in order, not reset
	lastDial      bool // a dial has been made since the last progress: no further one
	unreachable   bool // the last dial or handshake failed
	// For a legacy neighbor: everything up to delivered has been written, and the connection is closing, or
	// was closed in order.
	closing   bool
	delivered uint64
}

// crashed reports whether the neighbor was connected when the shutdown began, and did not close its
// connection in order.
func (ld *linkDrain) crashed() bool { return ld.wasUp && !ld.closedCleanly }

// over reports whether the server is about to exit: what is received now is not handed over to anyone.
func (d *drain) over() bool { return d.begun && d.done == nil }

// StopError reports what the server could not complete before it stopped, for the exit code of its process;
// nil if nothing is missing. Call it after the reactor's Run has returned.
func (srv *Server) StopError() error {
	err := errors.Join(srv.drain.errs...)
	if srv.journal != nil {
		err = errors.Join(err, srv.journal.stopError())
	}
	return err
}

// stop begins the shutdown: the server stops listening, answers what it has read, and hands over the rest
// of the feed on every link. It calls done when that is complete, or after the drain time.
//
// Two servers that stop together do not wait for each other. Each continues to apply and acknowledge what
// it receives on its connections, so each can complete its feed. The first to finish closes its
// connections, and refuses dials. What it acknowledged before counts as handed over.
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

// checkDrained finishes the shutdown once nothing is pending. It is called whenever something that a shutdown
// waits for may have completed. A shutdown does not wait for connections in the middle of a handshake.
func (srv *Server) checkDrained() {
	clients := srv.admitted[asClient] + srv.admitted[asOverflow] - srv.pendingHandshakes
	if srv.drain.done == nil || clients > 0 {
		return
	}
	all := true
	for _, n := range srv.neighbors { // all of them: drained may take a last step
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

// retriesCrashed reports whether there is a neighbor that crashed, could not be reached by the last dial, and
// is dialed again.
func (srv *Server) retriesCrashed() bool {
	return slices.ContainsFunc(srv.neighbors, func(n *neighbor) bool {
		return n.link.drain.crashed() && n.link.drain.unreachable
	})
}

// drainTimeout finishes the shutdown though something is pending. A client that does not read its replies is
// not an error, nor is a neighbor that lacks records that another neighbor has. Records that only this server
// has are an error if there is a neighbor that could have taken them.
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

// addStopError adds an error to StopError.
func (srv *Server) addStopError(err error) { srv.drain.errs = append(srv.drain.errs, err) }

// NotHandedOverMessage is the message of the log entry about records that no other server has when this one stops.
const NotHandedOverMessage = "records not handed over"

// finishDrain ends the shutdown; lost is the number of unreplicated records. The neighbors' connections are
// closed in order: a neighbor that stops at the same time would take a reset for a crash.
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

// stopApplying ends the acceptance of records: they could not be handed over to anyone.
func (srv *Server) stopApplying() {
	srv.drain.done = nil
	for _, n := range srv.neighbors {
		n.heard.Close()
	}
}

// unreplicated counts the records that only this server has, as far as it knows: no connected neighbor has
// acknowledged or sent them, and they are not in the journal. With former, a neighbor that was connected when
// the shutdown began counts as connected: what its process had acknowledged counts as handed over.
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

// beginDrain begins the link's part of a shutdown.
func (o *outbound) beginDrain() {
	o.proofsRefused = 0
	o.drain.wasUp = o.up()
	o.client.ResetDelay()
	switch {
	case o.t == nil:
		// A dial in progress may have been refused before the neighbor was started. If it fails, there is one
		// more.
		o.drain.lastDial = o.client.DialNow()
	case o.state == linkGreeting:
		o.drain.lastDial = true
	}
}

// dialsInDrain reports whether a link that ended during a shutdown is dialed at once. If not, it is not
// dialed again, unless the neighbor has crashed: then it is dialed after reactor.MinRetryDelay, repeatedly.
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

// up reports whether the link has a neighbor at its other end.
func (o *outbound) up() bool { return o.sending() || o.state == linkLegacy }

// drained reports whether everything has been handed over to the neighbor, or the neighbor cannot be reached.
func (o *outbound) drained() bool {
	if !o.up() {
		return o.drain.unreachable
	}
	return o.sender.drained()
}
