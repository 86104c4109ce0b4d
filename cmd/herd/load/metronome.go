package load

import (
	"sync/atomic"
	"time"
)

// metronome is a periodic timer for the requests of an open loop. In a mostly idle process, timers of the
// Go runtime are late by up to a millisecond, because its poller waits in whole milliseconds; that would
// distort the latencies. So this uses a timer of the kernel. start and stop are loop only.
type metronome struct {
	ticks   *ticks
	waiting atomic.Bool // a call of beat has been posted and has not run yet
}

// start posts beat on the loop, first after wait and then once per period, until stop. A beat is skipped
// while the previous one has not run.
func (m *metronome) start(post func(func()), wait, period time.Duration, beat func()) error {
	t, err := newTicks(max(wait, 1), period)
	if err != nil {
		return err
	}
	m.ticks = t
	call := func() {
		m.waiting.Store(false)
		beat()
	}
	go func() {
		for t.next() {
			if m.waiting.CompareAndSwap(false, true) {
				post(call)
			}
		}
	}()
	return nil
}

// stop stops the metronome if it was started.
func (m *metronome) stop() {
	if m.ticks != nil {
		m.ticks.stop()
		m.ticks = nil
	}
}
