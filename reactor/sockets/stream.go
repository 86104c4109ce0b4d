package sockets

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"serverherd/reactor"
)

// stream is the reactor.Socket of a connection over TLS, on the loop of any engine. TLS cannot be read or written without
// blocking, so a goroutine reads, one chunk at a time, and posts each chunk to the loop before it reads the next one. It
// also writes what the Protocol answered to that chunk, if that is no more than a record. Other output is written by a
// goroutine that exists only meanwhile. All end when the stream is closed.
//
// The fields for reading belong to the reading goroutine. The rest is loop only. A chunk and its result are handed over
// by a posted call and a channel.
type stream struct {
	gate *Gate
	conn *reactor.Conn
	tls  *tls.Conn // nil until the handshake is done
	tcp  net.Conn
	raw  syscall.RawConn
	gone chan struct{} // closed by Close

	cancel context.CancelFunc // of the handshake, if tls is nil

	// Loop only.
	closed     bool
	readPaused bool
	inEvent    bool // a chunk is handled, and the reading goroutine will send what is written meanwhile
	own        *[]byte

	Sending // also while the handshake is not done

	// Of the reading goroutine.
	lower   *lower
	handled chan handled  // receives a value when a chunk was handled
	resume  chan struct{} // holds a token if reading goes on
}

// handled is what the reading goroutine has to know when a chunk was handled.
type handled struct {
	paused bool    // it must not read on
	own    *[]byte // it must send this
}

// streamRead is the maximum of one read, as of a read from a socket without TLS.
const streamRead = 8 << 10

// streamWrite is the maximum of one write: a TLS record.
const streamWrite = 16 << 10

// streamBuffers is a pool of buffers for output.
var streamBuffers = sync.Pool{New: func() any { return new([]byte) }}

// keepStreamBuffer is the maximum size of buffers that are returned to the pool.
const keepStreamBuffer = 64 << 10

// closeTime is how long a stream that is closed tries to send what ends it.
const closeTime = time.Second

// ErrTruncated is the reason of a connection whose peer has closed TCP and not TLS: what it sent may be incomplete.
var ErrTruncated = errors.New("the peer closed the connection without the end of TLS")

func newStream(g *Gate, c net.Conn) (*stream, error) {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return nil, fmt.Errorf("sockets: %T is no socket", c)
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil, err
	}
	return &stream{
		gate: g, tcp: c, raw: raw, gone: make(chan struct{}), handled: make(chan handled, 1), resume: make(chan struct{}, 1),
	}, nil
}

// Security implements reactor.Secured.
func (s *stream) Security() reactor.Security {
	if s.tls == nil {
		return reactor.Security{}
	}
	return security(s.tls)
}

// readAll reads until the connection has ended.
func (s *stream) readAll() {
	var in [streamRead]byte
	for {
		n, err := s.tls.Read(in[:])
		if errors.Is(err, io.EOF) && s.lower.ended { // crypto/tls accepts this between two records
			err = ErrTruncated
		}
		s.gate.loop.CallFromThread(func() { s.input(in[:n], err) })
		var done handled
		select {
		case done = <-s.handled:
		case <-s.gone:
			return
		}
		if done.own != nil {
			s.send(done.own)
		}
		if err != nil {
			if errors.Is(err, io.EOF) { // pending output is still sent; only a reset can still be reported
				s.awaitReset(nil)
			}
			return
		}
		if done.paused && !s.awaitReset(s.resume) {
			return
		}
	}
}

// input reports to the Conn what was read. On the loop.
func (s *stream) input(p []byte, err error) {
	if s.closed {
		return
	}
	s.inEvent = true
	if len(p) > 0 {
		s.conn.Input(p)
	}
	switch {
	case s.closed || err == nil:
	case errors.Is(err, io.EOF):
		s.conn.EndOfInput()
	default:
		s.conn.Broken(err)
	}
	if s.readPaused {
		select {
		case <-s.resume: // of an earlier pause
		default:
		}
	}
	s.inEvent = false
	s.handled <- handled{s.readPaused, s.own}
	s.own = nil
}

