package load

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Second is the result of a part of a run, usually of one second.
type Second struct {
	At      time.Duration // its end, since the first request
	Warmup  bool
	Length  time.Duration
	Counts  Counts
	Latency Latency
}

// run is one Run.
type run struct {
	o       *Options
	workers []*worker
	slow    []net.Conn
	stop    []func()
	report  Report
	total   interval                // of the measured time
	all     Counts                  // including warm-up and drain
	tokens  *hdrhistogram.Histogram // of presenting Options.Token; nil without one
	begun   time.Time
	// allLost: all connections that send are lost.
	allLost bool
	last    time.Time     // of the latest collection
	before  usage         // at the beginning of the measured time
	server  time.Duration // CPU time of the servers, likewise
}

// Run generates load and returns a report. If ctx ends, it stops early and reports what it has. It returns
// an error only if the run could not begin; later errors are in the report.
func Run(ctx context.Context, o Options) (*Report, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	if err := checkDescriptors(o.Connections + o.Idle + o.SlowReaders); err != nil {
		return nil, err
	}
	if o.WHATSAT > 0 {
		if err := preload(ctx, &o); err != nil {
			return nil, err
		}
	}
	r := &run{o: &o, total: newInterval()}
	defer r.end()
	if err := r.connect(ctx); err != nil {
		return nil, err
	}
	r.measure(ctx)
	return r.finish(ctx), nil
}

// reserved descriptors are for other files of the process.
const reserved = 64

// checkDescriptors returns an error if the limit is too low, before any connection is made.
func checkDescriptors(connections int) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return nil // the connections will fail
	}
	if need := uint64(connections) + reserved; need > limit.Cur {
		return fmt.Errorf("%d connections need %d file descriptors, but the limit is %d: raise ulimit -n",
			connections, need, limit.Cur)
	}
	return nil
}

// connect starts the workers and makes all connections.
func (r *run) connect(ctx context.Context) error {
	o := r.o
	from := source(len(o.Targets), o.Connections+o.Idle)
	for range o.Threads {
		r.workers = append(r.workers, newWorker(o, from))
	}
	for k := range o.Connections {
		w := r.workers[k%o.Threads]
		w.users = append(w.users, &user{
			worker: w, target: &o.Targets[k%len(o.Targets)], lines: newLines(o, k, o.Connections),
			window: make([]request, o.Pipeline),
		})
	}
	for k := range o.Idle {
		r.workers[k%o.Threads].idle++
	}
	if o.Churn > 0 {
		r.workers[0].churn = time.Duration(float64(time.Second) / o.Churn)
	}
	for _, w := range r.workers {
		if o.Rate > 0 {
			share := o.Rate * float64(len(w.users)) / float64(o.Connections)
			w.interval = max(1, time.Duration(float64(time.Second)/share))
		}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			if err := w.r.Run(); err != nil {
				w.reportReady(err)
			}
		}()
		r.stop = append(r.stop, func() {
			w.r.Stop()
			<-ended
			w.metronome.stop()
		})
		w.r.CallFromThread(w.connect)
	}
	for _, w := range r.workers {
		select {
		case err := <-w.ready:
			if err != nil {
				return err
			}
		case <-ctx.Done():
			return errors.New("interrupted before all connections were made")
		}
	}
	return r.connectSlow(ctx)
}

// on runs f on all workers' loops concurrently and waits for all.
func (r *run) on(f func(w *worker)) {
	var all sync.WaitGroup
	for _, w := range r.workers {
		all.Add(1)
		w.r.CallFromThread(func() {
			defer all.Done()
			f(w)
		})
	}
	all.Wait()
}

// measure sends until the time is over or ctx ends.
func (r *run) measure(ctx context.Context) {
	r.begun = time.Now()
	r.last = r.begun
	r.on((*worker).begin)
	total := r.o.Warmup + r.o.Duration
	warm := r.o.Warmup == 0
	if warm {
		r.beginMeasured()
	}
	for at := time.Duration(0); at < total && ctx.Err() == nil && !r.allLost; {
		next := min(at+time.Second, total)
		if !warm {
			next = min(next, r.o.Warmup)
		}
		wait(ctx, time.Until(r.begun.Add(next)))
		at = time.Since(r.begun)
		r.second(!warm)
		if !warm && at >= r.o.Warmup {
			warm = true
			r.beginMeasured()
		}
	}
	r.endMeasured()
}

