package gnetreactor

import (
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// gnet cannot stop reading a socket. So a connection that must not be read for a while leaves gnet, with a duplicate of
// its descriptor, and is read here, when the Conn requests it. Once there is nothing left to read, gnet gets it back. If
// that fails, a goroutine waits for input with Go's own poller, and it is tried again when that was read.

// reads is shared by these sockets.
type reads struct {
	buffer  [readBuffer]byte
	waiting sync.WaitGroup // goroutines that give a socket back, wait for input or close a file
}

// PauseReading implements reactor.Socket. A socket that gnet reads leaves gnet at the end of the event.
func (s *socket) PauseReading() {
	s.readPaused = true
	if s.gnet == nil {
		s.r.watch.add(s)
	}
}

// ResumeReading implements reactor.Socket.
func (s *socket) ResumeReading() {
	s.readPaused = false
	s.readable()
}

// readable schedules a read in a later turn.
func (s *socket) readable() {
	if s.fd >= 0 && s.gnet == nil && !s.readPaused && !s.ended {
		s.conn.Readable(s.pull)
	}
}

// read does one read(2).
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
		s.rejoin()
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

// await schedules a read for when there is input or the connection has broken.
func (s *socket) await() {
	if s.fd < 0 || s.readPaused {
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

// pollable reports whether read(2) would return at once with any result.
func pollable(fd uintptr) bool {
	// #nosec G115 -- descriptors are of C int
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, _ := unix.Poll(fds, 0)
	return n > 0
}
