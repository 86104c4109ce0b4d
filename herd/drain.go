package herd

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"
)

// drain is what a server keeps of its stop. Loop only.
type drain struct {
	begun  bool
	since  time.Time
	done   func()  // tells the reactor that the server may go; nil once it has been called
	undone []error // what the stop leaves undone
}

// StopError says what the server left undone when it stopped, for the exit code of its process; nil
// if nothing. Call it once the reactor's Run has returned.
func (s *Server) StopError() error { return errors.Join(s.drain.undone...) }

// stop is the server's way out: it stops listening, answers what it has read, and lets every live
// link hand over the rest of the feed. It calls done when all of that has happened, or when the
// drain time is over.
func (s *Server) stop(done func()) {
	s.drain = drain{begun: true, since: s.reactor.Now(), done: done}
	s.port.StopListening()
	s.reactor.CallLater(s.cfg.Limits.Drain, s.drainTimeout)
	for _, n := range slices.Backward(s.sessions) {
		if n.intake == nil {
			n.drain()
		}
	}
	s.pumpSoon()
	s.drained()
}

// drained lets the server go once nothing is owed to anyone.
func (s *Server) drained() {
	if s.drain.done == nil || s.admitted[asClient]+s.admitted[asOverflow] > 0 {
		return
	}
	for _, n := range s.neighbors {
		if !n.link.drained() {
			return
		}
	}
	if s.journal != nil && !s.journal.idle() {
		s.journal.pump()
		return
	}
	s.leave()
}

// drainTimeout lets the server go though something is still owed. A client that does not read its
// replies is no failure; a neighbor that was connected all the while and lacks records is one.
func (s *Server) drainTimeout() {
	if s.drain.done == nil {
		return
	}
	s.log.Warn("drain time is over", zap.Int("connections", len(s.sessions)))
	for _, n := range s.neighbors {
		if l := n.link; l.sending() && !l.drained() {
			s.leaveUndone(fmt.Errorf("%s has not acknowledged up to %d records", n.name, s.store.Tail()-l.acked))
		}
	}
	s.leave()
}

// leaveUndone notes an error for StopError.
func (s *Server) leaveUndone(err error) { s.drain.undone = append(s.drain.undone, err) }

// leave ends the drain.
func (s *Server) leave() {
	done := s.drain.done
	s.drain.done = nil
	s.log.Info("stopped", zap.String("server", s.name),
		zap.Duration("took", s.reactor.Now().Sub(s.drain.since)), zap.Int("connections", len(s.sessions)))
	done()
}
