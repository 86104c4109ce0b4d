package herd

import (
	"time"

	"go.uber.org/zap"
)

// skewWindow is half of the time for which a measurement counts.
const skewWindow = 30 * time.Second

// skew bounds how far a neighbor's clock is ahead of ours. The number of a PING is its sender's clock
// in microseconds. Example, on one connection; > is sent by us, and ours are t and A:
//
//	> PING t
//	< PONG t
//	< PING T        arrives at A
//
// The neighbor read its clock, T, after it had our PING, which was sent at t, and before A:
//
//	T - A <= neighbor's clock - our clock <= T - t
//
// Neither side of this depends on how long a line was on its way. The acceptor of a connection sends
// such a PING behind the PONG, so that A - t is the round trip of its dialer. The greatest lower and the
// least upper bound of the last minute count. If they contradict each other, a clock has been set (or
// the two do not keep the same rate), and the latest measurement counts alone.
//
// A neighbor of an older version numbers its PINGs 1, 2, 3: its clock is unknown. Loop only.
type skew struct {
	now, before skewBounds
	since       time.Time // when now began
	wrong       bool      // the log has been told of it
}

// skewBounds are the best measurements of a skewWindow.
type skewBounds struct {
	least, most  time.Duration
	above, below bool // least and most are known
}

// both is what b and c say together.
func (b skewBounds) both(c skewBounds) skewBounds {
	if c.above && (!b.above || c.least > b.least) {
		b.least, b.above = c.least, true
	}
	if c.below && (!b.below || c.most < b.most) {
		b.most, b.below = c.most, true
	}
	return b
}

// possible says whether an offset can be within b.
func (b skewBounds) possible() bool { return !b.above || !b.below || b.least <= b.most }

// firstClock is the least number of a PING that is taken for a clock: of 2001, in microseconds.
const firstClock = 1_000_000_000_000_000

// isClock says whether the number of a PING is its sender's clock.
func isClock(n uint64) bool { return n >= firstClock && n < 10*firstClock }

// pinged takes the number of a PING that has come, and of the last PONG before it on the same connection;
// 0 if there was none.
func (k *skew) pinged(n, ponged uint64, now time.Time) {
	if !isClock(n) {
		return
	}
	if age := now.Sub(k.since); age >= skewWindow || age < 0 {
		k.before = k.now
		if age >= 2*skewWindow || age < 0 {
			k.before = skewBounds{}
		}
		k.now, k.since = skewBounds{}, now
	}
	clock := time.UnixMicro(int64(n))
	m := skewBounds{least: clock.Sub(now), above: true}
	if isClock(ponged) {
		m.most, m.below = clock.Sub(time.UnixMicro(int64(ponged)))+time.Microsecond, true // T is cut to microseconds
	}
	if !m.possible() { // our own clock was set back
		k.now, k.before = skewBounds{}, skewBounds{}
		return
	}
	if !k.before.both(k.now).both(m).possible() {
		k.now, k.before = skewBounds{}, skewBounds{}
	}
	k.now = k.now.both(m)
}

// bounds are the least and the most that the neighbor's clock is ahead; false if unknown.
func (k *skew) bounds() (least, most time.Duration, ok bool) {
	b := k.before.both(k.now)
	return b.least, b.most, b.above && b.below
}

// offset is how far the neighbor's clock is ahead, and how far that may be off; false if unknown.
func (k *skew) offset() (ahead, uncertainty time.Duration, ok bool) {
	least, most, ok := k.bounds()
	return least + (most-least)/2, (most - least + 1) / 2, ok
}

// clockPinged takes a PING that has come, and tells the log when the neighbor's clock becomes wrong, and
// when it is right again: by more than half of max_future, past which its clients' updates are refused
// here or ours there.
func (n *neighbor) clockPinged(number uint64, p *pulse) {
	n.skew.pinged(number, p.ponged, n.server.reactor.Now())
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
