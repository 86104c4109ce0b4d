package link

import "time"

// skewWindow is half of the time for which a measurement is used.
const skewWindow = 30 * time.Second

// Skew measures how far a neighbor's clock is ahead of ours. The number of a PING is its sender's clock in
// microseconds. Example, on one connection; > is sent by us, and t and A are on our clock:
//
//	> PING t
//	< PONG t
//	< PING T        arrives at A
//
// The neighbor read its clock, T, after it had our PING, which was sent at t, and before A:
//
//	T - A <= neighbor's clock - our clock <= T - t
//
// Neither bound depends on the time that a line takes. The acceptor of a connection sends such a PING
// after the PONG, so that A - t is the round-trip time. The greatest lower and the least upper bound of
// the last minute are used. If they contradict each other, a clock has been set (or the two do not run at
// the same rate), and only the latest measurement is used.
//
// A neighbor of an older version numbers its PINGs 1, 2, 3: its clock is unknown. The zero value is ready for use.
type Skew struct {
	now, before skewBounds
	since       time.Time // when now began
}

// skewBounds are the best bounds measured in a skewWindow.
type skewBounds struct {
	least, most  time.Duration
	above, below bool // least and most are known
}

// both combines two bounds.
func (sb skewBounds) both(c skewBounds) skewBounds {
	if c.above && (!sb.above || c.least > sb.least) {
		sb.least, sb.above = c.least, true
	}
	if c.below && (!sb.below || c.most < sb.most) {
		sb.most, sb.below = c.most, true
	}
	return sb
}

// possible reports whether the bounds do not contradict each other.
func (sb skewBounds) possible() bool { return !sb.above || !sb.below || sb.least <= sb.most }

// firstClock is the least number of a PING that is taken for a clock: the year 2001, in microseconds.
const firstClock = 1_000_000_000_000_000

// IsClock reports whether the number of a PING is its sender's clock.
func IsClock(n uint64) bool { return n >= firstClock && n < 10*firstClock }

// Pinged takes the number of a PING that was received, and of the last PONG before it on the same connection,
// or 0.
//
// #nosec G115 -- IsClock numbers are far below 1<<63
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
		m.most, m.below = clock.Sub(time.UnixMicro(int64(ponged)))+time.Microsecond, true // T is truncated to microseconds
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

// Bounds returns by how much, at least and at most, the neighbor's clock is ahead; false if unknown.
func (k *Skew) Bounds() (least, most time.Duration, ok bool) {
	sb := k.before.both(k.now)
	return sb.least, sb.most, sb.above && sb.below
}

// Offset returns by how much the neighbor's clock is ahead, and the uncertainty of that; false if unknown.
func (k *Skew) Offset() (ahead, uncertainty time.Duration, ok bool) {
	least, most, ok := k.Bounds()
	return least + (most-least)/2, (most - least + 1) / 2, ok
}
