package herd

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"serverherd/herd/config"
	"serverherd/herd/link"
	"serverherd/protocol"
	"serverherd/reactor"
)

func TestANeighborThatLies(t *testing.T) {
	const good = "AT Welsh +0.1 kiwi +1-1 100 Welsh\r\n"
	tests := []struct {
		name string
		say  string
		ack  string // what comes within a second, PINGs aside
		bad  uint64
	}{
		{"good", good + "MARK 1 1 - 1 0000000000000000\r\n", "ACK 1\r\n", 0},
		{"LF only", strings.ReplaceAll(good, "\r", "") + "MARK 1 1 - 1 0000000000000000\n", "ACK 1\r\n", 0},
		{"another sender", "AT Welsh +0.1 kiwi +1-1 100 Ball\r\n", "", 1},
		{"an origin that is not configured", strings.Replace(good, "Welsh", "Kiwi", 1) + "MARK 1 1 - 1 0000000000000000\r\n", "ACK 1\r\n", 0},
		{"an origin that is no name", strings.Replace(good, "Welsh", "1Kiwi", 1), "", 1},
		{"no sender", "AT Welsh +0.1 kiwi +1-1 100\r\n", "", 1},
		{"a NaN", "AT Welsh +0.1 kiwi +1-1 nan Welsh\r\n", "", 1},
		{"a client's verb", "IAMAT kiwi +1-1 100\r\n", "", 1},
		{"ACK of nothing", "ACK 7\r\n", "", 1},
		{"MARK backwards", "MARK 5 5 - 0 0000000000000000\r\nMARK 4 5 - 0 0000000000000000\r\n", "ACK 5\r\n", 1},
		{"MARK past its tail", "MARK 6 5 - 0 0000000000000000\r\n", "", 1},
		{"MARK with nonsense", "MARK x 5 - 0 0000000000000000\r\n", "", 1},
		{"a PING", "PING 3\r\n", "PONG 3\r\n", 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := ringOf(t, nil, "Alford")
			p := w.welcomed(welshHello)
			p.SendString(test.say)
			w.net.RunFor(time.Second)
			if got := p.Take(); got != test.ack {
				t.Errorf("answered %q, want %q", got, test.ack)
			}
			srv := w.servers["Alford"]
			if n := srv.neighbor([]byte("Welsh")).counters.badLines; n != test.bad {
				t.Errorf("%d bad lines, want %d", n, test.bad)
			}
			if _, stored := srv.store.Lookup([]byte("kiwi")); stored != strings.Contains(test.ack, "ACK 1\r") {
				t.Errorf("stored: %v", stored)
			}
			if p.Closed() {
				t.Error("closed for one line")
			}
		})
	}
}

func TestANeighborThatTalksNonsenseIsDropped(t *testing.T) {
	w := ringOf(t, nil, "Alford")
	p := w.welcomed(welshHello)
	p.SendString(strings.Repeat("nonsense\r\n", link.MaxBadLines))
	w.net.RunFor(time.Second)
	if p.Closed() {
		t.Fatalf("closed after %d bad lines", link.MaxBadLines)
	}
	p.SendString("nonsense\r\n")
	w.until("dropped", p.Closed)

	p = w.welcomed(welshHello)
	p.SendString(strings.Repeat("x", maxLinkLine+2))
	w.until("dropped for a long line", p.Closed)
}

func TestATornLineIsDropped(t *testing.T) {
	w := ringOf(t, nil, "Alford")
	p := w.welcomed(welshHello)
	p.SendString("AT Welsh +0.1 kiwi +1-1 100 Welsh")
	p.CloseWrite()
	w.until("closed", p.Closed)
	if _, stored := w.servers["Alford"].store.Lookup([]byte("kiwi")); stored {
		t.Error("a line without its end was applied")
	}
}

// What an older connection still delivers is applied; its MARKs do not count.
func TestAnOlderConnectionsMarksAreIgnored(t *testing.T) {
	w := ringOf(t, nil, "Alford")
	older := w.welcomed(welshHello)
	newer := w.welcomed(welshHello)
	older.SendString("AT Welsh +0.1 kiwi +1-1 100 Welsh\r\nMARK 9 9 - 1 0000000000000000\r\n")
	w.net.RunFor(time.Second)
	srv := w.servers["Alford"]
	if _, stored := srv.store.Lookup([]byte("kiwi")); !stored {
		t.Error("its AT was not applied")
	}
	if seq, any := srv.neighbor([]byte("Welsh")).heard.Seq(); any {
		t.Errorf("its MARK moved the resume point to %d", seq)
	}
	newer.SendString("MARK 3 9 - 1 0000000000000000\r\n")
	w.net.RunFor(time.Second)
	third := w.impostor("Alford", "Welsh")
	if got := third.hello(welshHello); !strings.HasSuffix(got, " 00000000000000aa 3") {
		t.Errorf("resume point %q, want 3 of this epoch", got)
	}
}

