package reactor

import (
	"reflect"
	"runtime"
	"time"
)

// SlowTurn is the duration of one event or call from which on it is reported; alarmEvery is the minimum interval of
// such reports.
const (
	SlowTurn   = 50 * time.Millisecond
	alarmEvery = time.Second
)

// Stats are the statistics of a loop. A copy may be used by any goroutine; Loop.Stats is loop only.
type Stats struct {
	Connections int           // open ones, including closing and half-closed ones
	Posted      int           // posted calls that are waiting
	Turns       uint64        // turns so far
	BytesIn     uint64        // delivered to Protocols or discarded, without what TLS adds
	BytesOut    uint64        // taken by the kernel
	LastLag     time.Duration // wait of the oldest posted call of the last list
	MaxLag      time.Duration // the longest such wait
	Lags        Histogram     // of these waits
	Work        Histogram     // single events and calls, without the writes at the end of a turn
	Slowest     time.Duration // the longest single event or call
	SlowTurns   uint64        // events and waits of SlowTurn or more; calls only if onSlowTurn is set
	InputWaits  uint64        // chunks of input that had to wait for a turn, see LimitEvents
	Unaccepted  uint64        // connections that could not be accepted, for example for lack of descriptors
}

// Stats returns the current statistics.
func (l *Loop) Stats() Stats {
	s := l.stats
	s.Connections = len(l.conns)
	s.Posted = l.queue.length()
	return s
}

// AcceptFailed counts a connection that the engine could not accept or pass to the loop.
func (l *Loop) AcceptFailed() { l.stats.Unaccepted++ }

// slowTurns reports events and calls that block the loop for too long.
type slowTurns struct {
	report func(what string, d time.Duration)
	last   time.Duration // when report was last called
}

// recordLag records how long the oldest posted call has waited.
func (l *Loop) recordLag(lag time.Duration) {
	s := &l.stats
	s.LastLag = lag
	s.MaxLag = max(s.MaxLag, lag)
	s.Lags.Record(lag)
	if lag >= SlowTurn {
		l.alarm("posted calls waiting for a batch of events", lag)
	}
}

// callDone is called after each call that the loop made. If the call was slow, f is named in the report. The end of one
// call is the beginning of the next.
func (l *Loop) callDone(what string, f func()) {
	if d := l.lap(); d >= SlowTurn && l.slow.report != nil {
		if fn := runtime.FuncForPC(reflect.ValueOf(f).Pointer()); fn != nil {
			what += " " + fn.Name()
		}
		l.alarm(what, d)
	}
}

// eventDone is called after each event of a connection.
func (l *Loop) eventDone(what string, c *Conn) {
	d := l.lap()
	if l.busy += d; l.limited && l.busy >= TurnShare/8 {
		l.wake() // a turn before input has to wait saves a copy of that input
	}
	if d >= SlowTurn {
		l.alarm(what+" "+c.peer, d)
	}
}

func (l *Loop) lap() time.Duration {
	end := l.engine.Elapsed()
	d := end - l.now
	l.now = end
	l.stats.Slowest = max(l.stats.Slowest, d)
	l.stats.Work.Record(d)
	return d
}

func (l *Loop) alarm(what string, d time.Duration) {
	l.stats.SlowTurns++
	if l.slow.report != nil && l.now-l.slow.last >= alarmEvery {
		l.slow.last = l.now
		l.slow.report(what, d)
	}
}
