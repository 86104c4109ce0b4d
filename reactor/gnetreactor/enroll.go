package gnetreactor

import (
	"errors"
	"net"
	"os"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"

	"serverherd/reactor"
)

// ticket describes a connection that is being enrolled.
type ticket struct {
	factory    reactor.Factory
	peer, host string
	again      *socket // it had left gnet; otherwise nil
	outcome    error   // set by OnOpen
}

var errNotTaken = errors.New("event loop refused the connection")

// enroll hands c to the loop and returns when the loop has accepted or refused it. gnet closes c in either case and
// continues with a duplicate. TCP_NODELAY and keepalive are already set: package net does that for each connection.
func (r *Reactor) enroll(c net.Conn, f reactor.Factory) error {
	return r.take(c, &ticket{factory: f, peer: c.RemoteAddr().String(), host: c.LocalAddr().String()})
}

func (r *Reactor) take(c net.Conn, t *ticket) error {
	t.outcome = errNotTaken
	clearZone(c.RemoteAddr())
	clearZone(c.LocalAddr())
	if _, err := r.client.EnrollContext(c, t); err != nil {
		return err
	}
	return t.outcome
}

// rejoin gives a socket back to gnet, through yet another duplicate. Until gnet has it, nobody reads it. If that fails,
// for lack of descriptors or because the connection has broken, a goroutine waits for input.
func (s *socket) rejoin() {
	fd, err := unix.FcntlInt(uintptr(s.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		s.await()
		return
	}
	r := s.r
	r.reads.waiting.Go(func() {
		c, err := connOf(fd)
		if err == nil {
			err = r.take(c, &ticket{again: s})
		}
		if err != nil {
			r.CallFromThread(s.await)
		}
	})
}

// connOf returns a descriptor as a net.Conn. Of a connection that has broken, the kernel does not know the peer's address
// any more, without which gnet panics.
func connOf(fd int) (net.Conn, error) {
	f := os.NewFile(uintptr(fd), "socket")
	defer f.Close()
	c, err := net.FileConn(f)
	if err == nil && c.RemoteAddr() == nil {
		c.Close()
		err = unix.ENOTCONN
	}
	return c, err
}

// rejoined is called when gnet has the socket again. It is false if the connection was closed meanwhile.
func (s *socket) rejoined(c gnet.Conn) bool {
	if s.fd < 0 {
		return false
	}
	if s.file != nil {
		s.file.Close() // at once: nobody waits for input
		s.file = nil
	} else {
		_ = unix.Close(s.fd)
	}
	s.gnet, s.fd = c, c.Fd()
	return true
}

// clearZone removes an IPv6 zone, whose string gnet would put into a pool of byte slices when the connection closes. The
// ticket keeps the text of the address.
func clearZone(a net.Addr) {
	if a, ok := a.(*net.TCPAddr); ok {
		a.Zone = ""
	}
}