// awaitReset waits for a token of resume and reports true, or for the end of the connection, which it reports to the
// Conn if the peer has caused it.
func (s *stream) awaitReset(resume <-chan struct{}) bool {
	ended := make(chan error, 1)
	go func() {
		var reset error
		err := s.raw.Read(func(fd uintptr) bool {
			reset = Reset(int(fd))
			return reset != nil
		})
		if err != nil { // resumed or closed
			reset = nil
		}
		ended <- reset
	}()
	select {
	case <-resume:
		_ = s.tcp.SetReadDeadline(time.Unix(1, 0))
		<-ended
		_ = s.tcp.SetReadDeadline(time.Time{})
		return true
	case <-s.gone:
		_ = s.tcp.SetReadDeadline(time.Unix(1, 0))
		<-ended
		return false
	case reset := <-ended:
		if reset != nil {
			s.gate.loop.CallFromThread(func() {
				if !s.closed {
					s.conn.Broken(reset)
				}
			})
		}
		return false
	}
}

// Reset returns the error of a socket that the peer has reset; nil if it has not.
func Reset(fd int) error {
	errno, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil || errno == 0 {
		return nil
	}
	return os.NewSyscallError("read", unix.Errno(errno))
}

// Write implements reactor.Socket. It takes p, unless it is still sending what it took before.
func (s *stream) Write(p []byte) (int, error) {
	if s.Busy() {
		return 0, nil
	}
	s.Begin(len(p))
	out := streamBuffers.Get().(*[]byte)
	*out = append((*out)[:0], p...)
	if s.inEvent && len(p) <= streamWrite {
		s.own = out
	} else {
		s.gate.streams.Go(func() { s.send(out) })
	}
	return len(p), nil
}

// send writes out, and reports to the Conn each part that the kernel has taken.
func (s *stream) send(out *[]byte) {
	var err error
	for rest := *out; len(rest) > 0 && err == nil; {
		n := min(len(rest), streamWrite)
		if _, err = s.tls.Write(rest[:n]); err != nil {
			break
		}
		rest = rest[n:]
		s.Sent(n)
		if len(rest) > 0 {
			s.post(func() { s.conn.Progress() })
		}
	}
	if cap(*out) <= keepStreamBuffer {
		streamBuffers.Put(out)
	}
	if err != nil {
		s.post(func() { s.conn.Broken(err) })
		return
	}
	if s.End() {
		s.post(func() { s.conn.Writable() })
	}
}

// post runs f on the loop unless the stream is closed then.
func (s *stream) post(f func()) {
	s.gate.loop.CallFromThread(func() {
		if !s.closed {
			f()
		}
	})
}

// Unacked implements reactor.Socket. It counts what TLS adds, too.
func (s *stream) Unacked() (n int) {
	_ = s.raw.Control(func(fd uintptr) { n = Unacked(int(fd)) })
	return n
}

// PauseReading implements reactor.Socket. It is called while a chunk is handled.
func (s *stream) PauseReading() { s.readPaused = true }

// ResumeReading implements reactor.Socket.
func (s *stream) ResumeReading() {
	s.readPaused = false
	select {
	case s.resume <- struct{}{}:
	default:
	}
}

// CloseWrite implements reactor.Socket. An error shows at the next read.
func (s *stream) CloseWrite() {
	s.Begin(0)
	t := s.tls
	s.gate.streams.Go(func() {
		if t != nil {
			_ = t.CloseWrite()
		}
		if c, ok := s.tcp.(interface{ CloseWrite() error }); ok {
			_ = c.CloseWrite()
		}
	})
}

// Close implements reactor.Socket. The goroutines of the stream end, whatever they wait for.
func (s *stream) Close(reset bool) {
	s.closed = true
	close(s.gone)
	if c, ok := s.tcp.(interface{ SetLinger(int) error }); ok && reset {
		_ = c.SetLinger(0)
	}
	if s.tls == nil {
		s.cancel()
	}
	if reset || s.tls == nil {
		_ = s.tcp.Close()
		return
	}
	s.gate.streams.Go(func() {
		defer time.AfterFunc(closeTime, func() { s.tcp.Close() }).Stop() // crypto/tls would try for 5 s
		_ = s.tls.Close()
	})
}
