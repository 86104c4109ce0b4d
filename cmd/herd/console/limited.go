package console

import (
	"container/list"
	"context"
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
// Only a connection with a page request in progress (see page) is not closed, because that may take long: a
// profile, or a large page and a slow reader. There are at most herd.ConsoleRequests of these, fewer than
// connections, so there is always one to close. Any goroutine.
type limited struct {
	net.Listener

	mu    sync.Mutex
	idle  list.List // of *conn that may be closed, the oldest last request first
	pages int       // connections with a page request in progress
}

// conn is a connection of a limited listener.
type conn struct {
	net.Conn
	listener *limited

	place  *list.Element // in listener.idle; nil during a page request, or if closed
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
	if l.idle.Len()+l.pages > herd.ConsoleConnections {
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
		l.pages--
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

// beginPage prevents that the connection is closed until endPage. It returns false and does nothing if too
// many page requests are in progress.
func (c *conn) beginPage() bool {
	l := c.listener
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.pages >= herd.ConsoleRequests || c.place == nil {
		return false
	}
	l.idle.Remove(c.place)
	c.place = nil
	l.pages++
	return true
}

func (c *conn) endPage() {
	l := c.listener
	l.mu.Lock()
	defer l.mu.Unlock()
	if !c.closed {
		l.pages--
		c.place = l.idle.PushBack(c)
	}
}

// connKey is the key of a request's *conn in its context.
type connKey struct{}

func withConn(ctx context.Context, c net.Conn) context.Context {
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

// page wraps the handler of a page that may take long, because it is slow to create or large.
func page(handler http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if c := connOf(r); c != nil {
			if !c.beginPage() {
				w.Header().Set("Retry-After", "1")
				http.Error(w, "too many requests at once", http.StatusServiceUnavailable)
				return
			}
			defer c.endPage()
		}
		handler(w, r)
	}
}
