package netreactor

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"serverherd/reactor"
	"serverherd/reactor/sockets"
)

// readBuffer is the maximum of one read. It is the same as in gnetreactor, so that one connection delays the others
// equally long in both.
const readBuffer = 8 << 10

// readBuffers and writeBuffers are pools of buffers that are used for a short time.
var (
	readBuffers  = sync.Pool{New: func() any { return new([readBuffer]byte) }}
	writeBuffers = sync.Pool{New: func() any { return new([]byte) }}
)

// keepBuffer is the maximum size of buffers that are returned to the pool.
const keepBuffer = 64 << 10

// socket is the engine's side of a connection. The fields for reading belong to its own goroutine. The fields for writing
// belong to whoever sends, between Begin and End of Sending. The rest is loop only.
type socket struct {
	r    *Reactor
	conn *reactor.Conn // nil if it was refused
	net  net.Conn
	raw  syscall.RawConn

	closed     bool // by Close
	readPaused bool // PauseReading
	inEvent    bool // its own goroutine is in an event, and will send what is written in it
	written    bool // in that event

	// Fields of its own goroutine.
	in      *[readBuffer]byte
	n       int
	err     error
	event   event
	waiting bool                  // reading was paused as of the last event
	rest    []byte                // read after StartTLS
	reading func(fd uintptr) bool // tryRead

	// Fields of the sending goroutine.
	out      *[]byte
	sent     int
	sendErr  error
	writing  func(fd uintptr) bool // tryWrite
	awaiting func(fd uintptr) bool // writeSome
	writable func()                // posted when everything is sent

	handedOver atomic.Bool   // by StartTLS: its goroutine ends
	readEnded  chan struct{} // closed by that goroutine then

	sockets.Sending
}

func (r *Reactor) newSocket(c net.Conn) (*socket, error) {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return nil, errors.New("netreactor: no socket")
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil, err
	}
	s := &socket{r: r, net: c, raw: raw}
	s.event = event{handle: s.handle, done: make(chan struct{}, 1)}
	s.reading = s.tryRead
	s.writing = s.tryWrite
	s.awaiting = s.writeSome
	s.writable = func() {
		if !s.closed {
			s.conn.Writable()
		}
	}
	return s, nil
}

// Write implements reactor.Socket. It takes p, unless it is still sending what it took before.
func (s *socket) Write(p []byte) (int, error) {
	if s.Busy() {
		return 0, nil
	}
	s.out = writeBuffers.Get().(*[]byte)
	*s.out = append((*s.out)[:0], p...)
	s.sent = 0
	s.Begin(len(p))
	if s.inEvent {
		s.written = true
	} else {
		s.r.foreign = append(s.r.foreign, s)
	}
	return len(p), nil
}

// Unacked implements reactor.Socket.
func (s *socket) Unacked() (n int) {
	_ = s.raw.Control(func(fd uintptr) { n = sockets.Unacked(int(fd)) })
	return n
}

// PauseReading implements reactor.Socket. It is called in an event of the socket's own goroutine, which checks it after
// the event.
func (s *socket) PauseReading() { s.readPaused = true }

// ResumeReading implements reactor.Socket: an expired deadline ends the goroutine's wait, or the one that it is about to
// begin.
func (s *socket) ResumeReading() {
	s.readPaused = false
	_ = s.net.SetReadDeadline(time.Unix(1, 0))
}

// StartTLS implements reactor.Upgrader. The goroutine that reads ends first, in its own event or because of an expired
// deadline.
func (s *socket) StartTLS(data []byte, config reactor.TLSConfig) (reactor.Socket, error) {
	s.readEnded = make(chan struct{})
	s.handedOver.Store(true)
	if !s.inEvent {
		_ = s.net.SetReadDeadline(time.Unix(1, 0))
	}
	c, ok := s.net.(*net.TCPConn)
	if !ok {
		return nil, fmt.Errorf("netreactor: %T is not a TCP connection", s.net)
	}
	return s.r.Gate.StartTLS(s.conn, &handover{c, s}, data, config)
}

