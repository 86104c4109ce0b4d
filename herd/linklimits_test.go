package herd

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"serverherd/herd/config"
	"serverherd/herd/link"
	"serverherd/reactor"
)

// hitDialTimeout dials into a network that swallows.
func hitDialTimeout(t *testing.T) *Server {
	w := newWorld(t, testConfig(ring...))
	w.start("Hamilton")
	w.net.Cut("Alford", "Hamilton")
	srv := w.start("Alford")
	n := srv.neighbor([]byte("Hamilton"))
	w.until("given up", func() bool { return n.counters.dialsFailed == 1 })
	if d := w.net.Elapsed(); d < dialTimeout || d > dialTimeout+100*time.Millisecond {
		t.Errorf("given up after %v", d)
	}
	return srv
}

// hitRetry dials somebody who is not there, sooner and then later.
func hitRetry(t *testing.T) *Server {
	w := ringOf(t, nil, "Alford")
	srv := w.servers["Alford"]
	n := srv.neighbor([]byte("Welsh"))
	last, shortest, longest := time.Duration(0), time.Hour, time.Duration(0)
	for k := range uint64(30) {
		w.until("another try", func() bool { return n.counters.dialsFailed > k })
		if pause := w.net.Elapsed() - last; k > 0 {
			shortest, longest = min(shortest, pause), max(longest, pause)
		}
		last = w.net.Elapsed()
	}
	const half, slack = 0.5, 100 * time.Millisecond
	if shortest < reactor.MinRetryDelay/2 || shortest > 2*reactor.MinRetryDelay ||
		longest < reactor.MaxRetryDelay || longest > reactor.MaxRetryDelay*3/2+slack {
		t.Errorf("tries are %v to %v apart", shortest, longest)
	}
	return srv
}

// hitHandshakeTimeout says HELLO and nothing more.
func hitHandshakeTimeout(t *testing.T) *Server {
	w := ringOf(t, nil, "Alford")
	c := w.dial("Alford")
	c.SendString(welshHello + "\r\n")
	w.until("cut", c.Closed)
	if d := w.net.Elapsed(); d < link.HandshakeTimeout || d > link.HandshakeTimeout+100*time.Millisecond {
		t.Errorf("cut after %v", d)
	}
	return w.servers["Alford"]
}

// linkDropped is an impostor's link after something that costs it.
func linkDropped(t *testing.T, do func(w *world, p *impostor)) *Server {
	t.Helper()
	w := ringOf(t, nil, "Alford")
	p := w.welcomed(welshHello)
	do(w, p)
	srv := w.servers["Alford"]
	w.until("dropped", func() bool { return len(srv.neighbor([]byte("Welsh")).inbounds) == 0 })
	return srv
}

func hitDeadAfter(t *testing.T) *Server {
	return linkDropped(t, func(w *world, p *impostor) {
		w.net.RunFor(link.PingAfter + 100*time.Millisecond)
		var clock int64 // when it was asked
		got := p.Take()
		if _, err := fmt.Sscanf(got, "PING %d\r\n", &clock); err != nil || w.net.Now().Sub(time.UnixMicro(clock)).Abs() > time.Second {
			t.Errorf("after %v of silence it gets %q", link.PingAfter, got)
		}
		w.until("dropped", p.Closed)
		if d := w.net.Elapsed(); d < link.DeadAfter || d > link.DeadAfter+2*link.Beat {
			t.Errorf("dropped after %v", d)
		}
	})
}

func hitLinkLine(t *testing.T) *Server {
	return linkDropped(t, func(_ *world, p *impostor) { p.SendString(strings.Repeat("x", maxLinkLine+2)) })
}

func hitBadLines(t *testing.T) *Server {
	return linkDropped(t, func(w *world, p *impostor) {
		// As many as there may be, and once more when that is forgotten.
		for range 2 {
			p.SendString(strings.Repeat("nonsense\r\n", link.MaxBadLines))
			for range link.BadLinesTime / time.Second {
				w.net.RunFor(time.Second + 50*time.Millisecond)
				p.SendString("PONG 1\r\n")
			}
			if p.Closed() {
				t.Errorf("dropped for %d bad lines in %v", link.MaxBadLines, link.BadLinesTime)
			}
		}
		p.SendString(strings.Repeat("nonsense\r\n", link.MaxBadLines+1))
	})
}

// hitBadLinesOfAcceptor is nonsense from whom Alford has dialed.
func hitBadLinesOfAcceptor(t *testing.T) *Server {
	w := ringOf(t, nil, "Alford")
	w.startLegacy(func(c *legacyConn, line string) {
		switch verb, _, _ := strings.Cut(line, " "); verb {
		case "HELLO":
			c.say("CHALLENGE 000102030405060708090a0b0c0d0e0f\r\n")
		case "PROOF":
			c.say("WELCOME 00000000000000aa - - 0\r\n" + strings.Repeat("nonsense\r\n", link.MaxBadLines+1))
		}
	})
	w.until("dropped", w.counted("links_garbled"))
	srv := w.servers["Alford"]
	if why := srv.neighbor([]byte("Welsh")).link.downReason; why != link.ErrBadLines.Error() {
		t.Errorf("dropped for %q", why)
	}
	return srv
}

