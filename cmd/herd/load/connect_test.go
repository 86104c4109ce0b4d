package load

import (
	"strings"
	"testing"
	"time"
)

func TestManyConnectionsLeaveByManyAddresses(t *testing.T) {
	if source(2, 2*portsOfOne) != nil {
		t.Error("few connections leave by other addresses")
	}
	by := source(1, 3*portsOfOne)
	count := map[string]int{}
	for range 3 * portsOfOne {
		count[by("127.0.0.1:5").String()]++
	}
	if len(count) < 3 || by("10.0.0.1:5") != nil || by("[::1]:5") != nil {
		t.Errorf("%v", count)
	}
	for addr, n := range count {
		if n > portsOfOne || !strings.HasPrefix(addr, "127.0.0.") {
			t.Errorf("%d connections leave by %s", n, addr)
		}
	}
}

// While the rate limits new connections, at most one delayed call is pending.
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
	if w.later != waits || w.dialed != 0 {
		t.Errorf("another delayed call, %d dialed", w.dialed)
	}
}

// The number of connections per source address is limited, whatever the number of servers.
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
