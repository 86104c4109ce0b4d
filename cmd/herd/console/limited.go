package console

import (
	"net"
	"sync"
)

// limited is a listener of a bounded number of connections. Whoever comes then waits in the kernel,
// where it costs no descriptor: those are the herd's, and every page and script that looks at a
// server takes them from its clients. Any goroutine.
type limited struct {
	net.Listener
	slots  chan struct{} // one for each connection
	closed chan struct{}
	close  func() error // once
}

func limit(l net.Listener, n int) net.Listener {
	closed := make(chan struct{})
	return &limited{
		Listener: l, slots: make(chan struct{}, n), closed: closed,
		close: sync.OnceValue(func() error {
			close(closed)
			return l.Close()
		}),
	}
}

// Accept implements net.Listener.
func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &counted{Conn: c, free: sync.OnceFunc(func() { <-l.slots })}, nil
}

// Close implements net.Listener.
func (l *limited) Close() error { return l.close() }

// counted is a connection that has a slot.
type counted struct {
	net.Conn
	free func()
}

// Close implements net.Conn.
func (c *counted) Close() error {
	err := c.Conn.Close()
	c.free()
	return err
}
