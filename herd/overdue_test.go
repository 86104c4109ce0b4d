package herd

import (
	"fmt"
	"testing"
	"time"

	"serverherd/herd/config"
	"serverherd/herd/link"
	"serverherd/reactor/memreactor"
)

// hitAckAfter is a neighbor that answers every PING and acknowledges nothing any more.
func hitAckAfter(t *testing.T) *Server {
	w := newWorld(t, testConfig(ring...))
	a := w.acceptor()
	a.pong = true
	srv := w.start("Alford")
	o := srv.neighbor([]byte("Welsh")).link
	w.until("live", func() bool { return o.state == linkLive })
	w.iamat("Alford", "kiwi", stamp)
	w.until("acknowledged", func() bool { return o.sent.Acked() == 1 })
	a.ack, a.since = false, srv.epoch.String()+" 1"
	begun, before := w.net.Elapsed(), a.t
	w.iamat("Alford", "moa", stamp)
	w.until("dropped", w.counted("links_unacknowledged"))
	if d := w.net.Elapsed() - begun; o.downReason != link.ErrNoAck.Error() ||
		d < link.PingAfter+link.AckAfter || d > link.PingAfter+link.AckAfter+2*link.Beat {
		t.Errorf("dropped after %v for %q", d, o.downReason)
	}
	a.ack = true
	w.until("live again", func() bool { return a.t != before && o.state == linkLive && o.sent.Acked() == 2 })
	if o.neighbor.counters.resumes != 1 {
		t.Errorf("%+v", o.neighbor.counters)
	}
	return srv
}

// An idle link is noticed as well: a MARK is due every few seconds.
func TestAnIdleLinkWhoseMarksDoNotCount(t *testing.T) {
	w := newWorld(t, testConfig(ring...))
	a := w.acceptor()
	a.pong = true
	srv := w.start("Alford")
	o := srv.neighbor([]byte("Welsh")).link
	w.until("live", func() bool { return o.state == linkLive })
	a.ack = false
	begun := w.net.Elapsed()
	w.until("dropped", w.counted("links_unacknowledged"))
	if d := w.net.Elapsed() - begun; d > link.MarkEvery+link.PingAfter+link.AckAfter+2*link.Beat {
		t.Errorf("dropped after %v", d)
	}
}

// On a line of 100 kbit/s the MARK at the end of a full window is acknowledged after more than a
// minute. The link is well.
func TestAFullWindowOnASlowLine(t *testing.T) {
	cfg := testConfig(
		config.Server{Name: "Alford", Address: "Alford:1", Neighbors: []string{"Welsh"}},
		config.Server{Name: "Welsh", Address: "Welsh:1", Neighbors: []string{"Alford"}})
	cfg.Limits.MaxClients = 100_000
	w := newWorld(t, cfg)
	// 1,250 bytes in a round trip of 100 ms.
	w.net = memreactor.NewWorld(1, memreactor.Options{MinDelay: 50 * time.Millisecond, MaxDelay: 50 * time.Millisecond, Window: 1250})
	w.startAll()
	srv := w.servers["Alford"]
	o := srv.neighbors[0].link
	for i := range 20_000 {
		srv.store.ApplyOwn(at(t, fmt.Sprint("c", i), stamp))
	}
	srv.pumpSoon()
	w.net.RunFor(time.Second)
	if n := o.unacknowledged(); n < link.Window {
		t.Fatalf("%d bytes on their way: nothing is tested", n)
	}
	longest, last, since := time.Duration(0), srv.Status().Links[0].Sent, w.net.Elapsed()
	arrived := w.net.RunUntil(3*time.Minute, func() bool {
		if longest == 0 && o.sent.Acked() >= last {
			longest = w.net.Elapsed() - since
		}
		return w.equal()
	})
	if !arrived {
		t.Fatalf("not all has arrived; the link is %v", o.state)
	}
	if longest < time.Minute {
		t.Errorf("the ACK of the last MARK took %v: nothing is tested", longest)
	}
	if c := srv.counters; c.LinksUnacknowledged+c.LinksSilent > 0 || o.neighbor.counters.resumes > 0 {
		t.Errorf("dropped: %+v", c)
	}
}
