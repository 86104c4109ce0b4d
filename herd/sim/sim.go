package sim

import (
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"strings"
	"time"

	"serverherd/herd/access"
	"serverherd/herd/config"
	"serverherd/reactor/memreactor"
)

// Result is the result of one run.
type Result struct {
	Seed      uint64
	Topology  string        // such as "ring of 5"
	Simulated time.Duration // virtual time
	Trace     uint64        // a hash of every event and byte; the same for the same seed
	Lines     int           // sent by clients
	Replies   int           // of those checked
	Updates   int           // records accepted
	ATLines   int           // sent between servers
	Faults    int
	Handovers int // of all records to a neighbor by a server that stopped
	Crowds    int // see crowd
	Published int // records that the bucket had to have, by checkPublished
	Asked     int // WHATSATs that only the bucket could answer, by checkAsks
	// Unanswered counts crashes of a server whose bridge had put records and was not told so yet, while the other bridge
	// of its herd had a session.
	Unanswered int
	Restored   int            // records that a herd had to get back from the bucket, by restoreCell
	Ahead      int            // records published while a pass was reading
	Traced     map[string]int // servers in the trees of traced updates, by outcome
	Events     []string       // faults and other events, for reading
}

// Failure is a violated rule.
type Failure struct {
	Seed    uint64
	At      time.Duration // virtual time
	Checker string        // see the package's documentation
	What    string
	Test    string // that runs the seed again
}

// Error implements error. It ends with the command that runs the seed again.
func (f *Failure) Error() string {
	return fmt.Sprintf("seed %d at %v: %s: %s\n\tgo test ./herd/sim -run '%s$' -seed %d -v",
		f.Seed, f.At, f.Checker, f.What, f.Test, f.Seed)
}

// Once all faults have ended, links are live within liveWithin, and then all servers are equal within equalWithin. Damage
// must first be detected by a MARK, which is sent every 5 seconds.
const (
	liveWithin     = 9 * time.Second
	equalWithin    = 2 * time.Second
	repairedWithin = 30 * time.Second
)

// world is the state of one run. One goroutine.
type world struct {
	net       *memreactor.World
	rand      *rand.Rand // net's
	cfg       *config.Config
	topology  topology
	hosts     []*host
	byName    map[string]*host
	model     *model
	processes map[uint64]*host // all processes so far, by epoch
	touched   []*host          // those whose stores may have changed since the last check
	stopping  []*host          // those that are stopping in good order
	change    *change          // nil: herd.toml does not change
	bucket    *bucket          // that the cells share; nil: there is one herd
	cells     []*cell          // the two herds; none: there is one
	tokens    *access.Tokens   // nil: clients need none
	result    Result
	failure   *Failure
	observer  *rand.Rand // of traces

	ids     []string      // of clients
	lookup  time.Duration // duration of a places lookup
	pace    time.Duration // the mean time between faults
	busy    bool          // first phase: clients send, faults happen
	crowds  int           // number of crowds that may still come
	damaged bool          // a server's state was damaged by repair
	narrow  bool          // connections have small windows
	breaks  int           // number of copies still to be reset

	duplicates     []*duplicate
	duplicatePairs map[[2]uint64]bool // epochs of a server and of the neighbor that a duplicate of it dialed
	duplicateStays bool               // one of the duplicates stays
	buf            []byte
}

// Run runs the herd that seed determines. Its error is a *Failure.
func Run(seed uint64) (Result, error) { return newWorld(seed, drawTopology).run() }

func (w *world) run() (result Result, err error) {
	defer func() {
		if p := recover(); p != nil {
			w.fail("panic", "%v\n%s", p, debug.Stack())
		}
		result = w.result
		result.Simulated, result.Trace = w.net.Elapsed(), w.net.Trace()
		if w.failure != nil {
			err = w.failure
		}
	}()
	w.faultPhase()
	w.heal()
	w.checkPhase()
	return
}