func hitLinkUnread(t *testing.T) *Server {
	return linkDropped(t, func(w *world, p *impostor) {
		p.Stall()
		for range 100 {
			p.SendString(strings.Repeat("PING 1\r\n", 20_000))
			w.net.RunFor(10 * time.Millisecond)
		}
	})
}

// pausedWelsh has Welsh stop, so that nothing that Alford sends is acknowledged, and sends it n
// updates of as many clients.
func pausedWelsh(t *testing.T, n int, every time.Duration) (*world, *outbound) {
	t.Helper()
	cfg := testConfig(ring...)
	cfg.Limits.MaxClients = 100_000
	w := newWorld(t, cfg)
	srv := w.start("Alford")
	w.start("Welsh")
	w.until("live", w.live)
	w.reactors["Welsh"].Pause()
	for i := range n {
		srv.store.ApplyOwn(at(t, fmt.Sprint("c", i), stamp))
		if i%100 == 0 {
			srv.pumpSoon()
			w.net.RunFor(every)
		}
	}
	return w, srv.neighbor([]byte("Welsh")).link
}

func hitLinkWindow(t *testing.T) *Server {
	w, o := pausedWelsh(t, 30_000, time.Millisecond)
	if n := o.unacknowledged(); n < link.Window || n > link.Window+1024 {
		t.Errorf("%d bytes on their way", n)
	}
	if n := o.neighbor.counters.stalls; n != 1 {
		t.Errorf("counted %d times", n)
	}
	w.reactors["Welsh"].Resume()
	w.until("equal", w.equal)
	return w.servers["Alford"]
}

func hitSlowLinkWindow(t *testing.T) *Server {
	w, o := pausedWelsh(t, 1000, 200*time.Millisecond)
	if n := o.unacknowledged(); n < link.SlowWindow || n > link.Window/8 {
		t.Errorf("%d bytes on their way after 2 s without an ACK", n)
	}
	w.reactors["Welsh"].Resume()
	w.until("equal", w.equal)
	return w.servers["Alford"]
}

// hitMarksInFlight takes a neighbor that has left as many MARKs as it may without an ACK.
func hitMarksInFlight(t *testing.T) *Server {
	w := ringOf(t, nil, "Alford", "Welsh")
	w.until("live", w.live)
	srv := w.servers["Alford"]
	o := srv.neighbor([]byte("Welsh")).link
	w.net.CutOneWay("Welsh", "Alford")
	for i := range link.MaxMarks + 1 { // of records that Welsh knows
		srv.store.Apply(at(t, "k", stamp+i), o.sent.Peer())
		send := o.sender.(*linkSender)
		send.machine.Mark(srv.time(), send.out.Reset())
		send.handleOutput()
	}
	w.until("dropped", func() bool { return w.counted("links_unacknowledged")() && o.t == nil })
	if w.net.Elapsed() > time.Second || o.downReason != link.ErrNoAck.Error() {
		t.Errorf("dropped after %v for %q", w.net.Elapsed(), o.downReason)
	}
	return srv
}

func hitLinksOfOne(t *testing.T) *Server {
	w := ringOf(t, nil, "Alford")
	first := w.welcomed(welshHello)
	for range maxInbounds - 1 {
		w.welcomed(welshHello)
	}
	if first.Closed() {
		t.Errorf("dropped for the last of %d", maxInbounds)
	}
	w.welcomed(welshHello)
	w.until("the oldest is dropped", first.Closed)
	return w.servers["Alford"]
}

func hitFormerProcesses(t *testing.T) *Server {
	w := ringOf(t, nil, "Alford")
	for i := range link.MaxFormer + 2 {
		p := w.welcomed(strings.Replace(welshHello, "00aa", fmt.Sprintf("%04x", 1+i), 1))
		p.Close()
	}
	srv := w.servers["Alford"]
	back := &srv.neighbor([]byte("Welsh")).counters.takenBack
	for epoch, want := range map[string]uint64{"0001": 0, "0020": 1} { // forgotten, and not
		*back = 0
		w.net.RunFor(time.Second)
		w.welcomed(strings.Replace(welshHello, "00aa", epoch, 1)).Close()
		if *back != want {
			t.Errorf("process %s: %d taken back, want %d", epoch, *back, want)
		}
	}
	return srv
}

