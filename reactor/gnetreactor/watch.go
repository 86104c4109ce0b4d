package gnetreactor

import (
	"time"

	"golang.org/x/sys/unix"
)

// watch polls the sockets that nobody reads or waits for: those with output that the kernel did not take, those kept
// after their peer's end of file, and those whose reading is paused. One poll(2) checks all of them, at the end of a turn,
// and every few milliseconds while there are any. The cost is proportional to their number; pollShare limits it to a
// tenth of the loop's time. Loop only.
type watch struct {
	r       *Reactor
	sockets []*socket
	fds     []unix.PollFd
	next    time.Duration // earliest time of the next poll
	timer   *time.Timer   // posts an empty call, to cause a turn
	at      time.Duration // when the timer fires
}

const (
	pollEvery     = 2 * time.Millisecond  // while output is pending
	pollIdleEvery = 50 * time.Millisecond // while only resets have to be detected
	pollShare     = 10                    // poll(2) may take one part in pollShare of the time
)

func (w *watch) add(s *socket) {
	if !s.watched {
		s.watched = true
		w.sockets = append(w.sockets, s)
	}
	w.pollWithin(s.every())
}

// every returns the interval at which s has to be polled.
func (s *socket) every() time.Duration {
	if s.short {
		return pollEvery
	}
	return pollIdleEvery
}

// silent reports whether no read would detect that the connection has broken.
func (s *socket) silent() bool { return s.gnet == nil && (s.readPaused || s.ended) }

// pollWithin schedules the next poll after d, or later if polling takes too much time.
func (w *watch) pollWithin(d time.Duration) {
	now := w.r.Elapsed()
	at := max(w.next, now+d)
	if w.at > now && w.at <= at {
		return
	}
	w.at = at
	w.timer.Reset(at - now)
}

// poll polls all watched sockets and reports those that are ready or broken.
func (w *watch) poll() {
	if len(w.sockets) == 0 {
		return
	}
	began := w.r.Elapsed()
	if began < w.next {
		w.pollWithin(0)
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
		w.pollWithin(every)
	}
}

// collect drops the sockets that need no polling and lists the others for poll(2). It returns the interval of the next
// poll.
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
		// #nosec G115 -- descriptors are of C int
		w.fds = append(w.fds, unix.PollFd{Fd: int32(s.fd), Events: events})
	}
	clear(w.sockets[len(kept):])
	w.sockets = kept
	return every
}

// polled handles the result of poll(2).
func (s *socket) polled(revents int16) {
	switch {
	case s.fd < 0: // closed while an earlier socket was handled
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
