package gnetreactor

import (
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// gnet reads whatever comes and cannot be told to wait. So a connection that is not to be read for a
// while leaves gnet, with a duplicate of its descriptor, and is read here from then on, when the Conn
// says so. While there is nothing to read, a goroutine waits for input by Go's own poller.

// reads is what these sockets share.
type reads struct {
	buffer  [readBuffer]byte
	waiting sync.WaitGroup // goroutines that wait for input, or close
}

// PauseReading implements reactor.Socket. A socket of gnet's leaves it when the event is over.
func (s *socket) PauseReading() {
	s.unread = true
	if s.gnet == nil {
		s.r.watch.add(s)
	}
}

// ResumeReading implements reactor.Socket.
func (s *socket) ResumeReading() {
	s.unread = false
	s.readable()
}

// readable has the socket read in its turn.
func (s *socket) readable() {
	if s.fd >= 0 && s.gnet == nil && !s.unread && !s.ended {
		s.conn.Readable(s.pull)
	}
}

// read reads once.
func (s *socket) read() {
	buffer := s.r.reads.buffer[:]
	n, err := unix.Read(s.fd, buffer)
	for err == unix.EINTR {
		n, err = unix.Read(s.fd, buffer)
	}
	switch {
	case n > 0:
		s.conn.Input(buffer[:n])
		s.readable()
	case err == unix.EAGAIN:
		s.await()
	case err != nil:
		s.conn.Broken(os.NewSyscallError("read", err))
	default:
		s.ended = true
		s.conn.EndOfInput()
		if s.fd >= 0 {
			s.r.watch.add(s)
		}
	}
}

// await has the socket read when there is something to read, or when it has broken.
func (s *socket) await() {
	if s.fd < 0 || s.unread {
		return
	}
	if s.file == nil {
		s.file = os.NewFile(uintptr(s.fd), "socket")
	}
	raw, err := s.file.SyscallConn()
	if err != nil {
		s.conn.Broken(err)
		return
	}
	s.r.reads.waiting.Go(func() {
		err := raw.Read(pollable)
		s.r.CallFromThread(func() {
			switch {
			case s.fd < 0:
			case err != nil:
				s.conn.Broken(err)
			default:
				s.readable()
			}
		})
	})
}

// pollable reports whether read(2) would return at once, whatever it is that it returns.
func pollable(fd uintptr) bool {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, _ := unix.Poll(fds, 0)
	return n > 0
}
