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
	s := w.start("Alford")
	l := s.neighbor([]byte("Welsh")).link
	w.until("live", func() bool { return l.state == linkLive })
	w.iamat("Alford", "kiwi", stamp)
	w.until("acknowledged", func() bool { return l.sent.Acked() == 1 })
	a.ack, a.since = false, s.epoch.String()+" 1"
	begun, before := w.net.Elapsed(), a.t
	w.iamat("Alford", "moa", stamp)
	w.until("dropped", w.counted("links_unacknowledged"))
	if d := w.net.Elapsed() - begun; l.trouble != link.ErrNoAck.Error() ||
		d < link.PingAfter+link.AckAfter || d > link.PingAfter+link.AckAfter+2*link.Beat {
		t.Errorf("dropped after %v for %q", d, l.trouble)
	}
	a.ack = true
	w.until("live again", func() bool { return a.t != before && l.state == linkLive && l.sent.Acked() == 2 })
	if l.neighbor.counters.resumes != 1 {
		t.Errorf("%+v", l.neighbor.counters)
	}
	return s
}

// An idle link is noticed as well: a MARK is due every few seconds.
func TestAnIdleLinkWhoseMarksDoNotCount(t *testing.T) {
	w := newWorld(t, testConfig(ring...))
	a := w.acceptor()
	a.pong = true
	s := w.start("Alford")
	l := s.neighbor([]byte("Welsh")).link
	w.until("live", func() bool { return l.state == linkLive })
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
	s := w.servers["Alford"]
	l := s.neighbors[0].link
	for i := range 20_000 {
		s.store.ApplyOwn(at(t, fmt.Sprint("c", i), stamp))
	}
	s.pumpSoon()
	w.net.RunFor(time.Second)
	if n := l.unacknowledged(); n < link.Window {
		t.Fatalf("%d bytes on their way: nothing is tested", n)
	}
	longest, last, since := time.Duration(0), s.Status().Links[0].Sent, w.net.Elapsed()
	arrived := w.net.RunUntil(3*time.Minute, func() bool {
		if longest == 0 && l.sent.Acked() >= last {
			longest = w.net.Elapsed() - since
		}
		return w.equal()
	})
	if !arrived {
		t.Fatalf("not all has arrived; the link is %v", l.state)
	}
	if longest < time.Minute {
		t.Errorf("the ACK of the last MARK took %v: nothing is tested", longest)
	}
	if c := s.counters; c.LinksUnacknowledged+c.LinksSilent > 0 || l.neighbor.counters.resumes > 0 {
		t.Errorf("dropped: %+v", c)
	}
}
