package herd

import (
	"bytes"
	"errors"
	"time"
)

// errUnfinished ends a session whose last line was executed for unfinished_line.
var errUnfinished = errors.New("unfinished line executed")

// pausedInLine reports whether the client has sent nothing for unfinished_line in the middle of a line, which
// is then executed as if complete. Clients of the course do not end their lines, because their servers took
// one read for one message.
//
// Two sweeps in a row, both on time, have to find that. So input that came while the process was stopped, or
// while its loop was busy, is read before the line is executed.
func (s *session) pausedInLine(now time.Time) bool {
	limit := s.server.cfg.Herd.UnfinishedLine
	silent := limit > 0 && !s.held && !s.eof && !s.partialSince.IsZero() && now.Sub(s.lastInput) >= limit &&
		!s.server.sweepLate && !s.server.drain.begun && !s.mayBeNeighborLine()
	twice := silent && s.wasSilent
	s.wasSilent = silent
	return twice
}

// mayBeNeighborLine reports whether the unfinished line is a neighbor's, or may become one. It is never
// executed.
func (s *session) mayBeNeighborLine() bool {
	if s.inbound != nil || s.legacy.neighbor != nil {
		return true
	}
	line := s.head
	if s.identified {
		line = s.reader.Unfinished()
	}
	line = bytes.TrimLeft(line, " \t\r\v\f")
	return s.linesIn == 0 && mayBegin(line, "HELLO") || s.server.handshakeOptional && mayBegin(line, "AT")
}

// mayBegin reports whether a line that begins with p may have the verb.
func mayBegin(p []byte, verb string) bool {
	n := min(len(p), len(verb))
	return string(p[:n]) == verb[:n]
}

// executeUnfinished executes the unfinished line as if it had been complete at its last byte, and closes the
// connection after the reply.
func (s *session) executeUnfinished() {
	s.server.counters.UnfinishedLines++
	s.setNow(s.lastInput)
	s.finishLine()
	s.close(errUnfinished)
	s.accountMemory()
}

// finishLine handles what follows the last LF as a line.
func (s *session) finishLine() {
	if len(s.head) > 0 {
		s.openLast()
	}
	s.reader.Finish()
}
