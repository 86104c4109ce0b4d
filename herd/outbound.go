package herd

import (
	"time"

	"go.uber.org/zap"

	"serverherd/herd/feed"
	"serverherd/herd/link"
	"serverherd/protocol"
	"serverherd/reactor"
)

const (
	dialTimeout = time.Second
	// maxUnread is what a neighbor may leave unread: a window with its MARKs, and more.
	maxUnread = 4 << 20
)

// linkState is where a link is on its way.
type linkState uint8

const (
	linkDown     linkState = iota
	linkDialling           // a goroutine connects
	linkGreeting           // handshake
	linkCopying            // until the tail noted at WELCOME is acknowledged
	linkLive
	linkPlain // serves a neighbor that knows no handshake: plainLink
)

func (s linkState) String() string {
	return [...]string{"down", "dialling", "greeting", "copying", "live", "plain"}[s]
}

// outbound is the link on which this server sends its feed to a neighbor. It dials, carries bytes, keeps
// the timers and counts; what is said is up to the machine of the connection, a link.Outbound. Loop only.
type outbound struct {
	server   *Server
	neighbor *neighbor
	client   *reactor.ReconnectingClient
	sent     *link.Sent // outlives connections

	state   linkState
	since   time.Time
	trouble string // why the link is down; "" when it is not
	tried   bool   // live once, or failed once, or plain

	// The connection at hand; t is nil when there is none.
	t         reactor.Transport
	id        uint64
	traffic   traffic
	reader    *reactor.LineReceiver
	machine   *link.Outbound // nil when there is none, and on a plain connection
	out       link.Output
	timeout   *reactor.DelayedCall // of the handshake
	pulse     *reactor.DelayedCall // the next beat
	markTimer *reactor.DelayedCall // a MARK is due
	reason    error                // why this side ended it, if it did
	which     int                  // the secret to sign with
	redial    bool                 // at once when this one is gone
	refusals  int                  // of our proofs, one after another

	plain      bool   // the next one is a plainLink
	silent     bool   // because the neighbor did not answer
	hasLine    bool   // the plain connection is closing behind its only line
	plainSince uint64 // id of the plain connection that began the copy
	probe      *probe
	hangUps    int          // handshakes in a row that ended without a byte from the neighbor: see hungUp
	cursor     *feed.Cursor // of a plain connection
	line       *feed.Cursor // in front of the record whose line has the plain connection to itself
	lineAgain  bool         // that line is being sent for the second time
	full       bool         // too much was unsent when a plain connection was last pumped

	leaving leaving
}

func newOutbound(n *neighbor) *outbound {
	s := n.server
	l := &outbound{server: s, neighbor: n, sent: link.NewSent(s.store), cursor: s.store.Head(), line: s.store.Head()}
	l.cursor.Close()
	l.line.Close()
	l.since = s.reactor.Now()
	l.client = &reactor.ReconnectingClient{
		Reactor: s.reactor, Rand: s.rand, Addr: n.addr, Timeout: dialTimeout, Factory: l,
	}
	return l
}

// dial starts the link.
func (l *outbound) dial() {
	l.become(linkDialling)
	l.client.Connect()
}

// dialNow ends the pause between two tries: the neighbor has just shown that it is up.
func (l *outbound) dialNow() {
	switch {
	case l.server.drain.begun:
	case l.state == linkDown:
		l.client.DialNow()
	case l.state == linkGreeting:
		l.redial = true // should this try come to nothing: it may have come too early
	}
}

// ended decides whether the end of a connection, or a dial that failed, is followed by a dial at
// once.
func (l *outbound) ended() {
	redial := l.redial
	l.redial = false
	if redial || l.server.drain.begun && l.dialsAgain() {
		l.client.DialNow()
	}
	l.server.drained()
}

// become notes a change of state. The first failure is logged, then every change but those
// between one fruitless try and the next.
func (l *outbound) become(state linkState) {
	if state == l.state {
		return
	}
	before := l.state
	l.state, l.since = state, l.server.reactor.Now()
	if state >= linkCopying {
		l.trouble = ""
		l.server.log.Info("link "+state.String(), zap.String("neighbor", l.neighbor.name),
			zap.Stringer("was", before), zap.Uint64("acknowledged", l.sent.Acked()),
			zap.Uint64("tail", l.server.store.Tail()))
	}
}

// startTime is how long after its start a server finds nothing wrong with a neighbor that is down: it
// may be starting, too.
const startTime = 2 * time.Second

// LinkDownMessage is the message of the log entry for a link that went down.
const LinkDownMessage = "link down"

// down notes that there is no connection, and why. A reason that is not the last one's is logged,
// too, now and then: a neighbor that went away may refuse us when it is back.
func (l *outbound) down(why string) {
	log := l.trouble == "" || why != l.trouble &&
		l.server.told.links.first(refusal{why, l.neighbor.name}, l.server.reactor.Now())
	l.tried, l.trouble = true, why
	l.become(linkDown)
	if log {
		level := zap.WarnLevel
		if s := l.server; s.drain.begun || s.reactor.Now().Sub(s.started) < startTime {
			level = zap.InfoLevel
		}
		l.server.log.Log(level, LinkDownMessage, zap.String("neighbor", l.neighbor.name),
			zap.String("address", l.neighbor.addr), zap.String("reason", why))
	}
}

