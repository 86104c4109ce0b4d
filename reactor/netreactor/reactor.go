package netreactor

import (
	"sync"
	"time"

	"serverherd/reactor"
	"serverherd/reactor/sockets"
)

// Mode is how goroutines come onto the loop.
type Mode int

const (
	// Goroutines shares the state under a mutex.
	Goroutines Mode = iota
	// Owner leaves it to one goroutine.
	Owner
)

// String is the mode's name for users.
func (m Mode) String() string { return [...]string{"goroutines", "owner"}[m] }

// Options tune a Reactor. The zero value is right for a server.
type Options struct {
	Mode Mode
	// Workers bounds the goroutines of CallInThread; zero means 128.
	Workers int
	// Log is told what goes wrong beneath the program, such as accept errors. Any goroutine may
	// call it. Nil drops it.
	Log func(message string)
	// OnSlowTurn is told, on the loop and at most once a second, what kept the loop for 50 ms or
	// more.
	OnSlowTurn func(what string, d time.Duration)
}

// Reactor is a reactor with a goroutine for each connection. Loop only, but for CallFromThread, Run
// and Stop.
type Reactor struct {
	reactor.Loop
	sockets.Gate
	opts    Options
	began   time.Time
	workers *reactor.Workers
	loop    loop
	wakeup  chan struct{} // holds one token: a turn is wanted
	timer   *time.Timer   // asks for a turn at armed
	armed   time.Duration
	foreign []*socket // written to in the event at hand, which is another's

	serving sync.WaitGroup // goroutines of connections
	gone    chan struct{}  // closed when the last of them has ended
}

var _ reactor.Reactor = (*Reactor)(nil)

const disarmed = time.Duration(-1)

// New returns a reactor to be run.
func New(opts Options) *Reactor {
	if opts.Workers <= 0 {
		opts.Workers = 128
	}
	if opts.Log == nil {
		opts.Log = func(string) {}
	}
	r := &Reactor{
		opts:    opts,
		began:   time.Now(),
		workers: reactor.NewWorkers(opts.Workers),
		wakeup:  make(chan struct{}, 1),
		armed:   disarmed,
		gone:    make(chan struct{}),
	}
	r.timer = time.AfterFunc(time.Hour, r.Wake)
	r.timer.Stop()
	if opts.Mode == Owner {
		r.loop = &owner{r: r, events: make(chan *event, maxBatch)}
	} else {
		r.loop = &mutex{r: r}
	}
	r.Loop.Init(r, opts.OnSlowTurn)
	r.Gate.Init(&r.Loop, sockets.Options{Take: r.take, Log: opts.Log})
	return r
}

// Now implements reactor.Clock.
func (r *Reactor) Now() time.Time { return r.Time(time.Now) }

// CallInThread implements reactor.Reactor.
func (r *Reactor) CallInThread(f func()) { r.workers.Start(f) }

// Elapsed implements reactor.Engine.
func (r *Reactor) Elapsed() time.Duration { return time.Since(r.began) }

// Wake implements reactor.Engine.
func (r *Reactor) Wake() {
	select {
	case r.wakeup <- struct{}{}:
	default:
	}
}

// WakeAt implements reactor.Engine.
func (r *Reactor) WakeAt(at time.Duration) {
	if at != r.armed {
		r.armed = at
		r.timer.Reset(at - r.Elapsed())
	}
}

// turn is a turn. On the loop.
func (r *Reactor) turn() {
	if r.Elapsed() >= r.armed {
		r.armed = disarmed
	}
	r.Turn()
}

// Run implements reactor.Reactor: it returns when Stop has completed and the last goroutine has gone.
func (r *Reactor) Run() error {
	ended := make(chan struct{})
	go func() {
		r.loop.run()
		close(ended)
	}()
	r.Wake()
	r.Wait()
	closed := make(chan struct{})
	r.CallFromThread(func() {
		r.CloseAll()
		close(closed)
	})
	<-closed
	r.Seal()
	r.timer.Stop()
	r.workers.Stop()
	r.serving.Wait()
	close(r.gone)
	<-ended
	return nil
}
