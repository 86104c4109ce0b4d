package herd

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap/zaptest/observer"

	"serverherd/herd/link"
)

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
	w.net.RunFor(link.Beat / 2)
	got := p.Take()
	if !strings.HasPrefix(got, pong+"PING 1") || !strings.HasSuffix(got, pong+"PONG 3\r\n") || strings.Count(got, "PING") != 1 {
		t.Errorf("%q", got)
	}
	p.SendString("PING 3\r\n")
	w.net.RunFor(2 * link.Beat)
	if got := p.Take(); got != "PONG 3\r\n" {
		t.Errorf("%q", got)
	}
	p.SendString(ping)
	w.net.RunFor(link.Beat / 2)
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

// While a clock is wrong nobody logs that it agrees: not when its server restarts, nor when a link is down long
// enough for all measurements to expire. Once it is right, each neighbor logs that once.
func TestAnUnknownClockDoesNotAgree(t *testing.T) {
	for name, interrupt := range map[string]func(w *world){
		"restart": func(w *world) {
			w.crash("Alford")
			w.start("Alford")
			w.reactors["Alford"].SetClock(2 * time.Hour)
		},
		"cut": func(w *world) {
			for _, peer := range []string{"Hamilton", "Welsh"} {
				w.net.Cut("Alford", peer)
			}
			w.net.RunFor(2 * time.Minute)
			w.net.HealAll()
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, testConfig(ring...)).startAll()
			w.reactors["Alford"].SetClock(2 * time.Hour)
			logs := map[string]*observer.ObservedLogs{}
			for _, peer := range []string{"Hamilton", "Welsh"} {
				logs[peer] = w.servers[peer].observe()
			}
			logged := func(message string, want int) {
				t.Helper()
				for peer, seen := range logs {
					entries := seen.FilterMessage(message).All()
					if len(entries) != want {
						t.Errorf("%s logged %q %d times, want %d", peer, message, len(entries), want)
					}
					for _, e := range entries {
						if u := e.ContextMap()["uncertainty"].(time.Duration); u < 0 || u > time.Minute {
							t.Errorf("%s logged %q: %v", peer, message, e.ContextMap())
						}
					}
				}
			}
			w.net.RunFor(70 * time.Second)
			logged("clocks differ", 1)
			interrupt(w)
			w.until("all links live", w.live)
			w.net.RunFor(70 * time.Second)
			logged("clocks differ", 1)
			logged("clocks agree", 0)
			w.reactors["Alford"].SetClock(0)
			w.net.RunFor(70 * time.Second)
			logged("clocks agree", 1)
		})
	}
	t.Run("restart with the right clock", func(t *testing.T) {
		w := newWorld(t, testConfig(ring...)).startAll()
		w.reactors["Alford"].SetClock(2 * time.Hour)
		seen := w.servers["Welsh"].observe()
		w.net.RunFor(70 * time.Second)
		w.crash("Alford")
		w.start("Alford")
		w.until("all links live", w.live)
		w.net.RunFor(70 * time.Second)
		if n := seen.FilterMessage("clocks agree").Len(); n != 1 {
			t.Errorf("logged %d times, want once", n)
		}
	})
}
