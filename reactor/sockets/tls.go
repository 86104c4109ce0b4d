package sockets

import (
	"container/list"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"sync"

	"serverherd/reactor"
)

// TLSListener is a net.Listener whose connections begin with a TLS handshake, for Reactor.ListenTCP.
type TLSListener struct {
	net.Listener
	Config *tls.Config
	// Failed is called when a handshake fails, with the reason, which is for this side's log only. Any goroutine.
	Failed func(peer string, reason error)
}

// TLSFactory is a ClientFactory whose connections begin with a TLS handshake, for Reactor.ConnectTCP. The config names
// the server.
type TLSFactory struct {
	reactor.ClientFactory
	Config *tls.Config
}

// ErrHandshakes is why a handshake is given up for a newer one.
var ErrHandshakes = fmt.Errorf("more than %d TLS handshakes in progress: the oldest is given up", reactor.MaxTLSHandshakes)

// handshakes bounds what handshakes cost. The loop must have a processor for itself, so fewer of them compute at once
// than there are processors. Those that wait for their peer do not count. Any goroutine.
type handshakes struct {
	computing chan struct{} // a token for each that computes

	mu       sync.Mutex
	accepted list.List // of the context.CancelCauseFunc of those of accepted connections, the oldest first
}

func (h *handshakes) init() { h.computing = make(chan struct{}, max(1, runtime.GOMAXPROCS(0)-1)) }

// side is tls.Client or tls.Server.
type side func(net.Conn, *tls.Config) *tls.Conn

// accept is run for a connection that was accepted. There are at most MaxTLSHandshakes: the oldest is given up for one
// more. Whoever goes on with a handshake needs milliseconds, so connections that begin one and say nothing, however many,
// end each other and not that one.
func (h *handshakes) accept(ctx context.Context, c net.Conn, config *tls.Config) (*lower, *tls.Conn, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	h.mu.Lock()
	place := h.accepted.PushBack(cancel)
	if h.accepted.Len() > reactor.MaxTLSHandshakes {
		h.accepted.Remove(h.accepted.Front()).(context.CancelCauseFunc)(ErrHandshakes)
	}
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.accepted.Remove(place) // nothing if it was removed
	}()
	return h.run(ctx, c, tls.Server, config)
}

// run makes the handshake of a connection, and returns what is below and above TLS. It closes c if that fails. Dials do
// not count towards MaxTLSHandshakes: peers that connect must not prevent them.
func (h *handshakes) run(ctx context.Context, c net.Conn, as side, config *tls.Config) (*lower, *tls.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, reactor.TLSHandshakeTime)
	defer cancel()
	l := &lower{Conn: c, computing: h.computing}
	t := as(l, config)
	h.computing <- struct{}{}
	err := t.HandshakeContext(ctx)
	<-h.computing
	l.computing = nil
	if err != nil {
		c.Close()
		switch {
		case errors.Is(context.Cause(ctx), ErrHandshakes):
			err = ErrHandshakes
		case errors.Is(ctx.Err(), context.DeadlineExceeded):
			err = reactor.ErrTLSTimeout
		}
		return nil, nil, err
	}
	return l, t, nil
}

// lower is the connection below TLS. It belongs to the goroutine of the handshake, then to the one that reads.
type lower struct {
	net.Conn
	computing chan struct{} // the right to compute is given back while the handshake waits for its peer; then nil
	ended     bool          // the peer has closed TCP
}

// Read implements net.Conn.
func (l *lower) Read(p []byte) (int, error) {
	if l.computing != nil {
		<-l.computing
		defer func() { l.computing <- struct{}{} }()
	}
	n, err := l.Conn.Read(p)
	l.ended = errors.Is(err, io.EOF)
	return n, err
}

// secured brings a connection onto the loop once handshake, which closes c if it fails, is done.
func (g *Gate) secured(c net.Conn, f reactor.Factory, handshake func() (*lower, *tls.Conn, error)) error {
	s, err := newStream(g, c)
	if err != nil {
		c.Close()
		return err
	}
	if s.lower, s.tls, err = handshake(); err != nil {
		return &reactor.HandshakeError{Reason: err}
	}
	done := make(chan error, 1)
	g.loop.CallFromThread(func() {
		err := reactor.ErrConnectionAborted
		if !g.ending {
			s.conn = g.loop.Accept(f, s, c.RemoteAddr().String(), c.LocalAddr().String())
			err = nil
		}
		done <- err
	})
	if err := <-done; err != nil || s.conn == nil {
		c.Close()
		return err
	}
	g.streams.Go(s.readAll)
	return nil
}

// StartTLS is for engines: it goes on with a connection of theirs over TLS. data was read from c already.
func (g *Gate) StartTLS(conn *reactor.Conn, c net.Conn, data []byte, config reactor.TLSConfig) (reactor.Socket, error) {
	s, err := newStream(g, c)
	if err != nil {
		c.Close()
		return nil, err
	}
	var ctx context.Context
	ctx, s.cancel = context.WithCancel(g.dials)
	s.conn = conn
	s.Begin(0)
	g.streams.Go(func() {
		defer s.cancel()
		below, t, err := g.handshakes.accept(ctx, &resumed{c, data}, config.(*tls.Config))
		s.post(func() {
			if err != nil {
				s.conn.Broken(&reactor.HandshakeError{Reason: err})
				return
			}
			s.lower, s.tls = below, t
			g.streams.Go(s.readAll)
			if s.End() {
				s.conn.Writable()
			}
		})
	})
	return s, nil
}

// resumed is a connection of which something was read already.
type resumed struct {
	net.Conn
	data []byte
}

// Read implements net.Conn.
func (r *resumed) Read(p []byte) (int, error) {
	if len(r.data) > 0 {
		n := copy(p, r.data)
		r.data = r.data[n:]
		return n, nil
	}
	return r.Conn.Read(p)
}

// security is what a handshake has shown about the peer.
func security(t *tls.Conn) reactor.Security {
	state := t.ConnectionState()
	s := reactor.Security{TLS: true, Version: state.Version}
	if len(state.VerifiedChains) > 0 {
		s.Names = slices.Clone(state.PeerCertificates[0].DNSNames)
	}
	return s
}
