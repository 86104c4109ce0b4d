package reactor

import (
	"math/bits"
	"reflect"
	"runtime"
	"time"
)

// SlowTurn is how long one event or call may take before it is worth an alarm; alarmEvery bounds
// how often there is one.
const (
	SlowTurn   = 50 * time.Millisecond
	alarmEvery = time.Second
)

// Stats are figures about a loop. A copy is anyone's; Loop.Stats is loop only.
type Stats struct {
	Connections int           // open ones, closing and half-closed ones included
	Posted      int           // posted calls that wait
	Turns       uint64        // turns so far
	BytesIn     uint64        // handed to Protocols or discarded
	BytesOut    uint64        // taken by the kernel
	LastLag     time.Duration // how long the oldest posted call of the last list had waited
	MaxLag      time.Duration // the longest such wait
	Lags        [32]uint64    // how many waits took less than 1, 2, 4, ... microseconds
	Slowest     time.Duration // the longest single event or call
	SlowTurns   uint64        // events, calls and such waits of SlowTurn or more
	InputWaits  uint64        // chunks of input that waited for a turn, so that others had theirs
	Unaccepted  uint64        // connections that could not be, for want of descriptors or so
}

// Stats returns the figures of this moment.
func (l *Loop) Stats() Stats {
	s := l.stats
	s.Connections = len(l.conns)
	s.Posted = l.queue.length()
	return s
}

// AcceptFailed counts a connection that the engine could not accept, or could not hand to the loop.
func (l *Loop) AcceptFailed() { l.stats.Unaccepted++ }

// LagQuantile returns a bound, a power of two in microseconds, below which the given part of all
// waits of posted calls stayed: LagQuantile(0.99). Zero if there were none.
func (s *Stats) LagQuantile(q float64) time.Duration {
	var all, seen uint64
	for _, n := range s.Lags {
		all += n
	}
	for i, n := range s.Lags {
		if seen += n; all > 0 && float64(seen) >= q*float64(all) {
			return time.Microsecond << i
		}
	}
	return 0
}

// slowTurns raises the alarm when something keeps the loop.
type slowTurns struct {
	report func(what string, d time.Duration)
	last   time.Duration // when the alarm was raised last
}

// lagged counts a wait in the queue.
func (l *Loop) lagged(lag time.Duration) {
	s := &l.stats
	s.LastLag = lag
	s.MaxLag = max(s.MaxLag, lag)
	s.Lags[min(bits.Len64(uint64(max(lag, 0)/time.Microsecond)), len(s.Lags)-1)]++
	if lag >= SlowTurn {
		l.alarm("posted calls waiting for a batch of events", lag)
	}
}

// ran is called after each call that the loop made; f names the culprit if it took long. The end
// of one call is the beginning of the next.
func (l *Loop) ran(what string, f func()) {
	if d := l.took(); d >= SlowTurn && l.slow.report != nil {
		if fn := runtime.FuncForPC(reflect.ValueOf(f).Pointer()); fn != nil {
			what += " " + fn.Name()
		}
		l.alarm(what, d)
	}
}

// handled is called after each event of a connection.
func (l *Loop) handled(what string, c *Conn) {
	d := l.took()
	if l.busy += d; l.limited && l.busy >= TurnShare/8 {
		l.wake() // mostly the turn comes before input has to wait, which costs a copy
	}
	if d >= SlowTurn {
		l.alarm(what+" "+c.peer, d)
	}
}

func (l *Loop) took() time.Duration {
	end := l.engine.Elapsed()
	d := end - l.now
	l.now = end
	l.stats.Slowest = max(l.stats.Slowest, d)
	return d
}

func (l *Loop) alarm(what string, d time.Duration) {
	l.stats.SlowTurns++
	if l.slow.report != nil && l.now-l.slow.last >= alarmEvery {
		l.slow.last = l.now
		l.slow.report(what, d)
	}
}
