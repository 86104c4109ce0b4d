package herd

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"serverherd/reactor"
	"serverherd/reactor/memreactor"
)

// oneMessage plays, in place of the server Welsh, a server that takes all of a connection for one
// message: it reads to the end, and closes then if it closes at all.
type oneMessage struct {
	w        *world
	stays    bool
	conns    int
	messages []string
}

type oneMessageConn struct {
	peer *oneMessage
	t    reactor.Transport
	text []byte
}

func (p *oneMessage) BuildProtocol(string) reactor.Protocol {
	p.conns++
	return &oneMessageConn{peer: p}
}

func (c *oneMessageConn) ConnectionMade(t reactor.Transport) { c.t = t }
func (c *oneMessageConn) DataReceived(p []byte)              { c.text = append(c.text, p...) }
func (c *oneMessageConn) ConnectionLost(error)               {}

func (c *oneMessageConn) ReadConnectionLost() {
	if len(c.text) > 0 {
		c.peer.messages = append(c.peer.messages, string(c.text))
	}
	if !c.peer.stays {
		c.t.LoseConnection()
	}
}

func (w *world) startOneMessage() *oneMessage {
	w.t.Helper()
	p := &oneMessage{w: w}
	w.playWelsh(p)
	return p
}

// lines are the messages, each of which must be one line.
func (p *oneMessage) lines() (all []string) {
	for _, m := range p.messages {
		line, whole := strings.CutSuffix(m, "\r\n")
		if !whole {
			p.w.t.Fatalf("a message is %q", m)
		}
		all = append(all, line)
	}
	return all
}

func (p *oneMessage) clients() []string { return p.w.clientsOf(p.lines()) }

func (p *oneMessage) untilServed(want ...string) {
	p.w.t.Helper()
	p.w.untilSent(p.lines, want...)
}

func closeRing(t *testing.T, legacy string, names ...string) *world {
	cfg := testConfig(ring...)
	cfg.Peers.Handshake, cfg.Peers.Legacy = "optional", legacy
	w := newWorld(t, cfg)
	for _, n := range names {
		w.start(n)
	}
	return w
}

// On a connection that stays such a neighbor sees nothing of what is counted as sent.
func TestANeighborThatReadsToTheEnd(t *testing.T) {
	w := closeRing(t, "keep-open", "Alford")
	w.iamat("Alford", "a", stamp)
	p := w.startOneMessage()
	w.until("legacy", func() bool { return w.linkToWelsh().state == linkLegacy })
	w.net.RunFor(10 * time.Minute)
	if st := w.servers["Alford"].Status().Links[1]; len(p.clients()) != 0 || st.ATSent != 1 || st.State != "plain" {
		t.Errorf("it has %q, status %+v", p.clients(), st)
	}
}

// With a connection for each line it gets everything once, and what is new.
func TestCloseAfterWrite(t *testing.T) {
	w := closeRing(t, "close-after-write", "Alford")
	for _, name := range []string{"a", "b", "c"} {
		w.iamat("Alford", name, stamp)
	}
	p := w.startOneMessage()
	p.untilServed("a", "b", "c")
	w.iamat("Alford", "b", stamp+1)
	p.untilServed("a", "b", "c", "b")
	conns := p.conns
	w.net.RunFor(time.Minute)
	p.untilServed("a", "b", "c", "b")
	if p.conns > conns+8 { // probes
		t.Errorf("%d connections in a minute without news", p.conns-conns)
	}
	// Its own lines come on connections that are older than ours by the time they end.
	c := w.legacyWelsh()
	c.SendString(legacyKiwi)
	w.untilStored("Alford", "kiwi")
	w.iamat("Alford", "d", stamp)
	p.untilServed("a", "b", "c", "b", "d")
	w.net.RunFor(time.Second) // the next one is there
	c.Close()
	w.net.RunFor(time.Minute)
	p.untilServed("a", "b", "c", "b", "d")
	st := w.servers["Alford"].Status().Links[1]
	if st.State != "plain" || st.ATSent != 5 || st.Copies != 1 || st.Behind != 0 || st.Unacknowledged != 0 {
		t.Errorf("status %+v", st)
	}
}

