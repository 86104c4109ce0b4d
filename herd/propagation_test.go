package herd

import (
	"fmt"
	"testing"
	"time"
)

// On the ring in virtual time an update comes by one hop or two, of 1 to 3 ms each.
func TestPropagationIsMeasured(t *testing.T) {
	w := newWorld(t, testConfig(ring...)).startAll()
	w.net.RunFor(10 * time.Second)
	for i := range 50 {
		w.iamat("Alford", fmt.Sprint("c", i), stamp)
		w.until("equal", w.equal)
	}
	for _, c := range ring {
		p := w.servers[c.Name].Status().Propagation
		want := uint64(50)
		if c.Name == "Alford" {
			want = 0
		}
		if p.Count != want || p.Skewed != 0 {
			t.Errorf("%s: %+v, want %d", c.Name, p, want)
		}
		var delays uint64
		for _, n := range p.Delays.Counts[10:14] { // 0.5 to 8.2 ms
			delays += n
		}
		if sum := p.Delays.Sum; delays != want || sum < float64(want)*p.P50/2 || sum > float64(want)*p.Max {
			t.Errorf("%s: %+v", c.Name, p)
		}
		if want > 0 && (p.P50 < 0.001 || p.P99 > 0.007 || p.P50 > p.P90 || p.P90 > p.P99 || p.Max < p.P99/1.01) {
			t.Errorf("%s: %+v", c.Name, p)
		}
	}
}

// What comes with a copy is old, and a clock that is behind makes an update come before it was sent.
func TestPropagationLeavesOut(t *testing.T) {
	w := newWorld(t, testConfig(ring...)).startAll()
	for i := range 50 {
		w.iamat("Alford", fmt.Sprint("c", i), stamp)
	}
	w.until("equal", w.equal)
	w.net.RunFor(10 * time.Second)
	w.crash("Ball")
	srv := w.start("Ball")
	w.until("equal", w.equal)
	if p := srv.Status().Propagation; p.Count != 0 || p.Skewed != 0 {
		t.Errorf("after a copy: %+v", p)
	}
	w.until("live", w.live)
	w.net.RunFor(10 * time.Second)
	w.reactors["Ball"].SetClock(-time.Hour)
	w.iamat("Alford", "c1", stamp+1)
	w.until("equal", w.equal)
	if p := srv.Status().Propagation; p.Count != 0 || p.Skewed != 1 {
		t.Errorf("with a clock that is behind: %+v", p)
	}
}
