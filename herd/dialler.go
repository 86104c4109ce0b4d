package herd

import (
	"errors"
	"fmt"

	"go.uber.org/zap"

	"serverherd/herd/link"
	"serverherd/protocol"
	"serverherd/reactor"
)

// BuildProtocol implements reactor.ClientFactory.
func (l *outbound) BuildProtocol(string) reactor.Protocol {
	if l.plain {
		l.plain = false
		return plainLink{l}
	}
	return l
}

// ConnectionFailed implements reactor.ClientFactory.
func (l *outbound) ConnectionFailed(reason error) {
	l.plain, l.hangUps = false, 0
	l.stopProbe()
	l.cursor.Close()
	l.line.Close()
	l.neighbor.counters.dialsFailed++
	l.down(reason.Error())
	l.ended()
}

// ConnectionMade implements reactor.Protocol.
func (l *outbound) ConnectionMade(t reactor.Transport) {
	l.connected(t, l)
	l.become(linkGreeting)
	l.timeout = l.server.reactor.CallLater(handshakeTimeout, l.unanswered)
	l.machine = link.NewOutbound(&l.server.identity, l.neighbor.name, l.sent, l.neighbor.heard, l.which,
		newNonce(l.server.rand), l.out.Reset())
	l.step()
}

// connected begins a connection, whose lines are h's.
func (l *outbound) connected(t reactor.Transport, h reactor.LineHandler) {
	l.t, l.id = t, l.server.nextID()
	l.neighbor.reached = t.Peer()
	l.reader = reactor.NewLineReceiver(maxLinkLine, h)
	l.reason, l.redial = nil, false
	l.traffic = traffic{}
	l.full, l.hasLine = false, false
	l.server.log.Info("connection made", zap.Uint64("conn", l.id), zap.String("peer", t.Peer()),
		zap.String("neighbor", l.neighbor.name))
}

// DataReceived implements reactor.Protocol.
func (l *outbound) DataReceived(p []byte) {
	l.traffic.bytesIn += uint64(len(p))
	l.reader.DataReceived(p)
}

// LineLengthExceeded implements reactor.LineHandler.
func (l *outbound) LineLengthExceeded([]byte) { l.abort(errLineTooLong) }

// LineReceived implements reactor.LineHandler.
func (l *outbound) LineReceived(line []byte) {
	l.traffic.linesIn++
	if log := l.server.lines; log != nil {
		log.LineReceived(l.id, line)
	}
	l.hangUps = 0
	l.machine.Line(line, l.server.reactor.Now(), l.out.Reset())
	l.step()
}

// serverFull is what a server says that has not even room for a neighbor.
const serverFull = "> SERVER FULL"

// refused takes REFUSE.
func (l *outbound) refused(why string) {
	reason := fmt.Errorf("refused by %s: %s", l.neighbor.name, protocol.Printable([]byte(why)))
	switch why {
	case "proof":
		l.which++
		l.refusals++
		l.redial = l.refusals < len(l.server.identity.Secrets) // it may know another one only
	case "duplicate":
		reason = fmt.Errorf("refused by %s: %w", l.neighbor.name, errDuplicate)
	}
	l.abort(reason)
}

// stranger takes an answer to HELLO that is no server's of the herd.
func (l *outbound) stranger(line string) {
	switch {
	case l.answersAsPlain(line):
		l.servePlain(false)
	case line == serverFull:
		l.abort(fmt.Errorf("%s is full", l.neighbor.name))
	default:
		l.abort(fmt.Errorf("not a server of this herd: it answered %s", protocol.Printable([]byte(line))))
	}
}

// ConnectionLost implements reactor.Protocol. What was sent and not acknowledged is sent again on
// the next connection.
func (l *outbound) ConnectionLost(reason error) {
	switch {
	case l.reason != nil:
		reason = l.reason
	case l.state == linkGreeting:
		reason = l.hungUp(reason)
	case errors.Is(reason, reactor.ErrConnectionDone): // it was to stand
		reason = errClosed
	}
	l.timeout.Cancel()
	l.stopMark()
	l.stopPulse()
	l.cursor.Close()
	if l.machine != nil {
		l.machine.Close()
		l.machine = nil
	}
	l.logLost(reason)
	l.t = nil
	l.leaving.left = errors.Is(reason, errClosed)
	l.down(reason.Error())
	l.ended()
}

func (l *outbound) logLost(reason error) {
	l.server.log.Info("connection lost", l.traffic.fields([]zap.Field{zap.Uint64("conn", l.id),
		zap.String("peer", l.t.Peer()), zap.String("neighbor", l.neighbor.name),
		zap.String("reason", reason.Error())})...)
}