// handover is the connection of a socket after StartTLS. It belongs to the goroutine that reads it.
type handover struct {
	*net.TCPConn
	from *socket
}

// Read implements net.Conn.
func (h *handover) Read(p []byte) (int, error) {
	<-h.from.readEnded
	if rest := h.from.rest; len(rest) > 0 {
		n := copy(p, rest)
		h.from.rest = rest[n:]
		return n, nil
	}
	return h.TCPConn.Read(p)
}

// CloseWrite implements reactor.Socket.
func (s *socket) CloseWrite() {
	if c, ok := s.net.(interface{ CloseWrite() error }); ok {
		_ = c.CloseWrite() // an error shows at the next read
	}
}

// Close implements reactor.Socket. Its goroutines wake up and end, whatever they wait for.
func (s *socket) Close(reset bool) {
	s.closed = true
	if c, ok := s.net.(*net.TCPConn); ok && reset {
		_ = c.SetLinger(0)
	}
	_ = s.net.Close()
}

// sendOwn sends what was written in an event of the socket's own goroutine, after that event.
func (s *socket) sendOwn() {
	if s.written {
		s.written = false
		s.send()
	}
}

// send sends what Write has taken, as far as possible without blocking. Off the loop, or on it in mode Owner.
func (s *socket) send() {
	if err := s.raw.Write(s.writing); err != nil { // closed
		s.sendErr = err
	}
	if s.sendErr == nil && s.sent < len(*s.out) {
		s.r.serving.Add(1)
		go s.sendRest()
		return
	}
	s.release()
}

// sendRest sends the rest as the peer makes room for it.
func (s *socket) sendRest() {
	defer s.r.serving.Done()
	for s.sendErr == nil && s.sent < len(*s.out) {
		before := s.sent
		if err := s.raw.Write(s.awaiting); err != nil {
			s.sendErr = err
		}
		if s.sent > before && s.sent < len(*s.out) {
			s.r.CallFromThread(func() {
				if !s.closed {
					s.conn.Progress()
				}
			})
		}
	}
	s.release()
}

// release returns the buffer and notifies the Conn if it waits for that, or of an error.
func (s *socket) release() {
	err := s.sendErr
	if cap(*s.out) <= keepBuffer {
		writeBuffers.Put(s.out)
	}
	s.out = nil
	if err != nil {
		s.r.CallFromThread(func() {
			if !s.closed {
				s.conn.Broken(err)
			}
		})
		return
	}
	if s.End() {
		s.r.CallFromThread(s.writable)
	}
}

// tryWrite is one write(2).
func (s *socket) tryWrite(fd uintptr) bool {
	n, err := unix.Write(int(fd), (*s.out)[s.sent:])
	for err == unix.EINTR {
		n, err = unix.Write(int(fd), (*s.out)[s.sent:])
	}
	switch {
	case err == unix.EAGAIN:
	case err != nil:
		s.sendErr = os.NewSyscallError("write", err)
	default:
		s.sent += n
		s.Sent(n)
	}
	return true
}

// writeSome is tryWrite, but returns false if the kernel takes nothing. It tries before waiting, because RawConn.Write
// forgets readiness that the poller has reported before.
func (s *socket) writeSome(fd uintptr) bool {
	before := s.sent
	s.tryWrite(fd)
	return s.sent > before || s.sendErr != nil
}

// tryRead is one read(2), or false if there is nothing to read.
func (s *socket) tryRead(fd uintptr) bool {
	b := readBuffers.Get().(*[readBuffer]byte)
	n, err := unix.Read(int(fd), b[:])
	for err == unix.EINTR {
		n, err = unix.Read(int(fd), b[:])
	}
	if n > 0 {
		s.in, s.n = b, n
		return true
	}
	readBuffers.Put(b)
	switch err {
	case unix.EAGAIN:
		return false
	case nil:
		s.err = io.EOF
	default:
		s.err = os.NewSyscallError("read", err)
	}
	return true
}

// tryReset waits until the connection breaks, while it is not read.
func (s *socket) tryReset(fd uintptr) bool {
	s.err = sockets.Reset(int(fd))
	return s.err != nil
}
