package reactortest

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"serverherd/reactor"
	"serverherd/reactor/sockets"
)

// RunTLS runs the suite, and tests of handshakes, for an engine with real sockets: once with TLS from the beginning, and
// once with StartTLS. create makes a reactor that is not running yet.
func RunTLS(t *testing.T, create func() reactor.Reactor) {
	for name, l := range map[string]layer{"TLS": {}, "StartTLS": {start: true}} {
		t.Run(name, func(t *testing.T) {
			t.Run("Suite", func(t *testing.T) {
				t.Parallel() // some tests wait; it begins when the others are done
				Run(t, func(t *testing.T) Harness { return newSockets(t, create(), &l) })
			})
			s := kernel{create, &l}
			t.Run("NoLeaks", s.noLeaks)
			t.Run("StopWithManyAndStartAgain", s.stopWithMany)
			t.Run("StopWhileConnecting", s.stopWhileConnecting)
			t.Run("EveryCut", s.everyCut)
			t.Run("ByteByByte", s.byteByByte)
			t.Run("FailedHandshakes", s.failedHandshakes)
			t.Run("ManyHandshakes", s.manyHandshakes)
			t.Run("Truncated", s.truncated)
			t.Run("Security", s.security)
			t.Run("OutputBeforeTLS", s.outputBeforeTLS)
			t.Run("EndBehindTheHello", s.endBehindTheHello)
		})
	}
}

// RunStartTLS runs the suite, and those tests of handshakes in which an engine hands a connection over, with StartTLS.
func RunStartTLS(t *testing.T, create func() reactor.Reactor) {
	Run(t, func(t *testing.T) Harness { return newSockets(t, create(), &layer{start: true}) })
	s := kernel{create, &layer{start: true}}
	t.Run("EveryCut", s.everyCut)
	t.Run("ByteByByte", s.byteByByte)
	t.Run("FailedHandshakes", s.failedHandshakes)
	t.Run("OutputBeforeTLS", s.outputBeforeTLS)
}

// echoes is a Factory of Protocols that send back what they receive.
func echoes(t *testing.T) factory {
	return func(string) reactor.Protocol {
		p := &recorder{test: t}
		p.onData = func(b []byte) { p.t.Write(b) }
		return p
	}
}

// small has the smallest first message: without post-quantum keys.
func (l *layer) small() *tls.Config {
	c := l.config()
	c.CurvePreferences = []tls.CurveID{tls.X25519}
	return c
}

// firstCut is a connection whose first write is cut in two. between is called there.
type firstCut struct {
	net.Conn
	at      int // 0: not cut
	first   int // length of the first write, once it is known
	between func()
}

// Write implements net.Conn.
func (c *firstCut) Write(p []byte) (int, error) {
	if c.first > 0 {
		return c.Conn.Write(p)
	}
	if c.first = len(p); c.at == 0 {
		return c.Conn.Write(p)
	}
	if _, err := c.Conn.Write(p[:c.at]); err != nil {
		return 0, err
	}
	c.between()
	n, err := c.Conn.Write(p[c.at:])
	return c.at + n, err
}

// The first message of a handshake may be cut anywhere.
func (s kernel) everyCut(t *testing.T) {
	h := s.harness(t)
	addr := serve(t, h, echoes(t))
	length := 0
	try := func(at int) {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(timeout))
		cut := &firstCut{Conn: c, at: at, between: func() { h.Do(func() {}) }}
		over := tls.Client(cut, s.layer.small())
		if _, err := over.Write([]byte("hello")); err != nil {
			t.Fatalf("cut at %d: %v", at, err)
		}
		answer := make([]byte, 5)
		if _, err := io.ReadFull(over, answer); err != nil || string(answer) != "hello" {
			t.Fatalf("cut at %d: %q, %v", at, answer, err)
		}
		length = cut.first
	}
	try(0)
	for at := 1; at < length; at++ {
		try(at)
	}
	if length < 100 {
		t.Errorf("the first message has %d bytes", length)
	}
}

// A handshake, and what follows, may come byte by byte.
func (s kernel) byteByByte(t *testing.T) {
	s.layer = &layer{start: s.layer.start, cut: 1}
	h := s.harness(t)
	p := h.Dial(serve(t, h, echoes(t)))
	p.Send(pattern(500))
	same(t, p.Receive(500), pattern(500))
	p.Close()
}