// hitRefusals is refused as often as it likes, and logged once in a while.
func hitRefusals(t *testing.T) *Server {
	w := ringOf(t, nil, "Alford")
	srv := w.servers["Alford"]
	for range 3 {
		w.impostor("Alford", "Welsh").hello(strings.Replace(welshHello, "ucla", "usc", 1))
	}
	seen := &srv.logLimits.handshakes
	if n := srv.counters.HandshakesFailed; n != 3 || len(seen.logged) != 1 {
		t.Errorf("%d refused, %d logged", n, len(seen.logged))
	}
	now := srv.reactor.Now()
	for i := range 2 * maxLogKeys {
		seen.allow(logKey{"herd", fmt.Sprint("host", i)}, now)
	}
	if n := len(seen.logged); n != maxLogKeys {
		t.Errorf("%d are remembered", n)
	}
	w.net.RunFor(logPause + 2*time.Second)
	if n := len(seen.logged); n != 0 {
		t.Errorf("%d are remembered after %v", n, logPause)
	}
	return srv
}

// One kind of event that comes from very many addresses does not hide the others.
func TestManyAddressesHideNoOtherEvents(t *testing.T) {
	w := ringOf(t, nil, "Alford")
	w.net.RunFor(5 * time.Second)
	srv := w.servers["Alford"]
	seen := srv.observe()
	for i := range 2 * maxLogKeys {
		c := client{w.net.DialFrom(fmt.Sprint("host", i), "Alford:1"), w}
		c.SendString("GET / HTTP/1.1\r\n")
		w.net.RunFor(10 * time.Millisecond)
	}
	if n := seen.FilterMessage("other protocol refused").Len(); n < maxLogKeys || n >= 2*maxLogKeys {
		t.Fatalf("%d of %d logged", n, 2*maxLogKeys)
	}
	w.impostor("Alford", "Welsh").hello(strings.Replace(welshHello, "ucla", "usc", 1))
	srv.neighbor([]byte("Welsh")).link.setDown("another reason")
	from := w.dial("Alford")
	from.SendString("help\n")
	w.net.RunFor(100 * time.Millisecond)
	srv.sessions[len(srv.sessions)-1].cutOff(errStalled, 0)
	srv.lookups.logBusy(&addressTurns{host: "client"})
	for _, message := range []string{"neighbor refused", "link down", "client cut off", "lookups refused, too many waiting"} {
		if seen.FilterMessage(message).Len() == 0 {
			t.Errorf("the log does not say %q", message)
		}
	}
}

// A server that has room again, which is one that was restarted with more, gets everything: a new
// process asks for a copy of each neighbor, and what it was refused before reaches those behind it.
func TestRoomAgain(t *testing.T) {
	line := []config.Server{
		{Name: "Alford", Address: "Alford:1", Neighbors: []string{"Hamilton"}},
		{Name: "Hamilton", Address: "Hamilton:1", Neighbors: []string{"Alford", "Holiday"}},
		{Name: "Holiday", Address: "Holiday:1", Neighbors: []string{"Hamilton"}},
	}
	few := testConfig(line...)
	few.Limits.MaxClients = 2
	w := newWorld(t, testConfig(line...))
	w.start("Alford")
	w.startWith("Hamilton", few)
	w.start("Holiday")
	w.until("live", w.live)
	w.updates("Alford", 0, 10, stamp)
	hamilton := w.servers["Hamilton"]
	w.until("eight are dropped", func() bool { return hamilton.counters.ClientsRefused == 8 })
	w.net.RunFor(20 * time.Second)
	if n := w.servers["Holiday"].store.Len(); n != 2 {
		t.Errorf("%d records came through", n)
	}
	for _, n := range w.servers["Alford"].neighbors {
		if _, diverged := n.heard.Agreement(); !diverged.IsZero() || n.counters.repairs > 0 {
			t.Error("somebody compares with a server that has dropped records")
		}
	}
	if st := hamilton.Status(); st.Digest != "full" || st.Records != 2 || st.Ready || !strings.HasPrefix(st.Waiting, "full: ") {
		t.Errorf("%d records, digest %s, ready %v: %s", st.Records, st.Digest, st.Ready, st.Waiting)
	}
	for _, name := range []string{"Alford", "Hamilton", "Holiday"} {
		for _, l := range w.servers[name].Status().Links { // whatever was compared while all were empty
			if l.Agreement != "full" {
				t.Errorf("%s says of its link to %s: %s", name, l.Neighbor, l.Agreement)
			}
		}
	}
	w.crash("Hamilton")
	w.start("Hamilton")
	w.until("equal", func() bool { return w.live() && w.equal() })
	for _, name := range []string{"Alford", "Hamilton", "Holiday"} {
		st := w.servers[name].Status()
		if n := w.servers[name].store.Len(); n != 10 || !st.Ready || st.Links[0].Agreement == "full" {
			t.Errorf("%s has %d records, ready %v, %s", name, n, st.Ready, st.Links[0].Agreement)
		}
	}
	if n := w.servers["Alford"].neighbors[0].counters.copies; n != 2 {
		t.Errorf("Alford sent everything %d times, want twice", n)
	}
}
