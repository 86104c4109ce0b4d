package herd

import (
	"fmt"

	"serverherd/herd/link"
	"serverherd/protocol"
)

// linkSender is the sender of a connection to a server of the herd. The protocol is in its machine, a
// link.Outbound. It is made for one connection. Loop only.
type linkSender struct {
	*outbound
	machine *link.Outbound
	out     link.Output
	timer   deadlineTimer
}

func (ls *linkSender) connected() {
	ls.setState(linkGreeting)
	ls.machine = link.NewOutbound(&ls.server.identity, ls.neighbor.name, ls.outbound.sent, ls.neighbor.heard, ls.secretIndex,
		newNonce(ls.server.rand), ls.server.time(), ls.out.Reset())
	ls.timer.f = ls.tick
	ls.handleOutput()
}

func (ls *linkSender) lineReceived(line []byte) {
	ls.hangUps = 0
	ls.machine.Line(line, ls.server.time(), ls.out.Reset())
	ls.handleOutput()
}

func (ls *linkSender) continues(error) bool { return false }

func (ls *linkSender) close() {
	ls.timer.stop()
	ls.machine.Close()
}

func (ls *linkSender) drained() bool {
	return ls.outbound.sent.Acked() >= ls.server.store.Tail()
}

func (ls *linkSender) status(st *LinkStatus) {
	if ls.sending() {
		st.Sent, st.Unacknowledged = ls.machine.Position(), ls.machine.Unacknowledged()
	}
}

// handleOutput handles the output of the machine's last step: it writes the lines, arms the timer and handles
// the events in order.
func (ls *linkSender) handleOutput() {
	ls.write(ls.out.Lines)
	ls.arm()
	for i := 0; i < len(ls.out.Events); i++ {
		ls.event(ls.out.Events[i])
	}
}

func (ls *linkSender) event(e link.Event) {
	switch e.Kind {
	case link.BadLine:
		ls.neighbor.counters.badLines++
	case link.Closed:
		ls.abort(e.Err)
	case link.TimedOut:
		ls.handshakeTimedOut()
	case link.Pinged:
		ls.neighbor.clockPinged(e.N, e.Ponged)
	case link.Refused:
		ls.refuseReceived(e.Text)
	case link.UnknownAnswer:
		ls.unknownAnswer(e.Text)
	case link.Welcomed:
		ls.welcomed(e)
	case link.Acked:
		ls.acknowledged(e)
		ls.progress()
		ls.server.pumpSoon()
	case link.ClaimConflict:
		ls.neighbor.noteClaim(claimRefused, e.Epoch)
	}
}

// arm arms the timer for the machine's deadline.
func (ls *linkSender) arm() {
	at, ok := ls.machine.Deadline()
	ls.timer.arm(ls.server.reactor, at, ok)
}

func (ls *linkSender) tick() {
	ls.machine.Tick(ls.server.time(), ls.out.Reset())
	ls.handleOutput()
}

func (ls *linkSender) markSoon() {
	if ls.sending() {
		ls.machine.MarkSoon(ls.server.time())
		ls.arm()
	}
}

// welcomed begins to send. It is called while the output of a step is handled, whose lines have been written.
func (ls *linkSender) welcomed(e link.Event) {
	ls.proofsRefused = 0
	if e.Resumed {
		ls.neighbor.counters.resumes++
	} else {
		ls.neighbor.counters.copies++
	}
	ls.acknowledged(e)
	ls.setState(linkCopying)
	ls.neighbor.pingOthers()
	if ls.pump() {
		ls.server.pumpNow()
	}
	ls.progress()
}

// acknowledged notes progress during a shutdown.
func (ls *linkSender) acknowledged(e link.Event) {
	if e.Advanced {
		ls.drain.lastDial = false
	}
}

// progress notes that the copy, or the rest after a resume, is complete.
func (ls *linkSender) progress() {
	if ls.state == linkCopying && ls.machine.State() == link.Live {
		ls.tried = true
		ls.client.ResetDelay()
		ls.setState(linkLive)
	}
	ls.server.checkDrained()
}

func (ls *linkSender) pump() (more bool) {
	if !ls.sending() {
		return false
	}
	srv := ls.server
	now := srv.time()
	p := ls.machine.Pump(now, srv.drain.begun, srv.pumpOutput.Reset())
	ls.writePumped(p, now.Wall)
	ls.arm()
	for _, e := range srv.pumpOutput.Events {
		ls.event(e)
	}
	return p.More
}

func (ls *linkSender) checkClaim(other protocol.Epoch) {
	ls.machine.CheckClaim(other, ls.server.time(), ls.out.Reset())
	ls.handleOutput()
}

// serverFull is the reply of a server that has no room even for a neighbor.
const serverFull = "> SERVER FULL"

// refuseReceived handles REFUSE.
func (ls *linkSender) refuseReceived(why string) {
	reason := fmt.Errorf("refused by %s: %s", ls.neighbor.name, protocol.Printable([]byte(why)))
	switch why {
	case "proof":
		ls.secretIndex++
		ls.proofsRefused++
		ls.redial = ls.proofsRefused < len(ls.server.identity.Secrets) // the neighbor may know only another one
	case "duplicate":
		reason = fmt.Errorf("refused by %s: %w", ls.neighbor.name, errDuplicate)
	}
	ls.abort(reason)
}

// unknownAnswer handles an answer to HELLO that is not from a server of this herd.
func (ls *linkSender) unknownAnswer(line string) {
	switch {
	case ls.answersAsLegacy(line):
		ls.serveLegacy(endedUnknown)
	case line == serverFull:
		ls.abort(fmt.Errorf("%s is full", ls.neighbor.name))
	default:
		ls.abort(fmt.Errorf("not a server of this herd: it answered %s", protocol.Printable([]byte(line))))
	}
}