// A server whose neighbors are all gone serves, and does not dial busily.
func TestAServerAloneDoesNotDialBusily(t *testing.T) {
	w := ringOf(t, nil, "Alford")
	w.net.RunFor(30 * time.Second)
	if got := w.dial("Alford").ask(1, "IAMAT k +1-1 5\n"); !strings.HasPrefix(got, "AT") {
		t.Errorf("answered %q", got)
	}
	s := w.servers["Alford"].Status()
	if !s.Ready {
		t.Error("not ready though every link has been tried")
	}
	for _, l := range s.Links {
		if l.State != "down" || l.Error == "" {
			t.Errorf("%s: %s %q", l.Neighbor, l.State, l.Error)
		}
	}
}

// A server that is restarted is ready when it has what its neighbors have, and one that is told to
// stop hands everything over first: so a rolling restart loses nothing.
func TestRollingRestart(t *testing.T) {
	cfg := testConfig(
		config.Server{Name: "Alford", Address: "Alford:1", Neighbors: []string{"Welsh"}},
		config.Server{Name: "Welsh", Address: "Welsh:1", Neighbors: []string{"Alford"}})
	const n = 20000
	cfg.Limits.MaxClients, cfg.Limits.Drain = n, time.Minute
	w := newWorld(t, cfg).startAll()
	for i := range n {
		w.servers["Alford"].store.ApplyOwn(at(t, fmt.Sprint("c", i), 100))
	}
	w.servers["Alford"].pumpSoon()
	w.until("equal", w.equal)
	restart := func(name string) {
		w.reactors[name].Stop()
		w.until(name+" has stopped", w.reactors[name].Stopped)
		w.start(name)
	}
	restart("Welsh")
	w.until("Welsh is ready", func() bool { return w.servers["Welsh"].Status().Ready })
	if k := w.servers["Welsh"].store.Len(); k != n {
		t.Errorf("Welsh is ready with %d of %d records", k, n)
	}
	// Again, and this time nobody waits for readiness, only for the copy to begin.
	restart("Welsh")
	w.until("the copy begins", func() bool { return w.servers["Welsh"].store.Len() > 0 })
	if w.servers["Welsh"].Status().Ready || w.servers["Welsh"].store.Len() == n {
		t.Fatal("the copy is over: nothing is tested")
	}
	restart("Alford")
	w.until("equal", w.equal)
	if k := w.servers["Alford"].store.Len(); k != n {
		t.Errorf("%d of %d records after all", k, n)
	}
}

// A client that is refused for want of room does not end the comparing of states.
func TestAFullServerStillCompares(t *testing.T) {
	cfg := testConfig(ring...)
	cfg.Limits.MaxClients = 2
	w := newWorld(t, cfg).startAll()
	w.dial("Alford").ask(3, "IAMAT a +1-1 5\nIAMAT b +1-1 5\nIAMAT c +1-1 5\n")
	w.until("equal", w.equal)
	w.net.RunFor(20 * time.Second)
	for _, l := range w.servers["Alford"].Status().Links {
		if l.Checked == nil || w.servers["Alford"].reactor.Now().Sub(*l.Checked) > 10*time.Second {
			t.Errorf("%s: last compared %v", l.Neighbor, l.Checked)
		}
	}
}

// A neighbor's new process has nothing of what the old one had.
func TestANewProcessHasNoResumePoint(t *testing.T) {
	w := ringOf(t, nil, "Alford")
	p := w.welcomed(welshHello)
	p.SendString("MARK 3 9 - 1 0000000000000000\r\n")
	w.net.RunFor(time.Second)
	next := w.impostor("Alford", "Welsh")
	if got := next.hello(strings.Replace(welshHello, "aa", "bb", 1)); !strings.HasSuffix(got, " - 0") {
		t.Errorf("welcomed with %q", got)
	}
}

