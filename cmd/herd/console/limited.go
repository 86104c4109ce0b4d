package console

import (
	"container/list"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync"

	"serverherd/herd"
)

// limited is a listener with at most herd.ConsoleConnections connections, so that console users cannot
// exhaust the descriptors that clients need. A new connection never waits, because a health check that
// waits fails: above the limit, the connection whose last request is oldest is closed. It may be idle, in
// the middle of a request, or not reading its response.
//
// Only a connection with a page or a stream in progress is not closed, because that may take long. Each class has
// a limit, so streams leave room for pages. Together they are fewer than the connections: the others only answer
// health checks and errors, and one of them can always be closed. Any goroutine.
type limited struct {
	net.Listener

	mu   sync.Mutex
	idle list.List    // of *conn that may be closed, the oldest last request first
	busy [classes]int // connections with a request in progress, by its class
}

// class is how long the answer to a request takes, and so which limit applies.
type class int

const (
	check   class = iota // health: short and without a limit, but its connection may be closed
	page                 // is as long as its text and its reader make it; herd.ConsoleRequests
	stream               // goes on until its reader leaves; herd.ConsoleStreams
	classes              // their number
)

// most is how many requests of a class may be in progress.
var most = [classes]int{page: herd.ConsoleRequests, stream: herd.ConsoleStreams}

// conn is a connection of a limited listener.
type conn struct {
	net.Conn
	listener *limited

	place  *list.Element // in listener.idle; nil during a page or a stream, or if closed
	class  class         // of the page or the stream
	closed bool
}

func limit(l net.Listener) *limited { return &limited{Listener: l} }

// Accept implements net.Listener.
func (l *limited) Accept() (net.Conn, error) {
	accepted, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: accepted, listener: l}
	l.mu.Lock()
	c.place = l.idle.PushBack(c)
	var last *conn
	if l.idle.Len()+l.busy[page]+l.busy[stream] > herd.ConsoleConnections {
		last = l.idle.Remove(l.idle.Front()).(*conn)
		last.place, last.closed = nil, true
	}
	l.mu.Unlock()
	if last != nil {
		last.Conn.Close()
	}
	return c, nil
}

// Close implements net.Conn.
func (c *conn) Close() error {
	l := c.listener
	l.mu.Lock()
	switch {
	case c.closed:
	case c.place != nil:
		l.idle.Remove(c.place)
		c.place = nil
	default:
		l.busy[c.class]--
	}
	c.closed = true
	l.mu.Unlock()
	return c.Conn.Close()
}

// active records a request of the connection.
func (c *conn) active() {
	c.listener.mu.Lock()
	defer c.listener.mu.Unlock()
	if c.place != nil {
		c.listener.idle.MoveToBack(c.place)
	}
}

// begin prevents that the connection is closed until end, for a page or a stream. It returns false and does nothing
// if too many of that class are in progress.
func (c *conn) begin(as class) bool {
	l := c.listener
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.busy[as] >= most[as] || c.place == nil {
		return false
	}
	l.idle.Remove(c.place)
	c.place, c.class = nil, as
	l.busy[as]++
	return true
}

func (c *conn) end() {
	l := c.listener
	l.mu.Lock()
	defer l.mu.Unlock()
	if !c.closed {
		l.busy[c.class]--
		c.place = l.idle.PushBack(c)
	}
}

// connKey is the key of a request's *conn in its context.
type connKey struct{}

func withConn(ctx context.Context, c net.Conn) context.Context {
	if over, ok := c.(*tls.Conn); ok {
		c = over.NetConn()
	}
	if looked, ok := c.(*looked); ok {
		c = looked.Conn
	}
	return context.WithValue(ctx, connKey{}, c)
}

// connOf is the connection of a request; nil if its listener is not a limited one.
func connOf(r *http.Request) *conn {
	c, _ := r.Context().Value(connKey{}).(*conn)
	return c
}

// noted calls active for each request.
func noted(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c := connOf(r); c != nil {
			c.active()
		}
		next.ServeHTTP(w, r)
	})
}
