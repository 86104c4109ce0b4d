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
	// maxUnread is how many bytes a neighbor may leave unread: a window with its MARKs, and more.
	maxUnread = 4 << 20
)

// linkState is the state of a link, as shown in Status.
type linkState uint8

const (
	linkDown     linkState = iota
	linkDialing            // a dial is in progress
	linkGreeting           // handshake
	linkCopying            // until the tail at WELCOME is acknowledged
	linkLive
	linkLegacy // to a legacy neighbor
)

func (st linkState) String() string { return linkStates[st] }

// outbound is the link on which this server sends its feed to a neighbor. It dials and does the I/O; the
// protocol of a connection is in its sender. Loop only.
type outbound struct {
	server   *Server
	neighbor *neighbor
	client   *reactor.ReconnectingClient
	sent     *link.Sent // outlives connections

	state      linkState
	since      time.Time
	downReason string // why the link is down; "" when it is not
	tried      bool   // was live or failed once, or is legacy

	// The current connection; t is nil if there is none.
	t       reactor.Transport
	id      uint64
	traffic traffic
	reader  *reactor.LineReceiver
	reason  error  // why this side closed it, if it did
	sender  sender // nil: none; a legacySender may be used for a series of connections

	kind          kind // of the current connection
	next          kind // of the next one
	redial        bool // dial at once when the current connection is lost
	secretIndex   int  // of the secret that signs PROOF
	proofsRefused int  // in a row
	hangUps       int  // handshakes in a row that the neighbor ended without an answer: see handshakeLost
	probe         *probe

	secure    bool // the current or last dial is over TLS
	plainNext bool // the next one is not, see dialing

	drain linkDrain
}

// sender is the protocol of an outbound's connection: linkSender for a server of the herd, or legacySender
// for a server as the paper describes it.
type sender interface {
	connected()                         // the connection is made
	lineReceived(line []byte)           // a line was received
	pump() (more bool)                  // send what can be sent in this turn, and report whether there is more
	markSoon()                          // schedule a MARK: more of the neighbor's feed was received
	checkClaim(other protocol.Epoch)    // check whether the process at the other end is still alive: another one uses its name
	drained() bool                      // in a shutdown, report whether everything has been handed over
	status(st *LinkStatus)              // fill in how far the feed has been sent
	continues(reason error) (next bool) // the connection is lost; report whether the sender is used for the next one
	close()                             // if it is not
}

// kind is the kind of neighbor that a connection assumes.
type kind uint8

const (
	kindHerd   kind = iota // HELLO
	kindLegacy             // AT lines: it answered HELLO as an unknown command
	kindSilent             // AT lines: it did not answer HELLO. It is probed
)

// ending is how a connection ended, as far as it determines the kind of the next one.
type ending uint8

const (
	endedOtherwise ending = iota
	endedUnknown          // HELLO was answered as an unknown command
	endedSilent           // HELLO was not answered: see handshakeTimedOut and handshakeLost
	endedLine             // the connection of one AT line is complete, or the line is sent again
)

// after is the kind of the next connection:
//
//	              kindHerd     kindLegacy   kindSilent
//	endedUnknown  kindLegacy
//	endedSilent   kindSilent
//	endedLine                  kindLegacy   kindSilent
//	otherwise     kindHerd     kindHerd     kindHerd
//
// A neighbor that completes a handshake on its own connection, or answers after it was silent, ends otherwise.
// So does a dial that fails: the next process may be a different one. If it answers a probe as an unknown
// command, kindSilent becomes kindLegacy.
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
		Reactor: srv.reactor, Rand: srv.rand, Addr: n.addr, Timeout: dialTimeout, Factory: o, Dialing: o.dialing,
	}
	return o
}

