//go:build !linux

package load

import "time"

// ticks is a timer of the Go runtime.
type ticks struct {
	timer   *time.Timer
	period  time.Duration
	stopped chan struct{}
}

// newTicks returns a timer that ticks after first and then once per period.
func newTicks(first, period time.Duration) (*ticks, error) {
	return &ticks{timer: time.NewTimer(first), period: period, stopped: make(chan struct{})}, nil
}

// next waits for a tick and returns true, or false after stop. Missed ticks are merged.
func (t *ticks) next() bool {
	select {
	case <-t.timer.C:
		t.timer.Reset(t.period)
		return true
	case <-t.stopped:
		return false
	}
}

// stop may be called while another goroutine is in next.
func (t *ticks) stop() { close(t.stopped) }
