package herd

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"serverherd/herd/link"
	"serverherd/protocol"
	"serverherd/reactor"
)

// legacyPeer plays, in place of the server Welsh, a server that knows no handshake. It answers as a
// script says, and stores nothing.
type legacyPeer struct {
	w      *world
	answer func(c *legacyConn, line string)
	conns  []*legacyConn
}

// legacyConn is one connection that a neighbor made to it.
type legacyConn struct {
	t      reactor.Transport
	reader *reactor.LineReceiver
	peer   *legacyPeer
	made   time.Duration
	lines  []string
	closed bool
}

// doesNotKnow answers HELLO as the paper's server does.
func doesNotKnow(c *legacyConn, line string) {
	if strings.HasPrefix(line, "HELLO") {
		c.say("? " + line + "\n\n")
	}
}

func (c *legacyConn) say(text string) { c.t.Write([]byte(text)) }

// playWelsh has f play the server Welsh. As a process it is one of the world's.
func (w *world) playWelsh(f reactor.Factory) { w.play("Welsh", f) }

// play has f play a server.
func (w *world) play(name string, f reactor.Factory) {
	w.t.Helper()
	r := w.net.NewReactor(name)
	if _, err := r.ListenTCP(r.Listen(name+":1"), f); err != nil {
		w.t.Fatal(err)
	}
	w.reactors[name] = r
}

// clientsOf are the clients of AT lines that Alford has sent.
func (w *world) clientsOf(lines []string) (all []string) {
	w.t.Helper()
	for _, line := range lines {
		l, err := protocol.ParseLink([]byte(line))
		if err != nil || l.Verb != protocol.LinkAT || string(l.Sender) != "Alford" {
			w.t.Fatalf("Welsh was sent %q", line)
		}
		all = append(all, string(l.Record.Client()))
	}
	return all
}

// untilSent waits until lines hold exactly these clients.
func (w *world) untilSent(lines func() []string, want ...string) {
	w.t.Helper()
	w.until(fmt.Sprintf("%q is sent", want), func() bool { return slices.Equal(w.clientsOf(lines()), want) })
}

// startLegacy starts the peer. As a process it is one of the world's.
func (w *world) startLegacy(answer func(c *legacyConn, line string)) *legacyPeer {
	w.t.Helper()
	p := &legacyPeer{w: w, answer: answer}
	w.playWelsh(p)
	return p
}

func (p *legacyPeer) BuildProtocol(string) reactor.Protocol {
	c := &legacyConn{peer: p, made: p.w.net.Elapsed()}
	c.reader = reactor.NewLineReceiver(maxLinkLine, c)
	p.conns = append(p.conns, c)
	return c
}

func (c *legacyConn) ConnectionMade(t reactor.Transport) { c.t = t }
func (c *legacyConn) DataReceived(p []byte)              { c.reader.DataReceived(p) }
func (c *legacyConn) ConnectionLost(error)               { c.closed = true }
func (c *legacyConn) LineLengthExceeded([]byte)          { panic("a line is too long") }
func (c *legacyConn) LineReceived(line []byte) {
	c.lines = append(c.lines, string(line))
	c.peer.answer(c, string(line))
}

// last is the newest connection from a neighbor.
func (p *legacyPeer) last() *legacyConn { return p.conns[len(p.conns)-1] }

// clients are those in the AT lines of the newest connection, in order. Anything else there fails
// the test.
func (p *legacyPeer) clients() (all []string) {
	if len(p.conns) == 0 {
		return nil
	}
	for _, line := range p.last().lines {
		switch l, err := protocol.ParseLink([]byte(line)); {
		case err == nil && l.Verb == protocol.LinkAT && string(l.Sender) == "Alford":
			all = append(all, string(l.Record.Client()))
		case !strings.HasPrefix(line, "HELLO"):
			p.w.t.Fatalf("a legacy neighbor is sent %q", line)
		}
	}
	return all
}

// untilServed waits until the newest connection has carried these clients, and no others.
func (p *legacyPeer) untilServed(want ...string) {
	p.w.t.Helper()
	p.w.until(fmt.Sprintf("%q is sent", want), func() bool {
		return fmt.Sprint(p.clients()) == fmt.Sprint(want)
	})
}

