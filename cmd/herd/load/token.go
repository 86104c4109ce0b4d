package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"serverherd/cmd/herd/client"
	"serverherd/reactor"
	"serverherd/reactor/sockets"
)

// presenting makes connections that present a token before their Protocol begins, see client.Handshake. For that
// Protocol a connection whose token is refused is a failed dial.
type presenting struct {
	reactor.ClientFactory
	clock     reactor.Clock
	handshake client.Handshake
	timeout   time.Duration            // of the whole exchange
	took      func(took time.Duration) // is called when the server has taken the token; may be nil
}

// BuildProtocol implements reactor.Factory.
func (f *presenting) BuildProtocol(peer string) reactor.Protocol {
	p := f.ClientFactory.BuildProtocol(peer)
	if p == nil {
		return nil
	}
	return &presenter{f: f, p: p, handshake: f.handshake}
}

// presenter presents the token of one connection. Used only on its loop.
type presenter struct {
	f         *presenting
	p         reactor.Protocol
	handshake client.Handshake
	t         reactor.Transport
	sent      time.Duration
	late      *reactor.DelayedCall
	part      []byte // an incomplete reply
	taken     bool   // p has the connection
	failed    bool
}

// ConnectionMade implements reactor.Protocol.
func (c *presenter) ConnectionMade(t reactor.Transport) {
	c.t, c.sent = t, c.f.clock.Elapsed()
	c.late = c.f.clock.CallLater(c.f.timeout, func() {
		c.fail(fmt.Errorf("no reply to the token within %v", c.f.timeout))
	})
	t.Write([]byte(c.handshake.Request()))
}

// DataReceived implements reactor.Protocol.
func (c *presenter) DataReceived(p []byte) {
	if c.taken {
		c.p.DataReceived(p)
		return
	}
	if c.failed {
		return
	}
	c.part = append(c.part, p...)
	for rest := c.part; len(rest) > 0; c.part = rest {
		n := replyEnd(rest, false, c.handshake.Dialect)
		if n == 0 {
			break
		}
		done, err := c.handshake.Reply(string(bytes.TrimRight(rest[:n], "\n")))
		rest = rest[n:]
		switch {
		case err != nil:
			c.fail(err)
			return
		case done:
			c.begin(rest)
			return
		}
	}
	if len(c.part) > maxShort {
		c.fail(errors.New("the reply to the token is too long"))
	}
}

// begin passes the connection on, with what came behind the reply.
func (c *presenter) begin(rest []byte) {
	c.late.Cancel()
	c.taken, c.part = true, nil
	if c.f.took != nil {
		c.f.took(c.f.clock.Elapsed() - c.sent)
	}
	c.p.ConnectionMade(c.t)
	if len(rest) > 0 {
		c.p.DataReceived(rest)
	}
}

func (c *presenter) fail(err error) {
	if c.failed {
		return
	}
	c.failed = true
	c.late.Cancel()
	c.t.AbortConnection()
	c.f.ConnectionFailed(err)
}

// ConnectionLost implements reactor.Protocol.
func (c *presenter) ConnectionLost(reason error) {
	if c.taken {
		c.p.ConnectionLost(reason)
		return
	}
	c.fail(c.handshake.Lost())
}

// connectTCP dials. With Options.Token, the connection presents it first.
func (w *worker) connectTCP(target *Target, f reactor.ClientFactory, took func(time.Duration)) {
	if w.options.Token != "" {
		f = &presenting{f, w.r, client.Handshake{Dialect: w.options.Dialect, Token: w.options.Token}, w.options.Timeout,
			func(d time.Duration) {
				record(w.tokens, d)
				if took != nil {
					took(d)
				}
			}}
	}
	w.r.ConnectTCP(target.Addr, w.options.Timeout, target.secure(f))
}

// secure returns f, or one whose dials are over TLS.
func (t *Target) secure(f reactor.ClientFactory) reactor.ClientFactory {
	if t.TLS == nil {
		return f
	}
	return sockets.TLSFactory{ClientFactory: f, Config: t.TLS}
}

// dialBlocking makes a connection outside the loops. With Options.Token, it presents it first.
func dialBlocking(ctx context.Context, o *Options, target *Target) (net.Conn, error) {
	dialer := net.Dialer{Timeout: o.Timeout}
	c, err := dialer.DialContext(ctx, "tcp", target.Addr)
	if err != nil {
		return nil, err
	}
	if c, err = client.Secure(ctx, c, client.Options{Timeout: o.Timeout, TLS: target.TLS}); err != nil || o.Token == "" {
		return c, err
	}
	if err := client.Present(ctx, c, client.Options{Dialect: o.Dialect, Timeout: o.Timeout, Token: o.Token}); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// checkToken returns an error for a token that cannot be presented.
func (o *Options) checkToken() error {
	switch {
	case o.Token == "":
		return nil
	case o.Redis:
		return errors.New("a Redis server takes no token")
	}
	return client.CheckToken(o.Token)
}
