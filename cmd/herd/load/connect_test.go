package load

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// However many connections are made while the next has to wait, one call makes it.
func TestConnectingAtARateWaitsOnce(t *testing.T) {
	o := small(Target{Name: "Alford"})
	o.ConnectRate = 1
	if err := o.Check(); err != nil {
		t.Fatal(err)
	}
	w := newWorker(&o, nil)
	w.idle, w.nextDial = 2, time.Hour
	w.connect()
	waits := w.later
	if waits == nil || !waits.Active() {
		t.Fatal("nothing waits")
	}
	w.connected(nil)
	if w.later != waits || w.dialled != 0 {
		t.Errorf("it waits again, %d dialled", w.dialled)
	}
}

// What an address has ports for leaves by it, and no more, whatever the number of servers.
func TestAnAddressHasItsPorts(t *testing.T) {
	const targets = 3
	if source(targets, targets*portsOfOne) != nil {
		t.Error("few connections to each leave by addresses that we choose")
	}
	by := source(targets, targets*portsOfOne+1)
	count := map[string]int{}
	for range targets*portsOfOne + 1 {
		count[by("127.0.0.1:5").String()]++
	}
	for addr, n := range count {
		if n > portsOfOne {
			t.Errorf("%d connections leave by %s", n, addr)
		}
	}
	if count["127.0.0.1:0"] != portsOfOne || len(count) != targets+1 {
		t.Errorf("%v", count)
	}
}

// Whoever ends the search for a rate, even before the next run has its connections, gets what was found.
func TestFindMaxInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var found atomic.Bool
	o := small(scripted(t, func(n int, line string) []byte {
		if found.Load() { // the next run makes its clients known
			cancel()
		}
		return well(n, line)
	}))
	o.Duration, o.WHATSAT = 100*time.Millisecond, 1
	holds, err := ParseThreshold("p50<10s")
	if err != nil {
		t.Fatal(err)
	}
	r, err := FindMax(ctx, o, holds, func(step string) {
		if strings.HasSuffix(step, ": yes") {
			found.Store(true)
		}
	})
	if err != nil || r.Rate == 0 {
		t.Errorf("%v, %+v", err, r)
	}
}
