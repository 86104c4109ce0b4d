package load

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// ticks is a timerfd_create(2), which wakes the runtime's poller like a socket.
type ticks struct{ f *os.File }

// newTicks returns a timer that ticks after first, which must not be 0, and then once per period.
func newTicks(first, period time.Duration) (*ticks, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("timerfd_create", err)
	}
	t := &ticks{os.NewFile(uintptr(fd), "timerfd")}
	err = unix.TimerfdSettime(fd, 0, &unix.ItimerSpec{
		Value: unix.NsecToTimespec(int64(first)), Interval: unix.NsecToTimespec(int64(period)),
	}, nil)
	if err != nil {
		t.stop()
		return nil, os.NewSyscallError("timerfd_settime", err)
	}
	return t, nil
}

// next waits for a tick and returns true, or false after stop. Missed ticks are merged.
func (t *ticks) next() bool {
	var missed [8]byte
	_, err := t.f.Read(missed[:])
	return err == nil
}

// stop may be called while another goroutine is in next.
func (t *ticks) stop() { t.f.Close() }
