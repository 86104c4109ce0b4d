package gnetreactor

import (
	"errors"
	"io"
	"os"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"

	"serverherd/reactor"
	"serverherd/reactor/sockets"
)

// socket is the descriptor of a connection. It belongs to gnet until gnet lets go of the connection, because of the
// peer's end of file or because reading was paused. Then it is our own duplicate, until gnet has it again. Loop only.
type socket struct {
	r    *Reactor
	conn *reactor.Conn
	gnet gnet.Conn // nil once gnet has let go, or was told to
	fd   int       // -1 once closed: the number may be reused
	file *os.File  // fd, once it is registered with Go's poller
	pull func()    // read, while gnet does not

	inEvent    bool // gnet is calling: it closes the descriptor itself when the call returns
	watched    bool // in r.watch
	short      bool // the kernel did not take all output
	readPaused bool // PauseReading
	ended      bool // the peer has sent an end of file
}

// Write implements reactor.Socket by one write(2). gnet's own Write would keep what the kernel does not take, and drop it
// at the first end of file.
func (s *socket) Write(p []byte) (int, error) {
	n, err := unix.Write(s.fd, p)
	for err == unix.EINTR {
		n, err = unix.Write(s.fd, p)
	}
	if err == unix.EAGAIN {
		n, err = 0, nil
	}
	if err != nil {
		return 0, os.NewSyscallError("write", err)
	}
	if s.short = n < len(p); s.short {
		s.r.watch.add(s)
	}
	return n, nil
}

// Unsent implements reactor.Socket: Write takes only what the kernel has taken.
func (s *socket) Unsent(bool) int { return 0 }

// Unacked implements reactor.Socket.
func (s *socket) Unacked() int { return sockets.Unacked(s.fd) }

// StartTLS implements reactor.Upgrader: the connection leaves gnet for good, with a duplicate of its descriptor.
func (s *socket) StartTLS(data []byte, config reactor.TLSConfig) (reactor.Socket, error) {
	fd, err := unix.FcntlInt(uintptr(s.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("dup", err)
	}
	s.Close(false) // the duplicate keeps the connection
	c, err := connOf(fd)
	if err != nil {
		return nil, err
	}
	return s.r.Gate.StartTLS(s.conn, c, data, config)
}

// CloseWrite implements reactor.Socket. An error shows up at the next read.
func (s *socket) CloseWrite() { _ = unix.Shutdown(s.fd, unix.SHUT_WR) }

// Close implements reactor.Socket.
func (s *socket) Close(reset bool) {
	if reset {
		linger := unix.Linger{Onoff: 1}
		_ = unix.SetsockoptLinger(s.fd, unix.SOL_SOCKET, unix.SO_LINGER, &linger)
	}
	fd, g, file := s.fd, s.gnet, s.file
	s.fd, s.gnet, s.file = -1, nil, nil
	switch {
	case file != nil: // Close waits for the goroutine that waits for input
		s.r.reads.waiting.Go(func() { file.Close() })
	case g == nil:
		_ = unix.Close(fd)
	case s.inEvent:
		g.SetContext(nil)
	default:
		g.SetContext(nil) // so that OnClose, which Close calls, does nothing
		_ = s.r.eventLoop.Close(g)
	}
}

// handler implements gnet's callbacks. They run on the loop.
type handler struct {
	gnet.BuiltinEventEngine
	r *Reactor
}

// OnOpen begins a connection. Only now has gnet accepted it: Enroll returns no error even if epoll refused.
func (h *handler) OnOpen(c gnet.Conn) ([]byte, gnet.Action) {
	t, ok := c.Context().(*ticket)
	if !ok { // the waker
		return nil, gnet.None
	}
	t.outcome = nil
	c.SetSafeContext(nil) // EnrollContext has stored the ticket there, too
	if t.again != nil {
		c.SetContext(t.again)
		if !t.again.rejoined(c) {
			c.SetContext(nil)
			return nil, gnet.Close
		}
		return nil, gnet.None
	}
	s := &socket{r: h.r, gnet: c, fd: c.Fd(), inEvent: true}
	c.SetContext(s)
	if h.r.Ending() {
		t.outcome = reactor.ErrConnectionAborted
	} else {
		s.conn = h.r.Accept(t.factory, s, t.peer, t.host)
	}
	s.inEvent = false
	if s.conn == nil {
		c.SetContext(nil)
		return nil, gnet.Close
	}
	return nil, s.action()
}

// OnTraffic passes on what was read. All bytes are taken first, and gnet's connection is not touched afterwards: the
// Protocol may have closed it.
func (h *handler) OnTraffic(c gnet.Conn) gnet.Action {
	p, _ := c.Next(-1)
	s, ok := c.Context().(*socket)
	if !ok { // the waker
		h.r.schedule()
		return gnet.None
	}
	s.inEvent = true
	s.conn.Input(p)
	if s.readPaused && s.fd >= 0 {
		c.SetContext(nil) // gnet closes its descriptor; OnClose does nothing
		s.keep(c)
		return gnet.Close
	}
	h.r.wakeIfDue()
	s.inEvent = false
	return s.action()
}

// action tells gnet to close the descriptor if the connection was closed during the call.
func (s *socket) action() gnet.Action {
	if s.fd < 0 {
		return gnet.Close
	}
	return gnet.None
}

// OnClose is called because the peer has closed its side or the connection broke. Connections that we closed have no
// context any more. gnet closes its descriptor when OnClose returns.
func (h *handler) OnClose(c gnet.Conn, err error) gnet.Action {
	s, ok := c.Context().(*socket)
	if !ok {
		return gnet.None
	}
	c.SetContext(nil)
	if c.OutboundBuffered() > 0 {
		panic("gnetreactor: gnet has unsent output and would drop it")
	}
	if err = endReason(s.fd, err); err != nil {
		s.inEvent = true
		s.conn.Broken(err)
		return gnet.None
	}
	s.inEvent = true
	s.ended = true
	s.conn.EndOfInput()
	if s.fd >= 0 {
		s.keep(c)
	}
	return gnet.None
}

// endReason returns nil for the peer's end of file. gnet also passes io.EOF when epoll reports an error and there is
// nothing to read, so SO_ERROR is checked.
func endReason(fd int, err error) error {
	if !errors.Is(err, io.EOF) {
		if err == nil {
			err = reactor.ErrConnectionAborted // gnet is stopping
		}
		return err
	}
	if errno, e := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR); e == nil && errno != 0 {
		return os.NewSyscallError("read", unix.Errno(errno))
	}
	return nil
}

// keep continues a half-closed connection, or one whose reading is paused, on a duplicate of the descriptor that gnet is
// about to close. Pending and later output is delivered as on any other connection.
func (s *socket) keep(c gnet.Conn) {
	fd, err := c.Dup()
	if err != nil {
		s.conn.Broken(os.NewSyscallError("dup", err)) // inEvent: gnet closes the descriptor
		return
	}
	s.gnet, s.inEvent, s.fd, s.pull = nil, false, fd, s.read
	s.r.watch.add(s)
}
