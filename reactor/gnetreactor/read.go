package gnetreactor

import (
	"errors"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// gnet reads whatever comes and cannot be told to wait. So a connection that is not to be read for a
// while leaves gnet, with a duplicate of its descriptor, and is read here from then on: once after each
// turn as long as there is input. While there is none, a goroutine waits for it by Go's own poller.

// reads are the sockets to be read after the turn at hand. Loop only.
type reads struct {
	now, next []*socket
	buffer    [readBuffer]byte
	waiting   sync.WaitGroup // goroutines that wait for input, or close
}

// PauseReading implements reactor.Socket. A socket of gnet's leaves it when the event is over.
func (s *socket) PauseReading() { s.unread = true }

// ResumeReading implements reactor.Socket.
func (s *socket) ResumeReading() {
	s.unread = false
	if s.gnet == nil && !s.ended {
		s.readSoon()
	}
}

// readSoon has the socket read after this turn or the next.
func (s *socket) readSoon() {
	if !s.listed {
		s.listed = true
		s.r.reads.next = append(s.r.reads.next, s)
		s.r.Wake()
	}
}

// read reads each socket on the list once, as gnet does.
func (r *Reactor) read() {
	l := &r.reads
	l.now, l.next = l.next, l.now[:0]
	for i, s := range l.now {
		l.now[i] = nil
		s.listed = false
		if s.fd >= 0 && !s.unread {
			s.read(l.buffer[:])
		}
	}
}

func (s *socket) read(buffer []byte) {
	n, err := unix.Read(s.fd, buffer)
	for err == unix.EINTR {
		n, err = unix.Read(s.fd, buffer)
	}
	switch {
	case n > 0:
		s.conn.Input(buffer[:n])
		if s.fd >= 0 && !s.unread {
			s.readSoon()
		}
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
	if s.file == nil {
		s.file = os.NewFile(uintptr(s.fd), "socket")
	}
	raw, err := s.file.SyscallConn()
	if err != nil {
		s.conn.Broken(err)
		return
	}
	s.r.reads.waiting.Go(func() {
		err := raw.Read(readable)
		if errors.Is(err, os.ErrClosed) {
			return
		}
		s.r.CallFromThread(func() {
			switch {
			case s.fd < 0:
			case err != nil:
				s.conn.Broken(err)
			default:
				s.readSoon()
			}
		})
	})
}

// readable reports whether read(2) would return at once, whatever it is that it returns.
func readable(fd uintptr) bool {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, _ := unix.Poll(fds, 0)
	return n > 0
}
