package link

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// Whatever the delays and wherever the clocks stand, both bounds on a neighbor's clock hold, also where a
// line in one direction takes a thousand times as long as in the other.
func TestSkewHolds(t *testing.T) {
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 1))
		truth := time.Duration(r.Int64N(int64(4*time.Hour))) - 2*time.Hour
		mean := [2]float64{math.Pow(10, 4+4*r.Float64()), math.Pow(10, 4+4*r.Float64())} // 10 us to 100 ms there, and back
		var free [2]time.Time                                                            // a line does not overtake the one before it
		arrive := func(direction int, at time.Time) time.Time {
			at = at.Add(time.Duration(r.ExpFloat64() * mean[direction]))
			if at.Before(free[direction]) {
				at = free[direction]
			}
			free[direction] = at
			return at
		}
		var k Skew
		var ka keepalive
		now := time.Unix(1520023934, 0)
		for range 40 {
			now = now.Add(time.Duration(r.Int64N(int64(5 * time.Second))))
			var back time.Time
			if r.IntN(4) > 0 { // ours, its PONG, and at once the neighbor's or not
				n := ka.ping(Time{Wall: now}, &Output{})
				back = arrive(0, now)
				pong := arrive(1, back)
				ka.pongReceived(n)
				if r.IntN(2) == 0 {
					now = pong
					continue
				}
			} else {
				back = now
			}
			now = arrive(1, back)
			k.Pinged(uint64(back.Add(truth).UnixMicro()), ka.lastPonged, now)
			least, most, ok := k.Bounds()
			if ok && (least > truth || most < truth) {
				t.Fatalf("seed %d: %v is not from %v to %v", seed, truth, least, most)
			}
			if ahead, off, ok := k.Offset(); ok && (ahead-truth).Abs() > off {
				t.Fatalf("seed %d: %v is not %v, give or take %v", seed, truth, ahead, off)
			}
		}
		if _, _, ok := k.Bounds(); !ok {
			t.Errorf("seed %d: unknown", seed)
		}
	}
}

func TestSkew(t *testing.T) {
	begun := time.Unix(1520023934, 0)
	// A PING arrives, at which its clock is ahead of ours by least; the PONG before it was to a PING of
	// ours that was sent since before. No PING if both are 0, no PONG before it if since is 0.
	type step struct {
		at, least, since time.Duration
		from, to         time.Duration // 0, 0: unknown
	}
	const ms = time.Millisecond
	const us = time.Microsecond
	for name, steps := range map[string][]step{
		"one PING says nothing without a PONG before it": {{0, -3 * ms, 0, 0, 0}, {ms, -4 * ms, 2 * ms, -3 * ms, -2*ms + us}},
		"the best counts": {{0, -3 * ms, 5 * ms, -3 * ms, 2*ms + us}, {ms, -9 * ms, 12 * ms, -3 * ms, 2*ms + us},
			{2 * ms, -1 * ms, 2 * ms, -1 * ms, 1*ms + us}},
		"of the last minute": {{0, -1 * ms, 2 * ms, -1 * ms, 1*ms + us}, {skewWindow, -9 * ms, 12 * ms, -1 * ms, 1*ms + us},
			{2 * skewWindow, -8 * ms, 12 * ms, -8 * ms, 3*ms + us}},
		"a long silence":              {{0, -1 * ms, 2 * ms, -1 * ms, 1*ms + us}, {time.Hour, -9 * ms, 0, 0, 0}},
		"the neighbor's clock is set": {{0, -1 * ms, 2 * ms, -1 * ms, 1*ms + us}, {ms, time.Hour, 3 * ms, time.Hour, time.Hour + 3*ms + us}},
		"our own clock is set back": {{0, -1 * ms, 2 * ms, -1 * ms, 1*ms + us}, {ms, time.Hour, -time.Hour, 0, 0},
			{2 * ms, time.Hour, 3 * ms, time.Hour, time.Hour + 3*ms + us}},
		"our own clock is set ahead": {{0, -1 * ms, 2 * ms, -1 * ms, 1*ms + us},
			{ms, -time.Hour, time.Hour + ms, -1 * ms, 1*ms + us}, {2 * ms, -time.Hour, 3 * ms, -time.Hour, -time.Hour + 3*ms + us}},
	} {
		var k Skew
		for i, s := range steps {
			now := begun.Add(s.at)
			ponged := uint64(0)
			if s.since != 0 {
				ponged = uint64(now.Add(-s.since).UnixMicro())
			}
			k.Pinged(uint64(now.Add(s.least).UnixMicro()), ponged, now)
			from, to, ok := k.Bounds()
			if known := s.from != 0 || s.to != 0; ok != known || ok && (from != s.from || to != s.to) {
				t.Errorf("%s, step %d: from %v to %v, %v; want from %v to %v", name, i, from, to, ok, s.from, s.to)
			}
		}
	}
	var k Skew // an older version counts its PINGs
	k.Pinged(7, 6, begun)
	if _, _, ok := k.Bounds(); ok {
		t.Error("PING 7 is taken for a clock")
	}
}
