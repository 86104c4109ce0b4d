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

// socket is a connection's descriptor. At first it is gnet's. Once gnet has let go, because of the
// peer's end of file or because it was not to be read for a while, it is a duplicate of our own.
// Loop only.
type socket struct {
	r    *Reactor
	conn *reactor.Conn
	gnet gnet.Conn // nil once gnet has let go, or was told to
	fd   int       // -1 once closed: gnet, or anybody, may be given the same number next
	file *os.File  // fd, once Go's poller has it
	pull func()    // read, once it is not gnet that does

	inEvent bool // gnet is calling: it closes the descriptor itself when the call returns
	watched bool // in r.watch
	short   bool // the kernel did not take everything
	unread  bool // PauseReading
	ended   bool // the peer sends nothing more
}

// Write implements reactor.Socket: one write(2). gnet's own Write would keep what the kernel does
// not take, out of our sight, and drop it at the first end of file.
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

// Unsent implements reactor.Socket: what Write takes, the kernel has taken.
func (s *socket) Unsent(bool) int { return 0 }

// Unacked implements reactor.Socket.
func (s *socket) Unacked() int { return sockets.Unacked(s.fd) }

// CloseWrite implements reactor.Socket. An error shows at the next read.
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
	case file != nil: // it waits for the goroutine that waits for input
		s.r.reads.waiting.Go(func() { file.Close() })
	case g == nil:
		_ = unix.Close(fd)
	case s.inEvent:
		g.SetContext(nil)
	default:
		g.SetContext(nil) // OnClose, which Close calls, has nothing to report
		_ = s.r.eventLoop.Close(g)
	}
}

// handler is the engine's side of gnet. Its callbacks run on the loop.
type handler struct {
	gnet.BuiltinEventEngine
	r *Reactor
}

// OnOpen begins a connection. Only here has gnet really taken it: Enroll returns without an error
// even if epoll refused.
func (h *handler) OnOpen(c gnet.Conn) ([]byte, gnet.Action) {
	t, ok := c.Context().(*ticket)
	if !ok { // the waker
		return nil, gnet.None
	}
	t.outcome = nil
	s := &socket{r: h.r, gnet: c, fd: c.Fd(), inEvent: true}
	c.SetContext(s)
	c.SetSafeContext(nil) // EnrollContext has put the ticket there too, where it would stay
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

// OnTraffic hands over what was read. All bytes are taken first and gnet's connection is not
// touched afterwards: the Protocol may have closed it.
func (h *handler) OnTraffic(c gnet.Conn) gnet.Action {
	p, _ := c.Next(-1)
	s, ok := c.Context().(*socket)
	if !ok { // the waker
		h.r.schedule()
		return gnet.None
	}
	s.inEvent = true
	s.conn.Input(p)
	if s.unread && s.fd >= 0 {
		c.SetContext(nil) // gnet closes the descriptor, and has nothing to report
		s.keep(c)
		return gnet.Close
	}
	s.inEvent = false
	return s.action()
}

// action tells gnet whether the connection was closed during the call.
func (s *socket) action() gnet.Action {
	if s.fd < 0 {
		return gnet.Close
	}
	return gnet.None
}

// OnClose is called because the peer ended its writing or the connection broke; a connection that
// we closed has been forgotten by then. gnet closes its descriptor when OnClose returns.
func (h *handler) OnClose(c gnet.Conn, err error) gnet.Action {
	s, ok := c.Context().(*socket)
	if !ok {
		return gnet.None
	}
	c.SetContext(nil)
	if c.OutboundBuffered() > 0 {
		panic("gnetreactor: gnet holds bytes to send, and drops them")
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

// endReason is nil for the peer's end of file. gnet also says io.EOF when epoll reports an error
// without anything to read, so the socket is asked.
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

// keep goes on with a connection, half-closed or unread, on a duplicate of the descriptor that gnet
// is about to close: whatever is owed now and written later is delivered as on any other connection.
func (s *socket) keep(c gnet.Conn) {
	fd, err := c.Dup()
	if err != nil {
		s.conn.Broken(os.NewSyscallError("dup", err)) // inEvent: gnet closes the descriptor
		return
	}
	s.gnet, s.inEvent, s.fd, s.pull = nil, false, fd, s.read
	s.r.watch.add(s)
}
