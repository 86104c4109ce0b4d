package herd

import (
	"fmt"

	"serverherd/herd/link"
	"serverherd/protocol"
)

// linkSender is the sender of a connection to a server of the herd. What is said is up to its machine. It is made for the connection and thrown away with it. Loop only.
type linkSender struct {
	*outbound
	machine *link.Outbound
	out     link.Output
	wake    wake
}

func (l *linkSender) made() {
	l.become(linkGreeting)
	l.machine = link.NewOutbound(&l.server.identity, l.neighbor.name, l.outbound.sent, l.neighbor.heard, l.which,
		newNonce(l.server.rand), l.server.time(), l.out.Reset())
	l.wake.f = l.tick
	l.step()
}

func (l *linkSender) line(line []byte) {
	l.hangUps = 0
	l.machine.Line(line, l.server.time(), l.out.Reset())
	l.step()
}

func (l *linkSender) goesOn(error) bool { return false }

func (l *linkSender) close() {
	l.wake.stop()
	l.machine.Close()
}

func (l *linkSender) drained() bool {
	return l.outbound.sent.Acked() >= l.server.store.Tail()
}

func (l *linkSender) status(st *LinkStatus) {
	if l.sending() {
		st.Sent, st.Unacknowledged = l.machine.Position(), l.machine.Unacknowledged()
	}
}

// step acts on what the machine has left: it writes, keeps the timer, and takes the events in their order.
func (l *linkSender) step() {
	l.write(l.out.Lines)
	l.arm()
	for i := 0; i < len(l.out.Events); i++ {
		l.event(l.out.Events[i])
	}
}

func (l *linkSender) event(e link.Event) {
	switch e.Kind {
	case link.BadLine:
		l.neighbor.counters.badLines++
	case link.Closed:
		l.abort(e.Err)
	case link.TimedOut:
		l.unanswered()
	case link.Pinged:
		l.neighbor.clockPinged(e.N, e.Ponged)
	case link.Refused:
		l.refused(e.Text)
	case link.Stranger:
		l.stranger(e.Text)
	case link.Welcomed:
		l.welcomed(e)
	case link.Acked:
		l.acknowledged(e)
		l.progress()
		l.server.pumpSoon()
	case link.Contested:
		l.neighbor.claimed(claimRefused, e.Epoch)
	}
}

// arm keeps the timer.
func (l *linkSender) arm() {
	at, ok := l.machine.Deadline()
	l.wake.arm(l.server.reactor, at, ok)
}

func (l *linkSender) tick() {
	l.machine.Tick(l.server.time(), l.out.Reset())
	l.step()
}

func (l *linkSender) markSoon() {
	if l.sending() {
		l.machine.MarkSoon(l.server.time())
		l.arm()
	}
}

// welcomed begins to send. It is in the middle of a step, whose lines have been written.
func (l *linkSender) welcomed(e link.Event) {
	l.refusals = 0
	if e.Resumed {
		l.neighbor.counters.resumes++
	} else {
		l.neighbor.counters.copies++
	}
	l.acknowledged(e)
	l.become(linkCopying)
	l.neighbor.askOthers()
	l.pump()
	l.progress()
}

// acknowledged notes for a stop that the neighbor took something.
func (l *linkSender) acknowledged(e link.Event) {
	if e.Grown {
		l.leaving.lastDial = false
	}
}

// progress notes that the copy, or the rest after a resume, is done.
func (l *linkSender) progress() {
	if l.state == linkCopying && l.machine.State() == link.Live {
		l.tried = true
		l.client.ResetDelay()
		l.become(linkLive)
	}
	l.server.drained()
}

func (l *linkSender) pump() (more bool) {
	if !l.sending() {
		return false
	}
	s := l.server
	p := l.machine.Pump(s.time(), s.drain.begun, s.pumped.Reset())
	l.pumped(p)
	l.arm()
	for _, e := range s.pumped.Events {
		l.event(e)
	}
	return p.More
}

func (l *linkSender) contest(other protocol.Epoch) {
	l.machine.Contest(other, l.server.time(), l.out.Reset())
	l.step()
}

// serverFull is what a server says that has not even room for a neighbor.
const serverFull = "> SERVER FULL"

// refused takes REFUSE.
func (l *linkSender) refused(why string) {
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
func (l *linkSender) stranger(line string) {
	switch {
	case l.answersAsPlain(line):
		l.servePlain(endedUnknown)
	case line == serverFull:
		l.abort(fmt.Errorf("%s is full", l.neighbor.name))
	default:
		l.abort(fmt.Errorf("not a server of this herd: it answered %s", protocol.Printable([]byte(line))))
	}
}