// Only a MARK that closes its sender's feed, from a sender that has all of ours, says anything.
func TestStatesAreComparedOnlyWhenItMeansSomething(t *testing.T) {
	for mark, differ := range map[string]bool{
		"MARK 2 2 0 5 00000000000000ff":    true,
		"MARK 1 2 0 5 00000000000000ff":    false, // more is coming
		"MARK 2 2 7 5 00000000000000ff":    false, // more of ours was there than we have
		"MARK 2 2 - 5 00000000000000ff":    false, // nothing of ours was there
		"MARK 2 2 0 5 full":                false,
		"MARK 2 2 0 0 0000000000000000":    false,
		"MARK 2 2 0 0 0000000000000001":    true,
		"MARK 2 2 0 1 0000000000000000":    true,
		"MARK 99 99 0 5 00000000000000ff ": true,
	} {
		w := ringOf(t, nil, "Alford")
		p := w.welcomed(welshHello)
		p.SendString(mark + "\r\n")
		w.net.RunFor(time.Second)
		n := w.servers["Alford"].neighbor([]byte("Welsh"))
		_, diverged := n.heard.Agreement()
		if got := !diverged.IsZero(); got != differ || n.counters.repairs > 0 != differ || p.Closed() != differ {
			t.Errorf("%s: diverged %v, %d repairs, closed %v; want %v", mark, got, n.counters.repairs, p.Closed(), differ)
		}
	}
}

// A neighbor that insists on differing is not repaired all the time.
func TestNoRepairStorm(t *testing.T) {
	w := ringOf(t, nil, "Alford")
	n := w.servers["Alford"].neighbor([]byte("Welsh"))
	for range 600 {
		p := w.welcomed(welshHello)
		p.SendString("MARK 2 2 0 5 00000000000000ff\r\n")
		w.net.RunFor(100 * time.Millisecond)
		p.Close()
		w.net.RunFor(100 * time.Millisecond)
	}
	if k := n.counters.repairs; k < 2 || k > 4 {
		t.Errorf("%d repairs in two minutes, want 10, 20, 40 s apart", k)
	}
}

// acceptor plays the acceptor's part of a link by hand, in place of the server Welsh.
type acceptor struct {
	t      reactor.Transport
	reader *reactor.LineReceiver
	since  string // the resume point that it claims
	clients,
	lines []string // of the connection at hand
	ack  bool // acknowledge every MARK
	pong bool // answer every PING
}

func (w *world) acceptor() *acceptor {
	a := &acceptor{ack: true, since: "- 0"}
	w.playWelsh(a)
	return a
}

func (a *acceptor) BuildProtocol(string) reactor.Protocol { return a }
func (a *acceptor) ConnectionMade(t reactor.Transport) {
	a.t, a.lines, a.clients = t, nil, nil
	a.reader = reactor.NewLineReceiver(maxLinkLine, a)
}
func (a *acceptor) DataReceived(p []byte)     { a.reader.DataReceived(p) }
func (a *acceptor) ConnectionLost(error)      {}
func (a *acceptor) LineLengthExceeded([]byte) {}
func (a *acceptor) LineReceived(line []byte) {
	a.lines = append(a.lines, string(line))
	l, err := protocol.ParseLink(line)
	switch {
	case err != nil:
		panic(err)
	case l.Verb == protocol.LinkHello:
		a.t.Write([]byte("CHALLENGE 000102030405060708090a0b0c0d0e0f\r\n"))
	case l.Verb == protocol.LinkProof:
		a.t.Write([]byte("WELCOME 00000000000000cc - " + a.since + "\r\n"))
	case l.Verb == protocol.LinkAT:
		a.clients = append(a.clients, string(l.Record.Client()))
	case l.Verb == protocol.LinkMark && a.ack:
		a.t.Write(protocol.AppendAck(nil, l.Mark.Seq))
	case l.Verb == protocol.LinkPing && a.pong:
		a.t.Write(protocol.AppendPong(nil, l.N))
	}
}

