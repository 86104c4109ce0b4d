package herd

import (
	"errors"
	"fmt"

	"go.uber.org/zap"

	"serverherd/protocol"
	"serverherd/reactor"
)

// BuildProtocol implements reactor.ClientFactory.
func (l *link) BuildProtocol(string) reactor.Protocol {
	if l.plain {
		l.plain = false
		return plainLink{l}
	}
	return l
}

// ConnectionFailed implements reactor.ClientFactory.
func (l *link) ConnectionFailed(reason error) {
	l.plain, l.hangUps = false, 0
	l.stopProbe()
	l.sent.Close()
	l.line.Close()
	l.neighbor.counters.dialsFailed++
	l.down(reason.Error())
	l.ended()
}

// ConnectionMade implements reactor.Protocol.
func (l *link) ConnectionMade(t reactor.Transport) {
	l.connected(t, l)
	l.transcript, l.challenged = nil, false
	l.become(linkGreeting)
	l.timeout = l.server.reactor.CallLater(handshakeTimeout, l.unanswered)
	l.write(l.hello(), true)
}

// hello is the first line of a handshake.
func (l *link) hello() []byte {
	return protocol.AppendHello(nil, protocol.Hello{
		Version: []byte(protocol.Version), Herd: []byte(l.server.cfg.Herd.Name),
		From: []byte(l.server.name), To: []byte(l.neighbor.name),
		Epoch: l.server.epoch, Nonce: newNonce(l.server.rand),
	})
}

// connected begins a connection, whose lines are h's.
func (l *link) connected(t reactor.Transport, h reactor.LineHandler) {
	l.t, l.id = t, l.server.nextID()
	l.neighbor.reached = t.Peer()
	l.reader = reactor.NewLineReceiver(maxLinkLine, h)
	l.reason, l.redial = nil, false
	l.traffic = traffic{}
	l.bad, l.full, l.hasLine = badLines{}, false, false
	l.server.log.Info("connection made", zap.Uint64("conn", l.id), zap.String("peer", t.Peer()),
		zap.String("neighbor", l.neighbor.name))
}

// DataReceived implements reactor.Protocol.
func (l *link) DataReceived(p []byte) {
	l.traffic.bytesIn += uint64(len(p))
	l.reader.DataReceived(p)
}

// LineLengthExceeded implements reactor.LineHandler.
func (l *link) LineLengthExceeded([]byte) { l.abort(errLineTooLong) }

// LineReceived implements reactor.LineHandler.
func (l *link) LineReceived(line []byte) {
	l.traffic.linesIn++
	if log := l.server.lines; log != nil {
		log.LineReceived(l.id, line)
	}
	l.pulse.heard()
	l.hangUps = 0
	in, err := protocol.ParseLink(line)
	if l.state == linkGreeting {
		l.greeting(line, in, err)
		return
	}
	switch {
	case err != nil:
		l.badLine()
	case in.Verb == protocol.LinkAck:
		l.ackReceived(in.N)
	case in.Verb == protocol.LinkPing:
		l.neighbor.clockPinged(in.N, &l.pulse)
		l.write(protocol.AppendPong(l.server.small[:0], in.N), false)
	case in.Verb == protocol.LinkPong:
		l.answered(in.N)
	default:
		l.badLine()
	}
}

// serverFull is what a server says that has not even room for a neighbor.
const serverFull = "> SERVER FULL"

// greeting takes the acceptor's two lines of the handshake.
func (l *link) greeting(line []byte, in protocol.LinkLine, err error) {
	secrets := l.server.cfg.Herd.Secrets
	switch {
	case err == nil && in.Verb == protocol.LinkRefuse:
		reason := fmt.Errorf("refused by %s: %s", l.neighbor.name, protocol.Printable(in.Reason))
		switch string(in.Reason) {
		case "proof":
			l.which++
			l.refusals++
			l.redial = l.refusals < len(secrets) // it may know another one only
		case "duplicate":
			reason = fmt.Errorf("refused by %s: %w", l.neighbor.name, errDuplicate)
		}
		l.abort(reason)
	case err == nil && in.Verb == protocol.LinkChallenge && !l.challenged:
		l.challenged = true
		l.transcript.add(line)
		mac := l.transcript.sign(secrets, l.which, dialerLabel, "PROOF")
		l.write(protocol.AppendProof(nil, []byte(mac)), true)
	case err == nil && in.Verb == protocol.LinkWelcome && l.challenged:
		w := in.Welcome
		if _, ok := l.transcript.check(secrets, acceptorLabel, w.Unsigned(), w.MAC); !ok {
			l.abort(errors.New("the neighbor's proof is wrong: another secret"))
			return
		}
		l.welcomed(w)
	case l.answersAsPlain(line):
		l.servePlain(false)
	case string(line) == serverFull:
		l.abort(fmt.Errorf("%s is full", l.neighbor.name))
	default:
		l.abort(fmt.Errorf("not a server of this herd: it answered %s", protocol.Printable(line)))
	}
}

// welcomed decides where the feed goes on. Only a process that we know, and a place between what
// it has acknowledged and what we sent it, is a resume; everything else is a full copy.
func (l *link) welcomed(w protocol.Welcome) {
	s := l.server
	l.timeout.Cancel()
	l.transcript, l.refusals = nil, 0
	known := w.Epoch == l.peer
	c := &l.neighbor.counters
	if known && !l.fromHead && w.SinceEpoch == s.epoch && w.SinceSeq >= l.acked && w.SinceSeq <= l.highest {
		c.resumes++
		l.acknowledged(w.SinceSeq)
	} else {
		// A process that had a place and asks for everything has lost something, perhaps what
		// it once sent us itself. A repair that was cut is one until it is done.
		c.copies++
		l.skipNothing = l.fromHead || known && (l.acked > 0 || l.skipNothing)
		l.acked, l.highest = 0, 0
		l.ackedCursor.Rewind()
	}
	l.peer = w.Epoch
	l.sent.MoveTo(l.ackedCursor)
	l.copyTail = s.store.Tail()
	l.marks, l.lastMark, l.sentBytes, l.ackedBytes = l.marks[:0], 0, 0, 0
	l.overdue, l.contested = overdue{}, 0
	l.pulse = pulse{
		clock: s.reactor,
		ping:  func(k uint64) { l.write(protocol.AppendPing(s.small[:0], k), false) },
		dead:  func() { l.abort(errSilent) },
		tick:  l.tick,
	}
	l.pulse.start()
	l.become(linkCopying)
	l.neighbor.askOthers()
	l.pump()
	if !l.markDue() && len(l.marks) == 0 {
		l.sendMark()
	}
	l.progress()
}

// ConnectionLost implements reactor.Protocol. What was sent and not acknowledged is sent again on
// the next connection.
func (l *link) ConnectionLost(reason error) {
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
	l.pulse.stop()
	l.sent.Close()
	l.logLost(reason)
	l.t = nil
	l.leaving.left = errors.Is(reason, errClosed)
	l.down(reason.Error())
	l.ended()
}

func (l *link) logLost(reason error) {
	l.server.log.Info("connection lost", l.traffic.fields([]zap.Field{zap.Uint64("conn", l.id),
		zap.String("peer", l.t.Peer()), zap.String("neighbor", l.neighbor.name),
		zap.String("reason", reason.Error())})...)
}
