package memreactor_test

import (
	"fmt"
	"testing"
	"time"

	"serverherd/reactor"
	"serverherd/reactor/memreactor"
	"serverherd/reactor/reactortest"
)

// TestConformance runs the suite in a World without delays and in one with delays and small reads.
func TestConformance(t *testing.T) {
	for _, o := range []memreactor.Options{
		{},
		{MinDelay: time.Millisecond, MaxDelay: 20 * time.Millisecond, Chop: 5000, Window: 10_000},
	} {
		t.Run(fmt.Sprintf("Delay=%v", o.MaxDelay), func(t *testing.T) {
			reactortest.Run(t, func(t *testing.T) reactortest.Harness {
				w := memreactor.NewWorld(1, o)
				h := &harness{t: t, w: w, r: w.NewReactor("server")}
				t.Cleanup(h.Stop)
				return h
			})
		})
	}
}

// harness is a Harness for a World.
type harness struct {
	t     *testing.T
	w     *memreactor.World
	r     *memreactor.Reactor
	ports int
}

func (h *harness) Reactor() reactor.Reactor { return h.r }
func (h *harness) Virtual() bool            { return true }

func (h *harness) Listen() (reactor.Listener, string) {
	h.ports++
	addr := fmt.Sprintf("server:%d", h.ports)
	return h.r.Listen(addr), addr
}

func (h *harness) Do(f func()) {
	h.t.Helper()
	done := false
	h.r.CallFromThread(func() { f(); done = true })
	h.until("a posted call", func() bool { return done })
}

func (h *harness) Wait(what string, done func() bool) { h.until(what, done) }

func (h *harness) until(what string, done func() bool) {
	h.t.Helper()
	if !h.w.RunUntil(time.Hour, done) {
		h.t.Fatalf("timeout waiting for %s", what)
	}
}

func (h *harness) Stop() {
	h.r.Stop()
	if err := h.r.Run(); err != nil {
		h.t.Error(err)
	}
}

func (h *harness) Dial(addr string) reactortest.Peer {
	p := &peer{h: h, c: h.w.DialFrom("peer", addr)}
	p.c.Stall() // reads only in Receive
	h.until("the connection", func() bool { return p.c.Connected() || p.c.Err() != nil })
	return p
}

// peer is a Client that reads only in Receive and ReceiveAll.
type peer struct {
	h *harness
	c *memreactor.Client
}

func (p *peer) Send(b []byte) { p.c.Send(b) }
func (p *peer) CloseWrite()   { p.c.CloseWrite() }
func (p *peer) Reset()        { p.c.Reset() }
func (p *peer) Addr() string  { return p.c.Addr() }

// Close first sends pending output, for a limited time.
func (p *peer) Close() {
	p.h.w.RunUntil(time.Second, func() bool { return p.c.Unsent() == 0 || p.c.Err() != nil })
	p.c.Close()
}

func (p *peer) Receive(n int) []byte {
	p.c.Unstall()
	p.h.until("bytes", func() bool { return len(p.c.Received()) >= n || p.c.Closed() })
	p.c.Stall()
	got := p.c.Received()
	if len(got) < n {
		p.h.t.Fatalf("received %d bytes instead of %d: %v", len(got), n, p.c.Err())
	}
	rest := append([]byte(nil), got[n:]...)
	got = append([]byte(nil), got[:n]...)
	p.c.Take()
	p.c.Input(rest)
	return got
}

func (p *peer) ReceiveAll() ([]byte, error) {
	p.c.Unstall()
	p.h.until("the end", p.c.Closed)
	return []byte(p.c.Take()), p.c.Err()
}