// dialing makes the next dial one over TLS, if it shall be. With links = "optional" a dial whose handshake fails is followed
// by one without TLS: the neighbor may not have it yet. A neighbor that says nothing, as one that is stopped or
// overloaded, is no such one, unless it may be a legacy neighbor.
func (o *outbound) dialing(f reactor.ClientFactory) reactor.ClientFactory {
	mode := o.server.cfg.TLS.Links
	o.secure = mode == tlsRequired || mode == tlsOptional && !o.plainNext
	o.plainNext = false
	if !o.secure {
		return f
	}
	return o.server.options.TLS.Link(o.neighbor.name, f)
}

// BuildProtocol implements reactor.ClientFactory.
func (o *outbound) BuildProtocol(string) reactor.Protocol {
	o.kind, o.next = o.next, o.next.after(endedOtherwise)
	if o.kind == kindHerd {
		return o
	}
	return producer{o}
}

// producer is an outbound to a legacy neighbor. It is notified when the neighbor has read something.
type producer struct{ *outbound }

// ResumeProducing implements reactor.Producer: the neighbor has read enough to be sent more.
func (pd producer) ResumeProducing() { pd.server.pumpSoon() }

// ConnectionFailed implements reactor.ClientFactory.
func (o *outbound) ConnectionFailed(reason error) {
	o.next, o.hangUps = o.next.after(endedOtherwise), 0
	if handshake := (*reactor.HandshakeError)(nil); errors.As(reason, &handshake) {
		o.server.counters.TLSFailed++
		silent := errors.Is(reason, reactor.ErrTLSTimeout) && !o.server.handshakeOptional
		o.plainNext = o.server.cfg.TLS.Links == tlsOptional && !silent
	}
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

// ConnectionLost implements reactor.Protocol. What was not acknowledged is sent again on the next connection.
func (o *outbound) ConnectionLost(reason error) {
	if o.sender.continues(reason) {
		return
	}
	switch {
	case o.reason != nil:
		reason = o.reason
	case o.state == linkGreeting:
		reason = o.handshakeLost(reason)
	case errors.Is(reason, reactor.ErrConnectionDone): // a link stays open
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

// dialNow ends the pause before the next dial: the neighbor has just shown that it is up.
func (o *outbound) dialNow() {
	switch {
	case o.server.drain.begun:
	case o.state == linkDown:
		o.client.DialNow()
	case o.state == linkGreeting:
		o.redial = true // if this attempt fails: it may have come too early
	}
}

// maybeRedial is called after a connection was lost or a dial failed, and dials at once if that is required.
func (o *outbound) maybeRedial() {
	redial := o.redial
	o.redial = false
	if redial || o.server.drain.begun && o.dialsInDrain() {
		o.client.DialNow()
	}
	o.server.checkDrained()
}

// setState changes the state. Changes to copying, live and legacy are logged.
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

// startTime is how long after its start a server logs a neighbor that is down at level info: it may be
// starting, too.
const startTime = 2 * time.Second

// LinkDownMessage is the message of the log entry for a link that went down.
const LinkDownMessage = "link down"

// setDown records that there is no connection, and why. The first failure is logged, and further ones now and
// then if the reason has changed: a neighbor that was down may refuse us when it is up again.
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

// sending reports whether the link is past its handshake.
func (o *outbound) sending() bool { return o.state == linkCopying || o.state == linkLive }

// pump sends what can be sent in this turn. It reports whether there is more.
func (o *outbound) pump() (more bool) { return o.sender != nil && o.sender.pump() }

// writePumped writes, counts and records what a machine has appended to server.pumpOutput.
func (o *outbound) writePumped(p link.Pumped, now time.Time) {
	c := &o.neighbor.counters
	c.atSent += uint64(p.Records)
	if p.Records > 0 {
		o.server.recorder.Sent(now, o.neighbor.index, p.First, p.Last)
	}
	if p.Stalled {
		c.stalls++
	}
	o.write(o.server.pumpOutput.Lines)
}

// repair closes the connection. The next one begins with a full copy, including what the neighbor sent us itself.
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
