package herd

import (
	"fmt"

	"serverherd/herd/link"
	"serverherd/protocol"
	"serverherd/reactor"
)

// linkSender is the sender of a connection to a server of the herd. It keeps the timers; what is said is up to
// its machine. It is made for the connection and thrown away with it. Loop only.
type linkSender struct {
	*outbound
	machine   *link.Outbound
	out       link.Output
	timeout   *reactor.DelayedCall // of the handshake
	pulse     *reactor.DelayedCall // the next beat
	markTimer *reactor.DelayedCall // a MARK is due
}

func (l *linkSender) made() {
	l.become(linkGreeting)
	l.timeout = l.server.reactor.CallLater(handshakeTimeout, l.unanswered)
	l.machine = link.NewOutbound(&l.server.identity, l.neighbor.name, l.outbound.sent, l.neighbor.heard, l.which,
		newNonce(l.server.rand), l.out.Reset())
	l.step()
}

func (l *linkSender) line(line []byte) {
	l.hangUps = 0
	l.machine.Line(line, l.server.reactor.Now(), l.out.Reset())
	l.step()
}

func (l *linkSender) goesOn(error) bool { return false }

func (l *linkSender) close() {
	l.timeout.Cancel()
	l.stopMark()
	l.stopPulse()
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

// step acts on what the machine has left: it writes, keeps the timers, and takes the events in their order.
func (l *linkSender) step() {
	l.write(l.out.Lines)
	l.armMark()
	for i := 0; i < len(l.out.Events); i++ {
		l.event(l.out.Events[i])
	}
}

func (l *linkSender) event(e link.Event) {
	switch e.Kind {
	case link.BadLine:
		l.neighbor.counters.badLines++
	case link.Closed:
		if e.Err == link.ErrSilent {
			l.stopPulse()
		}
		l.abort(e.Err)
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

// armMark keeps the timer of a MARK that is due.
func (l *linkSender) armMark() {
	switch due := l.machine.MarkDue(); {
	case due && l.markTimer == nil:
		l.markTimer = l.server.reactor.CallLater(link.LazyMark, l.sendMark)
	case !due:
		l.stopMark()
	}
}

func (l *linkSender) stopMark() {
	if l.markTimer != nil {
		l.markTimer.Cancel()
		l.markTimer = nil
	}
}

func (l *linkSender) sendMark() {
	l.machine.Mark(l.server.reactor.Now(), l.out.Reset())
	l.step()
}

func (l *linkSender) markSoon() {
	if l.sending() {
		l.machine.MarkSoon()
		l.armMark()
	}
}

func (l *linkSender) beat() {
	l.pulse = l.server.reactor.CallLater(link.Beat, l.beat)
	l.machine.Beat(l.server.reactor.Now(), l.out.Reset())
	l.step()
}

func (l *linkSender) stopPulse() {
	if l.pulse != nil {
		l.pulse.Cancel()
		l.pulse = nil
	}
}

// welcomed begins to send. It is in the middle of a step, whose lines have been written.
func (l *linkSender) welcomed(e link.Event) {
	l.timeout.Cancel()
	l.refusals = 0
	if e.Resumed {
		l.neighbor.counters.resumes++
	} else {
		l.neighbor.counters.copies++
	}
	l.acknowledged(e)
	l.pulse = l.server.reactor.CallLater(link.Beat, l.beat)
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
	p := l.machine.Pump(s.reactor.Now(), s.drain.begun, s.pumped.Reset())
	l.pumped(p)
	l.armMark()
	for _, e := range s.pumped.Events {
		l.event(e)
	}
	return p.More
}

func (l *linkSender) contest(other protocol.Epoch) {
	l.machine.Contest(other, l.server.reactor.Now(), l.out.Reset())
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
