package herd

import (
	"errors"
	"time"

	"go.uber.org/zap"

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
	linkPlain // serves a neighbor that knows no handshake: legacySender
)

func (s linkState) String() string {
	return [...]string{"down", "dialling", "greeting", "copying", "live", "plain"}[s]
}

// outbound is the link on which this server sends its feed to a neighbor. It dials and carries bytes; what is
// said on a connection is up to its sender. Loop only.
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
	t       reactor.Transport
	id      uint64
	traffic traffic
	reader  *reactor.LineReceiver
	reason  error  // why this side ended it, if it did
	sender  sender // a legacySender outlives a connection that carried its one line; nil: none

	kind     kind // of the connection at hand
	next     kind // of the next one
	redial   bool // at once when this one is gone
	which    int  // the secret to sign with
	refusals int  // of our proofs, one after another
	hangUps  int  // handshakes in a row that ended without a byte from the neighbor: see hungUp
	probe    *probe

	leaving leaving
}

// sender is what an outbound does with a connection. There are two: linkSender for a server of the herd, and
// legacySender for a server as the paper describes it.
type sender interface {
	made()                           // the connection is there
	line(line []byte)                // one came
	pump() (more bool)               // send what is to be sent in this turn; more says that there is more for the next
	markSoon()                       // tell the neighbor before long how far its feed is here
	contest(other protocol.Epoch)    // ask whether the process at the other end is still there
	drained() bool                   // in a stop: whether everything has been handed over
	status(st *LinkStatus)           // fill in how far the feed has been sent
	goesOn(reason error) (next bool) // the connection is gone, and the next one goes on with the sender
	close()                          // it does not
}

// kind is what the connections to a neighbor begin with.
type kind uint8

const (
	kindServer kind = iota // HELLO
	kindLegacy             // AT lines, for it has answered HELLO as a command that it does not know
	kindSilent             // AT lines, for it has not answered HELLO; it is probed
)

// ending is how a connection came to its end, as far as the kind of the next one depends on it.
type ending uint8

const (
	endedOtherwise ending = iota
	endedUnknown          // HELLO was answered as a command that is not known
	endedSilent           // HELLO was not answered: see unanswered and hungUp
	endedLine             // a connection with one AT line has done its work, or carries it again
)

// after is the kind of the next connection:
//
//	              kindServer   kindLegacy   kindSilent
//	endedUnknown  kindLegacy
//	endedSilent   kindSilent
//	endedLine                  kindLegacy   kindSilent
//	otherwise     kindServer   kindServer   kindServer
//
// A neighbor that proves itself on the connection that it made, or speaks though it was silent, ends otherwise. So
// does a dial that fails: the next process may be another one. One that answers a probe as a command that it does
// not know is a kindLegacy from then on.
func (k kind) after(e ending) kind {
	switch {
	case e == endedUnknown:
		return kindLegacy
	case e == endedSilent:
		return kindSilent
	case e == endedLine:
		return k
	}
	return kindServer
}

func newOutbound(n *neighbor) *outbound {
	s := n.server
	l := &outbound{server: s, neighbor: n, sent: link.NewSent(s.store)}
	l.since = s.reactor.Now()
	l.client = &reactor.ReconnectingClient{
		Reactor: s.reactor, Rand: s.rand, Addr: n.addr, Timeout: dialTimeout, Factory: l,
	}
	return l
}

// BuildProtocol implements reactor.ClientFactory.
func (l *outbound) BuildProtocol(string) reactor.Protocol {
	l.kind, l.next = l.next, l.next.after(endedOtherwise)
	if l.kind == kindServer {
		return l
	}
	return producer{l}
}

// producer is an outbound of a kind that waits until the neighbor has read something.
type producer struct{ *outbound }

// ResumeProducing implements reactor.Producer: the neighbor has read enough to be sent more.
func (p producer) ResumeProducing() { p.server.pumpSoon() }

// ConnectionFailed implements reactor.ClientFactory.
func (l *outbound) ConnectionFailed(reason error) {
	l.next, l.hangUps = l.next.after(endedOtherwise), 0
	l.stopProbe()
	l.closeSender()
	l.neighbor.counters.dialsFailed++
	l.down(reason.Error())
	l.ended()
}

// ConnectionMade implements reactor.Protocol.
func (l *outbound) ConnectionMade(t reactor.Transport) {
	l.t, l.id = t, l.server.nextID()
	l.neighbor.reached = t.Peer()
	l.reader = reactor.NewLineReceiver(maxLinkLine, l)
	l.reason, l.redial = nil, false
	l.traffic = traffic{}
	l.server.log.Info("connection made", zap.Uint64("conn", l.id), zap.String("peer", t.Peer()),
		zap.String("neighbor", l.neighbor.name))
	switch {
	case l.sender != nil:
	case l.kind == kindServer:
		l.sender = &linkSender{outbound: l}
	default:
		l.sender = newLegacySender(l)
	}
	l.sender.made()
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
	l.sender.line(line)
}

// ConnectionLost implements reactor.Protocol. What was sent and not acknowledged is sent again on
// the next connection.
func (l *outbound) ConnectionLost(reason error) {
	if l.sender.goesOn(reason) {
		return
	}
	switch {
	case l.reason != nil:
		reason = l.reason
	case l.state == linkGreeting:
		reason = l.hungUp(reason)
	case errors.Is(reason, reactor.ErrConnectionDone): // it was to stand
		reason = errClosed
	}
	l.closeSender()
	l.logLost(reason)
	l.t = nil
	l.leaving.left = errors.Is(reason, errClosed)
	l.down(reason.Error())
	l.ended()
}

func (l *outbound) closeSender() {
	if l.sender != nil {
		l.sender.close()
		l.sender = nil
	}
}

func (l *outbound) logLost(reason error) {
	l.server.log.Info("connection lost", l.traffic.fields([]zap.Field{zap.Uint64("conn", l.id),
		zap.String("peer", l.t.Peer()), zap.String("neighbor", l.neighbor.name),
		zap.String("reason", reason.Error())})...)
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

// sending says whether the link is past its handshake.
func (l *outbound) sending() bool { return l.state == linkCopying || l.state == linkLive }

// pump sends what is to be sent in this turn. It reports whether there is more for the next turn.
func (l *outbound) pump() (more bool) { return l.sender != nil && l.sender.pump() }

// pumped writes and counts what a machine has left in server.pumped.
func (l *outbound) pumped(p link.Pumped) {
	c := &l.neighbor.counters
	c.atSent += uint64(p.Records)
	if p.Stalled {
		c.stalls++
	}
	l.write(l.server.pumped.Lines)
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
	l.traffic.sent(l.id, lines, l.server.lines)
	if l.t.Backlog() > maxUnread {
		l.abort(errUnread)
	}
}

var crlf = []byte("\r\n")

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
