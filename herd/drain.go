package herd

import (
	"errors"
	"fmt"
	"slices"

	"go.uber.org/zap"

	"serverherd/protocol"
)

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
	srv.pumpNow()
	srv.checkDrained()
}

// checkDrained finishes the shutdown once nothing is pending. It is called whenever something that a shutdown
// waits for may have completed. A shutdown does not wait for connections in the middle of a handshake.
func (srv *Server) checkDrained() {
	clients := srv.admitted[asClient] + srv.admitted[asOverflow] - srv.pendingHandshakes
	if srv.drain.late && srv.journal.idle() {
		srv.drainTimeout()
	}
	if srv.drain.done == nil || srv.drain.late || clients > 0 {
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
	if srv.bridge != nil && !srv.bridge.idle() {
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
//
// Neighbors may send records until the end. Those that came last are not on the disk yet: a disk that works gets a moment
// for them.
func (srv *Server) drainTimeout() {
	if srv.drain.done == nil {
		return
	}
	if j := srv.journal; j != nil && !srv.drain.late && !j.idle() && j.problem(srv.reactor.Now()) == "" {
		srv.drain.late = true
		srv.refuseRecords()
		j.pump()
		srv.reactor.CallLater(maxDrainRetry, srv.drainTimeout)
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
	if srv.bridge != nil {
		srv.bridge.close()
	}
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
	srv.refuseRecords()
}

// refuseRecords makes links ignore further records of neighbors, without an acknowledgement.
func (srv *Server) refuseRecords() {
	for _, n := range srv.neighbors {
		n.heard.Close()
	}
}

// unreplicated counts the records that only this server has, as far as it knows: no connected neighbor has
// acknowledged or sent them, and they are neither in the journal nor in the bucket. With former, a neighbor that was
// connected when the shutdown began counts as connected: what its process had acknowledged counts as handed over.
func (srv *Server) unreplicated(former bool) (n int) {
	from := srv.store.Head()
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
		if !slices.Contains(connected, item.From) && !(srv.bridge != nil && srv.bridge.has(&item)) {
			n++
		}
	}
}
