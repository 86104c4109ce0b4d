package netreactor

import (
	"errors"
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

// readBuffer is how much is read at a time: as much as the event loop reads, so that a connection
// keeps the others from the state no longer here than there.
const readBuffer = 8 << 10

// readBuffers and writeBuffers are those that are in use for a moment.
var (
	readBuffers  = sync.Pool{New: func() any { return new([readBuffer]byte) }}
	writeBuffers = sync.Pool{New: func() any { return new([]byte) }}
)

// keepBuffer bounds the buffers that go back to the pool.
const keepBuffer = 64 << 10

// socket is a connection's engine side. What it reads belongs to its own goroutine, and so does what
// it has taken to write, from the moment that sending is set until it is cleared; the rest is loop
// only.
type socket struct {
	r    *Reactor
	conn *reactor.Conn // nil if it was refused
	net  net.Conn
	raw  syscall.RawConn

	closed   bool // by Close
	unread   bool // PauseReading
	attended bool // its own goroutine is in an event and sends what is written in it
	written  bool // in that event

	// Of its goroutine.
	in      *[readBuffer]byte
	n       int
	err     error
	event   event
	halted  bool                  // it is unread, as of its last event
	reading func(fd uintptr) bool // read, without waiting or in order to wait

	// Of whoever sends.
	out      *[]byte
	sent     int
	sendErr  error
	writing  func(fd uintptr) bool // write, without waiting
	awaiting func(fd uintptr) bool // write, or wait until that does something
	writable func()                // posted when all is sent

	unsent  atomic.Int64 // bytes in out that the kernel has not taken
	sending atomic.Bool
	wanted  atomic.Bool // the Conn waits for room
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

// Write implements reactor.Socket: it takes p, unless what it took before is still on its way.
func (s *socket) Write(p []byte) (int, error) {
	if s.busy() {
		return 0, nil
	}
	s.out = writeBuffers.Get().(*[]byte)
	*s.out = append((*s.out)[:0], p...)
	s.sent = 0
	s.unsent.Store(int64(len(p)))
	s.sending.Store(true)
	if s.attended {
		s.written = true
	} else {
		s.r.foreign = append(s.r.foreign, s)
	}
	return len(p), nil
}

// busy says whether something is on its way; the Conn then hears when it is not.
func (s *socket) busy() bool {
	if !s.sending.Load() {
		return false
	}
	s.wanted.Store(true)
	if s.sending.Load() {
		return true
	}
	s.wanted.Store(false) // done just now; a call too many does no harm
	return false
}

// Unsent implements reactor.Socket.
func (s *socket) Unsent(wait bool) int {
	if wait && !s.busy() {
		return 0
	}
	return int(s.unsent.Load())
}

// Unacked implements reactor.Socket.
func (s *socket) Unacked() (n int) {
	_ = s.raw.Control(func(fd uintptr) { n = sockets.Unacked(int(fd)) })
	return n
}

// PauseReading implements reactor.Socket. Its goroutine, in whose event that is, finds out when the
// event is over.
func (s *socket) PauseReading() { s.unread = true }

// ResumeReading implements reactor.Socket: a deadline that has passed ends the goroutine's wait, or
// the one that it is about to begin.
func (s *socket) ResumeReading() {
	s.unread = false
	_ = s.net.SetReadDeadline(time.Unix(1, 0))
}

// CloseWrite implements reactor.Socket.
func (s *socket) CloseWrite() {
	if c, ok := s.net.(interface{ CloseWrite() error }); ok {
		_ = c.CloseWrite() // an error shows at the next read
	}
}

// Close implements reactor.Socket. Its goroutines, wherever they wait, wake up and end.
func (s *socket) Close(reset bool) {
	s.closed = true
	if c, ok := s.net.(*net.TCPConn); ok && reset {
		_ = c.SetLinger(0)
	}
	_ = s.net.Close()
}

// sendOwn sends what was written in the event of its own goroutine, which calls it after that.
func (s *socket) sendOwn() {
	if s.written {
		s.written = false
		s.send()
	}
}

// send sends what Write has taken, as far as it goes without waiting. Off the loop, or on it in mode
// Owner.
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

// sendRest sends the rest, when the peer makes room for it.
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

// release gives the buffer up and tells the Conn, if it waits for that or has to know of an error.
func (s *socket) release() {
	err := s.sendErr
	if cap(*s.out) <= keepBuffer {
		writeBuffers.Put(s.out)
	}
	s.out = nil
	if err != nil {
		// What is unsent stays so, and nothing more is taken.
		s.r.CallFromThread(func() {
			if !s.closed {
				s.conn.Broken(err)
			}
		})
		return
	}
	s.unsent.Store(0)
	s.sending.Store(false)
	if s.wanted.Swap(false) {
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
		s.unsent.Add(int64(-n))
	}
	return true
}

// writeSome is the same, or false if the kernel takes nothing. It has to try before it waits: readiness
// that the poller has seen since the last write is forgotten when RawConn.Write begins.
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

// tryReset waits, when nothing is to be read, for the connection to break.
func (s *socket) tryReset(fd uintptr) bool {
	errno, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && errno == 0 {
		return false
	}
	s.err = os.NewSyscallError("read", unix.Errno(errno))
	return true
}
