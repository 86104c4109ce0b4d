package herd

import (
	"strings"
	"testing"
	"time"

	"serverherd/reactor"
)

// oneRead plays, in place of the server Welsh, a server that takes what it reads first for all of a
// connection: it answers and closes. AT lines are not answered.
type oneRead struct {
	w      *world
	answer func(line string) string
	resets bool // what closes without having read everything
	asked  int  // connections that began with HELLO
	lines  []string
}

type oneReadConn struct {
	peer *oneRead
	t    reactor.Transport
	done bool
}

func (p *oneRead) BuildProtocol(string) reactor.Protocol { return &oneReadConn{peer: p} }

func (c *oneReadConn) ConnectionMade(t reactor.Transport) { c.t = t }
func (c *oneReadConn) ConnectionLost(error)               {}
func (c *oneReadConn) DataReceived(b []byte) {
	if c.done {
		return
	}
	c.done = true
	first, _, _ := strings.Cut(string(b), "\r\n")
	if strings.HasPrefix(first, "AT ") {
		c.peer.lines = append(c.peer.lines, first)
		if c.peer.resets {
			c.t.AbortConnection()
			return
		}
	} else {
		c.peer.asked++
		c.t.Write([]byte(c.peer.answer(first)))
	}
	c.t.LoseConnection()
}

func (w *world) startOneRead(answer func(line string) string) *oneRead {
	w.t.Helper()
	p := &oneRead{w: w, answer: answer}
	w.playWelsh(p)
	return p
}

func (p *oneRead) untilServed(want ...string) {
	p.w.t.Helper()
	p.w.untilSent(func() []string { return p.lines }, want...)
}

func unknown(line string) string { return "? " + line }
func nothing(string) string      { return "" }

// An answer without LF before the end is an answer, and two ends without one in a row are one, too.
func TestANeighborThatClosesBehindHello(t *testing.T) {
	for _, legacy := range []string{"keep-open", "close-after-write"} {
		for _, test := range []struct {
			answer func(string) string
			asked  int
		}{{unknown, 1}, {nothing, 2}} {
			w := closeRing(t, legacy, "Alford")
			w.iamat("Alford", "a", stamp)
			p := w.startOneRead(test.answer)
			p.untilServed("a")
			if o := w.linkToWelsh(); p.asked != test.asked || ((o.kind == kindSilent) != (test.asked == 2)) {
				t.Errorf("%s: served after %d times HELLO, kind %v", legacy, p.asked, o.kind)
			}
			if legacy == "keep-open" {
				continue
			}
			w.iamat("Alford", "b", stamp)
			w.iamat("Alford", "a", stamp+1)
			p.untilServed("a", "b", "a")
			w.net.RunFor(10 * time.Minute)
			if st := w.servers["Alford"].Status().Links[1]; p.asked > 24 || st.Copies > 12 {
				t.Errorf("asked %d times in ten minutes, %d copies", p.asked, st.Copies)
			}
		}
	}
}

// Once it has shown that it does not answer, one HELLO before each connection with lines is enough.
func TestANeighborThatAlwaysClosesIsAskedOnce(t *testing.T) {
	w := closeRing(t, "keep-open", "Alford")
	w.iamat("Alford", "a", stamp)
	p := w.startOneRead(nothing)
	w.until("served three times", func() bool { return len(p.lines) == 3 })
	if n := w.linkToWelsh().neighbor.counters.dialsFailed; n > 3 {
		t.Errorf("%d dials failed", n)
	}
	if p.asked > 4+3 { // with three probes
		t.Errorf("asked %d times", p.asked)
	}
}

// An end without an answer says nothing about a neighbor that may be a server of the herd, and the status
// tells why it is not linked.
func TestANeighborThatClosesAndIsNotServed(t *testing.T) {
	secret := []string{strings.Repeat("s", 32)}
	for _, test := range []struct {
		name, handshake string
		secrets         []string
		proven          bool
		answer          func(string) string
		want            string
	}{
		{"required", "required", nil, false, nothing, "connection closed without an answer to HELLO"},
		{"a secret", "optional", secret, false, nothing, "connection closed without an answer to HELLO; not switching to legacy mode, as a secret is set"},
		{"proven", "optional", nil, true, nothing, "connection closed without an answer to HELLO; not switching to legacy mode, as it has completed a handshake before"},
		{"torn", "optional", nil, false, func(string) string { return "CHALLENGE 12" }, "connection closed after an incomplete answer to HELLO: CHALLENGE 12"},
	} {
		cfg := testConfig(ring...)
		cfg.Peers.Handshake, cfg.Herd.Secrets = test.handshake, test.secrets
		w := newWorld(t, cfg)
		seen := w.start("Alford").observe()
		w.iamat("Alford", "a", stamp)
		if test.proven {
			w.start("Welsh")
			w.until("live", w.live)
			w.crash("Welsh")
			w.net.RunFor(time.Second)
		}
		p := w.startOneRead(test.answer)
		w.net.RunFor(time.Minute)
		if len(p.lines) > 0 || p.asked < 10 {
			t.Errorf("%s: asked %d times, sent %q", test.name, p.asked, p.lines)
		}
		if got := w.linkToWelsh().downReason; got != test.want {
			t.Errorf("%s: the status says %q, want %q", test.name, got, test.want)
		}
		warned := false
		for _, e := range seen.FilterMessage(LinkDownMessage).All() {
			warned = warned || e.ContextMap()["reason"] == test.want
		}
		if !warned {
			t.Errorf("%s: not in the log", test.name)
		}
	}
}

