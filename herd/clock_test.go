package herd

import (
	"fmt"
	"testing"
	"time"

	"serverherd/herd/link"
)

// A server's own clock jumps by an hour, forth and back. Times are the clients' and timers keep to
// the true length of time: no link notices, and the newest place is the newest everywhere.
func TestAClockThatJumps(t *testing.T) {
	w := newWorld(t, testConfig(ring...)).startAll()
	connections := func() (ids []uint64) {
		for _, c := range ring {
			for _, n := range w.servers[c.Name].neighbors {
				if n.link.state != linkLive || len(n.inbounds) != 1 {
					t.Fatalf("%s-%s is %v with %d inbounds", c.Name, n.name, n.link.state, len(n.inbounds))
				}
				ids = append(ids, n.link.id)
			}
		}
		return ids
	}
	before, second := fmt.Sprint(connections()), stamp
	for _, ahead := range []time.Duration{time.Hour, -time.Hour, 0, -time.Hour, time.Hour} {
		w.reactors["Alford"].SetClock(ahead)
		for range 10 {
			second++
			w.iamat(ring[second%len(ring)].Name, "kiwi", second)
			w.iamat("Alford", fmt.Sprint("old", second), second)
			w.iamat("Alford", "kiwi", second-1) // older, whatever the clock says
			w.net.RunFor(time.Second)
			connections()
		}
		w.until("equal", w.equal)
		for _, c := range ring {
			item, _ := w.servers[c.Name].store.Lookup([]byte("kiwi"))
			if got := string(item.Record.Time()); got != fmt.Sprint(second) {
				t.Errorf("clock %v ahead: %s has kiwi's place of %s, want %d", ahead, c.Name, got, second)
			}
		}
	}
	if after := fmt.Sprint(connections()); after != before {
		t.Errorf("connections %s have become %s", before, after)
	}
	w.net.RunFor(link.MarkEvery + link.Beat) // compared at rest
	for _, c := range ring {
		for _, l := range w.servers[c.Name].Status().Links {
			if l.Repairs > 0 || l.Copies != 1 || l.BadLines > 0 || l.Agreement != "in sync" {
				t.Errorf("%s-%s: %+v", c.Name, l.Neighbor, l)
			}
		}
	}
}
