package link

import "time"

// skewWindow is half of the time for which a measurement counts.
const skewWindow = 30 * time.Second

// Skew bounds how far a neighbor's clock is ahead of ours. The number of a PING is its sender's clock
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
// A neighbor of an older version numbers its PINGs 1, 2, 3: its clock is unknown. The zero value is ready for use.
type Skew struct {
	now, before skewBounds
	since       time.Time // when now began
}

// skewBounds are the best measurements of a skewWindow.
type skewBounds struct {
	least, most  time.Duration
	above, below bool // least and most are known
}

// both is what b and c say together.
func (sb skewBounds) both(c skewBounds) skewBounds {
	if c.above && (!sb.above || c.least > sb.least) {
		sb.least, sb.above = c.least, true
	}
	if c.below && (!sb.below || c.most < sb.most) {
		sb.most, sb.below = c.most, true
	}
	return sb
}

// possible says whether an offset can be within b.
func (sb skewBounds) possible() bool { return !sb.above || !sb.below || sb.least <= sb.most }

// firstClock is the least number of a PING that is taken for a clock: of 2001, in microseconds.
const firstClock = 1_000_000_000_000_000

// IsClock says whether the number of a PING is its sender's clock.
func IsClock(n uint64) bool { return n >= firstClock && n < 10*firstClock }

// Pinged takes the number of a PING that has come, and of the last PONG before it on the same connection;
// 0 if there was none.
func (k *Skew) Pinged(n, ponged uint64, now time.Time) {
	if !IsClock(n) {
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
	if IsClock(ponged) {
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

// Bounds are the least and the most that the neighbor's clock is ahead; false if unknown.
func (k *Skew) Bounds() (least, most time.Duration, ok bool) {
	sb := k.before.both(k.now)
	return sb.least, sb.most, sb.above && sb.below
}

// Offset is how far the neighbor's clock is ahead, and how far that may be off; false if unknown.
func (k *Skew) Offset() (ahead, uncertainty time.Duration, ok bool) {
	least, most, ok := k.Bounds()
	return least + (most-least)/2, (most - least + 1) / 2, ok
}