// A server of the herd that was taken for legacy because it crashed when it was asked is linked once it runs.
func TestAServerThatCrashesWhenAskedIsLinkedLater(t *testing.T) {
	w := closeRing(t, "close-after-write", "Alford")
	w.iamat("Alford", "a", stamp)
	w.startOneRead(nothing).untilServed("a")
	w.reactors["Welsh"].Crash()
	w.start("Welsh")
	w.until("live", w.live)
	w.until("equal", w.equal)
}

// A probe, too, may be answered without LF.
func TestAProbeIsAnsweredWithoutLF(t *testing.T) {
	w, p := silentPeer(t)
	p.answer = func(c *legacyConn, line string) {
		if strings.HasPrefix(line, "HELLO") {
			c.say("? " + line)
			c.t.LoseConnection()
		}
	}
	w.until("a probe is answered", func() bool { return w.linkToWelsh().probe == nil })
	if p.conns[1].closed || w.linkToWelsh().kind == kindSilent {
		t.Error("the lines do not go on")
	}
}

// A reset behind a line of which all was acknowledged is the end of that line.
func TestANeighborThatResetsBehindALine(t *testing.T) {
	w := closeRing(t, "close-after-write", "Alford")
	w.iamat("Alford", "a", stamp)
	w.iamat("Alford", "b", stamp)
	p := w.startOneRead(unknown)
	p.resets = true
	p.untilServed("a", "b")
	w.iamat("Alford", "c", stamp)
	p.untilServed("a", "b", "c")
	w.net.RunFor(10 * time.Second)
	if p.untilServed("a", "b", "c"); w.linkToWelsh().neighbor.counters.copies != 1 || p.asked != 1 {
		t.Errorf("asked %d times, %+v", p.asked, w.linkToWelsh().neighbor.counters)
	}
	// So it is for a stop.
	w.iamat("Alford", "d", stamp)
	w.reactors["Alford"].Stop()
	w.until("stopped", w.reactors["Alford"].Stopped)
	if o := w.linkToWelsh(); o.drain.delivered != w.servers["Alford"].store.Tail() {
		t.Errorf("delivered up to %d", o.drain.delivered)
	}
}

// A reset before all of a line was acknowledged repeats that line, once; after another reset all is sent.
func TestAResetBeforeTheLineWasTaken(t *testing.T) {
	for resets := 1; resets <= 2; resets++ {
		w := closeRing(t, "close-after-write", "Alford")
		w.iamat("Alford", "a", stamp)
		p := w.startOneRead(unknown)
		p.untilServed("a")
		o := w.linkToWelsh()
		w.until("the next connection is there", func() bool { return o.t != nil && !o.sender.(*legacySender).machine.Carries() })
		w.net.RunFor(100 * time.Millisecond)
		w.reactors["Welsh"].Pause()
		w.iamat("Alford", "b", stamp)
		for range resets {
			w.until("b is written", func() bool { return o.t != nil && o.sender.(*legacySender).machine.Carries() })
			id := o.id
			w.net.Reset("Alford", "Welsh")
			w.until("reset", func() bool { return o.id != id || o.t == nil })
		}
		w.net.RunFor(100 * time.Millisecond) // Welsh reads nothing of what was reset
		w.reactors["Welsh"].Resume()
		want := []string{"a", "b"}
		if resets == 2 {
			want = []string{"a", "a", "b"}
		}
		p.untilServed(want...)
		w.net.RunFor(time.Minute)
		p.untilServed(want...)
		if n := o.neighbor.counters.copies; int(n) != resets {
			t.Errorf("%d resets: %d copies", resets, n)
		}
	}
}
