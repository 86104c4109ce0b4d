package herd

import (
	"time"

	"go.uber.org/zap"

	"serverherd/herd/link"
	"serverherd/protocol"
)

// Limits from which a session holds (does not execute) a client's further lines. They are executed once it is
// below all three again.
const (
	maxOpen        = 64        // WHATSATs without a reply
	maxHeldReplies = 1 << 20   // bytes of replies that wait for an earlier one
	maxBacklog     = 256 << 10 // bytes of replies that the client has not read
)

const (
	// softTime is how long a client may leave more than output_soft bytes unread.
	softTime = 10 * time.Second
	// stallTime is how long a client may read none of its pending replies, however few they are.
	stallTime = 30 * time.Second
)

// noteUnfinished records when the unfinished line began, after the reader has processed input; lines is the
// line count before that. Further bytes of the same line do not change the time.
func (s *session) noteUnfinished(lines uint64) {
	switch {
	case !s.unfinished():
		s.partialSince = time.Time{}
	case s.linesIn != lines || s.partialSince.IsZero():
		s.partialSince = s.now
	}
}

// outputCheckDelay is how long after a write a backlog beyond output_hard is checked: by then it has been
// offered to the kernel, and what the kernel took does not count.
const outputCheckDelay = 10 * time.Millisecond

// checkOutput closes a client's connection if its backlog exceeds output_hard.
func (s *session) checkOutput() {
	s.outputCheckDue = false
	if !s.lost && s.t.Backlog() > s.server.cfg.Limits.OutputHard {
		s.cutOff(errSlowReader, 0)
	}
}

// linkDropped counts a link that this server drops, on either side, by the limit that was exceeded.
func (c *Counters) linkDropped(reason error) {
	switch reason {
	case link.ErrSilent:
		c.LinksSilent++
	case link.ErrNoAck:
		c.LinksUnacknowledged++
	case errUnread:
		c.LinksUnread++
	case link.ErrBadLines, errLineTooLong:
		c.LinksGarbled++
	case errReplaced, errTwoProcesses:
		c.LinksReplaced++
	case errHandshake:
		c.LinksUnanswered++
	}
}

// cutOff closes a client's connection because of a limit on memory; of is the memory of its address, if that
// is the reason. The log is limited by address and reason.
func (s *session) cutOff(reason error, of int) {
	if s.aborted {
		return
	}
	c := &s.server.counters
	switch reason {
	case errSlowReader:
		c.OutputLimits++
	case errStalled:
		c.StallLimits++
	case errMemory:
		c.MemoryLimits++
	}
	if s.server.logLimits.cuts.allow(logKey{reason.Error(), s.address}, s.server.reactor.Now()) {
		s.server.log.Warn("client cut off", zap.Uint64("conn", s.id), zap.String("peer", s.peer),
			zap.String("reason", reason.Error()), zap.Int("unsent", s.t.Backlog()),
			zap.Int("memory", s.t.Memory()), zap.Int("address_memory", of))
	}
	s.abort(reason)
}

// mustHold reports whether the client has too many pending or unread replies.
func (s *session) mustHold() bool {
	return s.replies.open >= maxOpen || s.replies.memory >= maxHeldReplies ||
		s.t.Backlog() >= maxBacklog
}

// hold stops executing lines while mustHold.
func (s *session) hold() {
	if !s.held && !s.closing && s.mustHold() {
		s.held = true
		s.server.counters.Held++
		s.reader.Pause()
		s.t.PauseReceiving()
	}
}

// release continues with the lines that were held.
func (s *session) release() {
	if s.held && !s.closing && !s.mustHold() {
		s.held = false
		s.setNow(s.server.reactor.Now())
		s.lastInput = s.now // input was not read before
		lines := s.linesIn
		s.t.ResumeReceiving()
		s.reader.Resume()
		s.noteUnfinished(lines)
	}
}

// beginDrain closes the session once the lines read so far are answered, as if the client had sent EOF.
func (s *session) beginDrain() {
	if s.reason == nil {
		s.reason = errDraining
	}
	s.t.StopReceiving()
}

// ResumeProducing implements reactor.Producer.
func (s *session) ResumeProducing() {
	s.release()
	s.finish()
	s.accountMemory()
}

// accountMemory tells the Transport how much memory the session itself uses for unanswered lines and unsent
// replies.
func (s *session) accountMemory() {
	if n := cap(s.head) + s.reader.Memory() + s.replies.memory; n != s.accounted {
		s.accounted = n
		s.t.Keep(n)
	}
}

// sweep checks the time limits. It is called for every session about once a second, and returns the memory
// used for its client.
func (s *session) sweep(now time.Time) (memory int) {
	if s.inbound != nil {
		return s.memory() // a link has its own timeouts
	}
	backlog := s.t.Backlog()
	if reason := s.unreadReason(now, backlog); reason != nil {
		s.cutOff(reason, 0)
		return 0
	}
	s.accountMemory()
	s.checkToken(now)
	l := &s.server.cfg.Limits
	switch {
	case s.closing:
	case s.admission == asOverflow && now.Sub(s.accepted) >= link.HandshakeTimeout && !s.server.admitClient(s):
		s.refuseOverflow()
	case s.pausedInLine(now):
		s.executeUnfinished()
	case l.PartialLineTimeout > 0 && !s.held && !s.partialSince.IsZero() &&
		now.Sub(s.partialSince) >= l.PartialLineTimeout:
		s.server.counters.PartialTimeouts++
		if !s.identified {
			s.opened(false)
		}
		s.replyFinal(protocol.Unfinished(l.PartialLineTimeout))
		s.close(errPartial)
	case l.IdleTimeout > 0 && !s.held && len(s.replies.queue) == 0 && backlog == 0 && now.Sub(s.lastInput) >= l.IdleTimeout:
		s.server.counters.IdleTimeouts++
		s.close(errIdle)
	}
	return s.memory()
}

// unreadReason returns why a client with an unread backlog must be closed; nil if it may stay. A client that
// reads something may stay as long as its backlog is small: a slow network is not a fault.
func (s *session) unreadReason(now time.Time, backlog int) error {
	if backlog == 0 {
		s.softSince, s.takenAt = time.Time{}, time.Time{}
		return nil
	}
	if backlog <= s.server.cfg.Limits.OutputSoft {
		s.softSince = time.Time{}
	} else if s.softSince.IsZero() {
		s.softSince = now
	} else if now.Sub(s.softSince) >= softTime {
		return errSlowReader
	}
	if taken := s.t.Taken(); s.takenAt.IsZero() || taken != s.lastTaken {
		s.lastTaken, s.takenAt = taken, now
	} else if now.Sub(s.takenAt) >= stallTime {
		return errStalled
	}
	return nil
}
