package google

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// With a server that does not answer the TLS handshake, net/http continues the handshake after the lookup
// has ended. It must time out.
func TestHandshakeEnds(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	ended := make(chan struct{})
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for {
					if _, err := c.Read(make([]byte, 1<<10)); err != nil {
						ended <- struct{}{}
						return
					}
				}
			}()
		}
	}()
	const lookups = 8
	l := newLegacy(t, "https://"+listener.Addr().String(), 50*time.Millisecond)
	for range lookups {
		fails(t, l, "no answer within 50ms")
	}
	for n := range lookups {
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			stacks := make([]byte, 1<<20)
			stacks = stacks[:runtime.Stack(stacks, true)]
			t.Fatalf("%d of %d connections are still open, %d goroutines in handshakes",
				lookups-n, lookups, strings.Count(string(stacks), "HandshakeContext"))
		}
	}
}

// Canceled lookups to such a server leave at most maxConnections connections.
func TestConnectionsLeftBehind(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	accepted := make(chan net.Conn)
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	l := newLegacy(t, "https://"+listener.Addr().String(), time.Minute)
	defer transport(l).CloseIdleConnections()
	n := 0
	for range maxConnections + 20 {
		ctx, cancel := context.WithCancel(t.Context())
		went := make(chan struct{})
		go func() {
			_, _ = l.Nearby(ctx, ucla)
			close(went)
		}()
		select {
		case c := <-accepted:
			defer c.Close()
			n++
		case <-time.After(50 * time.Millisecond):
		}
		cancel()
		<-went
	}
	if n > maxConnections {
		t.Errorf("%d connections, want %d at most", n, maxConnections)
	}
	if n == 0 {
		t.Error("no connection was made")
	}
}

// A dead connection is closed, and the next lookup uses a new one.
func TestDeadConnection(t *testing.T) {
	server := httptest.NewUnstartedServer(answering(`{"results":[],"status":"OK"}`))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	front := newFront(t, server.Listener.Addr().String())
	l := newLegacy(t, "https://"+front.Addr().String(), time.Minute)
	transport(l).TLSClientConfig = server.Client().Transport.(*http.Transport).TLSClientConfig
	const silence = 50 * time.Millisecond
	transport(l).HTTP2 = &http.HTTP2Config{SendPingTimeout: silence, PingTimeout: silence}
	for range 2 {
		if _, err := l.Nearby(t.Context(), ucla); err != nil {
			t.Fatal(err)
		}
	}
	if n := front.accepted.Load(); n != 1 {
		t.Fatalf("%d connections for two questions", n)
	}
	front.dead.Store(true)
	fails(t, l, failed)
	front.dead.Store(false)
	if _, err := l.Nearby(t.Context(), ucla); err != nil {
		t.Error("over a new connection:", err)
	}
}

// front forwards bytes between clients and a server, unless it is dead.
type front struct {
	net.Listener
	accepted atomic.Int32
	dead     atomic.Bool // discards all bytes
}

func newFront(t *testing.T, server string) *front {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &front{Listener: listener}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			f.accepted.Add(1)
			back, err := net.Dial("tcp", server)
			if err != nil {
				client.Close()
				return
			}
			go f.pass(client, back)
			go f.pass(back, client)
		}
	}()
	return f
}

func (f *front) pass(from, to net.Conn) {
	defer from.Close()
	defer to.Close()
	for p := make([]byte, 16<<10); ; {
		n, err := from.Read(p)
		if err != nil {
			return
		}
		if !f.dead.Load() {
			_, _ = to.Write(p[:n])
		}
	}
}
