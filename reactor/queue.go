package reactor

import (
	"sync"
	"time"
)

// This is the only file of the package that other goroutines run. Everything else belongs to the loop.

// queue is the unbounded FIFO list of posted calls. Any goroutine may post; only the loop takes.
type queue struct {
	wake    func()               // makes the loop call Turn soon
	elapsed func() time.Duration // the loop's monotonic clock

	mu      sync.Mutex
	calls   []func()
	since   time.Duration // when the oldest of calls was posted
	stopped bool
	spare   []func() // the previous list, for reuse
}

// maxSpare is the maximum capacity of a list that is kept for reuse.
const maxSpare = 4096

// post appends f. The first call of a list wakes the loop. wake is called under the lock: once stop has returned, a loop
// that is being torn down is not woken any more.
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

// take removes and returns all calls posted so far, and the time at which the oldest one was posted. Calls that these
// calls post are not among them, so a call that posts itself cannot starve the sockets.
func (q *queue) take() (calls []func(), since time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	calls, since = q.calls, q.since
	q.calls, q.spare = q.spare, nil
	return calls, since
}

// recycle keeps a list that has been run for reuse.
func (q *queue) recycle(calls []func()) {
	clear(calls)
	if cap(calls) > maxSpare {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.spare = calls[:0]
}

// length returns the number of waiting calls.
func (q *queue) length() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.calls)
}

// stop drops queued calls and all calls posted later.
func (q *queue) stop() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.stopped = true
	q.calls = nil
}

// Workers runs calls off the loop on a bounded number of goroutines, which exist only while there is work. Further
// calls wait in a FIFO queue. Any goroutine.
type Workers struct {
	max int

	mu      sync.Mutex
	running int
	waiting []func()
	stopped bool
}

// NewWorkers returns Workers that run at most max calls at a time.
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

// Stop drops the calls that have not begun. Running calls continue.
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
