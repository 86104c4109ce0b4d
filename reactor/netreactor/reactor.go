package netreactor

import (
	"sync"
	"time"

	"serverherd/reactor"
	"serverherd/reactor/sockets"
)

// Mode selects how goroutines run calls on the loop.
type Mode int

const (
	// Goroutines uses a mutex.
	Goroutines Mode = iota
	// Owner uses one goroutine that owns the state.
	Owner
)

// String returns the mode's name.
func (m Mode) String() string { return [...]string{"goroutines", "owner"}[m] }

// Options configure a Reactor. The zero value is suitable for a server.
type Options struct {
	Mode Mode
	// Workers is the maximum number of goroutines of CallInThread; zero means 128.
	Workers int
	// Log is called with errors such as those of accept. Nil drops them. Any goroutine may call it.
	Log func(message string)
	// OnSlowTurn is called on the loop, at most once a second, with what took 50 ms or more.
	OnSlowTurn func(what string, d time.Duration)
}

// Reactor is a reactor with a goroutine per connection. Loop only, except for CallFromThread, Run and Stop.
type Reactor struct {
	reactor.Loop
	sockets.Gate
	opts    Options
	began   time.Time
	workers *reactor.Workers
	loop    loop
	wakeup  chan struct{} // holds one token if a turn was requested
	timer   *time.Timer   // requests a turn at armed
	armed   time.Duration
	foreign []*socket // written to during an event of another connection

	serving sync.WaitGroup // goroutines of connections
	gone    chan struct{}  // closed when the last of these goroutines has ended
}

var _ reactor.Reactor = (*Reactor)(nil)

const disarmed = time.Duration(-1)

// New returns a reactor that is not running yet.
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

// turn takes a turn. On the loop.
func (r *Reactor) turn() {
	if r.Elapsed() >= r.armed {
		r.armed = disarmed
	}
	r.Turn()
}

// Run implements reactor.Reactor. It returns when Stop has completed and the last goroutine has ended.
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
	r.WaitStreams()
	r.timer.Stop()
	r.workers.Stop()
	r.serving.Wait()
	close(r.gone)
	<-ended
	return nil
}
