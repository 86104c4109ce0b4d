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
	linkDialing            // a goroutine connects
	linkGreeting           // handshake
	linkCopying            // until the tail noted at WELCOME is acknowledged
	linkLive
	linkLegacy // serves a neighbor that knows no handshake: legacySender
)

func (st linkState) String() string {
	return [...]string{"down", "dialling", "greeting", "copying", "live", "plain"}[st]
}

// outbound is the link on which this server sends its feed to a neighbor. It dials and carries bytes; what is
// said on a connection is up to its sender. Loop only.
type outbound struct {
	server   *Server
	neighbor *neighbor
	client   *reactor.ReconnectingClient
	sent     *link.Sent // outlives connections

	state      linkState
	since      time.Time
	downReason string // why the link is down; "" when it is not
	tried      bool   // live once, or failed once, or plain

	// The connection at hand; t is nil when there is none.
	t       reactor.Transport
	id      uint64
	traffic traffic
	reader  *reactor.LineReceiver
	reason  error  // why this side ended it, if it did
	sender  sender // a legacySender outlives a connection that carried its one line; nil: none

	kind          kind // of the connection at hand
	next          kind // of the next one
	redial        bool // at once when this one is gone
	secretIndex   int  // the secret to sign with
	proofsRefused int  // of our proofs, one after another
	hangUps       int  // handshakes in a row that ended without a byte from the neighbor: see hungUp
	probe         *probe

	drain linkDrain
}

// sender is what an outbound does with a connection. There are two: linkSender for a server of the herd, and
// legacySender for a server as the paper describes it.
type sender interface {
	connected()                         // the connection is there
	lineReceived(line []byte)           // one came
	pump() (more bool)                  // send what is to be sent in this turn; more says that there is more for the next
	markSoon()                          // tell the neighbor before long how far its feed is here
	checkClaim(other protocol.Epoch)    // ask whether the process at the other end is still there
	drained() bool                      // in a stop: whether everything has been handed over
	status(st *LinkStatus)              // fill in how far the feed has been sent
	continues(reason error) (next bool) // the connection is gone, and the next one goes on with the sender
	close()                             // it does not
}

// kind is what the connections to a neighbor begin with.
type kind uint8

const (
	kindHerd   kind = iota // HELLO
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
	return kindHerd
}

func newOutbound(n *neighbor) *outbound {
	srv := n.server
	o := &outbound{server: srv, neighbor: n, sent: link.NewSent(srv.store)}
	o.since = srv.reactor.Now()
	o.client = &reactor.ReconnectingClient{
		Reactor: srv.reactor, Rand: srv.rand, Addr: n.addr, Timeout: dialTimeout, Factory: o,
	}
	return o
}

// BuildProtocol implements reactor.ClientFactory.
func (o *outbound) BuildProtocol(string) reactor.Protocol {
	o.kind, o.next = o.next, o.next.after(endedOtherwise)
	if o.kind == kindHerd {
		return o
	}
	return producer{o}
}

// producer is an outbound of a kind that waits until the neighbor has read something.
type producer struct{ *outbound }

// ResumeProducing implements reactor.Producer: the neighbor has read enough to be sent more.
func (pd producer) ResumeProducing() { pd.server.pumpSoon() }

// ConnectionFailed implements reactor.ClientFactory.
func (o *outbound) ConnectionFailed(reason error) {
	o.next, o.hangUps = o.next.after(endedOtherwise), 0
	o.stopProbe()
	o.closeSender()
	o.neighbor.counters.dialsFailed++
	o.setDown(reason.Error())
	o.maybeRedial()
}

// ConnectionMade implements reactor.Protocol.
func (o *outbound) ConnectionMade(t reactor.Transport) {
	o.t, o.id = t, o.server.nextID()
	o.neighbor.dialedAddr = t.Peer()
	o.reader = reactor.NewLineReceiver(maxLinkLine, o)
	o.reason, o.redial = nil, false
	o.traffic = traffic{}
	o.server.log.Info("connection made", zap.Uint64("conn", o.id), zap.String("peer", t.Peer()),
		zap.String("neighbor", o.neighbor.name))
	switch {
	case o.sender != nil:
	case o.kind == kindHerd:
		o.sender = &linkSender{outbound: o}
	default:
		o.sender = newLegacySender(o)
	}
	o.sender.connected()
}

// DataReceived implements reactor.Protocol.
func (o *outbound) DataReceived(p []byte) {
	o.traffic.bytesIn += uint64(len(p))
	o.reader.DataReceived(p)
}

// LineLengthExceeded implements reactor.LineHandler.
func (o *outbound) LineLengthExceeded([]byte) { o.abort(errLineTooLong) }

// LineReceived implements reactor.LineHandler.
func (o *outbound) LineReceived(line []byte) {
	o.traffic.linesIn++
	if log := o.server.lines; log != nil {
		log.LineReceived(o.id, line)
	}
	o.sender.lineReceived(line)
}

