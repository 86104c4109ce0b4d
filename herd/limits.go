package herd

import (
	"time"

	"go.uber.org/zap"
)

// What makes a session hold a client's further lines until it is below all three again.
const (
	maxOpen        = 64        // WHATSATs without their reply
	maxHeldReplies = 1 << 20   // bytes of replies that wait for an earlier one
	maxBacklog     = 256 << 10 // bytes of replies that the client has not read
)

// softTime is how long a client may leave more than output_soft bytes unread.
const softTime = 10 * time.Second

// noteUnfinished notes when the unfinished line began, after the reader has been at work; lines is
// how many there had been before. Later bytes of one line do not change it.
func (s *session) noteUnfinished(lines uint64) {
	switch {
	case s.reader.Pending() == 0:
		s.partialSince = time.Time{}
	case s.linesIn != lines || s.partialSince.IsZero():
		s.partialSince = s.now
	}
}

// judgeAfter is when a backlog beyond output_hard is judged: what was written in this turn has
// been offered to the kernel by then, and what it took is not held against the client.
const judgeAfter = 10 * time.Millisecond

// judge cuts a client off if it leaves more unread than it may.
func (s *session) judge() {
	s.judging = false
	if !s.lost && s.t.Backlog() > s.server.cfg.Limits.OutputHard {
		s.cutOff()
	}
}

// dropped counts a link that this server drops, on either side, by the limit that it passed.
func (c *Counters) dropped(reason error) {
	switch reason {
	case errSilent:
		c.LinksSilent++
	case errNoAck:
		c.LinksUnacknowledged++
	case errUnread:
		c.LinksUnread++
	case errBadLines, errLineTooLong:
		c.LinksGarbled++
	case errReplaced, errOutlived:
		c.LinksReplaced++
	case errHandshake:
		c.LinksUnanswered++
	}
}

// cutOff ends a connection whose client does not read.
func (s *session) cutOff() {
	if s.aborted {
		return
	}
	s.server.counters.OutputLimits++
	s.server.log.Warn("slow reader cut off", zap.Uint64("conn", s.id),
		zap.String("peer", s.t.Peer()), zap.Int("unsent", s.t.Backlog()))
	s.abort(errSlowReader)
}

// mustHold says whether the client has enough unanswered or unread.
func (s *session) mustHold() bool {
	return s.replies.open >= maxOpen || s.replies.held >= maxHeldReplies ||
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
		lines := s.linesIn
		s.t.ResumeReceiving()
		s.reader.Resume()
		s.noteUnfinished(lines)
	}
}

// drain ends the session once what has been read is answered, as if the client sent no more.
func (s *session) drain() {
	if s.reason == nil {
		s.reason = errDraining
	}
	s.t.StopReceiving()
}

// ResumeProducing implements reactor.Producer.
func (s *session) ResumeProducing() {
	s.release()
	s.finish()
}

// sweep applies the limits on time. It is called for every session a few times a second.
func (s *session) sweep(now time.Time) {
	l := &s.server.cfg.Limits
	backlog := s.t.Backlog()
	switch {
	case s.intake != nil:
		return // a link has its pulse
	case backlog <= l.OutputSoft:
		s.softSince = time.Time{}
	case s.softSince.IsZero():
		s.softSince = now
	case now.Sub(s.softSince) >= softTime:
		s.cutOff()
		return
	}
	switch {
	case s.closing:
	case s.admission == asOverflow && now.Sub(s.accepted) >= handshakeTimeout && !s.server.admit(s):
		s.refuse()
	case l.PartialLineTimeout > 0 && !s.held && !s.partialSince.IsZero() &&
		now.Sub(s.partialSince) >= l.PartialLineTimeout:
		s.server.counters.PartialTimeouts++
		s.close(errPartial)
	case l.IdleTimeout > 0 && !s.held && len(s.replies.queue) == 0 && backlog == 0 && now.Sub(s.lastInput) >= l.IdleTimeout:
		s.server.counters.IdleTimeouts++
		s.close(errIdle)
	}
}