// beginMeasured begins the measured time.
func (r *run) beginMeasured() {
	r.report.Began = time.Now()
	r.before = processUsage()
	r.server = targetsCPU(r.o.Targets)
	if r.o.OnBegin != nil {
		r.o.OnBegin()
	}
}

// endMeasured ends the measured time.
func (r *run) endMeasured() {
	if r.report.Began.IsZero() {
		return // interrupted in the warm-up
	}
	r.report.Length = time.Since(r.report.Began)
	if r.o.OnEnd != nil {
		r.o.OnEnd()
	}
	r.report.Loader = processUsage().since(r.before)
	if r.server > 0 {
		r.report.ServerCPU = max(0, targetsCPU(r.o.Targets)-r.server) // 0 if a process has ended
	}
}

// second collects the counts since the last call.
func (r *run) second(warmup bool) {
	part := newInterval()
	var mu sync.Mutex
	connected := 0
	r.on(func(w *worker) {
		i := w.collect()
		mu.Lock()
		defer mu.Unlock()
		part.add(i)
		for _, u := range w.users {
			if !u.lost {
				connected++
			}
		}
	})
	r.allLost = connected == 0 && r.o.Connections > 0
	now := time.Now()
	s := Second{
		At: now.Sub(r.begun), Warmup: warmup, Length: now.Sub(r.last), Counts: part.counts,
		Latency: latencyOf(part.latency),
	}
	r.last = now
	r.all.add(&part.counts)
	if !warmup {
		r.total.add(&part)
		kept := s
		kept.Counts.Failures = nil // Report.All has them; a long run must not grow
		r.report.Seconds = append(r.report.Seconds, kept)
	}
	if r.o.OnSecond != nil {
		r.o.OnSecond(s)
	}
}

// interruptedDrain is how long an interrupted run waits for replies.
const interruptedDrain = time.Second

// finish waits for outstanding replies and makes the report.
func (r *run) finish(ctx context.Context) *Report {
	r.on((*worker).end)
	r.drain(ctx)
	measured := r.total.counts
	r.on(func(w *worker) {
		for _, u := range w.users {
			w.abandon(u)
		}
	})
	// Replies after the end count as replies, but not in the rate.
	drained := newInterval()
	if r.o.Token != "" {
		r.tokens = newHistogram()
	}
	var mu sync.Mutex
	r.on(func(w *worker) {
		mu.Lock()
		defer mu.Unlock()
		drained.add(w.collect())
		if w.tokens != nil {
			r.tokens.Merge(w.tokens)
		}
	})
	r.all.add(&drained.counts)
	if !r.report.Began.IsZero() { // else it ended during the warm-up
		r.total.add(&drained)
	}
	return r.report.fill(r, measured)
}

// drain waits for outstanding replies: up to Timeout between two replies, and up to Options.drain in total,
// or interruptedDrain after ctx has ended.
func (r *run) drain(ctx context.Context) {
	late := time.NewTimer(r.o.drain)
	defer late.Stop()
	defer context.AfterFunc(ctx, func() { late.Reset(min(r.o.drain, interruptedDrain)) })()
	silent := time.NewTicker(min(r.o.Timeout, r.o.drain))
	defer silent.Stop()
	got := r.replies()
	for _, w := range r.workers {
		for waiting := true; waiting; {
			select {
			case <-w.done:
				waiting = false
			case <-late.C:
				return
			case <-silent.C:
				now := r.replies()
				if now == got {
					return
				}
				got = now
			}
		}
	}
}

// replies counts replies since the latest collection.
func (r *run) replies() uint64 {
	var n atomic.Uint64
	r.on(func(w *worker) { n.Add(w.now.counts.Replies) })
	return n.Load()
}

// end closes all connections and stops the workers.
func (r *run) end() {
	for _, c := range r.slow {
		c.Close()
	}
	for _, stop := range r.stop {
		stop()
	}
}

// wait waits for d or until ctx ends.
func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
