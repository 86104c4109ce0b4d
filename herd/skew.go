package herd

import (
	"time"

	"go.uber.org/zap"
)

// skewWindow is half of the time for which a measurement counts.
const skewWindow = 30 * time.Second

// skew is how far a neighbor's clock is ahead of ours, as its PINGs tell. The number of a PING is its
// sender's clock in microseconds, T. It arrives when ours says A, after a delay D that nobody knows:
//
//	neighbor's clock - our clock = T - A + D,   0 <= D <= R
//
// R is the round trip of a PING of ours. T - A is largest for the PING that was least delayed, so the
// largest and the shortest round trip of the last minute count. Example: T - A was -3 ms and then
// -1 ms, and R is 2 ms: the clock is between 1 ms behind and 1 ms ahead.
//
// A neighbor of an older version numbers its PINGs 1, 2, 3: its clock is unknown. Loop only.
type skew struct {
	now, before skewBounds
	since       time.Time // when now began
	wrong       bool      // the log has been told of it
}

// skewBounds are the best measurements of a skewWindow.
type skewBounds struct {
	ahead     time.Duration // the largest T - A
	roundTrip time.Duration // the shortest
	pings     bool          // ahead is known
	pongs     bool          // roundTrip is known
}

// firstClock is the least number of a PING that is taken for a clock: of 2001, in microseconds.
const firstClock = 1_000_000_000_000_000

// pinged takes the number of a PING that has come.
func (k *skew) pinged(n uint64, now time.Time) {
	k.turn(now)
	if n < firstClock || n >= 10*firstClock {
		return
	}
	if ahead := time.UnixMicro(int64(n)).Sub(now); !k.now.pings || ahead > k.now.ahead {
		k.now.ahead, k.now.pings = ahead, true
	}
}

// ponged takes the round trip of a PING of ours.
func (k *skew) ponged(roundTrip time.Duration, now time.Time) {
	k.turn(now)
	if roundTrip < 0 { // our own clock was set back
		return
	}
	if !k.now.pongs || roundTrip < k.now.roundTrip {
		k.now.roundTrip, k.now.pongs = roundTrip, true
	}
}

// turn begins a window when the one at hand is over, or our own clock has jumped out of it.
func (k *skew) turn(now time.Time) {
	if age := now.Sub(k.since); age >= skewWindow || age < 0 {
		k.before = k.now
		if age >= 2*skewWindow || age < 0 {
			k.before = skewBounds{}
		}
		k.now, k.since = skewBounds{}, now
	}
}

// bounds are the least and the most that the neighbor's clock is ahead; false if unknown.
func (k *skew) bounds() (least, most time.Duration, ok bool) {
	b := k.before
	if k.now.pings && (!b.pings || k.now.ahead > b.ahead) {
		b.ahead, b.pings = k.now.ahead, true
	}
	if k.now.pongs && (!b.pongs || k.now.roundTrip < b.roundTrip) {
		b.roundTrip, b.pongs = k.now.roundTrip, true
	}
	return b.ahead, b.ahead + b.roundTrip, b.pings && b.pongs
}

// offset is how far the neighbor's clock is ahead, and how far that may be off; false if unknown.
func (k *skew) offset() (ahead, uncertainty time.Duration, ok bool) {
	least, most, ok := k.bounds()
	return least + (most-least)/2, (most - least) / 2, ok
}

// clockPinged and clockPonged take what says something of the neighbor's clock, and tell the log when
// it becomes wrong, and when it is right again: by more than half of max_future, past which its
// clients' updates are refused here or ours there.
func (n *neighbor) clockPinged(number uint64) {
	n.skew.pinged(number, n.server.reactor.Now())
	n.judgeClock()
}

func (n *neighbor) clockPonged(roundTrip time.Duration) {
	n.skew.ponged(roundTrip, n.server.reactor.Now())
	n.judgeClock()
}

func (n *neighbor) judgeClock() {
	least, most, ok := n.skew.bounds()
	limit := n.server.cfg.Limits.MaxFuture / 2
	wrong := ok && (least > limit || most < -limit)
	if wrong == n.skew.wrong {
		return
	}
	n.skew.wrong = wrong
	ahead, uncertainty, _ := n.skew.offset()
	fields := []zap.Field{zap.String("neighbor", n.name), zap.Duration("ahead", ahead),
		zap.Duration("uncertainty", uncertainty)}
	if wrong {
		n.server.log.Warn("clocks differ", fields...)
	} else {
		n.server.log.Info("clocks agree", fields...)
	}
}