// failures are handshakes that fail: what the peer does, and the reason that this side is told, if it is always the same.
var failures = []struct {
	name string
	peer func(c net.Conn, l *layer)
	want string
}{
	{"not TLS", func(c net.Conn, _ *layer) { _, _ = io.WriteString(c, "IAMAT kiwi +1+2 3\n") }, "first record does not look like a TLS handshake"},
	{"garbage that looks like it", func(c net.Conn, _ *layer) {
		_, _ = c.Write(append([]byte{22, 3, 1, 0, 100}, bytes.Repeat([]byte{7}, 100)...))
	}, ""},
	{"an old version", func(c net.Conn, l *layer) {
		old := l.config()
		// #nosec G402 -- a server must refuse this client
		old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
		_ = tls.Client(c, old).Handshake()
	}, "unsupported versions"},
	{"a client that does not trust us", func(c net.Conn, l *layer) {
		strict := l.config()
		strict.ServerName = "Ball"
		_ = tls.Client(c, strict).Handshake()
	}, "bad certificate"},
	{"the end within the handshake", func(c net.Conn, l *layer) {
		cut := &firstCut{Conn: c, at: 50, between: func() { c.Close() }}
		_ = tls.Client(cut, l.config()).Handshake()
	}, "EOF"},
	{"a reset within the handshake", func(c net.Conn, l *layer) {
		cut := &firstCut{Conn: c, at: 50, between: func() {
			_ = c.(*net.TCPConn).SetLinger(0)
			c.Close()
		}}
		_ = tls.Client(cut, l.config()).Handshake()
	}, ""},
	{"a handshake that stalls", func(c net.Conn, l *layer) {
		cut := &firstCut{Conn: c, at: 50, between: func() { _, _ = io.Copy(io.Discard, c) }}
		_ = tls.Client(cut, l.config()).Handshake()
	}, "not complete within 5s"},
}

// A handshake that fails is reported with its reason, and nothing else notices it.
func (s kernel) failedHandshakes(t *testing.T) {
	var mu sync.Mutex
	reasons := map[string]error{} // by the peer's address
	s.layer = &layer{start: s.layer.start, failed: func(peer string, reason error) {
		mu.Lock()
		defer mu.Unlock()
		reasons[peer] = reason
	}}
	h := s.harness(t)
	addr := serve(t, h, func(peer string) reactor.Protocol {
		p := &recorder{test: t}
		p.onData = func(b []byte) { p.t.Write(b) }
		p.onLost = func() {
			if failed := (*reactor.HandshakeError)(nil); errors.As(p.reason, &failed) {
				s.layer.failed(peer, failed.Reason)
			}
			if len(p.in) > 0 && string(p.in) != "hello" {
				t.Errorf("%q received", p.in)
			}
		}
		return p
	})
	var all sync.WaitGroup
	want := map[string]int{} // index of failures
	for i, f := range failures {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		want[c.LocalAddr().String()] = i
		all.Go(func() {
			f.peer(c, s.layer)
			_, _ = io.Copy(io.Discard, c)
			c.Close()
		})
	}
	bystander := h.Dial(addr)
	bystander.Send([]byte("hello"))
	same(t, bystander.Receive(5), []byte("hello"))
	bystander.Close()
	h.Wait("all failures", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(reasons) == len(failures)
	})
	all.Wait()
	for peer, reason := range reasons {
		if f := failures[want[peer]]; !strings.Contains(reason.Error(), f.want) {
			t.Errorf("%s: %v, want %s", f.name, reason, f.want)
		}
	}
}

// elsewhere accepts connections over TLS, without a reactor.
func (l *layer) elsewhere(t *testing.T) (addr string) {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { inner.Close() })
	go func() {
		for {
			c, err := inner.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(io.Discard, tls.Server(c, l.config()))
			}()
		}
	}()
	return inner.Addr().String()
}