// The end of the connection that waits for news is noticed: the next process gets everything.
func TestCloseAfterWriteToANewProcess(t *testing.T) {
	w := closeRing(t, "close-after-write", "Alford")
	w.iamat("Alford", "a", stamp)
	w.startOneMessage().untilServed("a")
	w.net.RunFor(time.Second)
	w.reactors["Welsh"].Crash()
	w.until("down", func() bool { return w.linkToWelsh().state == linkDown })
	w.iamat("Alford", "b", stamp)
	w.startOneMessage().untilServed("a", "b")
	if w.linkToWelsh().neighbor.counters.copies != 2 {
		t.Errorf("%+v", w.linkToWelsh().neighbor.counters)
	}
	// One that is of the herd proves itself.
	w.reactors["Welsh"].Crash()
	w.start("Welsh")
	w.until("live", w.live)
	w.until("equal", w.equal)
	if w.linkToWelsh().probe != nil {
		t.Error("it is still probed")
	}
}

// One that proves itself between two lines, when there is no connection, is asked on the next one.
func TestANeighborThatProvesItselfBetweenTwoLines(t *testing.T) {
	w := closeRing(t, "close-after-write", "Alford")
	w.iamat("Alford", "a", stamp)
	p := w.startOneMessage()
	o := w.linkToWelsh()
	w.until("a line is through", func() bool { return o.state == linkLegacy && o.t == nil && o.probe != nil })
	o.notLegacy()
	if o.probe != nil {
		t.Error("it is still probed")
	}
	w.until("asked", func() bool { return o.state == linkGreeting })
	p.untilServed("a", "a") // it had nothing to say
}

// A connection of one line does not wait for the pause between two pumps.
func TestCloseAfterWriteDoesNotPause(t *testing.T) {
	w := closeRing(t, "close-after-write")
	w.net = memreactor.NewWorld(1, memreactor.Options{}) // no delay
	w.start("Alford")
	p := w.startOneMessage()
	w.until("legacy", func() bool { return w.linkToWelsh().state == linkLegacy })
	const n = 100
	for i := range n {
		w.servers["Alford"].store.ApplyOwn(at(t, fmt.Sprint("c", i), 100))
	}
	w.servers["Alford"].pumpSoon()
	begun := w.net.Elapsed()
	w.until("sent", func() bool { return len(p.messages) == n })
	if d := w.net.Elapsed() - begun; d > n*PumpPause/2 {
		t.Errorf("%d lines took %v", n, d)
	}
}

// One that never closes costs a second for each line, and of a client the last place.
func TestCloseAfterWriteToANeighborThatStays(t *testing.T) {
	w := closeRing(t, "close-after-write", "Alford")
	p := w.startOneMessage()
	p.stays = true
	w.until("legacy", func() bool { return w.linkToWelsh().state == linkLegacy })
	for i := range 100 {
		w.iamat("Alford", "a", stamp+i)
	}
	w.iamat("Alford", "b", stamp)
	begun := w.net.Elapsed()
	w.until("b is sent", func() bool { return slices.Contains(p.clients(), "b") })
	if d := w.net.Elapsed() - begun; d > 4*time.Second {
		t.Errorf("it took %v", d)
	}
}

// A server that stops hands over everything, one line a connection, whenever it is told to.
func TestLeavingANeighborThatReadsToTheEnd(t *testing.T) {
	for k := range 20 {
		w := closeRing(t, "close-after-write", "Alford")
		p := w.startOneMessage()
		w.until("legacy", func() bool { return w.linkToWelsh().state == linkLegacy })
		const n = 50
		for i := range n {
			w.servers["Alford"].store.ApplyOwn(at(t, fmt.Sprint("c", i), 100))
		}
		w.servers["Alford"].pumpSoon()
		w.net.RunFor(time.Duration(k) * 17 * time.Millisecond)
		w.reactors["Alford"].Stop()
		w.until("stopped", w.reactors["Alford"].Stopped)
		if err := w.servers["Alford"].StopError(); len(p.clients()) != n || err != nil {
			t.Errorf("stopped after %d: %d of %d records, %v", k, len(p.clients()), n, err)
		}
		if o := w.linkToWelsh(); o.drain.delivered != w.servers["Alford"].store.Tail() {
			t.Errorf("stopped after %d: delivered up to %d", k, o.drain.delivered)
		}
	}
}

// A neighbor that is gone when its line is written gets that line again.
func TestCloseAfterWriteIsNotLost(t *testing.T) {
	w := closeRing(t, "close-after-write", "Alford")
	p := w.startOneMessage()
	w.until("legacy", func() bool { return w.linkToWelsh().state == linkLegacy })
	w.net.RunFor(time.Second)
	w.reactors["Welsh"].Pause()
	w.iamat("Alford", "a", stamp)
	w.reactors["Welsh"].Crash()
	if len(p.messages) != 0 {
		t.Fatal("it was read")
	}
	w.startOneMessage().untilServed("a")
}