// legacyRing is the paper's ring, of which some servers run, with or without a need for handshakes.
func legacyRing(t *testing.T, handshake string, names ...string) *world {
	cfg := testConfig(ring...)
	cfg.Peers.Handshake = handshake
	w := newWorld(t, cfg)
	for _, n := range names {
		w.start(n)
	}
	return w
}

func (w *world) linkToWelsh() *outbound { return w.servers["Alford"].neighbor([]byte("Welsh")).link }

func (w *world) untilStored(server, name string) {
	w.t.Helper()
	w.until(server+" has "+name, func() bool {
		_, stored := w.servers[server].store.Lookup([]byte(name))
		return stored
	})
}

// It is asked for a handshake, and then gets everything, what is new, and not a line else.
func TestALegacyNeighborIsServed(t *testing.T) {
	w := legacyRing(t, "optional", "Alford")
	for _, name := range []string{"a", "b", "c"} {
		w.iamat("Alford", name, stamp)
	}
	p := w.startLegacy(doesNotKnow)
	p.untilServed("a", "b", "c")
	w.iamat("Alford", "b", stamp+1)
	p.untilServed("a", "b", "c", "b")
	w.net.RunFor(time.Minute)
	p.untilServed("a", "b", "c", "b") // and neither MARK nor PING
	if got := p.last().lines[3]; !strings.HasPrefix(got, "AT Alford +") || !strings.HasSuffix(got, " Alford") {
		t.Errorf("the line is %q", got)
	}
	if n := len(p.conns); n != 2 || len(p.conns[0].lines) != 1 || !p.conns[0].closed {
		t.Errorf("%d connections, the first with %q", n, p.conns[0].lines)
	}
	if d := p.conns[1].made - p.conns[0].made; d > 50*time.Millisecond {
		t.Errorf("the second connection came %v after the first", d)
	}
	st := w.servers["Alford"].Status()
	l := st.Links[1]
	if l.State != "plain" || l.Error != "" || l.Sent != 4 || l.Behind != 0 || l.Acknowledged != 0 ||
		l.ATSent != 4 || l.Copies != 1 || l.Agreement != "unknown" || !st.Ready {
		t.Errorf("status %+v, ready %v", l, st.Ready)
	}
}

// A process that was killed gets everything again, its own included.
func TestALegacyNeighborThatIsRestarted(t *testing.T) {
	w := legacyRing(t, "optional", "Alford")
	p := w.startLegacy(doesNotKnow)
	w.until("legacy", func() bool { return w.linkToWelsh().state == linkLegacy })
	w.iamat("Alford", "own", stamp)
	c := w.legacyWelsh()
	c.SendString(legacyKiwi)
	w.untilStored("Alford", "kiwi")
	p.untilServed("own")
	c.Close()
	w.reactors["Welsh"].Crash()
	w.net.RunFor(20 * time.Second)
	p = w.startLegacy(doesNotKnow)
	p.untilServed("own", "kiwi")
	if l := w.servers["Alford"].Status().Links[1]; l.Copies != 2 || l.State != "plain" {
		t.Errorf("status %+v", l)
	}
}

// Every process is asked for a handshake, also where the one before went away at a bad moment.
func TestALegacyNeighborThatDiesWhenAsked(t *testing.T) {
	w := legacyRing(t, "optional", "Alford")
	w.iamat("Alford", "own", stamp)
	w.startLegacy(func(c *legacyConn, line string) {
		doesNotKnow(c, line)
		w.net.At(0, func() {
			w.net.Refuse("Welsh:1", true)
			w.reactors["Welsh"].Crash()
		})
	})
	w.until("gone", func() bool { return w.reactors["Welsh"].Stopped() })
	w.net.RunFor(time.Second)
	w.net.Refuse("Welsh:1", false)
	p := w.startLegacy(doesNotKnow)
	p.untilServed("own")
	if first := p.conns[0].lines[0]; !strings.HasPrefix(first, "HELLO ") {
		t.Errorf("the new process is greeted with %q", first)
	}
}

