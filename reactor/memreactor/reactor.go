package memreactor

import (
	"errors"
	"fmt"
	"time"

	"serverherd/reactor"
)

// Errors of a dial and of a lost connection, with the kernel's texts.
var (
	ErrRefused = errors.New("connection refused")
	ErrTimeout = errors.New("connection timed out")
	ErrReset   = errors.New("connection reset by peer")
)

// Reactor is one reactor of a World: one server process. It runs while the World is run. Run is only for programs that
// need it.
type Reactor struct {
	reactor.Loop
	world  *World
	host   string
	offset time.Duration // of its clock from the World's
	ends   []*end        // its connections, oldest first
	ports  []*Listener
	work   time.Duration // duration of a CallInThread

	timerAt  time.Duration // the earliest pending evTimer, or never
	woken    bool          // an evTurn is pending
	turning  bool          // in Turn
	paused   bool
	deferred []func() // calls deferred while paused
	// catchingUp delays turns after a pause until what the sockets hold has been read.
	catchingUp bool
	crashed    bool
	stopped    bool
}

// NewReactor adds a reactor on the named host. Several reactors may share a host, one after another: a restarted server
// keeps its name, and faults between hosts stay in effect.
func (w *World) NewReactor(host string) *Reactor {
	r := &Reactor{world: w, host: host, timerAt: never}
	r.Init((*engine)(r), nil)
	w.reactors = append(w.reactors, r)
	return r
}

// Now implements reactor.Clock: the time on this reactor's clock, without a monotonic part.
func (r *Reactor) Now() time.Time { return r.world.start.Add(r.world.now + r.offset) }

// SetClock sets how much this reactor's clock is ahead of the World's. Delayed calls are not affected.
func (r *Reactor) SetClock(ahead time.Duration) { r.offset = ahead }

// SetWork sets the virtual duration of each CallInThread; the default is none.
func (r *Reactor) SetWork(d time.Duration) { r.work = d }

// CallInThread implements reactor.Reactor: f runs as an event of its own, outside of the loop.
func (r *Reactor) CallInThread(f func()) {
	r.world.add(event{at: r.world.now + r.work, kind: evScript, f: func() {
		if !r.gone() {
			f()
		}
	}})
}

// Run implements reactor.Reactor: it runs the whole World until this reactor has stopped.
func (r *Reactor) Run() error {
	for !r.gone() {
		if !r.world.Step() {
			return fmt.Errorf("memreactor: deadlock: %s has not stopped and no event is pending", r.host)
		}
	}
	return nil
}

// Stopped reports whether Stop has completed, or the reactor has crashed.
func (r *Reactor) Stopped() bool { return r.gone() }

func (r *Reactor) gone() bool { return r.crashed || r.stopped }

// do calls f on the loop: later if the process is paused, never if it has ended.
func (r *Reactor) do(f func()) {
	switch {
	case r.gone():
	case r.paused:
		r.deferred = append(r.deferred, f)
	default:
		f()
	}
}

func (r *Reactor) turn() {
	if !r.gone() && !r.paused && !r.catchingUp {
		r.turning = true
		r.Turn()
		r.turning = false
	}
}

func (r *Reactor) timerDue(at time.Duration) {
	if at == r.timerAt {
		r.timerAt = never
		r.turn()
	}
}

// engine is the Reactor as the Engine of its Loop.
type engine Reactor

func (e *engine) Elapsed() time.Duration { return e.world.now }

// Wake schedules a turn: now, or a microsecond later if it is called in a turn. Otherwise time would not advance while a
// call posts itself again and again.
func (e *engine) Wake() {
	if !e.woken {
		e.woken = true
		at := e.world.now
		if e.turning {
			at += time.Microsecond
		}
		e.world.add(event{at: at, kind: evTurn, r: (*Reactor)(e)})
	}
}

// WakeAt keeps an earlier event: the turn that it causes will call WakeAt again.
func (e *engine) WakeAt(at time.Duration) {
	if at < e.timerAt {
		e.timerAt = at
		e.world.add(event{at: max(at, e.world.now), kind: evTimer, r: (*Reactor)(e)})
	}
}

func (e *engine) Shutdown() {
	r := (*Reactor)(e)
	for _, p := range r.ports {
		p.Close()
	}
	r.CloseAll()
	r.Seal()
	r.stopped = true
}

// Listener is an address at which a reactor accepts connections.
type Listener struct {
	r       *Reactor
	addr    string
	factory reactor.Factory // nil until ListenTCP: connections wait
	waiting []*end
	closed  bool
}

// Listen binds addr, host:port with any host name, to r. It panics if the address is in use; Bind returns an error
// instead.
func (r *Reactor) Listen(addr string) *Listener {
	l, err := r.Bind(addr)
	if err != nil {
		panic(err)
	}
	return l
}

// Bind binds addr to r.
func (r *Reactor) Bind(addr string) (*Listener, error) {
	if r.world.listeners[addr] != nil {
		return nil, fmt.Errorf("listen %s: address already in use", addr)
	}
	l := &Listener{r: r, addr: addr}
	r.world.listeners[addr] = l
	r.ports = append(r.ports, l)
	return l, nil
}

// Close releases the address. Accepted connections stay open.
func (l *Listener) Close() error {
	if !l.closed {
		l.closed = true
		delete(l.r.world.listeners, l.addr)
		for _, e := range l.waiting {
			e.Close(true)
		}
		l.waiting = nil
	}
	return nil
}

// Addr implements reactor.Port.
func (l *Listener) Addr() string { return l.addr }

// StopListening implements reactor.Port.
func (l *Listener) StopListening() { l.Close() }

// ListenTCP implements reactor.Reactor. The listener must belong to this reactor.
func (r *Reactor) ListenTCP(l reactor.Listener, f reactor.Factory) (reactor.Port, error) {
	own, ok := l.(*Listener)
	if !ok || own.r != r {
		return nil, fmt.Errorf("memreactor: %T is not a listener of %s", l, r.host)
	}
	if own.closed {
		return nil, fmt.Errorf("memreactor: listener %s is closed", own.addr)
	}
	own.factory = f
	waiting := own.waiting
	own.waiting = nil
	for _, e := range waiting {
		r.world.add(event{at: r.world.now, kind: evReactor, r: r, f: func() { own.accept(e) }})
	}
	return own, nil
}

// accept creates the Protocol for a new connection, or queues it until ListenTCP.
func (l *Listener) accept(e *end) {
	switch {
	case l.closed:
		e.Close(true)
	case l.factory == nil:
		l.waiting = append(l.waiting, e)
	default:
		e.accepted(l.factory)
	}
}

// ConnectTCP implements reactor.Reactor.
func (r *Reactor) ConnectTCP(addr string, timeout time.Duration, f reactor.ClientFactory) {
	e := r.world.newEnd(r.host, r.world.name(r.host), addr)
	e.r = r
	r.world.dial(e, addr, timeout, func(err error) {
		r.do(func() {
			t, secure := f.(TLSFactory)
			switch {
			case err != nil:
				f.ConnectionFailed(fmt.Errorf("dial %s: %w", addr, err))
			case secure:
				e.connected(t)
			default:
				e.accepted(f)
			}
		})
	})
}
