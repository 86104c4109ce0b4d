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

var (
	errPlain    = errors.New("knows no handshake: it is served plain lines")
	errAnswers  = errors.New("was silent when it was asked for a handshake, and answers now")
	errNotPlain = errors.New("has proven itself: no plain lines any more")

	errHungUp       = errors.New("ended the connection without an answer to HELLO")
	errHungUpProven = fmt.Errorf("%w; it has proven itself before, so it is not served plain lines", errHungUp)
	errHungUpSecret = fmt.Errorf("%w; there is a secret, so it is not served plain lines", errHungUp)
)

// legacySender is the sender to a neighbor that knows no handshake: a server as the paper describes it. It is
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
// costs link.LegacyUnsent bytes, and the neighbor nothing that the copy after it would not bring.
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
type legacySender struct {
	*outbound
	machine *link.Legacy
	since   uint64 // id of the connection that began the copy
}

func newLegacySender(l *outbound) *legacySender {
	s := l.server
	return &legacySender{outbound: l,
		machine: link.NewLegacy(&s.identity, s.store, s.cfg.Peers.Legacy == "close-after-write")}
}

func (l *legacySender) made() {
	l.machine.Connected()
	if l.state == linkPlain { // it follows one that was closed behind its line
		l.server.pumpSoon()
		l.server.drained()
		return
	}
	l.tried = true
	l.begin()
	l.become(linkPlain)
	if l.kind == kindSilent {
		l.startProbe()
	}
}

// begin goes to the head of the feed. What the neighbor sends us from now on is not sent back.
func (l *legacySender) begin() {
	n := l.neighbor
	n.legacy, l.since = newEpoch(l.server.rand), l.id
	n.counters.copies++
	l.machine.Begin(n.legacy)
	l.server.pumpSoon()
}

// line takes a line: a legacy neighbor says nothing to an AT line unless there is something in it that it
// does not take, and then it says so.
func (l *legacySender) line(line []byte) {
	if len(line) == 0 {
		return
	}
	l.neighbor.counters.badLines++
	if l.kind == kindSilent {
		l.abort(errAnswers)
	}
}

func (l *legacySender) goesOn(reason error) bool {
	done := errors.Is(reason, reactor.ErrConnectionDone)
	if l.machine.Carries() && l.reason == nil && !errors.Is(reason, reactor.ErrConnectionAborted) {
		done = done || l.t.Taken() >= l.traffic.bytesOut
		if !l.leaving.closing && l.machine.Next(done) {
			l.logLost(reason)
			l.nextLine(done)
			return true
		}
	}
	if l.leaving.closing && !done {
		l.leaving.closing, l.leaving.delivered = false, 0
	}
	return false
}

// nextLine dials for the line after the one that the last connection carried, or for that one again.
func (l *legacySender) nextLine(done bool) {
	if done {
		l.client.ResetDelay()
	}
	l.t = nil
	l.next = l.kind.after(endedLine)
	l.client.DialNow()
	l.server.drained()
}

func (l *legacySender) close() {
	l.stopProbe()
	l.machine.Close()
}

func (l *legacySender) pump() (more bool) {
	if l.leaving.closing || l.t == nil || l.machine.Carries() {
		return false
	}
	s := l.server
	p := l.machine.Pump(link.LegacyUnsent-l.t.Backlog(), s.pumped.Reset())
	l.pumped(p)
	switch {
	case l.machine.Carries():
		l.t.LoseConnection()
		s.drained()
	case l.machine.CaughtUp():
		s.drained()
	}
	return p.More
}

func (l *legacySender) markSoon()              {}
func (l *legacySender) contest(protocol.Epoch) {}

// drained closes the connection once all has been written, for its end is the only sign that all
// has been delivered. It is never true: the link is down then.
func (l *legacySender) drained() bool {
	if !l.leaving.closing && l.machine.CaughtUp() {
		l.leaving.closing, l.leaving.delivered = true, l.machine.Position()
	}
	if l.leaving.closing && l.t != nil {
		l.t.LoseConnection()
	}
	return false
}

func (l *legacySender) status(st *LinkStatus) {
	sent := l.machine.Position()
	st.Sent, st.Acknowledged, st.Behind = sent, 0, l.server.store.Tail()-sent
	if l.t != nil {
		st.Unacknowledged = l.t.Backlog()
	}
}

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
func (l *linkSender) unanswered() {
	if l.traffic.linesIn == 0 && l.mayBePlain() {
		how := endedSilent
		if bytes.HasPrefix(l.reader.Unfinished(), plainAnswer) {
			how = endedUnknown
		}
		l.servePlain(how)
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
		l.next, l.redial = l.kind.after(endedUnknown), true
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
	l.next, l.redial = l.kind.after(endedSilent), true
	return errPlain
}

// servePlain gives up asking, and serves the neighbor on a fresh connection: it may have taken
// HELLO for the beginning of whatever it expects.
func (l *outbound) servePlain(how ending) {
	l.next, l.redial = l.kind.after(how), true
	l.abort(errPlain)
}

// notPlain asks a neighbor again that has just proven itself, if it is served plain lines, or was
// about to be.
func (l *outbound) notPlain() {
	l.next = l.next.after(endedOtherwise)
	if l.state == linkPlain {
		l.stopProbe()
		l.redial = true
		l.abort(errNotPlain)
		if l.t == nil {
			l.closeSender()
		}
	}
}

// answersProbe notes that a neighbor that was silent knows no handshake.
func (l *outbound) answersProbe() {
	for _, k := range []*kind{&l.kind, &l.next} {
		if *k == kindSilent {
			*k = kindLegacy
		}
	}
}
