//go:build !linux

package load

import "time"

// ticks is a timer of the runtime's.
type ticks struct {
	timer   *time.Timer
	period  time.Duration
	stopped chan struct{}
}

// newTicks ticks first after a while and then once in a period.
func newTicks(first, period time.Duration) (*ticks, error) {
	return &ticks{timer: time.NewTimer(first), period: period, stopped: make(chan struct{})}, nil
}

// next waits for a tick, which stands for all that were missed, or for stop: then it is false.
func (t *ticks) next() bool {
	select {
	case <-t.timer.C:
		t.timer.Reset(t.period)
		return true
	case <-t.stopped:
		return false
	}
}

// stop may be called while another goroutine waits.
func (t *ticks) stop() { close(t.stopped) }
