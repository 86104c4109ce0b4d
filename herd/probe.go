package herd

import (
	"bytes"
	"time"

	"go.uber.org/zap"

	"serverherd/herd/link"
	"serverherd/reactor"
)

// A probe asks at once, and then ever more rarely.
const (
	minProbePause = time.Second
	maxProbePause = time.Minute
)

// probe keeps asking for a handshake while a neighbor is served plain lines only because it did
// not answer the first time: it may be a server of the herd that hung. Most of these prove
// themselves on the connection that they make. But two servers between which the network hung took
// each other for plain, and neither would ever ask again. The probe has connections of its own, so
// that the lines go on meanwhile. Loop only.
type probe struct {
	link    *outbound
	client  *reactor.ReconnectingClient
	t       reactor.Transport // nil: no connection
	id      uint64
	reader  *reactor.LineReceiver
	timeout *reactor.DelayedCall
}

// startProbe begins to ask.
func (o *outbound) startProbe() {
	p := &probe{link: o}
	p.client = &reactor.ReconnectingClient{
		Reactor: o.server.reactor, Rand: o.server.rand, Addr: o.neighbor.addr, Timeout: dialTimeout,
		Initial: minProbePause, Max: maxProbePause, Factory: p,
	}
	o.probe = p
	p.client.Connect()
}

// stopProbe ends the asking, for the neighbor has answered or its plain connection is gone.
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

// LineReceived implements reactor.LineHandler. Whatever it says, the neighbor is not silent.
func (p *probe) LineReceived(line []byte) {
	p.reader.Stop()
	if log := p.link.server.lines; log != nil {
		log.LineReceived(p.id, line)
	}
	if bytes.HasPrefix(line, unknownPrefix) {
		p.link.answersProbe() // plain it is
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