// Only a place between what was acknowledged and what was sent is a resume; any other claim gets a
// copy, and nothing is lost.
func TestAResumePointThatCannotBe(t *testing.T) {
	w := newWorld(t, testConfig(ring...))
	a := w.acceptor()
	srv := w.start("Alford")
	epoch := srv.epoch.String()
	for i := range 10 {
		w.iamat("Alford", fmt.Sprint("c", i), stamp)
	}
	o := srv.neighbor([]byte("Welsh")).link
	w.until("all is acknowledged", func() bool { return o.sent.Acked() == 10 })
	for _, test := range []struct {
		since string
		want  int
	}{
		{epoch + " 10", 0}, {epoch + " 11", 10}, {epoch + " 3", 10}, {"00000000000000dd 10", 10}, {"- 0", 10},
		{epoch + " 18446744073709551615", 10}, {epoch + " 10", 0},
	} {
		a.since = test.since
		before := a.t
		w.net.Reset("Alford", "Welsh")
		w.until("live again", func() bool { return a.t != before && o.state == linkLive && o.sent.Acked() == 10 })
		if len(a.clients) != test.want {
			t.Errorf("resume from %q: %d records sent, want %d", test.since, len(a.clients), test.want)
		}
	}
	// What was sent and not acknowledged is sent again.
	a.ack = false
	w.iamat("Alford", "c3", stamp+1)
	w.until("it is sent", func() bool { return len(a.clients) == 1 })
	a.since = epoch + " 10"
	before := a.t
	w.net.Reset("Alford", "Welsh")
	w.until("it is sent again", func() bool { return a.t != before && len(a.clients) == 1 })
	// Of two, the first is acknowledged: the second is sent again.
	w.iamat("Alford", "c4", stamp+1)
	w.until("it is sent, too", func() bool { return len(a.clients) == 2 })
	a.t.Write(protocol.AppendAck(nil, 11))
	w.until("the first is acknowledged", func() bool { return o.sent.Acked() == 11 })
	a.since = epoch + " 11"
	before = a.t
	w.net.Reset("Alford", "Welsh")
	w.until("the second is sent again", func() bool { return a.t != before && len(a.clients) == 1 })
	if a.clients[0] != "c4" {
		t.Errorf("%q was sent again, want c4", a.clients[0])
	}
}

// A repair that is cut before anything of it has arrived begins again: what the neighbor names is
// what it had before.
func TestARepairIsNoResumeOfWhatWasBefore(t *testing.T) {
	w := newWorld(t, testConfig(ring...))
	a := w.acceptor()
	srv := w.start("Alford")
	for i := range 10 {
		w.iamat("Alford", fmt.Sprint("c", i), stamp)
	}
	o := srv.neighbor([]byte("Welsh")).link
	w.until("all is acknowledged", func() bool { return o.sent.Acked() == 10 })
	a.since, a.ack = srv.epoch.String()+" 10", false
	o.repair()
	for range 3 {
		before := a.t
		w.until("welcomed", func() bool { return a.t != before && o.sending() })
		w.net.Reset("Alford", "Welsh")
		w.until("cut", func() bool { return o.state == linkDown })
	}
	a.ack = true
	w.until("live again", func() bool { return o.state == linkLive })
	if len(a.clients) != 10 {
		t.Errorf("%d records sent, want 10", len(a.clients))
	}
	w.net.Reset("Alford", "Welsh")
	w.until("down", func() bool { return o.state == linkDown })
	w.until("live for good", func() bool { return o.state == linkLive })
	if len(a.clients) != 0 {
		t.Errorf("%d records sent once it was done, want 0", len(a.clients))
	}
}

// The end of a killed neighbor is told as such at both ends of a link, not as that of a client which left.
func TestTheEndOfANeighborThatIsKilled(t *testing.T) {
	w := newWorld(t, testConfig(ring...)).startAll()
	w.net.RunFor(300 * time.Millisecond) // a process with unread input ends with a reset
	seen := w.servers["Alford"].observe()
	w.crash("Welsh")
	w.until("both connections are lost", func() bool { return seen.FilterMessage("connection lost").Len() >= 2 })
	for _, e := range seen.FilterMessage("connection lost").AllUntimed() {
		if f := e.ContextMap(); f["neighbor"] != "Welsh" || f["reason"] != errClosed.Error() {
			t.Errorf("%v", f)
		}
	}
}

// What was compared long ago says nothing of now.
func TestAnOldComparisonIsNone(t *testing.T) {
	w := newWorld(t, testConfig(ring...)).startAll()
	agreement := func() string {
		for _, l := range w.servers["Alford"].Status().Links {
			if l.Neighbor == "Welsh" {
				return l.Agreement
			}
		}
		return ""
	}
	w.until("compared", func() bool { return agreement() == "in sync" })
	w.crash("Welsh")
	w.net.RunFor(ComparisonAge - 10*time.Second)
	if got := agreement(); got != "in sync" {
		t.Errorf("after 20 s: %s", got)
	}
	w.net.RunFor(11 * time.Second)
	if got := agreement(); got != "unknown" {
		t.Errorf("after 31 s: %s", got)
	}
}