// Handshakes that go on with nothing are closed beyond MaxTLSHandshakes, at once, and others after TLSHandshakeTime.
// Connections that have TLS already go on meanwhile, and the reactor still dials.
func (s kernel) manyHandshakes(t *testing.T) {
	var refused atomic.Int64
	s.layer = &layer{start: s.layer.start, failed: func(_ string, reason error) {
		if errors.Is(reason, sockets.ErrHandshakes) {
			refused.Add(1)
		}
	}}
	h := s.harness(t)
	addr := serve(t, h, func(string) reactor.Protocol {
		p := &recorder{test: t}
		p.onData = func(b []byte) { p.t.Write(b) }
		p.onLost = func() {
			if failed := (*reactor.HandshakeError)(nil); errors.As(p.reason, &failed) {
				s.layer.failed("", failed.Reason)
			}
		}
		return p
	})
	old := h.Dial(addr)
	var stalled []net.Conn
	for refused.Load() == 0 {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Write([]byte{22, 3, 1}); err != nil {
			t.Fatal(err)
		}
		if stalled = append(stalled, c); len(stalled) > 4*reactor.MaxTLSHandshakes {
			t.Fatalf("none of %d handshakes was refused", len(stalled))
		}
		h.Do(func() {})
	}
	if n := len(stalled); n <= reactor.MaxTLSHandshakes {
		t.Errorf("one of %d handshakes was refused", n)
	}
	newer := h.Dial(addr) // while as many are in progress as may be
	newer.Send([]byte("hello"))
	same(t, newer.Receive(5), []byte("hello"))
	dialed, failed := &recorder{test: t}, []error{}
	elsewhere := s.layer.elsewhere(t)
	h.Do(func() {
		h.Reactor().ConnectTCP(elsewhere, timeout, clientFactory{func(string) reactor.Protocol { return dialed }, &failed})
	})
	old.Send([]byte("hello"))
	same(t, old.Receive(5), []byte("hello"))
	h.Wait("the dial", func() bool { return dialed.made+len(failed) > 0 })
	h.Do(func() {
		if len(failed) > 0 {
			t.Error("a dial failed:", failed)
		}
	})
	for _, c := range stalled {
		_ = c.SetReadDeadline(time.Now().Add(timeout))
		if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal("a connection is not closed")
		}
	}
	late := h.Dial(addr)
	late.Send([]byte("hello"))
	same(t, late.Receive(5), []byte("hello"))
}

// A peer that closes TCP and not TLS may have been cut off: that is not a clean end.
func (s kernel) truncated(t *testing.T) {
	h := s.harness(t)
	p := &recorder{test: t}
	peer := h.Dial(serveOne(t, h, halfRecorder{p}))
	peer.Send([]byte("half a line"))
	h.Wait("the input", func() bool { return len(p.in) == 11 })
	peer.(*socketPeer).tcp.Close()
	lostFor(t, h, p, nil)
	h.Do(func() {
		if p.eof > 0 {
			t.Error("the end was taken for a clean one")
		}
	})
}

// A Protocol that has sent something cannot begin TLS: the peer may have made it do so, and the process goes on.
func (s kernel) outputBeforeTLS(t *testing.T) {
	h := NewSockets(t, s.create())
	p := &recorder{test: t}
	p.onMade = func() { p.t.Write([]byte("hello")) }
	p.onData = func(b []byte) { p.t.StartTLS(b, s.layer.config()) }
	peer := h.Dial(serveOne(t, h, p))
	peer.Send([]byte("\x16\x03\x01"))
	h.Wait("ConnectionLost", func() bool { return p.lost > 0 })
	h.Do(func() {
		if failed := (*reactor.HandshakeError)(nil); !errors.As(p.reason, &failed) {
			t.Errorf("lost for %v", p.reason)
		}
	})
	peer.Close()
}

// The peer's first bytes and its end wait together, and then begin TLS: that handshake has failed.
func (s kernel) endBehindTheHello(t *testing.T) {
	h := NewSockets(t, s.create())
	var all []*recorder
	addr := serve(t, h, func(string) reactor.Protocol {
		p := &recorder{test: t}
		p.onMade = func() { p.t.PauseReceiving() }
		p.onData = func(b []byte) { p.t.StartTLS(b, s.layer.config()) }
		all = append(all, p)
		return p
	})
	const n = 20
	for range n {
		peer := h.Dial(addr)
		peer.Send([]byte("\x16\x03\x01"))
		peer.CloseWrite()
		defer peer.Close()
	}
	h.Wait("all connections", func() bool { return len(all) == n })
	for range 3 {
		h.Do(func() {})
	}
	h.Do(func() {
		for _, p := range all {
			p.t.ResumeReceiving()
		}
	})
	for _, p := range all {
		h.Wait("ConnectionLost", func() bool { return p.lost > 0 })
		h.Do(func() {
			if failed := (*reactor.HandshakeError)(nil); !errors.As(p.reason, &failed) {
				t.Errorf("lost for %v", p.reason)
			}
		})
	}
}

// The Protocol knows the verified names of its peer.
func (s kernel) security(t *testing.T) {
	h := s.harness(t)
	p := &recorder{test: t}
	peer := h.Dial(serveOne(t, h, p))
	peer.Send([]byte("hello"))
	h.Wait("the input", func() bool { return len(p.in) == 5 })
	h.Do(func() {
		got := p.t.Security()
		if named := len(got.Names) == 1 && got.Names[0] == name; !got.TLS || named == s.layer.trusting || got.Version != tls.VersionTLS13 {
			t.Errorf("%+v", got)
		}
	})
	peer.Close()
	orderly(t, h, p)
	if !s.layer.trusting { // and a certificate that nobody has verified has no names
		kernel{s.create, &layer{start: s.layer.start, trusting: true}}.security(t)
	}
}
