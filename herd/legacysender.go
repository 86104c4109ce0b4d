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

// legacySender is the sender to a legacy neighbor: a server as the paper describes it, which knows no
// handshake. It is sent AT lines and nothing else: everything once, in feed order, then what is new. Loop
// only.
//
// Each connection begins with HELLO, unless the handshake on the connection before it failed. A neighbor
// that is upgraded is restarted, which ends its connection, so one HELLO after each end is enough. One that
// stays legacy logs an unknown command for each connection, and that is all. If a slow neighbor is taken
// for legacy, this is corrected when its own link completes a handshake, or by the first line that it sends
// on our connection or to a probe.
//
// Nothing is acknowledged. When a connection breaks, what was in flight may have arrived or not, and what
// had arrived may be lost: a process that was killed and restarted looks the same as one that closed an idle
// connection. So each connection begins with a copy. A neighbor that closes idle connections pays for
// that with a copy each time; the delays of ReconnectingClient limit the rate.
//
// There are no PINGs. If a neighbor's machine disappears, the connection stays until the kernel's
// retransmissions or keepalive give up, after a quarter of an hour or two hours. That costs
// link.LegacyUnsent bytes, and loses nothing: the next connection begins with a copy.
//
// # One line per connection
//
// Some servers of the course read a connection to its end and take all of it as one message. They see
// nothing of what is sent on a connection that stays open. With legacy = "close-after-write" a connection
// is closed after its first line, and the next one is dialed at once. It is open before there is something
// to send, so its end shows, as above, that the process at its other end is gone. A series of connections
// that are each closed in order carries one copy and what is new after it. A reset counts as in order if
// all of the line has been acknowledged by TCP: a server that reads a part of it and closes causes one.
// After any other reset the line is sent once more, on the next connection. Any other end starts again with
// HELLO:
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
	if lg.state == linkLegacy { // the next one of a series
		if lg.pump() { // one line: there is nothing to collect in a pause
			lg.server.pumpNow()
		}
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

// beginCopy goes to the head of the feed. What the neighbor sends us from now on is not sent back.
func (lg *legacySender) beginCopy() {
	n := lg.neighbor
	n.legacyEpoch, lg.copyConn = newEpoch(lg.server.rand), lg.id
	n.counters.copies++
	lg.machine.Begin(n.legacyEpoch)
	lg.server.pumpSoon()
}

// lineReceived handles a line from a legacy neighbor. It sends none to accept an AT line, so this is a
// complaint.
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

// dialNextLine dials the next connection of a series: for the next line, or for the last one again.
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
}

func (lg *legacySender) pump() (more bool) {
	if lg.drain.closing || lg.t == nil || lg.machine.Carries() {
		return false
	}
	srv := lg.server
	p := lg.machine.Pump(link.LegacyUnsent-lg.t.Backlog(), srv.pumpOutput.Reset())
	lg.writePumped(p, srv.reactor.Now())
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

// drained closes the connection once everything has been written, as only its end shows that all has been
// delivered. It always returns false: when all is delivered, the link is down.
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
	st.Sent, st.Acknowledged, st.Behind = sent, 0, min(lg.server.store.Tail()-sent, uint64(lg.server.store.Len()))
	if lg.t != nil {
		st.Unacknowledged = lg.t.Backlog()
	}
}

// mayBeLegacy reports whether a neighbor that has not answered HELLO may be treated as legacy. One with a
// proven inbound link may not.
func (o *outbound) mayBeLegacy() bool {
	return o.server.handshakeOptional && o.traffic.linesIn <= 1 && len(o.neighbor.inbounds) == 0
}

// answersAsLegacy reports whether line is the reply of a server that does not know HELLO.
func (o *outbound) answersAsLegacy(line string) bool {
	return strings.HasPrefix(line, string(unknownPrefix)) && o.mayBeLegacy()
}

// unknownPrefix is how a reply to an unknown command begins.
var unknownPrefix = []byte("? ")

// handshakeTimedOut ends a handshake that took too long.
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

// maxHangUps is how many handshakes in a row may end without an answer before the neighbor is treated as
// legacy.
const maxHangUps = 2

// handshakeLost handles a connection that the neighbor or the network ended during the handshake. It
// returns the reason for log and status. Servers of the course often answer without LF and close:
//
//	> HELLO herd/1 ucla Alford Welsh ...
//	< ? HELLO herd/1 ucla Alford Welsh ...    and EOF
//
// Others close without an answer. A server of the herd that crashes, and a forwarder whose server is down,
// look the same. So a neighbor is treated as legacy because of that only if it does it twice in a row, there
// is no secret, and it has never completed a handshake with this process. It is probed like one that was
// silent.
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

// serveLegacy gives up the handshake, and serves the neighbor as legacy on a new connection: it may have
// taken HELLO for the beginning of something else.
func (o *outbound) serveLegacy(how ending) {
	o.next, o.redial = o.kind.after(how), true
	o.abort(errLegacy)
}

// notLegacy retries the handshake with a neighbor that has just completed one on its own connection, if it is
// served as legacy or was about to be.
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

// answersProbe notes that a neighbor that was silent does not know the handshake.
func (o *outbound) answersProbe() {
	for _, k := range []*kind{&o.kind, &o.next} {
		if *k == kindSilent {
			*k = kindLegacy
		}
	}
}
