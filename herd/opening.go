package herd

import (
	"errors"

	"go.uber.org/zap"

	"serverherd/protocol"
)

var errOtherProtocol = errors.New("neither a client nor a neighbor")

// open takes the first bytes of a connection until they show what it is, and returns those that belong to
// lines. The connection is logged from then on. One that only connects and closes, as a load balancer's
// health check does, is logged at level debug.
func (s *session) open(p []byte) (lines []byte) {
	if s.closing {
		return nil
	}
	if len(s.head) > 0 {
		s.head = append(s.head, p...)
		p = s.head
	}
	for {
		o := protocol.Open(p, s.mayProxy())
		s.answerTelnet(p[:o.Skip])
		p = p[o.Skip:]
		switch {
		case o.Kind == protocol.SkipMore:
			s.skipped = true
		case o.Kind == protocol.NeedMore && (o.Other == protocol.OtherPROXY && s.mayProxy() || o.Other == "" && !s.tooLong(p)):
			s.head = append(s.head[:0], p...)
			return nil
		case o.Kind == protocol.ProxyHeader && s.mayProxy():
			if !s.proxyHeader(o.Source) {
				return nil
			}
		case o.Kind == protocol.TLSHello && s.startTLS(p):
			return nil
		case o.Other != "":
			s.otherProtocol(o.Other)
			return nil
		default:
			s.opened(o.Kind == protocol.LinkLines)
			return p
		}
	}
}

// openLast handles first bytes that end without LF, when there will be no more.
func (s *session) openLast() {
	line := s.open([]byte{'\n'})
	if len(line) > 1 { // otherwise LF ended something that is not a line
		s.reader.DataReceived(line)
	}
}

// tooLong reports whether p, without LF, exceeds the length of a line.
func (s *session) tooLong(p []byte) bool {
	max := s.server.cfg.Limits.MaxLine
	return len(p) > max+1 || len(p) == max+1 && p[max] != '\r'
}

// opened begins to read lines.
func (s *session) opened(link bool) {
	s.identified, s.isLink, s.head = true, link, nil
	s.server.log.Info("connection made", zap.Uint64("conn", s.id), zap.String("peer", s.peer))
}

// otherProtocol closes a connection with another protocol. Nothing that follows is executed. A browser that a
// malicious web page directs to this port gets no response that the page could use.
func (s *session) otherProtocol(what string) {
	srv := s.server
	srv.counters.OtherProtocols++
	if srv.logLimits.protocols.allow(logKey{what, s.address}, srv.reactor.Now()) {
		srv.log.Warn("other protocol refused", zap.String("protocol", what), zap.String("peer", s.peer),
			zap.Uint64("conn", s.id))
	}
	if what == protocol.OtherUTF16 { // for a user who sends a file in this encoding
		s.replyFinal(protocol.NotUTF8)
	}
	s.close(errOtherProtocol)
}

// replyFinal sends the reason why the connection is going to be closed.
func (s *session) replyFinal(reason error) {
	if text := s.server.dialect.AppendFinal(s.server.scratch[:0], reason); len(text) > 0 {
		s.server.counters.Refused++
		s.reply(text)
	}
}

// telnetLine answers a line that begins with telnet commands.
func (s *session) telnetLine(line []byte) {
	n, next := protocol.SkipTelnet(line)
	s.answerTelnet(line[:n])
	switch line = line[n:]; {
	case next == protocol.TelnetEscape:
		s.replyUnknown(line[1:])
	case next == protocol.TelnetText && n > 0:
		c, err := s.server.dialect.Parse(line, s.server.cfg.Limits.MaxClientID)
		s.execute(line, c, err)
	case next == protocol.TelnetText: // 0xff is not a telnet command here
		s.replyUnknown(line)
	case len(line) == 1: // IAC alone is not a command
		s.replyUnknown(line)
	default:
		s.reader.Continue(line)
	}
}

// answerTelnet answers telnet commands that were skipped.
func (s *session) answerTelnet(skipped []byte) {
	if len(skipped) == 0 {
		return
	}
	if text := protocol.AppendTelnet(s.server.small[:0], skipped); len(text) > 0 && !s.replies.add(text) {
		s.send(text, nil)
	}
}

// unfinished reports whether a line has begun and has not ended. Telnet commands do not begin one: a user who
// presses Ctrl-C may wait before typing the next line.
func (s *session) unfinished() bool {
	if !s.identified {
		return len(s.head) > 0
	}
	p := s.reader.Unfinished()
	if s.inbound != nil || !protocol.IsTelnet(p) {
		return len(p) > 0
	}
	n, _ := protocol.SkipTelnet(p)
	s.answerTelnet(p[:n])
	s.reader.Discard(n)
	return s.reader.Pending() > 0
}
