package herd

import (
	"bytes"
	"time"

	"go.uber.org/zap"

	"serverherd/herd/link"
	"serverherd/reactor"
)

// A probe is sent at once, and then with a pause that doubles.
const (
	minProbePause = time.Second
	maxProbePause = time.Minute
)

// probe repeats the handshake while a neighbor is served as legacy only because it did not answer HELLO: it
// may be a server of the herd that hung. Most of these dial us themselves and prove it. But two servers that
// were separated by a network that hung would take each other for legacy permanently. A probe uses its own
// connections, so AT lines are sent meanwhile. Loop only.
type probe struct {
	link    *outbound
	client  *reactor.ReconnectingClient
	t       reactor.Transport // nil: no connection
	id      uint64
	reader  *reactor.LineReceiver
	timeout *reactor.DelayedCall
}

// startProbe starts probing.
func (o *outbound) startProbe() {
	p := &probe{link: o}
	p.client = &reactor.ReconnectingClient{
		Reactor: o.server.reactor, Rand: o.server.rand, Addr: o.neighbor.addr, Timeout: dialTimeout,
		Initial: minProbePause, Max: maxProbePause, Factory: p,
	}
	o.probe = p
	p.client.Connect()
}

// stopProbe stops probing: the neighbor has answered or its legacy connection is lost.
func (o *outbound) stopProbe() {
	p := o.probe
	if p == nil {
		return
	}
	o.probe = nil
	p.client.Stop()
	if p.t != nil {
		p.t.AbortConnection()
	}
}

// BuildProtocol implements reactor.ClientFactory.
func (p *probe) BuildProtocol(string) reactor.Protocol { return p }

// ConnectionFailed implements reactor.ClientFactory.
func (p *probe) ConnectionFailed(error) {}

// ConnectionMade implements reactor.Protocol.
func (p *probe) ConnectionMade(t reactor.Transport) {
	srv := p.link.server
	p.t, p.id = t, srv.nextID()
	p.reader = reactor.NewLineReceiver(maxLinkLine, p)
	p.timeout = srv.reactor.CallLater(link.HandshakeTimeout, t.AbortConnection)
	hello := srv.identity.AppendHello(nil, p.link.neighbor.name, newNonce(srv.rand))
	t.Write(hello)
	srv.log.Debug("probing", zap.Uint64("conn", p.id), zap.String("neighbor", p.link.neighbor.name))
	if srv.lines != nil {
		srv.lines.LineSent(p.id, bytes.TrimSuffix(hello, crlf))
	}
}

// DataReceived implements reactor.Protocol.
func (p *probe) DataReceived(b []byte) { p.reader.DataReceived(b) }

// LineLengthExceeded implements reactor.LineHandler.
func (p *probe) LineLengthExceeded([]byte) { p.t.AbortConnection() }

// LineReceived implements reactor.LineHandler. Any line shows that the neighbor answers.
func (p *probe) LineReceived(line []byte) {
	p.reader.Stop()
	if log := p.link.server.lines; log != nil {
		log.LineReceived(p.id, line)
	}
	if bytes.HasPrefix(line, unknownPrefix) {
		p.link.answersProbe() // it is legacy
	} else {
		p.link.notLegacy()
	}
	p.link.stopProbe()
}

// ConnectionLost implements reactor.Protocol. An answer may lack its LF.
func (p *probe) ConnectionLost(error) {
	p.timeout.Cancel()
	p.t = nil
	if bytes.HasPrefix(p.reader.Unfinished(), unknownPrefix) && p.link.probe == p {
		p.link.answersProbe()
		p.link.stopProbe()
	}
}
