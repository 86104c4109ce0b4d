package reactor

import (
	"sync"
	"time"
)

// This is the one file of the package in which goroutines meet. Everything else belongs to the
// loop; what crosses over does so here, under a lock that is held for a few instructions.

// queue is the list of posted calls: first in, first out, without bound. Any goroutine may post;
// the loop alone takes.
type queue struct {
	wake    func()               // makes the loop call Turn soon
	elapsed func() time.Duration // the loop's monotonic clock

	mu      sync.Mutex
	calls   []func()
	since   time.Duration // when the oldest of calls was posted
	stopped bool
	spare   []func() // the list taken last, for reuse
}

// maxSpare bounds the list that is kept for reuse, so that one burst is not paid for ever after.
const maxSpare = 4096

// post appends f. The first call of a list wakes the loop, the others ride along. Waking happens
// under the lock: once stop has returned, nothing can wake a loop that is being taken apart.
func (q *queue) post(f func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.stopped {
		return
	}
	q.calls = append(q.calls, f)
	if len(q.calls) == 1 {
		q.since = q.elapsed()
		q.wake()
	}
}

// take removes all calls posted so far, with the time at which the oldest was posted. What these
// calls post in turn is not among them, so a call that posts itself cannot starve the sockets.
func (q *queue) take() (calls []func(), since time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	calls, since = q.calls, q.since
	q.calls, q.spare = q.spare, nil
	return calls, since
}

// giveBack returns a list that has been run.
func (q *queue) giveBack(calls []func()) {
	clear(calls)
	if cap(calls) > maxSpare {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.spare = calls[:0]
}

// length is the number of calls waiting.
func (q *queue) length() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.calls)
}

// stop drops what is queued and whatever is posted later.
func (q *queue) stop() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.stopped = true
	q.calls = nil
}

// Workers runs calls off the loop on a bounded number of goroutines, which exist only while there
// is work. Past the bound calls wait their turn, first in, first out. Any goroutine.
type Workers struct {
	max int

	mu      sync.Mutex
	running int
	waiting []func()
	stopped bool
}

// NewWorkers returns workers of which at most max run at a time.
func NewWorkers(max int) *Workers { return &Workers{max: max} }

// Start runs f on a worker.
func (w *Workers) Start(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.stopped:
	case w.running < w.max:
		w.running++
		go w.work(f)
	default:
		w.waiting = append(w.waiting, f)
	}
}

// Stop drops the calls that have not begun. Those that run are left to end by themselves.
func (w *Workers) Stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
	w.waiting = nil
}

func (w *Workers) work(f func()) {
	for f != nil {
		f()
		f = w.next()
	}
}

func (w *Workers) next() func() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.waiting) == 0 {
		w.running--
		w.waiting = nil
		return nil
	}
	f := w.waiting[0]
	w.waiting[0] = nil
	w.waiting = w.waiting[1:]
	return f
}
