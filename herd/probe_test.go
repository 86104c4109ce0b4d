package herd

import (
	"strings"
	"testing"
	"time"

	"serverherd/herd/link"
)

// silentPeer is a legacy peer that says nothing to HELLO, served by Alford on its second connection.
func silentPeer(t *testing.T) (w *world, p *legacyPeer) {
	w = legacyRing(t, "optional", "Alford")
	w.iamat("Alford", "a", stamp)
	p = w.startLegacy(func(*legacyConn, string) {})
	w.until("served", func() bool { return len(p.conns) >= 2 && len(p.conns[1].lines) == 1 })
	return w, p
}

// A neighbor that says nothing to HELLO is legacy after 2 s. It is asked again, ever more rarely,
// and the lines go on meanwhile.
func TestANeighborThatDoesNotAnswer(t *testing.T) {
	w, p := silentPeer(t)
	if d := p.conns[1].made - p.conns[0].made; d < link.HandshakeTimeout || d > link.HandshakeTimeout+100*time.Millisecond {
		t.Errorf("served after %v", d)
	}
	w.net.RunFor(10 * time.Minute)
	w.iamat("Alford", "b", stamp)
	w.net.RunFor(time.Second)
	if n := len(p.conns); n < 10 || n > 24 {
		t.Errorf("%d connections in ten minutes", n)
	}
	if c := p.conns[1]; c.closed || len(c.lines) != 2 {
		t.Errorf("closed %v, %q", c.closed, c.lines)
	}
	for _, c := range p.conns[2:] {
		if len(c.lines) != 1 || !strings.HasPrefix(c.lines[0], "HELLO ") {
			t.Fatalf("a probe says %q", c.lines)
		}
	}
	if l := w.servers["Alford"].Status().Links[1]; l.Copies != 1 || l.State != "plain" {
		t.Errorf("status %+v", l)
	}
	w.reactors["Welsh"].Crash()
	w.net.RunFor(time.Second)
	if w.linkToWelsh().probe != nil {
		t.Error("its probe outlives it")
	}
}

// One that answers a probe as the paper's server does is left alone.
func TestALegacyNeighborThatAnswersLate(t *testing.T) {
	w, p := silentPeer(t)
	p.answer = doesNotKnow
	w.until("a probe is answered", func() bool { return w.linkToWelsh().probe == nil })
	n := len(p.conns)
	w.net.RunFor(10 * time.Minute)
	if len(p.conns) != n || p.conns[1].closed {
		t.Errorf("%d connections more; lines go on: %v", len(p.conns)-n, !p.conns[1].closed)
	}
	p.answer = func(c *legacyConn, line string) { c.say("? " + line + "\n\n") }
	w.iamat("Alford", "b", stamp)
	w.net.RunFor(time.Second)
	if len(p.conns) != n || p.conns[1].closed {
		t.Error("it may not refuse a line")
	}
}

// One that sends lines shows that it does not hang, and is asked at once.
func TestASilentNeighborThatSendsLines(t *testing.T) {
	w, p := silentPeer(t)
	w.net.RunFor(10 * time.Minute)
	n := len(p.conns)
	w.until("a probe has come and gone", func() bool { return len(p.conns) > n && p.last().closed })
	n = len(p.conns)
	w.legacyWelsh().SendString(legacyKiwi)
	w.net.RunFor(50 * time.Millisecond)
	if k := len(p.conns) - n; k != 1 {
		t.Errorf("%d probes", k)
	}
}

// One that says something on the connection with the lines is asked again at once.
func TestASilentNeighborThatSpeaks(t *testing.T) {
	w, p := silentPeer(t)
	w.net.RunFor(10 * time.Second)
	p.answer = func(c *legacyConn, line string) { c.say("? " + line + "\n\n") }
	w.iamat("Alford", "b", stamp)
	w.until("served again", func() bool { return len(p.last().lines) == 2 })
	p.untilServed("a", "b")
	// Now it is known for what it is, and may refuse what it likes.
	n := len(p.conns)
	w.iamat("Alford", "c", stamp)
	w.net.RunFor(time.Minute)
	p.untilServed("a", "b", "c")
	if k := w.linkToWelsh().neighbor.counters.badLines; len(p.conns) != n || k != 4 {
		t.Errorf("%d connections more, %d lines refused", len(p.conns)-n, k)
	}
}

// Two servers that took each other for legacy find out.
func TestTwoServersTakeEachOtherForLegacy(t *testing.T) {
	w := legacyRing(t, "optional", "Alford", "Welsh")
	w.until("live", w.live)
	back := w.servers["Welsh"].neighbor([]byte("Alford")).link
	w.reactors["Welsh"].Pause()
	w.until("Welsh is legacy to Alford", func() bool { return w.linkToWelsh().state == linkLegacy })
	w.reactors["Alford"].Pause()
	w.reactors["Welsh"].Resume()
	w.until("Alford is legacy to Welsh", func() bool { return back.state == linkLegacy })
	if w.linkToWelsh().state != linkLegacy || back.state != linkLegacy {
		t.Fatalf("%v and %v: nothing is tested", w.linkToWelsh().state, back.state)
	}
	w.reactors["Alford"].Resume()
	w.until("live again", w.live)
	w.until("equal", w.equal)
}
