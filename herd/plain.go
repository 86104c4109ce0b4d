package herd

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"serverherd/herd/link"
	"serverherd/protocol"
	"serverherd/reactor"
)

// plainUnsent is how many bytes a plain neighbor may leave unread before its link waits.
const plainUnsent = 256 << 10

var (
	errPlain    = errors.New("knows no handshake: it is served plain lines")
	errAnswers  = errors.New("was silent when it was asked for a handshake, and answers now")
	errNotPlain = errors.New("has proven itself: no plain lines any more")

	errHungUp       = errors.New("ended the connection without an answer to HELLO")
	errHungUpProven = fmt.Errorf("%w; it has proven itself before, so it is not served plain lines", errHungUp)
	errHungUpSecret = fmt.Errorf("%w; there is a secret, so it is not served plain lines", errHungUp)
)

// plainLink is a link whose neighbor knows no handshake: a server as the paper describes it. It is
// sent AT lines and nothing else: everything once, in feed order, then what is new. Loop only.
//
// Each dial begins with HELLO, and only the connection after one that came to nothing is plain. A
// neighbor that is upgraded is restarted, which ends its connection, so that asking once for each
// connection is asking often enough; and one that stays what it is has a line in its log for each
// connection, and no other trouble. Should a neighbor be taken for plain that was merely slow to
// answer, its own link's proof shows it, or the first word that it says on ours, or to a probe.
//
// Nothing is acknowledged. What was on its way when a connection broke may have arrived or not,
// and what had arrived may be forgotten: a process that was killed and started again looks just
// like one that closed a connection that it did not need. So each connection begins with a copy.
// Whoever closes what is idle pays for it with a copy each time; ReconnectingClient's delays keep
// that from being busy.
//
// Nor is anything asked: with a neighbor whose machine is gone without a word the connection stays
// until the kernel's retransmissions or keepalive give up, a quarter of an hour or two hours. It
// costs plainUnsent bytes, and the neighbor nothing that the copy after it would not bring.
//
// # One line on each connection
//
// Some servers of the course read a connection to its end and take all of it for one message. They see
// nothing of what is sent on a connection that stays. With legacy = "close-after-write" a connection is
// closed behind its first line, and the next one is made at once. It is open before there is something
// to send, so that its end tells, as above, that the process at its other end has gone. The connections
// that follow one another in good order carry one copy and what is new after it. A reset is a good end, too,
// if all of the line has been acknowledged: a server that reads a part of it and closes causes one. After
// another reset the line is sent once more, on the next connection. Any other end begins anew with HELLO:
//
//	> AT Alford +0.1 kiwi +1-1 100 Alford     then our FIN, then the neighbor's, or 1 s without it
//	> AT Alford +0.2 moa +1-1 101 Alford      on the next connection
type plainLink struct{ *outbound }

// mayBePlain says whether a neighbor that has not answered HELLO as a server of the herd does may
// be taken for plain. One that has proven itself, on the connection that it made, is not.
func (l *outbound) mayBePlain() bool {
	return l.server.plain && l.traffic.linesIn <= 1 && len(l.neighbor.inbounds) == 0
}

// answersAsPlain says whether line is what a server says to HELLO for which it is no command.
func (l *outbound) answersAsPlain(line string) bool {
	return strings.HasPrefix(line, string(plainAnswer)) && l.mayBePlain()
}

// plainAnswer begins a reply to an unknown command.
var plainAnswer = []byte("? ")

// unanswered ends a handshake that took too long.
func (l *outbound) unanswered() {
	if l.traffic.linesIn == 0 && l.mayBePlain() {
		l.servePlain(!bytes.HasPrefix(l.reader.Unfinished(), plainAnswer))
		return
	}
	l.abort(errHandshake)
}

// maxHangUps is how many handshakes in a row may end without an answer before the neighbor is served plain
// lines.
const maxHangUps = 2

// hungUp takes the end of a connection during the handshake that the neighbor or the network caused. It
// returns the reason for the log and the status. Servers of the course often answer without LF and close:
//
//	> HELLO herd/1 ucla Alford Welsh ...
//	< ? HELLO herd/1 ucla Alford Welsh ...    and EOF
//
// Others close without an answer. A server of the herd that crashes, and a forwarder whose server is down, look
// the same. So only a neighbor that does it twice in a row, in a herd without a secret, and that has never proven
// itself to this process, is served plain lines for it. It is probed like one that is silent.
func (l *outbound) hungUp(reason error) error {
	rest := l.reader.Unfinished()
	switch {
	case errors.Is(reason, reactor.ErrConnectionAborted): // the loop has stopped
		return reason
	case l.traffic.linesIn == 0 && bytes.HasPrefix(rest, plainAnswer) && l.mayBePlain():
		l.hangUps = 0
		l.plain, l.silent, l.redial = true, false, true
		return errPlain
	case len(rest) > 0:
		l.hangUps = 0
		return fmt.Errorf("ended the connection behind an unfinished answer to HELLO: %s", protocol.Printable(rest))
	case l.traffic.linesIn > 0 && errors.Is(reason, reactor.ErrConnectionDone):
		return errClosed
	case l.traffic.linesIn > 0:
		return reason
	}
	l.hangUps++
	switch {
	case !l.server.plain:
		return errHungUp
	case l.sent.Peer() != 0 || l.neighbor.heard.Epoch() != 0:
		return errHungUpProven
	case len(l.server.cfg.Herd.Secrets) > 0:
		return errHungUpSecret
	case l.hangUps < maxHangUps:
		return errHungUp
	}
	l.plain, l.silent, l.redial = true, true, true
	return errPlain
}

