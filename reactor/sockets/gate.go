package sockets

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"serverherd/reactor"
)

// maxTaking bounds the accepted and dialed connections that are on their way to the loop. What it
// cannot take in yet waits in the kernel's queue.
const maxTaking = 256

// Options tune a Gate.
type Options struct {
	// Take brings a connection onto the loop and returns when the loop has taken it. If not, it
	// closes c and returns an error: reactor.ErrConnectionAborted where the gate is Ending. Any
	// goroutine.
	Take func(c net.Conn, f reactor.Factory) error
	// Log is told what goes wrong beneath the program, such as accept errors. Any goroutine.
	Log func(message string)
	// Source chooses the local address of a dial to addr; a nil result, as a nil Source, leaves it to
	// the kernel. Any goroutine.
	Source func(addr string) net.Addr
}

// Gate is how connections come to a loop: it accepts and dials, in goroutines, one for each port and
// one for each connection on its way. It has these methods of reactor.Reactor, and Shutdown of
// reactor.Engine. Loop only, but for Wait.
type Gate struct {
	loop *reactor.Loop
	opts Options

	ports     []*port
	accepting sync.WaitGroup // acceptors
	taking    sync.WaitGroup // dials, and connections on their way
	tokens    chan struct{}  // holds one for each connection on its way
	dials     context.Context
	cancel    context.CancelFunc

	ending   bool
	shutdown chan struct{} // closed by Shutdown
}

// Init makes the zero Gate ready for a loop.
func (g *Gate) Init(l *reactor.Loop, o Options) {
	g.loop, g.opts = l, o
	g.tokens, g.shutdown = make(chan struct{}, maxTaking), make(chan struct{})
	g.dials, g.cancel = context.WithCancel(context.Background())
}

// Ending says whether Shutdown has been called: there are no new connections.
func (g *Gate) Ending() bool { return g.ending }

// Shutdown implements reactor.Engine.
func (g *Gate) Shutdown() {
	g.ending = true
	for _, p := range g.ports {
		p.StopListening()
	}
	close(g.shutdown)
}

// Wait returns when after Shutdown no more connections can come and each dial has had its outcome,
// which may be a posted call. The loop must go on meanwhile. For Run.
func (g *Gate) Wait() {
	<-g.shutdown
	g.accepting.Wait()
	g.cancel()
	g.taking.Wait()
}

// ListenTCP implements reactor.Reactor. The listener is a net.Listener, of TCP or Unix sockets.
func (g *Gate) ListenTCP(l reactor.Listener, f reactor.Factory) (reactor.Port, error) {
	nl, ok := l.(net.Listener)
	if !ok {
		return nil, fmt.Errorf("sockets: %T is not a net.Listener", l)
	}
	p := &port{gate: g, l: nl, factory: f, stopped: make(chan struct{})}
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

// connect dials.
func (g *Gate) connect(addr string, timeout time.Duration, f reactor.Factory) error {
	dialer := net.Dialer{Timeout: timeout}
	if g.opts.Source != nil {
		dialer.LocalAddr = g.opts.Source(addr)
	}
	c, err := dialer.DialContext(g.dials, "tcp", addr)
	if err != nil {
		return err
	}
	g.tokens <- struct{}{}
	return g.take(c, f)
}

// take brings a connection onto the loop and gives its token back.
func (g *Gate) take(c net.Conn, f reactor.Factory) error {
	defer func() { <-g.tokens }()
	peer := c.RemoteAddr()
	err := g.opts.Take(c, f)
	if err != nil && !errors.Is(err, reactor.ErrConnectionAborted) {
		g.opts.Log(fmt.Sprintf("connection of %s: %v", peer, err))
	}
	return err
}

// port is a listener in use.
type port struct {
	gate    *Gate
	l       net.Listener
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

// accept takes connections in until StopListening.
func (p *port) accept() {
	g := p.gate
	defer g.accepting.Done()
	failing := false
	for {
		c, err := p.l.Accept()
		switch {
		case err == nil:
			failing = false
			g.tokens <- struct{}{}
			g.taking.Add(1)
			go p.take(c)
			continue
		case errors.Is(err, net.ErrClosed):
			return
		case !failing:
			failing = true
			g.opts.Log(fmt.Sprintf("accept at %s: %v", p.l.Addr(), err))
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
	if err := g.take(c, p.factory); err != nil && !errors.Is(err, reactor.ErrConnectionAborted) {
		g.loop.CallFromThread(g.loop.AcceptFailed)
	}
}

// urgentInline keeps urgent data where it was sent in the stream. A telnet client sends the second byte
// of its command IAC DM as urgent data; without this, IAC would belong to the next line. Sockets that
// have no urgent data, such as those of Unix, refuse it.
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
