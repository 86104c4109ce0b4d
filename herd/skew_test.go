package herd

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"serverherd/reactor"
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
		var k skew
		p := pulse{ping: func(uint64) {}}
		now := time.Unix(1520023934, 0)
		for range 40 {
			now = now.Add(time.Duration(r.Int64N(int64(5 * time.Second))))
			p.clock = stopped{now: now}
			var back time.Time
			if r.IntN(4) > 0 { // ours, its PONG, and at once the neighbor's or not
				n := p.ask()
				back = arrive(0, now)
				pong := arrive(1, back)
				p.answered(n)
				if r.IntN(2) == 0 {
					now = pong
					continue
				}
			} else {
				back = now
			}
			now = arrive(1, back)
			k.pinged(uint64(back.Add(truth).UnixMicro()), p.ponged, now)
			least, most, ok := k.bounds()
			if ok && (least > truth || most < truth) {
				t.Fatalf("seed %d: %v is not from %v to %v", seed, truth, least, most)
			}
			if ahead, off, ok := k.offset(); ok && (ahead-truth).Abs() > off {
				t.Fatalf("seed %d: %v is not %v, give or take %v", seed, truth, ahead, off)
			}
		}
		if _, _, ok := k.bounds(); !ok {
			t.Errorf("seed %d: unknown", seed)
		}
	}
}

// stopped is a clock that stands.
type stopped struct {
	reactor.Clock
	now time.Time
}

func (s stopped) Now() time.Time { return s.now }

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
		var k skew
		for i, s := range steps {
			now := begun.Add(s.at)
			ponged := uint64(0)
			if s.since != 0 {
				ponged = uint64(now.Add(-s.since).UnixMicro())
			}
			k.pinged(uint64(now.Add(s.least).UnixMicro()), ponged, now)
			from, to, ok := k.bounds()
			if known := s.from != 0 || s.to != 0; ok != known || ok && (from != s.from || to != s.to) {
				t.Errorf("%s, step %d: from %v to %v, %v; want from %v to %v", name, i, from, to, ok, s.from, s.to)
			}
		}
	}
	var k skew // an older version counts its PINGs
	k.pinged(7, 6, begun)
	if _, _, ok := k.bounds(); ok {
		t.Error("PING 7 is taken for a clock")
	}
}

// On a network that delays some lines and not others, no clock that is right is said to be wrong, however
// strict max_future is. Each server knows its neighbors' clocks to about a round trip, not to the time
// between two PINGs.
func TestClocksAgreeWhateverTheDelays(t *testing.T) {
	cfg := testConfig(ring...)
	cfg.Limits.MaxFuture = 0
	w := newWorld(t, cfg).startAll()
	for i := range 900 { // 90 s
		w.net.Stall("Alford", "Welsh", time.Duration(i%10)*20*time.Millisecond)
		w.net.RunFor(100 * time.Millisecond)
		for _, c := range ring {
			for _, l := range w.servers[c.Name].Status().Links {
				if l.Clock != nil && (l.Clock.Wrong || math.Abs(l.Clock.Ahead) > l.Clock.Uncertainty) {
					t.Fatalf("%s says of the clock of %s, which is the same: %+v", c.Name, l.Neighbor, *l.Clock)
				}
			}
		}
	}
	for _, c := range ring {
		for _, l := range w.servers[c.Name].Status().Links {
			if l.Clock == nil || l.Clock.Uncertainty > 0.25 {
				t.Errorf("%s knows of the clock of %s: %+v", c.Name, l.Neighbor, l.Clock)
			}
		}
	}
}

// The acceptor of a link sends a PING behind a PONG, and once in a beat at most; a PING that tells no clock
// gets a PONG alone.
func TestAPingBehindThePong(t *testing.T) {
	w := ringOf(t, nil, "Alford")
	p := w.welcomed(welshHello)
	ping := fmt.Sprintf("PING %d\r\n", w.net.Now().UnixMicro())
	pong := strings.Replace(ping, "PING", "PONG", 1)
	p.SendString(ping + ping + "PING 3\r\n")
	w.net.RunFor(beat / 2)
	got := p.Take()
	if !strings.HasPrefix(got, pong+"PING 1") || !strings.HasSuffix(got, pong+"PONG 3\r\n") || strings.Count(got, "PING") != 1 {
		t.Errorf("%q", got)
	}
	p.SendString("PING 3\r\n")
	w.net.RunFor(2 * beat)
	if got := p.Take(); got != "PONG 3\r\n" {
		t.Errorf("%q", got)
	}
	p.SendString(ping)
	w.net.RunFor(beat / 2)
	if got := p.Take(); !strings.HasPrefix(got, pong+"PING 1") {
		t.Errorf("%q", got)
	}
}

// A clock that is two hours wrong shows at both ends of its links within ten seconds, on an idle link
// and beside updates, and that it is right again within a minute.
func TestAWrongClockShows(t *testing.T) {
	w := newWorld(t, testConfig(ring...)).startAll()
	second := stamp
	for _, busy := range []bool{false, true} {
		for _, ahead := range []time.Duration{2 * time.Hour, -2 * time.Hour, 29 * time.Minute, 0} {
			w.reactors["Alford"].SetClock(ahead)
			for range 700 { // 70 s
				if busy {
					second++
					w.iamat("Hamilton", "kiwi", second)
				}
				w.net.RunFor(100 * time.Millisecond)
			}
			for _, c := range ring {
				for _, l := range w.servers[c.Name].Status().Links {
					want := time.Duration(0)
					switch "Alford" {
					case c.Name:
						want = -ahead
					case l.Neighbor:
						want = ahead
					}
					if l.Clock == nil {
						t.Fatalf("%s does not know the clock of %s", c.Name, l.Neighbor)
					}
					off := time.Duration(l.Clock.Ahead*1e9) - want
					most := time.Duration(l.Clock.Uncertainty*1e9) + time.Millisecond
					if off.Abs() > most || most > time.Second || l.Clock.Wrong != (want.Abs() > 30*time.Minute) {
						t.Errorf("%s says of the clock of %s, which is %v ahead: %+v", c.Name, l.Neighbor, want, *l.Clock)
					}
				}
			}
		}
	}
}
