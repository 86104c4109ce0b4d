package console

import (
	"crypto/tls"
	"net"
	"sync"
	"time"

	"serverherd/herd"
)

// TLS says whether a console's connections are over TLS: its zero value, or mode off, that they are not.
type TLS struct {
	Mode   string      // one of config.TLSModes
	Config *tls.Config // nil without TLS
}

func (t TLS) layer(l net.Listener) net.Listener {
	switch t.Mode {
	case "required":
		return tls.NewListener(l, t.Config)
	case "optional":
		return newLooking(l, t.Config)
	}
	return l
}

// looking is a listener with and without TLS: the first byte of a connection decides. A connection that sends nothing
// delays nobody.
type looking struct {
	net.Listener
	config   *tls.Config
	accepted chan net.Conn
	failed   chan error
	closed   chan struct{}
	once     sync.Once
}

func newLooking(l net.Listener, config *tls.Config) *looking {
	k := &looking{
		Listener: l, config: config, accepted: make(chan net.Conn), failed: make(chan error), closed: make(chan struct{}),
	}
	go k.acceptAll()
	return k
}

// Accept implements net.Listener.
func (k *looking) Accept() (net.Conn, error) {
	select {
	case c := <-k.accepted:
		return c, nil
	case err := <-k.failed:
		return nil, err
	case <-k.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (k *looking) Close() error {
	k.once.Do(func() { close(k.closed) })
	return k.Listener.Close()
}

func (k *looking) acceptAll() {
	for {
		c, err := k.Listener.Accept()
		if err != nil {
			select {
			case k.failed <- err: // net/http tries again if it is temporary
				continue
			case <-k.closed:
				return
			}
		}
		go k.look(c)
	}
}

// look reads the first byte.
func (k *looking) look(c net.Conn) {
	first := make([]byte, 1)
	_ = c.SetReadDeadline(time.Now().Add(herd.ConsoleFirstByte))
	if _, err := c.Read(first); err != nil {
		c.Close()
		return
	}
	_ = c.SetReadDeadline(time.Time{})
	var whole net.Conn = &looked{Conn: c, first: first}
	if first[0] == 0x16 { // a TLS handshake
		whole = tls.Server(whole, k.config)
	}
	select {
	case k.accepted <- whole:
	case <-k.closed:
		c.Close()
	}
}

// looked is a connection whose first byte was read.
type looked struct {
	net.Conn
	first []byte // empty once it was read again
}

// Read implements net.Conn.
func (l *looked) Read(p []byte) (int, error) {
	if len(l.first) > 0 && len(p) > 0 {
		p[0], l.first = l.first[0], nil
		return 1, nil
	}
	return l.Conn.Read(p)
}