// ConnectionLost implements reactor.Protocol. What was sent and not acknowledged is sent again on
// the next connection.
func (o *outbound) ConnectionLost(reason error) {
	if o.sender.continues(reason) {
		return
	}
	switch {
	case o.reason != nil:
		reason = o.reason
	case o.state == linkGreeting:
		reason = o.handshakeLost(reason)
	case errors.Is(reason, reactor.ErrConnectionDone): // it was to stand
		reason = errClosed
	}
	o.closeSender()
	o.logLost(reason)
	o.t = nil
	o.drain.closedCleanly = errors.Is(reason, errClosed)
	o.setDown(reason.Error())
	o.maybeRedial()
}

func (o *outbound) closeSender() {
	if o.sender != nil {
		o.sender.close()
		o.sender = nil
	}
}

func (o *outbound) logLost(reason error) {
	o.server.log.Info("connection lost", o.traffic.fields([]zap.Field{zap.Uint64("conn", o.id),
		zap.String("peer", o.t.Peer()), zap.String("neighbor", o.neighbor.name),
		zap.String("reason", reason.Error())})...)
}

// dial starts the link.
func (o *outbound) dial() {
	o.setState(linkDialing)
	o.client.Connect()
}

// dialNow ends the pause between two tries: the neighbor has just shown that it is up.
func (o *outbound) dialNow() {
	switch {
	case o.server.drain.begun:
	case o.state == linkDown:
		o.client.DialNow()
	case o.state == linkGreeting:
		o.redial = true // should this try come to nothing: it may have come too early
	}
}

// ended decides whether the end of a connection, or a dial that failed, is followed by a dial at
// once.
func (o *outbound) maybeRedial() {
	redial := o.redial
	o.redial = false
	if redial || o.server.drain.begun && o.dialsInDrain() {
		o.client.DialNow()
	}
	o.server.checkDrained()
}

// become notes a change of state. The first failure is logged, then every change but those
// between one fruitless try and the next.
func (o *outbound) setState(state linkState) {
	if state == o.state {
		return
	}
	before := o.state
	o.state, o.since = state, o.server.reactor.Now()
	if state >= linkCopying {
		o.downReason = ""
		message := "link " + state.String()
		if state == linkLegacy {
			message = "link legacy" // plain in the status, whose values are stable
		}
		o.server.log.Info(message, zap.String("neighbor", o.neighbor.name),
			zap.Stringer("was", before), zap.Uint64("acknowledged", o.sent.Acked()),
			zap.Uint64("tail", o.server.store.Tail()))
	}
}

// startTime is how long after its start a server finds nothing wrong with a neighbor that is down: it
// may be starting, too.
const startTime = 2 * time.Second

// LinkDownMessage is the message of the log entry for a link that went down.
const LinkDownMessage = "link down"

// down notes that there is no connection, and why. A reason that is not the last one's is logged,
// too, now and then: a neighbor that went away may refuse us when it is back.
func (o *outbound) setDown(why string) {
	log := o.downReason == "" || why != o.downReason &&
		o.server.logLimits.links.allow(logKey{why, o.neighbor.name}, o.server.reactor.Now())
	o.tried, o.downReason = true, why
	o.setState(linkDown)
	if log {
		level := zap.WarnLevel
		if srv := o.server; srv.drain.begun || srv.reactor.Now().Sub(srv.started) < startTime {
			level = zap.InfoLevel
		}
		o.server.log.Log(level, LinkDownMessage, zap.String("neighbor", o.neighbor.name),
			zap.String("address", o.neighbor.addr), zap.String("reason", why))
	}
}

// sending says whether the link is past its handshake.
func (o *outbound) sending() bool { return o.state == linkCopying || o.state == linkLive }

// pump sends what is to be sent in this turn. It reports whether there is more for the next turn.
func (o *outbound) pump() (more bool) { return o.sender != nil && o.sender.pump() }

// pumped writes and counts what a machine has left in server.pumped.
func (o *outbound) writePumped(p link.Pumped) {
	c := &o.neighbor.counters
	c.atSent += uint64(p.Records)
	if p.Stalled {
		c.stalls++
	}
	o.write(o.server.pumpOutput.Lines)
}

// recopy ends the connection; the next one begins with everything, skipping nothing.
func (o *outbound) repair() {
	o.sent.Repair()
	if o.t != nil {
		o.abort(errDiverged)
	}
}

// write writes lines, counts and logs them.
func (o *outbound) write(lines []byte) {
	if len(lines) == 0 {
		return
	}
	o.t.Write(lines)
	o.traffic.sent(o.id, lines, o.server.lines)
	if o.t.Backlog() > maxUnread {
		o.abort(errUnread)
	}
}

var crlf = []byte("\r\n")

func (o *outbound) abort(reason error) {
	if o.reason == nil {
		o.reason = reason
		o.server.counters.linkDropped(reason)
	}
	o.setState(linkDown)
	if o.t != nil {
		o.reader.Stop()
		o.t.AbortConnection()
	}
}
