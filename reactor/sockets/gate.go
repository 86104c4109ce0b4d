package sockets

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"serverherd/reactor"
)

// maxTaking is the maximum number of accepted and dialed connections that are waiting for the loop. Further ones wait in
// the kernel's queue.
const maxTaking = 256

// Options configure a Gate.
type Options struct {
	// Take brings a connection onto the loop and returns when the loop has accepted it. If not, it closes c and
	// returns an error: reactor.ErrConnectionAborted if the gate is Ending. Any goroutine.
	Take func(c net.Conn, f reactor.Factory) error
	// Log is called with errors such as those of accept. Any goroutine.
	Log func(message string)
	// Source returns the local address for a dial to addr; nil leaves it to the kernel. Any goroutine.
	Source func(addr string) net.Addr
}

// Gate accepts and dials connections for a loop, in one goroutine per port and one per connection until the loop has
// accepted it. It implements these methods of reactor.Reactor, and Shutdown of reactor.Engine. Loop only, except for
// Wait.
type Gate struct {
	loop *reactor.Loop
	opts Options

	ports     []*port
	accepting sync.WaitGroup // acceptors
	taking    sync.WaitGroup // dials, and connections waiting for the loop
	tokens    chan struct{}  // holds one token for each connection waiting for the loop
	dials     context.Context
	cancel    context.CancelFunc

	handshakes handshakes
	streams    sync.WaitGroup // goroutines of connections over TLS

	ending   bool
	shutdown chan struct{} // closed by Shutdown
}

// Init initializes the zero Gate for a loop.
func (g *Gate) Init(l *reactor.Loop, o Options) {
	g.loop, g.opts = l, o
	g.tokens, g.shutdown = make(chan struct{}, maxTaking), make(chan struct{})
	g.dials, g.cancel = context.WithCancel(context.Background())
	g.handshakes.init()
}

// Ending reports whether Shutdown was called: no new connections are accepted.
func (g *Gate) Ending() bool { return g.ending }

// Shutdown implements reactor.Engine.
func (g *Gate) Shutdown() {
	g.ending = true
	for _, p := range g.ports {
		p.StopListening()
	}
	close(g.shutdown)
}

// Wait returns when after Shutdown no more connections can arrive and each dial has a result, which may be a posted call.
// The loop must keep running meanwhile. For Run.
func (g *Gate) Wait() {
	<-g.shutdown
	g.accepting.Wait()
	g.cancel()
	g.taking.Wait()
}

// WaitStreams returns when the goroutines of connections over TLS have ended. The engine calls it after CloseAll.
func (g *Gate) WaitStreams() { g.streams.Wait() }

// ListenTCP implements reactor.Reactor. The listener must be a net.Listener, of TCP or Unix sockets.
func (g *Gate) ListenTCP(l reactor.Listener, f reactor.Factory) (reactor.Port, error) {
	nl, ok := l.(net.Listener)
	if !ok {
		return nil, fmt.Errorf("sockets: %T is not a net.Listener", l)
	}
	p := &port{gate: g, l: nl, factory: f, stopped: make(chan struct{})}
	p.tls, _ = l.(*TLSListener)
	g.ports = append(g.ports, p)
	g.loop.CallSoon(func() { // when the loop runs
		if !p.closed {
			g.accepting.Add(1)
			go p.accept()
		}
	})
	return p, nil
}

// ConnectTCP implements reactor.Reactor.
func (g *Gate) ConnectTCP(addr string, timeout time.Duration, f reactor.ClientFactory) {
	g.loop.CallSoon(func() { // when the loop runs
		if g.ending {
			f.ConnectionFailed(fmt.Errorf("dial %s: %w", addr, reactor.ErrConnectionAborted))
			return
		}
		g.taking.Add(1)
		go func() {
			defer g.taking.Done()
			if err := g.connect(addr, timeout, f); err != nil {
				g.loop.CallFromThread(func() { f.ConnectionFailed(err) })
			}
		}()
	})
}

// connect dials and brings the connection onto the loop.
func (g *Gate) connect(addr string, timeout time.Duration, f reactor.Factory) error {
	dialer := net.Dialer{Timeout: timeout}
	if g.opts.Source != nil {
		dialer.LocalAddr = g.opts.Source(addr)
	}
	c, err := dialer.DialContext(g.dials, "tcp", addr)
	if err != nil {
		return err
	}
	if t, ok := f.(TLSFactory); ok {
		return g.secured(c, t.ClientFactory, func() (*lower, *tls.Conn, error) {
			return g.handshakes.run(g.dials, c, tls.Client, t.Config)
		})
	}
	g.tokens <- struct{}{}
	return g.take(c, f)
}

// take brings a connection onto the loop and returns its token.
func (g *Gate) take(c net.Conn, f reactor.Factory) error {
	defer func() { <-g.tokens }()
	peer := c.RemoteAddr()
	err := g.opts.Take(c, f)
	if err != nil && !errors.Is(err, reactor.ErrConnectionAborted) {
		g.opts.Log(fmt.Sprintf("connection from %s: %v", peer, err))
	}
	return err
}

// port is a listener in use.
type port struct {
	gate    *Gate
	l       net.Listener
	tls     *TLSListener // nil without TLS
	factory reactor.Factory
	stopped chan struct{} // closed by StopListening
	closed  bool
}

// Addr implements reactor.Port.
func (p *port) Addr() string { return p.l.Addr().String() }

// StopListening implements reactor.Port.
func (p *port) StopListening() {
	if !p.closed {
		p.closed = true
		close(p.stopped)
		p.l.Close()
	}
}

// accept accepts connections until StopListening.
func (p *port) accept() {
	g := p.gate
	defer g.accepting.Done()
	failing := false
	for {
		c, err := p.l.Accept()
		switch {
		case err == nil:
			failing = false
			if p.tls == nil {
				g.tokens <- struct{}{}
			}
			g.taking.Add(1)
			go p.take(c)
			continue
		case errors.Is(err, net.ErrClosed):
			return
		case !failing:
			failing = true
			g.opts.Log(fmt.Sprintf("accept on %s: %v", p.l.Addr(), err))
		}
		g.loop.CallFromThread(g.loop.AcceptFailed)
		select {
		case <-time.After(reactor.AcceptPause):
		case <-p.stopped:
			return
		}
	}
}

// take brings an accepted connection onto the loop.
func (p *port) take(c net.Conn) {
	g := p.gate
	defer g.taking.Done()
	urgentInline(c)
	if p.tls != nil {
		peer := c.RemoteAddr().String()
		failed := (*reactor.HandshakeError)(nil)
		handshake := func() (*lower, *tls.Conn, error) { return g.handshakes.accept(g.dials, c, p.tls.Config) }
		if err := g.secured(c, p.factory, handshake); errors.As(err, &failed) {
			p.tls.Failed(peer, failed.Reason)
		}
		return
	}
	if err := g.take(c, p.factory); err != nil && !errors.Is(err, reactor.ErrConnectionAborted) {
		g.loop.CallFromThread(g.loop.AcceptFailed)
	}
}

// urgentInline sets SO_OOBINLINE, so that urgent data stays in the stream. A telnet client sends the second byte of its
// command IAC DM as urgent data; without the option, IAC would become part of the next line. Unix sockets do not support
// it, so the error is ignored.
func urgentInline(c net.Conn) {
	s, ok := c.(syscall.Conn)
	if !ok {
		return
	}
	if raw, err := s.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) {
			_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_OOBINLINE, 1)
		})
	}
}
