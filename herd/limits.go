package herd

import (
	"time"

	"go.uber.org/zap"

	"serverherd/herd/link"
	"serverherd/protocol"
)

// What makes a session hold a client's further lines until it is below all three again.
const (
	maxOpen        = 64        // WHATSATs without their reply
	maxHeldReplies = 1 << 20   // bytes that replies take which wait for an earlier one
	maxBacklog     = 256 << 10 // bytes of replies that the client has not read
)

const (
	// softTime is how long a client may leave more than output_soft bytes unread.
	softTime = 10 * time.Second
	// stallTime is how long a client may take nothing of what it is owed, however little that is.
	stallTime = 30 * time.Second
)

// noteUnfinished notes when the unfinished line began, after the reader has been at work; lines is
// how many there had been before. Later bytes of one line do not change it.
func (s *session) noteUnfinished(lines uint64) {
	switch {
	case !s.unfinished():
		s.partialSince = time.Time{}
	case s.linesIn != lines || s.partialSince.IsZero():
		s.partialSince = s.now
	}
}

// judgeAfter is when a backlog beyond output_hard is judged: what was written in this turn has
// been offered to the kernel by then, and what it took is not held against the client.
const outputCheckDelay = 10 * time.Millisecond

// judge cuts a client off if it leaves more unread than it may.
func (s *session) checkOutput() {
	s.outputCheckDue = false
	if !s.lost && s.t.Backlog() > s.server.cfg.Limits.OutputHard {
		s.cutOff(errSlowReader, 0)
	}
}

// dropped counts a link that this server drops, on either side, by the limit that it passed.
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

// cutOff ends a client's connection for one of the limits on memory. of is what its address takes,
// if that is why. Of one address and reason not every connection is logged.
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
		s.server.log.Warn("client cut off", zap.Uint64("conn", s.id), zap.String("peer", s.t.Peer()),
			zap.String("reason", reason.Error()), zap.Int("unsent", s.t.Backlog()),
			zap.Int("memory", s.t.Memory()), zap.Int("address_memory", of))
	}
	s.abort(reason)
}

// mustHold says whether the client has enough unanswered or unread.
func (s *session) mustHold() bool {
	return s.replies.open >= maxOpen || s.replies.memory >= maxHeldReplies ||
		s.t.Backlog() >= maxBacklog
}

// hold stops executing lines while the client has enough unanswered or unread.
func (s *session) hold() {
	if !s.held && !s.closing && s.mustHold() {
		s.held = true
		s.server.counters.Held++
		s.reader.Pause()
		s.t.PauseReceiving()
	}
}

// release goes on with the lines that were held.
func (s *session) release() {
	if s.held && !s.closing && !s.mustHold() {
		s.held = false
		s.now = s.server.reactor.Now()
		s.lastInput = s.now // before that, what the client sent was not read
		lines := s.linesIn
		s.t.ResumeReceiving()
		s.reader.Resume()
		s.noteUnfinished(lines)
	}
}

// drain ends the session once what has been read is answered, as if the client sent no more.
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

// keep tells the Transport what the session itself keeps of unanswered lines and unsent replies.
func (s *session) accountMemory() {
	if n := cap(s.head) + s.reader.Memory() + s.replies.memory; n != s.accounted {
		s.accounted = n
		s.t.Keep(n)
	}
}

// sweep applies the limits on time. It is called for every session about once a second, and returns
// how much memory is kept for its client.
func (s *session) sweep(now time.Time) (memory int) {
	if s.inbound != nil {
		return s.memory() // a link has its pulse
	}
	backlog := s.t.Backlog()
	if reason := s.unreadReason(now, backlog); reason != nil {
		s.cutOff(reason, 0)
		return 0
	}
	s.accountMemory()
	l := &s.server.cfg.Limits
	switch {
	case s.closing:
	case s.admission == asOverflow && now.Sub(s.accepted) >= link.HandshakeTimeout && !s.server.admitClient(s):
		s.refuseFull()
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

// unread says why a client that leaves backlog bytes unread is to be cut off; nil if it is not. One
// that takes something is not, as long as it is not owed too much: a slow line is no fault.
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