// A neighbor that does not read costs 256 KiB, and gets the last of everything.
func TestASlowLegacyNeighbor(t *testing.T) {
	cfg := testConfig(ring...)
	cfg.Peers.Handshake, cfg.Limits.MaxClients = "optional", 100000
	w := newWorld(t, cfg)
	srv := w.start("Alford")
	p := w.startLegacy(doesNotKnow)
	w.until("legacy", func() bool { return w.linkToWelsh().state == linkLegacy })
	o := w.linkToWelsh()
	w.until("it is accepted", func() bool { return len(p.conns) == 2 })
	w.reactors["Welsh"].Pause()
	const n = 20000
	for second := range 3 {
		for i := range n {
			srv.store.ApplyOwn(at(t, fmt.Sprint("c", i), 100+second))
		}
		srv.pumpSoon()
		w.net.RunFor(time.Second)
	}
	if held := o.t.Backlog(); held < link.LegacyUnsent || held > link.LegacyUnsent+1024 {
		t.Errorf("%d bytes are unsent, want %d", held, link.LegacyUnsent)
	}
	if st := srv.Status().Links[1]; st.Unacknowledged != o.t.Backlog() || st.Behind == 0 || st.Stalls != 1 {
		t.Errorf("status %+v", st)
	}
	sent := o.neighbor.counters.atSent
	w.reactors["Welsh"].Resume()
	w.until("all is sent", func() bool { return o.sender.(*legacySender).machine.CaughtUp() && o.t.Backlog() == 0 })
	if more := o.neighbor.counters.atSent - sent; more > n {
		t.Errorf("%d lines for the last place of %d clients", more, n)
	}
	w.net.RunFor(time.Second)
	latest := map[string]string{}
	for _, line := range p.last().lines {
		r, _ := protocol.ParseLink([]byte(line))
		latest[string(r.Record.Client())] = line
	}
	for client, line := range latest {
		if !strings.HasSuffix(line, " 102 Alford") {
			t.Fatalf("the last of %s is %q", client, line)
		}
	}
	if len(latest) != n {
		t.Errorf("%d of %d clients", len(latest), n)
	}
}

// A server of the herd that hung for a while is taken for legacy, until it moves again.
func TestAPausedServerIsNotLegacyForLong(t *testing.T) {
	w := legacyRing(t, "optional", "Alford", "Welsh")
	w.until("live", w.live)
	w.iamat("Alford", "before", stamp)
	w.until("acknowledged", func() bool { return w.linkToWelsh().sent.Acked() == 1 })
	w.reactors["Welsh"].Pause()
	w.until("taken for legacy", func() bool { return w.linkToWelsh().state == linkLegacy })
	w.iamat("Alford", "a", stamp)
	w.net.RunFor(10 * time.Second)
	w.reactors["Welsh"].Resume()
	w.until("live again", w.live)
	w.until("equal", w.equal)
	if o := w.linkToWelsh(); o.neighbor.counters.resumes == 0 {
		t.Errorf("what it had acknowledged before is forgotten: %+v", o.neighbor.counters)
	}
}

// A neighbor that proves itself while a legacy connection to it is being made is asked on that one.
func TestANeighborThatProvesItselfAtTheLastMoment(t *testing.T) {
	w := legacyRing(t, "optional", "Alford")
	w.net.RunFor(time.Second)
	proof := w.impostor("Alford", "Welsh")
	proof.say(welshHello)
	proof.transcript.Add([]byte(proof.line()))
	p := w.startLegacy(func(c *legacyConn, line string) {
		doesNotKnow(c, line)
		w.net.CutOneWay("Alford", "Welsh")
	})
	w.linkToWelsh().dialNow()
	w.until("a legacy connection is next", func() bool { return w.linkToWelsh().next == kindLegacy })
	proof.say("PROOF " + string(proof.transcript.SignProof(nil, 0)))
	n := w.linkToWelsh().neighbor
	w.until("it is taken", func() bool { return len(n.inbounds) == 1 })
	w.net.HealAll()
	w.until("asked again", func() bool { return len(p.conns) == 2 && len(p.last().lines) > 0 })
	if got := p.last().lines[0]; !strings.HasPrefix(got, "HELLO ") {
		t.Errorf("it is sent %q", got)
	}
}

