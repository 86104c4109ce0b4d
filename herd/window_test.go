package herd

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"serverherd/herd/link"
)

// A neighbor that takes nothing costs one window, and in the end its link.
func TestANeighborThatDoesNotReadCostsOneWindow(t *testing.T) {
	cfg := testConfig(ring...)
	cfg.Limits.MaxClients = 100000
	w := newWorld(t, cfg)
	w.start("Alford")
	w.start("Welsh")
	w.until("live", w.live)
	w.reactors["Welsh"].Pause()
	srv := w.servers["Alford"]
	o := srv.neighbor([]byte("Welsh")).link
	for i := range 30000 {
		srv.store.ApplyOwn(at(t, fmt.Sprint("c", i), 100))
		if i%1000 == 0 {
			srv.pumpSoon()
			w.net.RunFor(10 * time.Millisecond)
		}
	}
	w.net.RunFor(time.Second)
	if n := o.unacknowledged(); n > link.Window+1024 || n < link.Window/2 {
		t.Errorf("%d bytes on their way, want about a window of %d", n, link.Window)
	}
	w.reactors["Welsh"].Resume()
	w.until("equal", w.equal)
}

// A client that moves a thousand times while its neighbor is away is one record.
func TestALaggingNeighborGetsTheLastOnly(t *testing.T) {
	w := ringOf(t, nil, "Alford", "Welsh")
	w.until("live", w.live)
	w.net.Cut("Alford", "Welsh")
	w.net.RunFor(10 * time.Second)
	c := w.dial("Alford")
	for i := range 1000 {
		c.SendString(fmt.Sprintf("IAMAT kiwi +1-1 %d\n", stamp+i))
	}
	w.net.RunFor(time.Second)
	if st := w.servers["Alford"].Status(); st.Links[0].Behind != 1 {
		t.Errorf("%d records behind", st.Links[0].Behind)
	}
	before := w.atSent()
	w.net.HealAll()
	w.until("live", w.live)
	w.until("equal", w.equal)
	if n := w.atSent() - before; n != 1 {
		t.Errorf("%d AT lines for the last of a thousand places", n)
	}
}

// A neighbor that asks and asks and reads no answer is not owed ever more.
func TestANeighborThatReadsNothingIsDropped(t *testing.T) {
	w := ringOf(t, nil, "Alford")
	p := w.welcomed(welshHello)
	p.Stall()
	in := w.servers["Alford"].neighbor([]byte("Welsh")).inbounds[0]
	most := 0
	for i := 0; p.Err() == nil; i++ {
		if i == 10_000 {
			t.Fatalf("still there with %d bytes unread", most)
		}
		p.SendString(strings.Repeat("PING 18446744073709551615\r\n", 100))
		w.net.RunFor(10 * time.Millisecond)
		if in.session.lost {
			break
		}
		most = max(most, in.session.t.Backlog())
	}
	if most < maxUnread/2 || most > maxUnread+1<<20 {
		t.Errorf("%d bytes unread at most, want about %d", most, maxUnread)
	}
	if in.session.reason != errUnread {
		t.Errorf("ended because of %v", in.session.reason)
	}
}

// On a slow line news overtakes what it replaces: little of it is on its way, however much could.
func TestNewsIsNotQueuedForASlowNeighbor(t *testing.T) {
	w := ringOf(t, nil, "Alford", "Welsh")
	w.until("live", w.live)
	srv := w.servers["Alford"]
	o := srv.neighbor([]byte("Welsh")).link
	w.reactors["Welsh"].Pause()
	for i := range 4000 {
		srv.store.ApplyOwn(at(t, "kiwi", stamp+i))
		srv.pumpSoon()
		w.net.RunFor(time.Millisecond)
	}
	// 1,000 in the first second, and then no more.
	if n := o.unacknowledged(); n < link.SlowWindow || n > link.Window/8 {
		t.Errorf("%d bytes on their way after 4 s without an ACK", n)
	}
	w.reactors["Welsh"].Resume()
	w.until("equal", w.equal)
}

// unacknowledged is how many bytes of AT lines are on their way.
func (o *outbound) unacknowledged() int {
	var st LinkStatus
	o.sender.status(&st)
	return st.Unacknowledged
}
