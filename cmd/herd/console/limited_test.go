package console

import (
	"errors"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"serverherd/herd"
)

// pipes is a listener with in-memory connections.
type pipes struct {
	next   chan struct{} // one for each
	closed chan struct{}
}

func newPipes() *pipes {
	return &pipes{make(chan struct{}, herd.ConsoleConnections), make(chan struct{})}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case <-p.next:
		c, _ := net.Pipe()
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	close(p.closed)
	return nil
}

func (p *pipes) Addr() net.Addr { return nil }

// accept makes n more connections.
func accept(t *testing.T, l *limited, n int) (conns []*conn) {
	t.Helper()
	for range n {
		l.Listener.(*pipes).next <- struct{}{}
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c.(*conn))
	}
	return conns
}

// open returns which of them are open, and checks the listener's counts.
func open(t *testing.T, l *limited, conns []*conn) (open []int) {
	t.Helper()
	var busy [classes]int
	for i, c := range conns {
		if !c.closed {
			open = append(open, i)
			if c.place == nil {
				busy[c.class]++
			}
		}
	}
	if idle := len(open) - busy[page] - busy[stream]; l.busy != busy || l.idle.Len() != idle {
		t.Errorf("%d idle and %d busy counted, want %d and %d", l.idle.Len(), l.busy, idle, busy)
	}
	return open
}

// Above the limit the connection with the oldest last request is closed.
func TestConnectionsAreLimited(t *testing.T) {
	const n = herd.ConsoleConnections
	l := limit(newPipes())
	conns := accept(t, l, n)
	if got := open(t, l, conns); len(got) != n {
		t.Fatalf("%d of %d are open", len(got), n)
	}
	conns[0].active()
	conns[2].Close()
	conns[2].Close()
	conns = append(conns, accept(t, l, 1)...) // below the limit
	if got := open(t, l, conns); len(got) != n || got[0] != 0 {
		t.Errorf("open are %v", got)
	}
	conns = append(conns, accept(t, l, 2)...)
	if !conns[1].closed || !conns[3].closed || conns[0].closed || conns[4].closed {
		t.Errorf("open are %v, want 1 and 3 closed", open(t, l, conns))
	}
	conns[1].active() // no effect: it is closed
	if conns[1].begin(page) {
		t.Error("a page of a connection that is closed")
	}
	open(t, l, conns)
	l.Close()
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}

// Pages and streams have limits of their own, and their connections are not closed for others.
func TestRequestsAreLimited(t *testing.T) {
	l := limit(newPipes())
	conns := accept(t, l, herd.ConsoleConnections)
	n := 0 // conns[:n] have a request in progress
	for as, limit := range map[class]int{page: herd.ConsoleRequests, stream: herd.ConsoleStreams} {
		for range limit {
			if !conns[n].begin(as) {
				t.Fatalf("class %d: refused below its limit", as)
			}
			n++
		}
		if conns[n].begin(as) {
			t.Fatalf("class %d: more than %d", as, limit)
		}
	}
	if left := herd.ConsoleConnections - n; left != 16 {
		t.Errorf("%d connections are left for health checks", left)
	}
	conns = append(conns, accept(t, l, 2*herd.ConsoleConnections)...)
	got := open(t, l, conns)
	for i := range n {
		if got[i] != i {
			t.Fatalf("open are %v", got)
		}
	}
	if len(got) != herd.ConsoleConnections {
		t.Errorf("%d are open", len(got))
	}
	of := conns[0].class
	conns[0].end()
	conns[1].Close() // during its request
	conns[1].end()
	open(t, l, conns)
	last := conns[len(conns)-1]
	if !last.begin(of) || !conns[0].begin(of) || conns[len(conns)-2].begin(of) {
		t.Error("two requests have ended, and there is not room for two others")
	}
	open(t, l, conns)
}

func TestAConsoleIsLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s := newPipes(), New(Options{})
		var alive atomic.Int32
		s.ConnState = func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				alive.Add(1)
			case http.StateClosed:
				alive.Add(-1)
			}
		}
		ended := make(chan error)
		go func() { ended <- Serve(s, p) }()
		for range 3 * herd.ConsoleConnections {
			p.next <- struct{}{}
			synctest.Wait()
		}
		if n := alive.Load(); n != herd.ConsoleConnections {
			t.Errorf("%d connections, want %d", n, herd.ConsoleConnections)
		}
		s.Close()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
