package herd

import (
	"testing"
	"time"

	"serverherd/reactor/memreactor"
)

// A timer is armed anew only if it would be too late.
func TestWake(t *testing.T) {
	net := memreactor.NewWorld(1, memreactor.Options{})
	r := net.NewReactor("Alford")
	var woken []time.Duration
	dt := deadlineTimer{f: func() { woken = append(woken, net.Elapsed()) }}
	dt.arm(r, 3*time.Second, true)
	first := dt.call
	dt.arm(r, 5*time.Second, true)
	dt.arm(r, 0, false)
	if dt.call != first {
		t.Error("armed anew for something later")
	}
	dt.arm(r, 2*time.Second, true)
	net.RunFor(10 * time.Second)
	dt.arm(r, 11*time.Second, true)
	dt.stop()
	net.RunFor(10 * time.Second)
	if len(woken) != 1 || woken[0] != 2*time.Second {
		t.Errorf("woken at %v, want once at 2s", woken)
	}
}
