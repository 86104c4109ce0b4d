package herd

import (
	"fmt"
	"testing"
	"time"
)

// Updates that come shortly after others were sent are sent together, a pause later. The first update after a pause,
// and everything during a shutdown, is sent at once.
func TestPumpPause(t *testing.T) {
	w := ringOf(t, nil, "Alford", "Welsh")
	w.until("live", w.live)
	w.net.RunFor(10 * time.Second)
	srv := w.servers["Alford"]
	n := srv.neighbor([]byte("Welsh"))
	clients := 0
	update := func() {
		clients++
		srv.store.ApplyOwn(at(t, fmt.Sprint("c", clients), stamp))
		srv.pumpSoon()
	}
	sent := func(what string, want uint64) {
		t.Helper()
		if n.counters.atSent != want {
			t.Fatalf("%s: %d AT lines sent, want %d", what, n.counters.atSent, want)
		}
	}
	const step = PumpPause / 10
	update()
	w.net.RunFor(step)
	sent("the first update", 1)
	for range 5 {
		update()
		w.net.RunFor(step)
		sent("in the pause", 1)
	}
	w.net.RunFor(PumpPause)
	sent("after the pause", 6)
	w.net.RunFor(PumpPause)
	update()
	w.net.RunFor(step)
	sent("after a pause without updates", 7)

	// What sends nothing does not begin a pause.
	w.net.RunFor(2 * PumpPause)
	srv.pumpSoon()
	w.net.RunFor(step)
	update()
	w.net.RunFor(step)
	sent("after a pump without updates", 8)

	// More than one turn can send is sent in turns that follow each other.
	w.net.RunFor(2 * PumpPause)
	for range 800 {
		update()
	}
	w.net.RunFor(step)
	sent("more than a turn", 808)

	update()
	srv.stop(func() {})
	w.net.RunFor(step)
	sent("a shutdown", 809)
	update()
	w.net.RunFor(step)
	sent("during a shutdown", 810)
}
