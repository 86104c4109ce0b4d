package herd

import (
	"math/rand/v2"
	"testing"
	"time"
)

// Whatever the delays and wherever the clocks stand, what is told of a neighbor's clock holds, and the
// best measurement of the last minute counts.
func TestSkewHolds(t *testing.T) {
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 1))
		now := time.Unix(1520023934, 0)
		truth := time.Duration(r.Int64N(int64(4*time.Hour))) - 2*time.Hour
		delay := func() time.Duration { return time.Duration(r.ExpFloat64() * float64(20*time.Millisecond)) }
		var k skew
		for range 40 {
			now = now.Add(time.Duration(r.Int64N(int64(5 * time.Second))))
			if r.IntN(2) == 0 {
				k.pinged(uint64(now.Add(truth-delay()).UnixMicro()), now)
			} else {
				k.ponged(delay()+delay(), now)
			}
			// The shortest round trip need not be twice the shortest delay one way, but a PING that was
			// delayed by less than it is not in doubt.
			if least, most, ok := k.bounds(); ok && least > truth {
				t.Fatalf("seed %d: %v is not from %v to %v", seed, truth, least, most)
			}
		}
	}
}

func TestSkew(t *testing.T) {
	begun := time.Unix(1520023934, 0)
	type step struct {
		at       time.Duration
		ahead    time.Duration // of a PING's clock, as it arrives; 0: none
		pong     time.Duration // of a round trip; 0: none
		from, to time.Duration // 0, 0: unknown
	}
	const ms = time.Millisecond
	for name, steps := range map[string][]step{
		"one PING says nothing without a round trip": {{0, -3 * ms, 0, 0, 0}, {ms, 0, 2 * ms, -3 * ms, -1 * ms}},
		"the best counts": {{0, -3 * ms, 5 * ms, -3 * ms, 2 * ms}, {ms, -9 * ms, 9 * ms, -3 * ms, 2 * ms},
			{2 * ms, -1 * ms, 2 * ms, -1 * ms, 1 * ms}},
		"of the last minute": {{0, -1 * ms, 2 * ms, -1 * ms, 1 * ms}, {skewWindow, -9 * ms, 9 * ms, -1 * ms, 1 * ms},
			{2 * skewWindow, -8 * ms, 9 * ms, -8 * ms, 1 * ms}},
		"a long silence":            {{0, -1 * ms, 2 * ms, -1 * ms, 1 * ms}, {time.Hour, -9 * ms, 0, 0, 0}},
		"our own clock is set back": {{0, -1 * ms, 2 * ms, -1 * ms, 1 * ms}, {-time.Hour, time.Hour, 3 * ms, time.Hour, time.Hour + 3*ms}},
	} {
		var k skew
		for i, s := range steps {
			now := begun.Add(s.at)
			if s.ahead != 0 {
				k.pinged(uint64(now.Add(s.ahead).UnixMicro()), now)
			}
			if s.pong != 0 {
				k.ponged(s.pong, now)
			}
			from, to, ok := k.bounds()
			if known := s.from != 0 || s.to != 0; ok != known || ok && (from != s.from || to != s.to) {
				t.Errorf("%s, step %d: from %v to %v, %v; want from %v to %v", name, i, from, to, ok, s.from, s.to)
			}
		}
	}
	var k skew // an older version counts its PINGs
	k.pinged(7, begun)
	k.ponged(ms, begun)
	if _, _, ok := k.bounds(); ok {
		t.Error("PING 7 is taken for a clock")
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
