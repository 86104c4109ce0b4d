package herd

import (
	"testing"
	"time"
)

// A neighbor that is connected and acknowledges nothing makes the stop fail once the drain time is
// over; a client that does not read its replies takes as long and is no failure.
func TestStopError(t *testing.T) {
	for _, test := range []struct {
		name      string
		ack, fail bool
	}{{"all acknowledged", true, false}, {"nothing acknowledged", false, true}} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, testConfig(ring...))
			a := w.acceptor()
			a.ack = test.ack
			s := w.start("Alford")
			w.iamat("Alford", "kiwi", stamp)
			w.until("it is sent", func() bool { return len(a.clients) == 1 })
			begun := w.net.Elapsed()
			w.reactors["Alford"].Stop()
			w.until("stopped", w.reactors["Alford"].Stopped)
			took := w.net.Elapsed() - begun
			if err := s.StopError(); (err != nil) != test.fail {
				t.Errorf("error %v", err)
			}
			if limit := s.cfg.Limits.Drain; (took >= limit) != test.fail || took > limit+time.Second {
				t.Errorf("stopped after %v", took)
			}
		})
	}
}
