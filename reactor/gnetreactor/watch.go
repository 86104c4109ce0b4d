package gnetreactor

import (
	"time"

	"golang.org/x/sys/unix"
)

// watch asks the kernel about the sockets that nobody reads: those with bytes that it did not take,
// those kept after their peer's end of file, and those that are unread. One poll(2) asks for all, at
// the end of a turn, and every few milliseconds as long as there are any. The cost is proportional to
// their number; pollShare keeps it below a tenth of the loop's time. Loop only.
type watch struct {
	r       *Reactor
	sockets []*socket
	fds     []unix.PollFd
	next    time.Duration // not to be asked before
	timer   *time.Timer   // posts an empty call, whose turn asks
	at      time.Duration // when it does
}

const (
	pollEvery     = 2 * time.Millisecond  // while the kernel has to be asked for room
	pollIdleEvery = 50 * time.Millisecond // while only resets are to be noticed
	pollShare     = 10                    // poll(2) may take one part in so many of the time
)

func (w *watch) add(s *socket) {
	if !s.watched {
		s.watched = true
		w.sockets = append(w.sockets, s)
	}
	w.rest(s.every())
}

// every is how often s wants to be asked about.
func (s *socket) every() time.Duration {
	if s.short {
		return pollEvery
	}
	return pollIdleEvery
}

// silent reports that no read would find out that the connection has broken.
func (s *socket) silent() bool { return s.gnet == nil && (s.unread || s.ended) }

// rest sees to it that the sockets are asked again after d, or later if they are many.
func (w *watch) rest(d time.Duration) {
	now := w.r.Elapsed()
	at := max(w.next, now+d)
	if w.at > now && w.at <= at {
		return
	}
	w.at = at
	w.timer.Reset(at - now)
}

// ask polls all watched sockets and reports to those that can go on.
func (w *watch) ask() {
	if len(w.sockets) == 0 {
		return
	}
	began := w.r.Elapsed()
	if began < w.next {
		w.rest(0)
		return
	}
	every := w.collect()
	n, _ := unix.Poll(w.fds, 0)
	end := w.r.Elapsed()
	w.next = end + pollShare*(end-began)
	for i := 0; n > 0 && i < len(w.fds); i++ {
		if revents := w.fds[i].Revents; revents != 0 {
			n--
			w.sockets[i].polled(revents)
		}
	}
	if len(w.sockets) > 0 {
		w.rest(every)
	}
}

// collect drops the sockets that need no watching and lists the others for poll(2). It returns
// when to ask again.
func (w *watch) collect() time.Duration {
	every := pollIdleEvery
	kept := w.sockets[:0]
	w.fds = w.fds[:0]
	for _, s := range w.sockets {
		if s.fd < 0 || !s.short && !s.silent() {
			s.watched = false
			continue
		}
		var events int16
		if s.short {
			events = unix.POLLOUT
		}
		every = min(every, s.every())
		kept = append(kept, s)
		w.fds = append(w.fds, unix.PollFd{Fd: int32(s.fd), Events: events})
	}
	clear(w.sockets[len(kept):])
	w.sockets = kept
	return every
}

// polled is told what poll(2) found.
func (s *socket) polled(revents int16) {
	switch {
	case s.fd < 0: // closed on behalf of one before it
	case s.short:
		s.conn.Writable()
	case s.silent() && revents&(unix.POLLERR|unix.POLLHUP) != 0:
		errno, _ := unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_ERROR)
		if errno == 0 {
			errno = int(unix.ECONNRESET)
		}
		s.conn.Broken(unix.Errno(errno))
	}
}
