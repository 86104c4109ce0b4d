package gnetreactor

import (
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"serverherd/reactor"
	"serverherd/reactor/sockets"
)

// echo writes back what it reads. Its methods run on the loop.
type echo struct {
	t    reactor.Transport
	made chan reactor.Transport
}

func (e *echo) BuildProtocol(string) reactor.Protocol { return &echo{made: e.made} }
func (e *echo) DataReceived(p []byte)                 { e.t.Write(p) }
func (e *echo) ConnectionLost(error)                  {}
func (e *echo) ConnectionMade(t reactor.Transport) {
	e.t = t
	if e.made != nil {
		e.made <- t
	}
}

// run runs r until the test ends.
func run(t testing.TB, r *Reactor) {
	ran := make(chan error)
	go func() { ran <- r.Run() }()
	t.Cleanup(func() {
		r.Stop()
		if err := <-ran; err != nil {
			t.Error(err)
		}
	})
}

// do runs f on the loop and waits for it.
func do(r *Reactor, f func()) {
	done := make(chan struct{})
	r.CallFromThread(func() {
		f()
		close(done)
	})
	<-done
}

func serve(t testing.TB, r *Reactor, f reactor.Factory) string {
	t.Helper()
	l, err := sockets.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	do(r, func() {
		if _, err := r.ListenTCP(l, f); err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// connected returns both ends of a connection whose other end echoes.
func connected(t *testing.T, r *Reactor) (net.Conn, reactor.Transport) {
	t.Helper()
	made := make(chan reactor.Transport, 1)
	c, err := net.Dial("tcp", serve(t, r, &echo{made: made}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c, <-made
}

// Fact 1: package net sets TCP_NODELAY and keepalive, and Enroll's duplicate keeps them.
func TestSocketOptions(t *testing.T) {
	r := New(Options{})
	run(t, r)
	_, tr := connected(t, r)
	do(r, func() {
		var fd int
		for candidate := range 200 { // the server's end is the one whose peer is c
			sa, err := unix.Getpeername(candidate)
			if in, ok := sa.(*unix.SockaddrInet4); err == nil && ok &&
				tr.Peer() == fmt.Sprintf("127.0.0.1:%d", in.Port) {
				fd = candidate
			}
		}
		for _, o := range []struct{ level, name int }{
			{unix.IPPROTO_TCP, unix.TCP_NODELAY}, {unix.SOL_SOCKET, unix.SO_KEEPALIVE}} {
			if v, err := unix.GetsockoptInt(fd, o.level, o.name); v == 0 || err != nil {
				t.Errorf("option %d of descriptor %d is %d, %v", o.name, fd, v, err)
			}
		}
	})
}

// Fact 6: a half-closed connection that has pending output is counted as a connection.
func TestHalfClosedIsCounted(t *testing.T) {
	r := New(Options{})
	run(t, r)
	heard := make(chan reactor.Transport, 1)
	c, err := net.Dial("tcp", serve(t, r, &late{heard: heard}))
	if err != nil {
		t.Fatal(err)
	}
	c.(*net.TCPConn).CloseWrite()
	tr := <-heard
	do(r, func() {
		if n := r.Stats().Connections; n != 1 {
			t.Errorf("%d connections while one is half-closed", n)
		}
		tr.LoseConnection()
	})
	io.ReadAll(c)
	do(r, func() {
		if n := r.Stats().Connections; n != 0 {
			t.Errorf("%d connections after it", n)
		}
	})
	c.Close()
}

// late ignores a half-close.
type late struct {
	echo
	heard chan reactor.Transport
}

func (l *late) BuildProtocol(string) reactor.Protocol { return l }
func (l *late) ReadConnectionLost()                   { l.heard <- l.t }

// Fact 8: gnet puts an address's zone into a pool of byte slices when it closes a connection.
func TestZonesAreCleared(t *testing.T) {
	a := &net.TCPAddr{IP: net.ParseIP("fe80::1"), Port: 1, Zone: "eth0"}
	clearZone(a)
	clearZone(&net.UnixAddr{})
	if a.Zone != "" {
		t.Error("zone", a.Zone)
	}
}

// Fact 9: the size of one read is limited.
func TestReadsAreBounded(t *testing.T) {
	r := New(Options{})
	run(t, r)
	b := &biggest{done: make(chan int)}
	c, err := net.Dial("tcp", serve(t, r, b))
	if err != nil {
		t.Fatal(err)
	}
	c.Write(make([]byte, 1<<20))
	c.Close()
	if n := <-b.done; n > 8<<10 {
		t.Errorf("%d bytes at once", n)
	}
}

type biggest struct {
	n    int
	done chan int
}

func (b *biggest) BuildProtocol(string) reactor.Protocol { return b }
func (b *biggest) ConnectionMade(reactor.Transport)      {}
func (b *biggest) DataReceived(p []byte)                 { b.n = max(b.n, len(p)) }
func (b *biggest) ConnectionLost(error)                  { b.done <- b.n }

// CallInThread runs at most Workers calls at a time, and all eventually.
func TestWorkersAreBounded(t *testing.T) {
	const workers, calls = 4, 100
	r := New(Options{Workers: workers})
	run(t, r)
	var running, most atomic.Int32
	begun, gate, ended := make(chan struct{}, calls), make(chan struct{}), make(chan struct{}, calls)
	do(r, func() {
		for range calls {
			r.CallInThread(func() {
				n := running.Add(1)
				for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
				}
				begun <- struct{}{}
				<-gate
				running.Add(-1)
				ended <- struct{}{}
			})
		}
	})
	for range workers {
		<-begun
	}
	for range calls {
		gate <- struct{}{}
		<-ended
	}
	if n := most.Load(); n != workers {
		t.Errorf("%d calls at a time instead of %d", n, workers)
	}
}

// A slow call is named in the report.
func TestSlowTurnIsNamed(t *testing.T) {
	reported := make(chan string, 1)
	r := New(Options{OnSlowTurn: func(what string, d time.Duration) { reported <- what }})
	run(t, r)
	do(r, func() { // a slow call in real time
		for began := time.Now(); time.Since(began) < 60*time.Millisecond; {
		}
	})
	if what := <-reported; !strings.Contains(what, "posted call") {
		t.Errorf("reported %q", what)
	}
}

// A listener that is not a net.Listener is an error.
func TestForeignListener(t *testing.T) {
	if _, err := New(Options{}).ListenTCP(foreign{}, &echo{}); err == nil {
		t.Error("no error")
	}
}

type foreign struct{}

func (foreign) Close() error { return nil }

func BenchmarkPost(b *testing.B) {
	r := New(Options{})
	run(b, r)
	b.Run("round trip", func(b *testing.B) {
		b.ReportAllocs()
		done := make(chan struct{})
		f := func() { done <- struct{}{} }
		for b.Loop() {
			r.CallFromThread(f)
			<-done
		}
	})
	b.Run("throughput", func(b *testing.B) {
		b.ReportAllocs()
		f := func() {}
		for b.Loop() {
			r.CallFromThread(f)
		}
		do(r, f)
	})
}

func BenchmarkCallLater(b *testing.B) {
	r := New(Options{})
	run(b, r)
	b.ReportAllocs()
	do(r, func() {
		var calls []*reactor.DelayedCall
		for b.Loop() {
			calls = append(calls, r.CallLater(time.Hour, func() {}))
			if len(calls) == 1000 {
				for _, c := range slices.Backward(calls) {
					c.Cancel()
				}
				calls = calls[:0]
			}
		}
	})
}
