package herd

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"serverherd/reactor/memreactor"
)

// In the scripts . is a beat, P the PONG to the last PING and O to one before. In what comes of them
// . is a beat, ? one with a PING and ! one at which the link is to be dropped.
func TestOverdue(t *testing.T) {
	for _, test := range []struct{ what, script, want string }{
		{"no PONG", strings.Repeat(".", 40), "...?" + strings.Repeat(".", 36)},
		{"a PONG and no ACK", "....P.....", "...?....!"},
		{"a late PONG and no ACK", ".......P.....", "...?.......!"},
		{"the PONG to an earlier PING", "....O......", "...?......"},
		{"a PONG before the PING", "O..P.....", "...?..."},
		{"a second PONG does not count anew", "....P..P...", "...?....!"},
	} {
		o, asked, got := overdue{}, uint64(7), ""
		for _, e := range test.script {
			before := asked
			switch {
			case e == 'P':
				o.pong(asked)
			case e == 'O':
				o.pong(asked - 1)
			case o.beat(func() uint64 { asked++; return asked }):
				got += "!"
			case asked > before:
				got += "?"
			default:
				got += "."
			}
		}
		if got != test.want {
			t.Errorf("%s: %q, want %q", test.what, got, test.want)
		}
	}
}

// hitAckAfter is a neighbor that answers every PING and acknowledges nothing any more.
func hitAckAfter(t *testing.T) *Server {
	w := newWorld(t, testConfig(ring...))
	a := w.acceptor()
	a.pong = true
	s := w.start("Alford")
	l := s.neighbor([]byte("Welsh")).link
	w.until("live", func() bool { return l.state == linkLive })
	w.iamat("Alford", "kiwi", stamp)
	w.until("acknowledged", func() bool { return l.acked == 1 })
	a.ack, a.since = false, s.epoch.String()+" 1"
	begun, before := w.net.Elapsed(), a.t
	w.iamat("Alford", "moa", stamp)
	w.until("dropped", w.counted("links_unacknowledged"))
	if d := w.net.Elapsed() - begun; l.trouble != errNoAck.Error() ||
		d < (pingAfter+ackAfter)*beat || d > (pingAfter+ackAfter+2)*beat {
		t.Errorf("dropped after %v for %q", d, l.trouble)
	}
	a.ack = true
	w.until("live again", func() bool { return a.t != before && l.state == linkLive && l.acked == 2 })
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
	if d := w.net.Elapsed() - begun; d > (markEvery+pingAfter+ackAfter+2)*beat {
		t.Errorf("dropped after %v", d)
	}
}

// On a line of 100 kbit/s the MARK at the end of a full window is acknowledged after more than a
// minute. The link is well.
func TestAFullWindowOnASlowLine(t *testing.T) {
	cfg := testConfig(
		ServerConfig{Name: "Alford", Address: "Alford:1", Neighbors: []string{"Welsh"}},
		ServerConfig{Name: "Welsh", Address: "Welsh:1", Neighbors: []string{"Alford"}})
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
	if n := l.unacknowledged(); n < windowBytes {
		t.Fatalf("%d bytes on their way: nothing is tested", n)
	}
	longest := time.Duration(0)
	arrived := w.net.RunUntil(3*time.Minute, func() bool {
		if len(l.marks) > 0 {
			longest = max(longest, s.reactor.Now().Sub(l.marks[0].at))
		}
		return w.equal()
	})
	if !arrived {
		t.Fatalf("not all has arrived; the link is %v", l.state)
	}
	if longest < time.Minute {
		t.Errorf("no MARK waited for longer than %v: nothing is tested", longest)
	}
	if c := s.counters; c.LinksUnacknowledged+c.LinksSilent > 0 || l.neighbor.counters.resumes > 0 {
		t.Errorf("dropped: %+v", c)
	}
}
