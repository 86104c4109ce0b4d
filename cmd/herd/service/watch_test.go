package service

import (
	"testing"
	"time"

	"serverherd/reactor/memreactor"
)

// A loop that turns shows it twice within any timeout, so that one that comes late, or is lost, does no harm.
func TestTwiceWithinTheTimeout(t *testing.T) {
	const timeout = 30 * time.Second
	w := memreactor.NewWorld(1, memreactor.Options{})
	n := &Notifier{timeout: timeout, turns: make(chan struct{}, 1)} // without a sender
	n.Watch(w.NewReactor("alford"))
	var shown []time.Duration
	w.RunUntil(10*timeout, func() bool {
		select {
		case <-n.turns:
			shown = append(shown, w.Elapsed())
		default:
		}
		return false
	})
	if len(shown) < 20 || shown[0] != 0 {
		t.Fatalf("within ten timeouts only, or not at once: %v", shown)
	}
	for i, at := range shown[2:] {
		if begun := shown[i]; at-begun >= timeout {
			t.Errorf("not twice within %v after %v: %v", timeout, begun, shown)
		}
	}
}
