package reactor

import (
	"math"
	"time"
)

// Engine is what an engine supplies to its Loop: a clock, two ways to request a turn, and the last step of stopping.
type Engine interface {
	// Elapsed returns the monotonic time since some fixed moment. Any goroutine.
	Elapsed() time.Duration
	// Wake makes the engine call Turn soon. It must neither block nor call Turn itself. Any goroutine.
	Wake()
	// WakeAt makes the engine call Turn when Elapsed reaches at. A later call replaces an earlier one. An
	// unnecessary turn does no harm. Loop only.
	WakeAt(at time.Duration)
	// Shutdown is called once when every BeforeShutdown function is done. The engine then closes its listeners,
	// calls CloseAll and Seal, and returns from Run. Loop only.
	Shutdown()
}

// Loop is what all engines share: posted and delayed calls, turns, connections and the shutdown sequence. An engine
// embeds it, which gives it these methods of Reactor. Turn, Accept, CloseAll and Seal are for the engine. Loop only,
// except for CallFromThread, Stop and Seal.
type Loop struct {
	engine  Engine
	queue   queue
	timers  timers
	soon    []func() // CallSoon's, in order
	soonRun []func() // the list being run, for reuse
	first   []*Conn  // connections on which proceed is to be called: those with priority
	fresh   []*Conn  // likewise: those whose input has just begun to wait
	ready   []*Conn  // likewise: those with held input to deliver or a Producer to call
	dirty   []*Conn  // connections with something to write or to close
	conns   []*Conn  // all connections, including closing ones
	buffers buffers

	memory  int // of all connections, see Conn.count
	alarmAt int // set by MemoryAlarm, or MaxInt
	onAlarm func()

	current *Conn         // the connection whose event is being handled
	now     time.Duration // when the current event or call began
	wall    time.Time     // the same as wall time, if somebody has asked
	wallAt  time.Duration // the value of now that belongs to wall
	busy    time.Duration // spent in events since the last turn
	limited bool          // LimitEvents
	inTurn  bool
	awake   bool // a turn was requested
	stats   Stats
	slow    slowTurns

	before   []func(done func())
	pending  int // BeforeShutdown functions that are not done, plus one while they are being started
	stopping bool
	closed   bool // CloseAll has been called
}

// Init initializes the zero Loop. onSlowTurn may be nil.
func (l *Loop) Init(e Engine, onSlowTurn func(what string, d time.Duration)) {
	l.engine = e
	l.alarmAt = math.MaxInt
	l.slow.report = onSlowTurn
	l.slow.last = math.MinInt64 / 2
	l.queue.wake = e.Wake
	l.queue.elapsed = e.Elapsed
}

// TurnShare limits the time spent in events between two turns: after it, further input has to wait. In a turn, input
// is delivered for half of it to connections that have just begun to wait, and for the other half to the others.
const TurnShare = 8 * time.Millisecond

// LimitEvents makes input wait for the turn once the events since the last one have taken TurnShare. It is for engines
// that handle events of many sockets in a row before they take a turn: connections that send little are then served
// between any two turns, whatever the others send.
func (l *Loop) LimitEvents() { l.limited = true }

// overShare reports whether further input has to wait.
func (l *Loop) overShare() bool { return l.limited && l.busy >= TurnShare }

// Time returns when the current event or call began, by an engine's clock. The clock is read at most once per event:
// every line of a chunk needs the time, for its reply and for the log.
func (l *Loop) Time(clock func() time.Time) time.Time {
	if l.stats.Turns == 0 { // the loop does not run yet
		return clock()
	}
	if l.wallAt != l.now || l.wall.IsZero() {
		l.wall, l.wallAt = clock(), l.now
	}
	return l.wall
}

// CallFromThread implements Reactor.
func (l *Loop) CallFromThread(f func()) { l.queue.post(f) }

// CallSoon implements Reactor.
func (l *Loop) CallSoon(f func()) {
	l.soon = append(l.soon, f)
	l.wake()
}

// CallLater implements Clock. A negative d is zero.
func (l *Loop) CallLater(d time.Duration, f func()) *DelayedCall {
	c := &DelayedCall{loop: l, f: f, index: notWaiting}
	l.schedule(c, d)
	return c
}

// Elapsed implements Clock.
func (l *Loop) Elapsed() time.Duration { return l.engine.Elapsed() }

func (l *Loop) schedule(d *DelayedCall, delay time.Duration) {
	d.at = l.engine.Elapsed() + max(delay, 0)
	l.timers.add(d)
	if d.index == 0 && !l.inTurn {
		l.engine.WakeAt(d.at)
	}
}

// wake requests a turn, once. Within a turn it does nothing: the end of Turn checks whether another one is needed.
func (l *Loop) wake() {
	if !l.awake && !l.inTurn {
		l.awake = true
		l.engine.Wake()
	}
}

