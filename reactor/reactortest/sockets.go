package reactortest

import (
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"serverherd/reactor"
	"serverherd/reactor/sockets"
)

// Sockets is the Harness of an engine with real sockets, on loopback.
type Sockets struct {
	t       *testing.T
	reactor reactor.Reactor
	layer   *layer // nil without TLS
	stop    sync.Once
	ran     chan error
}

// NewSockets runs r in a goroutine until the test ends.
func NewSockets(t *testing.T, r reactor.Reactor) *Sockets { return newSockets(t, r, nil) }

func newSockets(t *testing.T, r reactor.Reactor, l *layer) *Sockets {
	h := &Sockets{t: t, reactor: r, layer: l, ran: make(chan error, 1)}
	if l != nil {
		h.reactor = dialing{r, l}
	}
	go func() { h.ran <- r.Run() }()
	t.Cleanup(h.Stop)
	return h
}

// Reactor implements Harness.
func (h *Sockets) Reactor() reactor.Reactor { return h.reactor }

// Virtual implements Harness.
func (h *Sockets) Virtual() bool { return false }

// Listen implements Harness.
func (h *Sockets) Listen() (reactor.Listener, string) {
	l, err := sockets.Listen("127.0.0.1:0")
	if err != nil {
		h.t.Fatal(err)
	}
	addr := l.Addr().String()
	if h.layer != nil && !h.layer.start {
		return h.layer.listener(l), addr
	}
	return l, addr
}

// Do implements Harness.
func (h *Sockets) Do(f func()) {
	h.t.Helper()
	done := make(chan struct{})
	h.reactor.CallFromThread(func() {
		f()
		close(done)
	})
	select {
	case <-done:
	case <-time.After(timeout):
		h.t.Fatal("a posted call did not run")
	}
}

// Wait implements Harness: done is called every millisecond.
func (h *Sockets) Wait(what string, done func() bool) {
	h.t.Helper()
	yes := make(chan struct{})
	var look func()
	look = func() {
		if done() {
			close(yes)
		} else if !h.t.Failed() {
			h.reactor.CallLater(time.Millisecond, look)
		}
	}
	h.reactor.CallFromThread(look)
	select {
	case <-yes:
	case <-time.After(timeout):
		h.t.Fatalf("timeout waiting for %s", what)
	}
}

// Stop implements Harness.
func (h *Sockets) Stop() {
	h.stop.Do(func() {
		h.reactor.Stop()
		select {
		case err := <-h.ran:
			if err != nil {
				h.t.Error("Run:", err)
			}
		case <-time.After(timeout):
			h.t.Error("Run did not return after Stop")
		}
	})
}

// Dial implements Harness.
func (h *Sockets) Dial(addr string) Peer {
	h.t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		h.t.Fatal(err)
	}
	p := &socketPeer{t: h.t, tcp: c.(*net.TCPConn)}
	p.tcp.SetReadBuffer(128 << 10) // else the kernel enlarges it so much that the peer is not a slow reader
	p.c = p.tcp
	if h.layer != nil {
		p.c = h.layer.handshake(h.t, c)
	}
	h.t.Cleanup(func() {
		p.c.Close()
		p.sending.Wait()
	})
	return p
}

// halfCloser is a net.Conn of TCP or TLS.
type halfCloser interface {
	net.Conn
	CloseWrite() error
}

// socketPeer is a Peer on a socket. It sends in order, in a goroutine that exists while there is output.
type socketPeer struct {
	t       *testing.T
	tcp     *net.TCPConn
	c       halfCloser // over tcp or TLS
	sending sync.WaitGroup

	mu    sync.Mutex
	queue []func()
}

// later runs f after everything that was scheduled before.
func (p *socketPeer) later(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.queue = append(p.queue, f)
	if len(p.queue) == 1 {
		p.sending.Go(p.work)
	}
}

func (p *socketPeer) work() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.queue) > 0 {
		f := p.queue[0]
		p.mu.Unlock()
		f()
		p.mu.Lock()
		p.queue = p.queue[1:]
	}
}

func (p *socketPeer) Send(b []byte) { p.later(func() { p.c.Write(b) }) }
func (p *socketPeer) CloseWrite()   { p.later(func() { p.c.CloseWrite() }) }
func (p *socketPeer) Addr() string  { return p.c.LocalAddr().String() }

// Close first sends pending output, for a limited time.
func (p *socketPeer) Close() {
	p.c.SetWriteDeadline(time.Now().Add(time.Second))
	p.sending.Wait()
	p.c.Close()
}

func (p *socketPeer) Reset() {
	p.sending.Wait()
	p.tcp.SetLinger(0)
	p.tcp.Close()
}

func (p *socketPeer) Receive(n int) []byte {
	p.t.Helper()
	p.c.SetReadDeadline(time.Now().Add(timeout))
	b := make([]byte, n)
	if n, err := io.ReadFull(p.c, b); err != nil {
		p.t.Fatalf("received %d bytes instead of %d: %v", n, len(b), err)
	}
	return b
}

func (p *socketPeer) ReceiveAll() ([]byte, error) {
	p.t.Helper()
	p.c.SetReadDeadline(time.Now().Add(timeout))
	b, err := io.ReadAll(p.c)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		p.t.Fatalf("no end after %d bytes", len(b))
	}
	return b, err
}