// newWorld draws everything that is decided before the first event.
func newWorld(seed uint64, draw func(*rand.Rand) topology) *world {
	chance := rand.New(rand.NewPCG(seed, 1))
	w := &world{topology: draw(chance), processes: map[uint64]*host{}, observer: newObserver(seed), byName: map[string]*host{},
		duplicatePairs: map[[2]uint64]bool{}}
	o := memreactor.Options{MinDelay: time.Duration(chance.IntN(1000)) * time.Microsecond}
	o.MaxDelay = o.MinDelay + time.Duration(chance.IntN(20_000))*time.Microsecond
	if chance.IntN(8) == 0 {
		o.Chop = 1 << chance.IntN(10) // down to single bytes, which is slow
	}
	switch {
	case len(w.topology.servers) < 8 && chance.IntN(6) == 0:
		w.crowds = 3
	case chance.IntN(4) == 0:
		o.Window = 1 << (9 + chance.IntN(9))
		w.narrow = true
	}
	w.net = memreactor.NewWorld(seed, o)
	w.rand = w.net.Rand()
	w.result.Traced = map[string]int{}
	w.result.Seed, w.result.Topology = seed, w.topology.name
	w.model = newModel(len(w.topology.servers))
	w.ids = clientIDs(16 + w.rand.IntN(300))
	w.lookup = w.span(0, 300*time.Millisecond)
	w.pace = w.span(500*time.Millisecond, 4*time.Second)
	w.configure()
	w.requireTokens()
	if w.topology.cells == 0 {
		w.planChange()
	} else {
		w.shareBucket()
	}
	if w.change != nil {
		w.result.Topology += w.change.String()
	}
	return w
}

// span draws a duration.
func (w *world) span(least, most time.Duration) time.Duration {
	return least + time.Duration(w.rand.Int64N(int64(most-least)+1))
}

// fail records the first violated rule, which ends the run.
func (w *world) fail(checker, format string, args ...any) {
	if w.failure == nil {
		w.failure = &Failure{w.result.Seed, w.net.Elapsed(), checker, fmt.Sprintf(format, args...), "TestSeeds"}
		if w.bucket != nil {
			w.failure.Test = "TestCells"
		}
	}
}

// until runs events and checkers until holds returns true. It is called only every 20 ms, because it takes longer than
// most events.
func (w *world) until(limit time.Duration, holds func() bool) bool {
	const every = 20 * time.Millisecond
	held, next := false, w.net.Elapsed()
	w.net.RunUntil(limit, func() bool {
		w.checkTouched()
		if now := w.net.Elapsed(); now >= next {
			next = now + every
			held = holds()
		}
		return held || w.failure != nil
	})
	return held || w.failure != nil || holds()
}

// pass runs events and checkers for d.
func (w *world) pass(d time.Duration) {
	w.net.RunUntil(d, func() bool {
		w.checkTouched()
		return w.failure != nil
	})
}

// checkTouched runs the checkers after every event.
func (w *world) checkTouched() {
	for _, h := range w.touched {
		h.touched = false
		h.follow()
	}
	w.touched = w.touched[:0]
	if len(w.stopping) > 0 {
		w.checkStops()
	}
}

// faultPhase is the first phase.
func (w *world) faultPhase() {
	for _, h := range w.hosts {
		if !h.absent {
			h.start()
		}
	}
	w.busy = true
	w.after(w.span(0, 20*time.Second), w.beginChange)
	for _, h := range w.hosts {
		w.after(w.span(0, 2*time.Second), h.burst)
	}
	w.after(w.span(0, 3*w.pace), w.injectFault)
	w.after(time.Second, w.inspect)
	w.pass(w.span(20*time.Second, 40*time.Second))
}

// heal ends all faults: all servers run, everything is connected, no clock jumps.
func (w *world) heal() {
	w.busy, w.breaks = false, 0
	if w.bucket != nil {
		w.bucket.heal()
	}
	for _, p := range w.duplicates {
		if !p.done && !p.stays {
			p.leave()
		}
	}
	w.net.HealAll()
	w.log("heal")
	healed := w.until(5*time.Minute, func() bool {
		all := true
		for _, h := range w.hosts {
			if h.gone() && !h.absent {
				h.start()
			}
			all = all && !h.stopping
		}
		return all && w.endChange()
	})
	if !healed {
		w.fail("links", "not all servers have been restarted:%s", w.describe())
	}
}

// describe returns the state of all servers in a few lines.
func (w *world) describe() string {
	var b strings.Builder
	for _, h := range w.hosts {
		if h.server == nil {
			fmt.Fprintf(&b, "\n\t%s is down", h.self.Name)
			continue
		}
		s := h.server.Status()
		fmt.Fprintf(&b, "\n\t%s %d records %s tail %d:", s.Server, s.Records, s.Digest, s.Tail)
		for _, l := range s.Links {
			fmt.Fprintf(&b, " %s %s (%s) acked %d recv %v heard %d %s;", l.Neighbor, l.State, l.Error,
				l.Acknowledged, l.Receiving, l.Heard, l.Agreement)
		}
		if s.Bridge != nil {
			fmt.Fprintf(&b, " bridge %+v;", *s.Bridge)
		}
	}
	return b.String()
}
