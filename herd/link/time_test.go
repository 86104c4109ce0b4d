package link

import (
	"testing"
	"time"

	"serverherd/herd/feed"
	"serverherd/protocol"
)

// A clock that is set makes nothing due, and of a process that was stopped nothing is due twice.
func TestDeadlines(t *testing.T) {
	store := feed.NewStore("ucla", 10)
	self := Self{Herd: "ucla", Name: "Alford", Epoch: 1}
	now := Time{time.Unix(1520000000, 0), time.Hour}
	var out Output
	deadline := func(o *Outbound, want time.Duration) {
		t.Helper()
		if at, ok := o.Deadline(); !ok || at-now.Steady != want {
			t.Fatalf("due in %v, %v; want %v", at-now.Steady, ok, want)
		}
	}
	o := NewOutbound(&self, "Ball", NewSent(store), NewHeard(store, nil), 0, protocol.Nonce{}, now, &out)
	deadline(o, HandshakeTimeout)
	now.Wall = now.Wall.Add(-time.Hour)
	o.Tick(now, out.Reset())
	if len(out.Events)+len(out.Lines) > 0 {
		t.Fatalf("the clock was set: %+v", out)
	}
	o.Line([]byte("CHALLENGE 000102030405060708090a0b0c0d0e0f"), now, &out)
	o.Line([]byte("WELCOME 0000000000000002 - - 0"), now, &out)
	o.Pump(now, false, &out)
	deadline(o, Beat)
	now.Steady += 300 * time.Millisecond
	o.MarkSoon(now) // due a second later: the beat comes first
	deadline(o, Beat-300*time.Millisecond)
	now.Steady += time.Minute // stopped
	o.Tick(now, out.Reset())
	if string(out.Lines) != "MARK 0 0 - 0 0000000000000000\r\n" || len(out.Events) > 0 || o.keepalive.silentBeats != 1 {
		t.Fatalf("after a pause: %q, %+v, %d beats of silence", out.Lines, out.Events, o.keepalive.silentBeats)
	}
	deadline(o, Beat)
}
