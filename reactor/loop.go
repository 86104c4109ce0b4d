package reactor

import (
	"math"
	"time"
)

// Engine is what an engine supplies to its Loop: a clock, two ways of asking for a turn, and the
// last step of stopping.
type Engine interface {
	// Elapsed is the monotonic time since some fixed moment. Any goroutine.
	Elapsed() time.Duration
	// Wake makes the engine call Turn soon. Any goroutine; it must neither block nor call Turn.
	Wake()
	// WakeAt makes the engine call Turn when Elapsed reaches at. Loop only; a later call replaces
	// an earlier one, and a turn too many does no harm.
	WakeAt(at time.Duration)
	// Shutdown is called once when every BeforeShutdown function is done. The engine then closes
	// its listeners, calls CloseAll and Seal, and returns from Run. Loop only.
	Shutdown()
}

// Loop is what all engines share: posted and delayed calls, turns, connections and the shutdown
// sequence. An engine embeds it and so has these methods of Reactor; Turn, Accept, CloseAll and
// Seal are the engine's to call. Loop only, but for CallFromThread and Stop.
type Loop struct {
	engine  Engine
	queue   queue
	timers  timers
	soon    []func() // CallSoon's, in order
	soonRun []func() // the list being run, for reuse
	first   []*Conn  // connections that are to proceed, of those with priority
	fresh   []*Conn  // likewise, of those that have just begun to wait with input
	ready   []*Conn  // likewise, of the others: with held input to deliver or a Producer to call
	dirty   []*Conn  // connections with something to write or to close
	conns   []*Conn  // all of them, closing ones included
	buffers buffers

	memory  int // of all connections, see Conn.count
	alarmAt int // MemoryAlarm's, or the greatest int
	onAlarm func()

	current *Conn         // the connection whose event is being handled
	now     time.Duration // when the event or call at hand began
	wall    time.Time     // the same, as told by a calendar, if somebody has asked
	wallAt  time.Duration // the now of which wall is
	busy    time.Duration // that events have taken since the last turn
	limited bool          // LimitEvents
	inTurn  bool
	awake   bool // the engine has been asked for a turn
	stats   Stats
	slow    slowTurns

	before   []func(done func())
	pending  int // BeforeShutdown functions that are not done, plus one while they are started
	stopping bool
	closed   bool // CloseAll has been called
}

// Init makes the zero Loop ready. onSlowTurn may be nil.
func (l *Loop) Init(e Engine, onSlowTurn func(what string, d time.Duration)) {
	l.engine = e
	l.alarmAt = math.MaxInt
	l.slow.report = onSlowTurn
	l.slow.last = math.MinInt64 / 2
	l.queue.wake = e.Wake
	l.queue.elapsed = e.Elapsed
}

// TurnShare bounds how long events are handled between two turns before further input has to wait.
// A turn delivers what waits for half of it, to connections that have just begun to wait, and for as
// long to the others.
const TurnShare = 8 * time.Millisecond

// LimitEvents makes input wait for the turn once the events since the last one have taken TurnShare.
// It is for engines that handle many sockets' events in a row before they take a turn: those who send
// little are served between any two turns, whatever the others have sent.
func (l *Loop) LimitEvents() { l.limited = true }

// late reports whether input has to wait.
func (l *Loop) late() bool { return l.limited && l.busy >= TurnShare }

// Time is when the event or call at hand began, by an engine's clock, which is asked once for all
// who want to know: every line of a chunk does, for its reply and for the log.
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

// wake asks for a turn, once; at the end of a turn that is looked after anyway.
func (l *Loop) wake() {
	if !l.awake && !l.inTurn {
		l.awake = true
		l.engine.Wake()
	}
}

// Turn runs what is waiting: posted calls, delayed calls that are due, held input, CallSoon's
// calls, and then everything that they wrote, one write per connection. The engine calls it after
// a batch of socket events whenever it was asked to.
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
	if len(calls) > 0 && l.stats.Turns > 1 { // before the first turn there was no loop to lag
		l.lagged(l.now - since)
	}
	for _, f := range calls {
		f()
		l.ran("posted call", f)
	}
	l.queue.giveBack(calls)
}

func (l *Loop) runTimers() {
	for _, d := range l.timers.take(l.now) {
		if d.index != due { // canceled or reset by a call of this pass
			continue
		}
		f := d.f
		d.index, d.f = notWaiting, nil
		f()
		l.ran("delayed call", f)
	}
	clear(l.timers.due)
}

// runReady has connections proceed: those with priority once, the fresh ones once, the others round
// after round. The latter two are at least one each and stop when their share of the turn is used up.
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
		l.ran("call soon", f)
	}
	clear(l.soonRun)
}

// flush writes and closes. A ConnectionLost may write to other connections, so the list can grow
// on the way; each connection is lost once, so it ends.
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
		// Not at once: a Protocol may be at work, and its connection must not end beneath it.
		l.CallSoon(l.engine.Shutdown)
	}
}

// CloseAll closes every connection, the last step on the loop: those that had only their goodbye
// to wait for end in good order, the others with ErrConnectionAborted. No connection can be made
// afterwards.
func (l *Loop) CloseAll() {
	l.closed = true
	for len(l.conns) > 0 {
		c := l.conns[len(l.conns)-1]
		if c.saidGoodbye {
			c.lose(ErrConnectionDone, false)
		} else {
			c.lose(ErrConnectionAborted, c.Backlog() > 0)
		}
	}
}

// Seal drops what is queued and everything posted later: after it, Wake is not called again by
// another goroutine. Any goroutine.
func (l *Loop) Seal() { l.queue.stop() }