// Turn runs posted calls, delayed calls that are due, held input and CallSoon's calls, and then sends all that they
// wrote, one write per connection. The engine calls it after a batch of socket events if a turn was requested.
func (l *Loop) Turn() {
	l.inTurn, l.awake = true, false
	l.stats.Turns++
	l.now = l.engine.Elapsed()
	l.runPosted()
	l.runTimers()
	l.runReady()
	l.runSoon()
	l.flush()
	l.inTurn, l.busy = false, 0
	if at, ok := l.timers.next(); ok {
		l.engine.WakeAt(at)
	}
	if len(l.soon) > 0 || len(l.first) > 0 || len(l.fresh) > 0 || len(l.ready) > 0 || len(l.dirty) > 0 {
		l.wake()
	}
}

func (l *Loop) runPosted() {
	calls, since := l.queue.take()
	if len(calls) > 0 && l.stats.Turns > 1 { // the first turn includes the time before Run
		l.recordLag(l.now - since)
	}
	for _, f := range calls {
		f()
		l.callDone("posted call", f)
	}
	l.queue.recycle(calls)
}

func (l *Loop) runTimers() {
	for _, d := range l.timers.take(l.now) {
		if d.index != due { // canceled or reset by an earlier call of this pass
			continue
		}
		f := d.f
		d.index, d.f = notWaiting, nil
		f()
		l.callDone("delayed call", f)
	}
	clear(l.timers.due)
}

// runReady calls proceed: once on all connections with priority, once on fresh ones, and round robin on the others. The
// latter two lists are served until their share of the turn is used up, but at least one connection each.
func (l *Loop) runReady() {
	n := len(l.first)
	for _, c := range l.first[:n] {
		c.proceed()
	}
	l.first = remove(l.first, n)
	done, n, until := 0, len(l.fresh), l.now+TurnShare/2
	for ; done < n && l.now < until; done++ {
		l.fresh[done].proceed()
	}
	l.fresh = remove(l.fresh, done)
	done, until = 0, l.now+TurnShare/2
	for ; done < len(l.ready) && l.now < until; done++ {
		l.ready[done].proceed()
	}
	l.ready = remove(l.ready, done)
}

// remove removes the first n of list.
func remove(list []*Conn, n int) []*Conn {
	rest := copy(list, list[n:])
	clear(list[rest:])
	return list[:rest]
}

func (l *Loop) runSoon() {
	l.soon, l.soonRun = l.soonRun[:0], l.soon
	for _, f := range l.soonRun {
		f()
		l.callDone("call soon", f)
	}
	clear(l.soonRun)
}

// flush writes and closes. ConnectionLost may write to other connections, so the list can grow meanwhile. It
// terminates because each connection is lost only once.
func (l *Loop) flush() {
	for i := 0; i < len(l.dirty); i++ {
		c := l.dirty[i]
		l.dirty[i] = nil
		c.flush()
	}
	l.dirty = l.dirty[:0]
}

// Memory implements Reactor.
func (l *Loop) Memory() int { return l.memory }

// MemoryAlarm implements Reactor.
func (l *Loop) MemoryAlarm(n int, f func()) {
	l.alarmAt, l.onAlarm = n, f
	if l.memory > n {
		l.memoryAlarm()
	}
}

func (l *Loop) memoryAlarm() {
	l.alarmAt = math.MaxInt
	l.CallSoon(l.onAlarm)
}

// BeforeShutdown implements Reactor.
func (l *Loop) BeforeShutdown(f func(done func())) { l.before = append(l.before, f) }

// Stop implements Reactor.
func (l *Loop) Stop() { l.CallFromThread(l.shutdown) }

func (l *Loop) shutdown() {
	if l.stopping {
		return
	}
	l.stopping = true
	l.pending = len(l.before) + 1
	for _, f := range l.before {
		called := false
		f(func() {
			if !called {
				called = true
				l.shutdownDone()
			}
		})
	}
	l.shutdownDone()
}

func (l *Loop) shutdownDone() {
	if l.pending--; l.pending == 0 {
		// Not at once: a Protocol may be running, and its connection must not be closed during its call.
		l.CallSoon(l.engine.Shutdown)
	}
}

// CloseAll closes every connection as the last step on the loop: those in state writeClosed cleanly, the others with
// ErrConnectionAborted. No connection can be accepted afterwards.
func (l *Loop) CloseAll() {
	l.closed = true
	for len(l.conns) > 0 {
		c := l.conns[len(l.conns)-1]
		if c.writeClosed {
			c.lose(ErrConnectionDone, false)
		} else {
			c.lose(ErrConnectionAborted, c.Backlog() > 0)
		}
	}
}

// Seal drops queued calls and all calls posted later. After it has returned, no other goroutine calls Wake. Any
// goroutine.
func (l *Loop) Seal() { l.queue.stop() }
