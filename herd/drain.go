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
	begun  bool
	since  time.Time
	done   func()  // tells the reactor that the server may go; nil once it has been called
	undone []error // what the stop leaves undone
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
type leaving struct {
	wasUp    bool // when the stop began
	left     bool // the last connection of the stop ended in good order
	lastDial bool // nothing has been acknowledged since a dial of the stop
	gone     bool // nobody was there
	// To a neighbor without a handshake: everything up to delivered has been written, and the
	// connection is closing, or has been closed in good order.
	closing   bool
	delivered uint64
}

// crashed says whether the neighbor was connected when the stop began, and did not leave in good order.
func (l *leaving) crashed() bool { return l.wasUp && !l.left }

// over says whether the server is about to go: nothing that comes now is handed over.
func (d *drain) over() bool { return d.begun && d.done == nil }

// StopError says what the server left undone when it stopped, for the exit code of its process; nil
// if nothing. Call it once the reactor's Run has returned.
func (s *Server) StopError() error {
	err := errors.Join(s.drain.undone...)
	if s.journal != nil {
		err = errors.Join(err, s.journal.stopError())
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
func (s *Server) stop(done func()) {
	s.drain = drain{begun: true, since: s.reactor.Now(), done: done}
	s.port.StopListening()
	s.reactor.CallLater(s.cfg.Limits.Drain, s.drainTimeout)
	for _, n := range s.neighbors {
		n.link.drain()
	}
	for _, n := range slices.Backward(s.sessions) {
		if n.inbound == nil {
			n.drain()
		}
	}
	if s.journal != nil {
		s.journal.drain()
	}
	s.pumpSoon()
	s.drained()
}

// drained lets the server go once nothing is owed to anyone. Whatever may end the last thing that is
// owed calls it. To a connection in the middle of a handshake nothing is owed.
func (s *Server) drained() {
	clients := s.admitted[asClient] + s.admitted[asOverflow] - s.handshakes
	if s.drain.done == nil || clients > 0 {
		return
	}
	all := true
	for _, n := range s.neighbors { // each, for it may have its last step to take
		all = n.link.drained() && all
	}
	if !all {
		return
	}
	if s.journal != nil && !s.journal.idle() {
		s.journal.pump()
		return
	}
	if s.retries() && s.unshared(true) > 0 {
		return
	}
	s.leave(s.unshared(false))
}

// retries says whether there is a neighbor that crashed, was not there at the last dial, and is dialed
// again.
func (s *Server) retries() bool {
	return slices.ContainsFunc(s.neighbors, func(n *neighbor) bool {
		return n.link.leaving.crashed() && n.link.leaving.gone
	})
}

// drainTimeout lets the server go though something is still owed. A client that does not read its
// replies is no failure, nor is a neighbor that lacks what another one has. Records that only this
// server has are one if there is a neighbor that could have had them.
func (s *Server) drainTimeout() {
	if s.drain.done == nil {
		return
	}
	s.log.Warn("drain time is over", zap.Int("connections", len(s.sessions)))
	lost, owed := s.unshared(false), s.unshared(true)
	for _, n := range s.neighbors {
		count := 0
		switch l := n.link; {
		case l.up() && !l.drained():
			count = lost
		case l.leaving.crashed():
			count = owed
		}
		if count > 0 {
			s.leaveUndone(fmt.Errorf("%d records are on no other server: %s did not take them in %v",
				count, n.name, s.cfg.Limits.Drain))
			break
		}
	}
	s.leave(lost)
}

// leaveUndone notes an error for StopError.
func (s *Server) leaveUndone(err error) { s.drain.undone = append(s.drain.undone, err) }

// leave ends the drain; lost is how many records are unshared. The neighbors' connections end in good
// order, for a reset would tell a neighbor that stops, too, that this server has crashed.
func (s *Server) leave(lost int) {
	done := s.drain.done
	s.takeNoMore()
	for _, n := range s.neighbors {
		for _, in := range n.inbounds {
			in.session.t.LoseConnection()
		}
	}
	if lost > 0 {
		s.log.Warn("records not handed over", zap.Int("records", lost))
	}
	s.log.Info("stopped", zap.String("server", s.name),
		zap.Duration("took", s.reactor.Now().Sub(s.drain.since)), zap.Int("connections", len(s.sessions)),
		zap.Int("not_handed_over", lost))
	done()
}

// takeNoMore makes the drain over: what comes from now on would be handed on to nobody.
func (s *Server) takeNoMore() {
	s.drain.done = nil
	for _, n := range s.neighbors {
		n.heard.Close()
	}
}

// unshared counts the records that only this server has, as far as it knows: no neighbor that is
// connected, in one direction or the other, has acknowledged or sent them, and they are not in the
// journal. With former, a neighbor that was connected when the stop began counts as connected: what
// its process had acknowledged when it left is handed over.
func (s *Server) unshared(former bool) (n int) {
	from := s.store.Head()
	defer from.Close()
	if s.journal != nil {
		from.MoveTo(s.journal.synced)
	}
	var connected []protocol.Epoch
	for _, n := range s.neighbors {
		l := n.link
		if l.sending() || former && l.leaving.wasUp && l.sent.Peer() != 0 {
			connected = append(connected, l.sent.Peer())
			if l.sent.Cursor().Position() > from.Position() {
				from.MoveTo(l.sent.Cursor())
			}
		}
		for _, in := range n.inbounds {
			connected = append(connected, in.machine.Epoch())
		}
		from.Advance(l.leaving.delivered)
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
func (l *outbound) drain() {
	l.refusals = 0
	l.leaving.wasUp = l.up()
	l.client.ResetDelay()
	switch {
	case l.t == nil:
		// A dial that is under way may have been refused before the neighbor was started: if it fails,
		// there is one more.
		l.leaving.lastDial = l.client.DialNow()
	case l.state == linkGreeting:
		l.leaving.lastDial = true
	}
}

// dialsAgain says whether a link that has ended during a stop is dialed at once. If not, it has ended
// for good, unless the neighbor has crashed: it is dialed after reactor.MinRetryDelay, again and again.
func (l *outbound) dialsAgain() bool {
	if !l.leaving.lastDial && !l.leaving.closing {
		l.leaving.lastDial = true
		return true
	}
	l.leaving.gone = true
	if l.leaving.crashed() {
		l.client.ResetDelay()
	} else {
		l.client.Stop()
	}
	return false
}

// up says whether somebody is at the other end of the link.
func (l *outbound) up() bool { return l.sending() || l.state == linkPlain }

// drained says whether everything has been handed over to whoever is at the other end, or nobody
// is.
func (l *outbound) drained() bool {
	if !l.up() {
		return l.leaving.gone
	}
	return l.sender.drained()
}