// servePlain gives up asking, and serves the neighbor on a fresh connection: it may have taken
// HELLO for the beginning of whatever it expects.
func (l *outbound) servePlain(silent bool) {
	l.plain, l.silent, l.redial = true, silent, true
	l.abort(errPlain)
}

// notPlain asks a neighbor again that has just proven itself, if it is served plain lines, or was
// about to be.
func (l *outbound) notPlain() {
	l.plain = false
	if l.state == linkPlain {
		l.stopProbe()
		l.redial = true
		l.abort(errNotPlain)
	}
}

// ConnectionMade implements reactor.Protocol.
func (p plainLink) ConnectionMade(t reactor.Transport) {
	p.connected(t, p)
	if p.state == linkPlain { // it follows one that was closed behind its line
		p.server.pumpSoon()
		p.server.drained()
		return
	}
	p.tried = true
	p.begin()
	p.become(linkPlain)
	if p.silent {
		p.startProbe()
	}
}

// ConnectionLost implements reactor.Protocol.
func (p plainLink) ConnectionLost(reason error) {
	done := errors.Is(reason, reactor.ErrConnectionDone)
	if p.hasLine && p.reason == nil && !errors.Is(reason, reactor.ErrConnectionAborted) {
		done = done || p.t.Taken() >= p.traffic.bytesOut
		if !p.leaving.closing && (done || !p.lineAgain) {
			p.logLost(reason)
			p.nextLine(done)
			return
		}
	}
	p.stopProbe()
	p.line.Close()
	if p.leaving.closing && !done {
		p.leaving.closing, p.leaving.delivered = false, 0
	}
	p.outbound.ConnectionLost(reason)
}

// nextLine dials for the line after the one that the last connection carried, or for that one again.
func (p plainLink) nextLine(done bool) {
	if done {
		p.client.ResetDelay()
	} else {
		p.cursor.MoveTo(p.line)
	}
	p.line.Close()
	p.t, p.hasLine, p.lineAgain = nil, false, !done
	p.plain = true
	p.client.DialNow()
	p.server.drained()
}

// begin goes to the head of the feed. What the neighbor sends us from now on is not sent back.
func (p plainLink) begin() {
	p.neighbor.plain, p.plainSince = newEpoch(p.server.rand), p.id
	p.neighbor.counters.copies++
	p.cursor.Rewind()
	p.line.Rewind()
	p.lineAgain = false
	p.server.pumpSoon()
}

// LineReceived implements reactor.LineHandler: a plain neighbor says nothing to an AT line unless
// there is something in it that it does not take, and then it says so.
func (p plainLink) LineReceived(line []byte) {
	p.traffic.linesIn++
	if log := p.server.lines; log != nil {
		log.LineReceived(p.id, line)
	}
	if len(line) == 0 {
		return
	}
	p.neighbor.counters.badLines++
	if p.silent {
		p.abort(errAnswers)
	}
}

// ResumeProducing implements reactor.Producer: the neighbor has read enough to be sent more.
func (p plainLink) ResumeProducing() { p.server.pumpSoon() }

// pump sends what follows the cursor, within this turn's bounds and while not too much is unsent.
// It reports whether there is more for the next turn.
func (p plainLink) pump() (more bool) {
	if p.leaving.closing || p.t == nil || p.hasLine {
		return false
	}
	s := p.server
	oneLine := s.cfg.Peers.Legacy == "close-after-write"
	buf, room := s.pumped.Reset().Lines, plainUnsent-p.t.Backlog()
	for range link.PumpRecords {
		if len(buf) >= min(room, link.PumpBytes) || oneLine && len(buf) > 0 {
			break
		}
		if oneLine {
			p.line.MoveTo(p.cursor)
		}
		item, ok := p.cursor.Next()
		if !ok {
			break
		}
		if item.From == p.neighbor.plain {
			continue
		}
		buf = item.Record.AppendLinkAT(buf, s.name)
		p.neighbor.counters.atSent++
	}
	s.pumped.Lines = buf
	p.t.Write(buf)
	p.logSent(buf)
	if oneLine && len(buf) > 0 {
		p.hasLine = true
		p.t.LoseConnection()
		s.drained()
		return false
	}
	p.noteFull(!p.cursor.CaughtUp() && p.t.Backlog() >= plainUnsent)
	if p.cursor.CaughtUp() {
		s.drained()
		return false
	}
	return !p.full
}

// drained closes the connection once all has been written, for its end is the only sign that all
// has been delivered. It is never true: the link is down then.
func (p plainLink) drained() bool {
	if !p.leaving.closing && p.cursor.CaughtUp() {
		p.leaving.closing, p.leaving.delivered = true, p.cursor.Position()
	}
	if p.leaving.closing && p.t != nil {
		p.t.LoseConnection()
	}
	return false
}

// status fills in what is different about a plain link.
func (p plainLink) status(st *LinkStatus) {
	st.Acknowledged, st.Behind = 0, p.server.store.Tail()-p.cursor.Position()
	st.Unacknowledged = 0
	if p.t != nil {
		st.Unacknowledged = p.t.Backlog()
	}
}
