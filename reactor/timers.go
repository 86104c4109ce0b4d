package reactor

import "time"

// DelayedCall is a call scheduled by CallLater. Loop only.
type DelayedCall struct {
	loop  *Loop
	f     func()
	at    time.Duration // on the loop's monotonic clock
	seq   uint64        // calls of the same time run in the order in which they were scheduled
	index int           // in the heap, or one of the values below
}

// Values of index for a DelayedCall that is not in the heap.
const (
	notWaiting = -1 // called or canceled
	due        = -2 // removed from the heap to be called in the current pass
)

// Active reports whether the call is still pending.
func (d *DelayedCall) Active() bool { return d.index != notWaiting }

// Cancel cancels the call. It does nothing if the call was made or canceled before.
func (d *DelayedCall) Cancel() {
	if d.index >= 0 {
		d.loop.timers.remove(d.index)
	}
	d.index = notWaiting
	d.f = nil
}

// Reset reschedules the call to delay from now. It does nothing if the call was made or canceled before.
func (d *DelayedCall) Reset(delay time.Duration) {
	if !d.Active() {
		return
	}
	if d.index >= 0 {
		d.loop.timers.remove(d.index)
	}
	d.loop.schedule(d, delay)
}

// timers is a binary heap, earliest call first.
type timers struct {
	heap []*DelayedCall
	seq  uint64
	due  []*DelayedCall // reused by take
}

// next returns the time of the earliest call.
func (t *timers) next() (at time.Duration, ok bool) {
	if len(t.heap) == 0 {
		return 0, false
	}
	return t.heap[0].at, true
}

// take removes and returns the calls that are due at now, in order. They are removed before the first one runs, so that
// a call scheduled by a call waits for the next pass, however short its delay.
func (t *timers) take(now time.Duration) []*DelayedCall {
	t.due = t.due[:0]
	for len(t.heap) > 0 && t.heap[0].at <= now {
		d := t.heap[0]
		t.remove(0)
		d.index = due
		t.due = append(t.due, d)
	}
	return t.due
}

func (t *timers) add(d *DelayedCall) {
	t.seq++
	d.seq = t.seq
	d.index = len(t.heap)
	t.heap = append(t.heap, d)
	t.up(d.index)
}

func (t *timers) remove(i int) {
	last := len(t.heap) - 1
	if i != last {
		t.swap(i, last)
	}
	t.heap[last] = nil
	t.heap = t.heap[:last]
	if i != last {
		t.down(i)
		t.up(i)
	}
}

func (t *timers) less(i, j int) bool {
	a, b := t.heap[i], t.heap[j]
	return a.at < b.at || a.at == b.at && a.seq < b.seq
}

func (t *timers) swap(i, j int) {
	t.heap[i], t.heap[j] = t.heap[j], t.heap[i]
	t.heap[i].index, t.heap[j].index = i, j
}

func (t *timers) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if !t.less(i, parent) {
			return
		}
		t.swap(i, parent)
		i = parent
	}
}

func (t *timers) down(i int) {
	for {
		child := 2*i + 1
		if child >= len(t.heap) {
			return
		}
		if child+1 < len(t.heap) && t.less(child+1, child) {
			child++
		}
		if !t.less(child, i) {
			return
		}
		t.swap(i, child)
		i = child
	}
}
