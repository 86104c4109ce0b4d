package memreactor

import (
	"fmt"
	"math/rand/v2"
	"time"

	"serverherd/reactor"
)

// Options configure a World's network. With the zero value there is no delay, and bytes are delivered as they were
// written.
type Options struct {
	// MinDelay and MaxDelay limit the delay of bytes, ends of file, resets and dials.
	MinDelay, MaxDelay time.Duration
	// Chop, if positive, is the maximum size of a read: the size is drawn from 1 to Chop for each read. Zero means
	// as much as has arrived, up to 8 KiB.
	Chop int
	// Window is the number of bytes that a connection buffers in one direction, in both ends' kernels together.
	// Zero means 256 KiB.
	Window int
	// Start is the wall time at which the World begins; zero means 2018-03-02 20:58:43 UTC.
	Start time.Time
}

// World is a clock, a network and the reactors on it. One goroutine.
type World struct {
	opts   Options
	rand   *rand.Rand
	now    time.Duration // since the beginning
	start  time.Time
	events heap
	seq    uint64
	live   int    // pending events that are not timers
	hash   uint64 // see Trace

	reactors  []*Reactor
	listeners map[string]*Listener
	pipes     []*pipe                     // oldest first
	cuts      map[[2]string]bool          // from, to
	delays    map[[2]string]time.Duration // added, from, to
	refused   map[string]bool             // addresses
	dialed    int                         // number of connections, for their names
}

// NewWorld returns a World whose random decisions depend on seed.
func NewWorld(seed uint64, o Options) *World {
	if o.Window == 0 {
		o.Window = 256 << 10
	}
	if o.Start.IsZero() {
		o.Start = time.Date(2018, 3, 2, 20, 58, 43, 0, time.UTC)
	}
	return &World{
		opts:      o,
		rand:      rand.New(rand.NewPCG(seed, 0)),
		start:     o.Start,
		hash:      14695981039346656037,
		listeners: map[string]*Listener{},
		cuts:      map[[2]string]bool{},
		delays:    map[[2]string]time.Duration{},
		refused:   map[string]bool{},
	}
}

// Rand returns the World's source of random numbers, for tests that must depend on the same seed.
func (w *World) Rand() *rand.Rand { return w.rand }

// Now returns the World's time, from which reactors' clocks may differ.
func (w *World) Now() time.Time { return w.start.Add(w.now) }

// Elapsed returns the virtual time since the beginning.
func (w *World) Elapsed() time.Duration { return w.now }

// At calls f after d, outside of any reactor. Tests use it for scripts.
func (w *World) At(d time.Duration, f func()) { w.add(event{at: w.now + d, kind: evScript, f: f}) }

// Step runs the next event and reports whether there was one.
func (w *World) Step() bool {
	if len(w.events) == 0 {
		return false
	}
	e := w.events.pop()
	if e.at < w.now {
		panic("memreactor: time runs backwards")
	}
	w.now = e.at
	if e.kind != evTimer {
		w.live--
	}
	w.handle(e)
	return true
}

// Run runs events until only timers are left; timers that are due meanwhile are run. It panics after 100 million events,
// because then the World would probably run forever.
func (w *World) Run() {
	for n := 0; w.live > 0; n++ {
		if n == 100_000_000 {
			panic("memreactor: Run does not end")
		}
		w.Step()
	}
}

// RunFor runs all events of the next d of virtual time.
func (w *World) RunFor(d time.Duration) { w.runTo(w.now + d) }

func (w *World) runTo(end time.Duration) {
	for len(w.events) > 0 && w.events[0].at <= end {
		w.Step()
	}
	w.now = end
}

// RunUntil runs events, for at most limit of virtual time, until done returns true, and returns its last result.
func (w *World) RunUntil(limit time.Duration, done func() bool) bool {
	end := w.now + limit
	for !done() {
		if len(w.events) == 0 || w.events[0].at > end {
			w.now = end
			return done()
		}
		w.Step()
	}
	return true
}

// Trace returns a hash of every event so far, with its time and place, and of every byte that was read. Two runs with
// the same seed have the same trace.
func (w *World) Trace() uint64 { return w.hash }

func (w *World) mix(v uint64) { w.hash = (w.hash ^ v) * 1099511628211 }

// The kinds of events.
const (
	evTurn    uint8 = iota // a reactor was woken
	evTimer                // a reactor's earliest delayed call may be due
	evArrive               // something may have arrived in a pipe
	evSpace                // there may be room in a pipe
	evScript               // a call of the test, or of the World itself
	evReactor              // a call on a reactor's loop; dropped if it has crashed
)

// event is a scheduled event. It is a value, so that the heap needs no allocation per event.
type event struct {
	at   time.Duration
	seq  uint64
	kind uint8
	r    *Reactor
	p    *pipe
	f    func()
}

func (w *World) add(e event) {
	w.seq++
	e.seq = w.seq
	if e.kind != evTimer {
		w.live++
	}
	w.events.push(e)
}

func (w *World) handle(e event) {
	w.mix(uint64(e.at))
	w.mix(uint64(e.kind))
	switch e.kind {
	case evTurn:
		e.r.woken = false
		e.r.turn()
	case evTimer:
		e.r.timerDue(e.at)
	case evArrive:
		if e.at == e.p.arriveAt { // not replaced by an earlier one
			e.p.arriveAt = never
			e.p.arrive()
		}
	case evSpace:
		e.p.spaceSoon = false
		e.p.space()
	case evScript:
		e.f()
	case evReactor:
		e.r.do(e.f)
	}
}

// never is later than any time.
const never = time.Duration(1<<63 - 1)

// delay draws the delay of something sent between two hosts.
func (w *World) delay(from, to string) time.Duration {
	d := w.opts.MinDelay
	if spread := w.opts.MaxDelay - d; spread > 0 {
		d += time.Duration(w.rand.Int64N(int64(spread) + 1))
	}
	return d + w.delays[[2]string{from, to}]
}

// name returns a new address for the dialing end of a connection.
func (w *World) name(host string) string {
	w.dialed++
	return fmt.Sprintf("%s:%d", host, 49151+w.dialed)
}

// heap is a binary heap of events, earliest first, then in the order in which they were added.
type heap []event

func (h heap) less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].seq < h[j].seq
}

func (h *heap) push(e event) {
	*h = append(*h, e)
	s := *h
	for i := len(s) - 1; i > 0; {
		parent := (i - 1) / 2
		if !s.less(i, parent) {
			return
		}
		s[i], s[parent] = s[parent], s[i]
		i = parent
	}
}

func (h *heap) pop() event {
	s := *h
	e := s[0]
	last := len(s) - 1
	s[0] = s[last]
	s[last] = event{}
	s = s[:last]
	*h = s
	for i := 0; ; {
		child := 2*i + 1
		if child >= last {
			return e
		}
		if child+1 < last && s.less(child+1, child) {
			child++
		}
		if !s.less(child, i) {
			return e
		}
		s[i], s[child] = s[child], s[i]
		i = child
	}
}

var _ reactor.Reactor = (*Reactor)(nil)
