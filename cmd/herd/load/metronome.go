package load

import (
	"sync/atomic"
	"time"
)

// metronome says when lines of an open loop are due. The runtime's timers are late by up to a
// millisecond in a process that has little to do, for its poller waits in whole ones; a loader that
// is late says less of servers than of itself. So this is a clock of the kernel's. start and stop are
// loop only.
type metronome struct {
	ticks   *ticks
	waiting atomic.Bool // a beat has been posted and has not been dealt with
}

// start posts beat on the loop, first after wait and then once in a period, until stop. A beat is left
// out while the last one waits for the loop.
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

// stop ends it, if it has begun.
func (m *metronome) stop() {
	if m.ticks != nil {
		m.ticks.stop()
		m.ticks = nil
	}
}
