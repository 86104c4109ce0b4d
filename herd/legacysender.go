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
	errLegacy        = errors.New("no handshake: switching to legacy mode")
	errAnsweredLater = errors.New("neighbor answered after all: retrying the handshake")
	errNotLegacy     = errors.New("neighbor completed a handshake: leaving legacy mode")

	errHungUp       = errors.New("connection closed without an answer to HELLO")
	errHungUpProven = fmt.Errorf("%w; not switching to legacy mode, as it has completed a handshake before", errHungUp)
	errHungUpSecret = fmt.Errorf("%w; not switching to legacy mode, as a secret is set", errHungUp)
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
	machine  *link.Legacy
	copyConn uint64 // id of the connection that began the copy
}

func newLegacySender(o *outbound) *legacySender {
	srv := o.server
	return &legacySender{outbound: o,
		machine: link.NewLegacy(&srv.identity, srv.store, srv.cfg.Peers.Legacy == "close-after-write")}
}

func (lg *legacySender) connected() {
	lg.machine.Connected()
	if lg.state == linkLegacy { // it follows one that was closed behind its line
		lg.server.pumpSoon()
		lg.server.checkDrained()
		return
	}
	lg.tried = true
	lg.beginCopy()
	lg.setState(linkLegacy)
	if lg.kind == kindSilent {
		lg.startProbe()
	}
}

// begin goes to the head of the feed. What the neighbor sends us from now on is not sent back.
func (lg *legacySender) beginCopy() {
	n := lg.neighbor
	n.legacyEpoch, lg.copyConn = newEpoch(lg.server.rand), lg.id
	n.counters.copies++
	lg.machine.Begin(n.legacyEpoch)
	lg.server.pumpSoon()
}

// line takes a line: a legacy neighbor says nothing to an AT line unless there is something in it that it
// does not take, and then it says so.
func (lg *legacySender) lineReceived(line []byte) {
	if len(line) == 0 {
		return
	}
	lg.neighbor.counters.badLines++
	if lg.kind == kindSilent {
		lg.abort(errAnsweredLater)
	}
}

func (lg *legacySender) continues(reason error) bool {
	done := errors.Is(reason, reactor.ErrConnectionDone)
	if lg.machine.Carries() && lg.reason == nil && !errors.Is(reason, reactor.ErrConnectionAborted) {
		done = done || lg.t.Taken() >= lg.traffic.bytesOut
		if !lg.drain.closing && lg.machine.Next(done) {
			lg.logLost(reason)
			lg.dialNextLine(done)
			return true
		}
	}
	if lg.drain.closing && !done {
		lg.drain.closing, lg.drain.delivered = false, 0
	}
	return false
}

// nextLine dials for the line after the one that the last connection carried, or for that one again.
func (lg *legacySender) dialNextLine(done bool) {
	if done {
		lg.client.ResetDelay()
	}
	lg.t = nil
	lg.next = lg.kind.after(endedLine)
	lg.client.DialNow()
	lg.server.checkDrained()
}

func (lg *legacySender) close() {
	lg.stopProbe()
	lg.machine.Close()
}

func (lg *legacySender) pump() (more bool) {
	if lg.drain.closing || lg.t == nil || lg.machine.Carries() {
		return false
	}
	srv := lg.server
	p := lg.machine.Pump(link.LegacyUnsent-lg.t.Backlog(), srv.pumpOutput.Reset())
	lg.writePumped(p)
	switch {
	case lg.machine.Carries():
		lg.t.LoseConnection()
		srv.checkDrained()
	case lg.machine.CaughtUp():
		srv.checkDrained()
	}
	return p.More
}

func (lg *legacySender) markSoon()                 {}
func (lg *legacySender) checkClaim(protocol.Epoch) {}

// drained closes the connection once all has been written, for its end is the only sign that all
// has been delivered. It is never true: the link is down then.
func (lg *legacySender) drained() bool {
	if !lg.drain.closing && lg.machine.CaughtUp() {
		lg.drain.closing, lg.drain.delivered = true, lg.machine.Position()
	}
	if lg.drain.closing && lg.t != nil {
		lg.t.LoseConnection()
	}
	return false
}

func (lg *legacySender) status(st *LinkStatus) {
	sent := lg.machine.Position()
	st.Sent, st.Acknowledged, st.Behind = sent, 0, lg.server.store.Tail()-sent
	if lg.t != nil {
		st.Unacknowledged = lg.t.Backlog()
	}
}

// mayBePlain says whether a neighbor that has not answered HELLO as a server of the herd does may
// be taken for plain. One that has proven itself, on the connection that it made, is not.
func (o *outbound) mayBeLegacy() bool {
	return o.server.handshakeOptional && o.traffic.linesIn <= 1 && len(o.neighbor.inbounds) == 0
}

// answersAsPlain says whether line is what a server says to HELLO for which it is no command.
func (o *outbound) answersAsLegacy(line string) bool {
	return strings.HasPrefix(line, string(unknownPrefix)) && o.mayBeLegacy()
}

// plainAnswer begins a reply to an unknown command.
var unknownPrefix = []byte("? ")

// unanswered ends a handshake that took too long.
func (ls *linkSender) handshakeTimedOut() {
	if ls.traffic.linesIn == 0 && ls.mayBeLegacy() {
		how := endedSilent
		if bytes.HasPrefix(ls.reader.Unfinished(), unknownPrefix) {
			how = endedUnknown
		}
		ls.serveLegacy(how)
		return
	}
	ls.abort(errHandshake)
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
func (o *outbound) handshakeLost(reason error) error {
	rest := o.reader.Unfinished()
	switch {
	case errors.Is(reason, reactor.ErrConnectionAborted): // the loop has stopped
		return reason
	case o.traffic.linesIn == 0 && bytes.HasPrefix(rest, unknownPrefix) && o.mayBeLegacy():
		o.hangUps = 0
		o.next, o.redial = o.kind.after(endedUnknown), true
		return errLegacy
	case len(rest) > 0:
		o.hangUps = 0
		return fmt.Errorf("connection closed after an incomplete answer to HELLO: %s", protocol.Printable(rest))
	case o.traffic.linesIn > 0 && errors.Is(reason, reactor.ErrConnectionDone):
		return errClosed
	case o.traffic.linesIn > 0:
		return reason
	}
	o.hangUps++
	switch {
	case !o.server.handshakeOptional:
		return errHungUp
	case o.sent.Peer() != 0 || o.neighbor.heard.Epoch() != 0:
		return errHungUpProven
	case len(o.server.cfg.Herd.Secrets) > 0:
		return errHungUpSecret
	case o.hangUps < maxHangUps:
		return errHungUp
	}
	o.next, o.redial = o.kind.after(endedSilent), true
	return errLegacy
}

// servePlain gives up asking, and serves the neighbor on a fresh connection: it may have taken
// HELLO for the beginning of whatever it expects.
func (o *outbound) serveLegacy(how ending) {
	o.next, o.redial = o.kind.after(how), true
	o.abort(errLegacy)
}

// notPlain asks a neighbor again that has just proven itself, if it is served plain lines, or was
// about to be.
func (o *outbound) notLegacy() {
	o.next = o.next.after(endedOtherwise)
	if o.state == linkLegacy {
		o.stopProbe()
		o.redial = true
		o.abort(errNotLegacy)
		if o.t == nil {
			o.closeSender()
		}
	}
}

// answersProbe notes that a neighbor that was silent knows no handshake.
func (o *outbound) answersProbe() {
	for _, k := range []*kind{&o.kind, &o.next} {
		if *k == kindSilent {
			*k = kindLegacy
		}
	}
}