// step acts on what the machine has left: it writes, keeps the timers, and takes the events in their order.
func (l *outbound) step() {
	l.write(l.out.Lines)
	l.armMark()
	for i := 0; i < len(l.out.Events); i++ {
		l.event(l.out.Events[i])
	}
}

func (l *outbound) event(e link.Event) {
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
func (l *outbound) armMark() {
	switch due := l.machine.MarkDue(); {
	case due && l.markTimer == nil:
		l.markTimer = l.server.reactor.CallLater(link.LazyMark, l.sendMark)
	case !due:
		l.stopMark()
	}
}

func (l *outbound) stopMark() {
	if l.markTimer != nil {
		l.markTimer.Cancel()
		l.markTimer = nil
	}
}

func (l *outbound) sendMark() {
	l.machine.Mark(l.server.reactor.Now(), l.out.Reset())
	l.step()
}

// markSoon sees to it that the neighbor is told before long how far its feed is here.
func (l *outbound) markSoon() {
	if l.sending() {
		l.machine.MarkSoon()
		l.armMark()
	}
}

func (l *outbound) beat() {
	l.pulse = l.server.reactor.CallLater(link.Beat, l.beat)
	l.machine.Beat(l.server.reactor.Now(), l.out.Reset())
	l.step()
}

func (l *outbound) stopPulse() {
	if l.pulse != nil {
		l.pulse.Cancel()
		l.pulse = nil
	}
}

// welcomed begins to send. It is in the middle of a step, whose lines have been written.
func (l *outbound) welcomed(e link.Event) {
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
func (l *outbound) acknowledged(e link.Event) {
	if e.Grown {
		l.leaving.lastDial = false
	}
}

// progress notes that the copy, or the rest after a resume, is done.
func (l *outbound) progress() {
	if l.state == linkCopying && l.machine.State() == link.Live {
		l.tried = true
		l.client.ResetDelay()
		l.become(linkLive)
	}
	l.server.drained()
}

// sending says whether the link is past its handshake.
func (l *outbound) sending() bool { return l.state == linkCopying || l.state == linkLive }

// unacknowledged is bytes of AT lines on their way.
func (l *outbound) unacknowledged() int {
	if l.machine == nil {
		return 0
	}
	return l.machine.Unacknowledged()
}

// sentTo is the position up to which everything has been sent.
func (l *outbound) sentTo() uint64 {
	switch {
	case l.sending():
		return l.machine.Position()
	case l.state == linkPlain:
		return l.cursor.Position()
	}
	return l.sent.Acked()
}

// pump sends what is to be sent in this turn. It reports whether there is more for the next turn.
func (l *outbound) pump() (more bool) {
	if l.state == linkPlain {
		return plainLink{l}.pump()
	}
	if !l.sending() {
		return false
	}
	s := l.server
	p := l.machine.Pump(s.reactor.Now(), s.drain.begun, s.pumped.Reset())
	l.neighbor.counters.atSent += uint64(p.Records)
	if p.Stalled {
		l.neighbor.counters.stalls++
	}
	l.write(s.pumped.Lines)
	l.armMark()
	for _, e := range s.pumped.Events {
		l.event(e)
	}
	return p.More
}

// noteFull counts the times that there was more to send than may be on its way.
func (l *outbound) noteFull(full bool) {
	if full && !l.full {
		l.neighbor.counters.stalls++
	}
	l.full = full
}

// contest asks whether the process at the other end is still there, for another one has claimed its name.
func (l *outbound) contest(other protocol.Epoch) {
	l.machine.Contest(other, l.server.reactor.Now(), l.out.Reset())
	l.step()
}

// recopy ends the connection; the next one begins with everything, skipping nothing.
func (l *outbound) recopy() {
	l.sent.Repair()
	if l.t != nil {
		l.abort(errDiverged)
	}
}

// write writes lines, counts and logs them.
func (l *outbound) write(lines []byte) {
	if len(lines) == 0 {
		return
	}
	l.t.Write(lines)
	l.logSent(lines)
	if l.t.Backlog() > maxUnread {
		l.abort(errUnread)
	}
}

var crlf = []byte("\r\n")

// logSent counts and logs lines that have been written, or are about to be.
func (l *outbound) logSent(lines []byte) {
	l.traffic.sent(l.id, lines, l.server.lines)
}

func (l *outbound) abort(reason error) {
	if l.reason == nil {
		l.reason = reason
		l.server.counters.dropped(reason)
	}
	l.become(linkDown)
	if l.t != nil {
		l.reader.Stop()
		l.t.AbortConnection()
	}
}