// A legacy server that is replaced by one of the herd's gets a link, and everything.
func TestALegacyNeighborThatIsUpgraded(t *testing.T) {
	w := legacyRing(t, "optional", "Alford")
	w.startLegacy(doesNotKnow)
	w.until("legacy", func() bool { return w.linkToWelsh().state == linkLegacy })
	c := w.legacyWelsh()
	c.SendString(legacyKiwi)
	w.untilStored("Alford", "kiwi")
	c.Close()
	w.reactors["Welsh"].Crash()
	w.start("Welsh")
	w.until("live", w.live)
	w.until("equal", w.equal)
	w.crash("Welsh")
	w.net.RunFor(time.Second)
	p := w.startLegacy(doesNotKnow)
	p.untilServed("kiwi")
}

// A neighbor that closes what is idle, or closes at once, is not dialed busily.
func TestALegacyNeighborThatCloses(t *testing.T) {
	for _, test := range []struct {
		after time.Duration
		most  int // connections in ten minutes, two for each time
	}{{0, 280}, {time.Second, 250}, {time.Minute, 22}} {
		w := legacyRing(t, "optional", "Alford")
		w.iamat("Alford", "a", stamp)
		p := w.startLegacy(func(c *legacyConn, line string) {
			doesNotKnow(c, line)
			if strings.HasPrefix(line, "AT ") {
				w.reactors["Welsh"].CallLater(test.after, c.t.LoseConnection)
			}
		})
		w.net.RunFor(10 * time.Minute)
		if n := len(p.conns); n < 10 || n > test.most {
			t.Errorf("closing after %v: %d connections in ten minutes", test.after, n)
		}
	}
}

// A server that stops has written everything before it goes, and does not dial again, however long
// it waits for another neighbor.
func TestLeavingALegacyNeighbor(t *testing.T) {
	for _, other := range []bool{false, true} {
		servers := slices.Clone(ring)
		servers[0].Neighbors = []string{"Welsh", "Hamilton"}
		cfg := testConfig(servers...)
		cfg.Peers.Handshake, cfg.Limits.MaxClients = "optional", 100000
		w := newWorld(t, cfg)
		srv := w.start("Alford")
		p := w.startLegacy(doesNotKnow)
		w.until("legacy", func() bool { return w.linkToWelsh().state == linkLegacy })
		if other {
			w.start("Hamilton")
			w.until("live", w.live)
			w.reactors["Hamilton"].Pause()
		}
		const n = 5000
		for i := range n {
			srv.store.ApplyOwn(at(t, fmt.Sprint("c", i), 100))
		}
		srv.pumpSoon()
		w.reactors["Alford"].Stop()
		begun := w.net.Elapsed()
		w.until("stopped", w.reactors["Alford"].Stopped)
		if d := w.net.Elapsed() - begun; (d > 2*time.Second) != other {
			t.Errorf("it took %v", d)
		}
		w.net.RunFor(10 * time.Second)
		if k := len(p.clients()); k != n || !p.last().closed || len(p.conns) != 2 {
			t.Errorf("%d of %d records, closed %v, %d connections", k, n, p.last().closed, len(p.conns))
		}
	}
}

// With handshake = "required" such a neighbor is what it always was: not a server of this herd.
func TestALegacyNeighborWhereHandshakesAreRequired(t *testing.T) {
	for _, answer := range []func(*legacyConn, string){doesNotKnow, func(*legacyConn, string) {}} {
		w := legacyRing(t, "required", "Alford")
		w.iamat("Alford", "a", stamp)
		p := w.startLegacy(answer)
		w.net.RunFor(time.Minute)
		for _, c := range p.conns {
			if len(c.lines) != 1 || !strings.HasPrefix(c.lines[0], "HELLO ") {
				t.Fatalf("it was sent %q", c.lines)
			}
		}
		if l := w.servers["Alford"].Status().Links[1]; l.State == "plain" || l.ATSent != 0 {
			t.Errorf("status %+v", l)
		}
	}
}
