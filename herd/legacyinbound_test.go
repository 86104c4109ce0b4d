package herd

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"serverherd/herd/config"
)

// legacyWelsh is a connection that Welsh makes to Alford to send legacy lines.
func (w *world) legacyWelsh() client {
	return client{w.net.DialFrom("Welsh", "Alford:1"), w}
}

const legacyKiwi = "AT Welsh +0.1 kiwi +1-1 100 Welsh\r\n"

// Its lines are taken without an answer, passed on, and not sent back to it.
func TestALegacyNeighborsLinesAreTaken(t *testing.T) {
	w := legacyRing(t, "optional", "Alford", "Hamilton")
	p := w.startLegacy(doesNotKnow)
	w.until("legacy", func() bool { return w.linkToWelsh().state == linkLegacy })
	c := w.legacyWelsh()
	c.SendString(legacyKiwi + "AT Ball +0.1 moa +1-1 100 Welsh\r\n" + legacyKiwi)
	w.untilStored("Hamilton", "kiwi")
	w.untilStored("Hamilton", "moa")
	w.iamat("Alford", "own", stamp)
	p.untilServed("own")
	w.net.RunFor(time.Minute)
	p.untilServed("own")
	if got := c.Take(); got != "" || c.Closed() {
		t.Errorf("answered %q, closed %v", got, c.Closed())
	}
	srv := w.servers["Alford"]
	l := srv.Status().Links[1]
	if !l.Receiving || l.ATReceived != 3 || l.Duplicates != 1 || l.BadLines != 0 {
		t.Errorf("status %+v", l)
	}
	// It may be a client on the same connection.
	if got := c.ask(1, "IAMAT emu +1-1 100\n"); !strings.HasPrefix(got, "AT Alford +") {
		t.Errorf("IAMAT is answered %q", got)
	}
	c.Close()
	w.until("it is gone", func() bool { return !srv.Status().Links[1].Receiving })
}

// The diff of a server of another kind goes to every server, disk and client as it was written.
func TestALegacyNeighborsDiffIsPassedOn(t *testing.T) {
	cfg := testConfig(ring...)
	cfg.Peers.Handshake = "optional"
	w := newWorld(t, cfg)
	d := w.newDisk()
	w.journals = map[string]Journal{"Holiday": d}
	for _, name := range []string{"Alford", "Hamilton", "Holiday"} {
		w.start(name)
	}
	w.until("live", w.live)
	c := w.legacyWelsh()
	diffs := []string{"+0.0007719993591308594", "+9.5367431640625e-07", "0.000939", "-0", "+.5", "5.", "1e+308"}
	for i, diff := range diffs {
		c.SendString(fmt.Sprintf("AT Welsh %s c%d +1-1 100 Welsh\r\n", diff, i))
	}
	w.until("all are everywhere", func() bool {
		return w.servers["Holiday"].store.Len() == len(diffs) && w.equal() && d.holds(w.servers["Holiday"].store)
	})
	w.crash("Holiday")
	w.net.Cut("Hamilton", "Holiday") // what it has now is from the disk
	w.start("Holiday")
	for _, server := range []string{"Alford", "Hamilton", "Holiday"} {
		for i, diff := range diffs {
			got := w.dial(server).ask(1, fmt.Sprintf("WHATSAT c%d 1 1\n", i))
			if want := fmt.Sprintf("AT Welsh %s c%d +1-1 100\n", diff, i); !strings.HasPrefix(got, want) {
				t.Errorf("%s answers %q, want %q first", server, got, want)
			}
		}
	}
	w.net.HealAll()
	w.until("agreed", func() bool { return w.servers["Holiday"].Status().Links[1].Agreement == "in sync" })
	for _, srv := range w.servers {
		for _, n := range srv.neighbors {
			if n.counters.badLines+n.counters.repairs > 0 {
				t.Errorf("%s counts %d bad lines and %d repairs", srv.name, n.counters.badLines, n.counters.repairs)
			}
		}
	}
}

// What is not a neighbor's line stays what it is for a client.
func TestLegacyLinesThatAreNotTaken(t *testing.T) {
	tests := []struct{ name, handshake, from, say string }{
		{"an origin that is no server", "optional", "Welsh", "AT Kiwi +0.1 kiwi +1-1 100 Welsh"},
		{"a sender that is no neighbor", "optional", "Ball", "AT Welsh +0.1 kiwi +1-1 100 Ball"},
		{"a sender that is no server", "optional", "Kiwi", "AT Welsh +0.1 kiwi +1-1 100 Kiwi"},
		{"this server as sender", "optional", "Alford", "AT Welsh +0.1 kiwi +1-1 100 Alford"},
		{"another host", "optional", "Ball", "AT Welsh +0.1 kiwi +1-1 100 Welsh"},
		{"another neighbor's host", "optional", "Hamilton", "AT Welsh +0.1 kiwi +1-1 100 Welsh"},
		{"no sender", "optional", "Welsh", "AT Welsh +0.1 kiwi +1-1 100"},
		{"a NaN", "optional", "Welsh", "AT Welsh +0.1 kiwi +1-1 nan Welsh"},
		{"a MARK", "optional", "Welsh", "MARK 1 1 - 1 0000000000000000"},
		{"a PING", "optional", "Welsh", "PING 1"},
		{"handshakes are required", "required", "Welsh", "AT Welsh +0.1 kiwi +1-1 100 Welsh"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := legacyRing(t, test.handshake, "Alford")
			c := client{w.net.DialFrom(test.from, "Alford:1"), w}
			if got := c.ask(1, test.say+"\r\n"); got != "? "+test.say+"\n\n" {
				t.Errorf("answered %q", got)
			}
			srv := w.servers["Alford"]
			if srv.store.Len() != 0 || srv.neighbor([]byte("Welsh")).counters.atReceived != 0 {
				t.Error("stored or counted")
			}
			if got := c.ask(1, "IAMAT kiwi +1-1 100\n"); !strings.HasPrefix(got, "AT Alford +") {
				t.Errorf("IAMAT is answered %q", got)
			}
		})
	}
}

// One connection has one neighbor's lines, and an older one's name cannot be borrowed.
func TestALegacyConnectionIsOneNeighbors(t *testing.T) {
	servers := []config.Server{
		{Name: "Alford", Address: "127.0.0.1:1", Neighbors: []string{"Ball", "Welsh"}},
		{Name: "Ball", Address: "[::1]:2", Neighbors: []string{"Alford"}},
		{Name: "Welsh", Address: "localhost:3", Neighbors: []string{"Alford"}},
	}
	cfg := testConfig(servers...)
	cfg.Peers.Handshake = "optional"
	w := newWorld(t, cfg)
	w.start("Alford")
	// All of loopback is one machine, whoever speaks.
	c := client{w.net.DialFrom("127.0.0.7", "127.0.0.1:1"), w}
	c.SendString(legacyKiwi)
	w.untilStored("Alford", "kiwi")
	const ball = "AT Ball +0.1 moa +1-1 100 Ball"
	if got := c.ask(1, ball+"\r\n"); got != "? "+ball+"\n\n" {
		t.Errorf("another sender is answered %q", got)
	}
	client{w.net.DialFrom("[::1]", "127.0.0.1:1"), w}.SendString(ball + "\n")
	w.untilStored("Alford", "moa")
}

// A neighbor whose address is a name is known by what was found there.
func TestALegacyNeighborWithAName(t *testing.T) {
	n := &neighbor{addr: "welsh.ucla.edu:11504"}
	if n.isAt("10.0.0.7:40000") {
		t.Error("known before it was ever reached")
	}
	n.dialedAddr = "10.0.0.7:11504"
	for peer, want := range map[string]bool{
		"10.0.0.7:40000": true, "[::ffff:10.0.0.7]:40000": true, "10.0.0.8:40000": false,
		"127.0.0.1:40000": false, "[2001:db8::1]:40000": false,
	} {
		if n.isAt(peer) != want {
			t.Errorf("%s: %v", peer, !want)
		}
	}
}

// A line without LF is torn, unless it ends with a neighbor's whole name.
func TestTheLastLegacyLine(t *testing.T) {
	servers := slices.Clone(ring)
	servers[0].Neighbors = []string{"Hamilton", "Welsh", "Wel"}
	servers = append(servers, config.Server{Name: "Wel", Address: "Welsh:2", Neighbors: []string{"Alford"}})
	for _, test := range []struct {
		line string
		want bool
	}{
		{"AT Welsh +0.1 kiwi +1-1 100.25 Welsh", true},
		{"AT Welsh +0.1 kiwi +1-1 100.25 Welsh\r", true},
		{"AT Ball 0.1 kiwi +1-1 100.25 Ball Welsh ", true},
		{"AT Welsh +0.1 kiwi +1-1 100.25 Wel", false}, // the beginning of another name
		{"AT Welsh +0.1 kiwi +1-1 100.25 Wels", false},
		{"AT Ball +0.1 kiwi +1-1 100.25 Ball Wels", false},
		{"AT Ball +0.1 kiwi +1-1 100.25 Ball", false}, // no neighbor's
		{"AT Welsh +0.1 kiwi +1-1 100.25", false},
		{"AT Welsh +0.1 kiwi +1-1 100.", false},
		{"IAMAT kiwi +1-1 100", false},
	} {
		for _, before := range []string{"", "AT Welsh +0.1 moa +1-1 100 Welsh\r\n"} {
			for cut := range 2 { // whole, byte by byte
				cfg := testConfig(servers...)
				cfg.Peers.Handshake = "optional"
				w := newWorld(t, cfg)
				w.start("Alford")
				c := w.legacyWelsh()
				w.send(c, before+test.line, cut)
				c.CloseWrite()
				w.until("closed", c.Closed)
				_, stored := w.servers["Alford"].store.Lookup([]byte("kiwi"))
				client := before == "" && strings.HasPrefix(test.line, "IAMAT") // which needs no LF
				if stored != (test.want || client) {
					t.Errorf("%q after %q: applied: %v", test.line, before, stored)
				}
				if got := c.Take(); got != "" && (before != "" || test.want) {
					t.Errorf("%q after %q is answered %q", test.line, before, got)
				}
			}
		}
	}
}

// Several names behind the time are those that a line has passed; the last one sends it.
func TestALegacyLineWithSeveralSenders(t *testing.T) {
	w := legacyRing(t, "optional", "Alford", "Hamilton")
	p := w.startLegacy(doesNotKnow)
	w.until("legacy", func() bool { return w.linkToWelsh().state == linkLegacy })
	c := w.legacyWelsh()
	c.SendString("AT Ball 0.000939 kiwi +1-1 100 Ball  Welsh\r\n" +
		"AT Holiday +0.1 moa +1-1 100 " + strings.Repeat("Ball Holiday ", 20) + "Welsh\n")
	w.until("both are at Hamilton", func() bool { return w.servers["Hamilton"].store.Len() == 2 })
	w.iamat("Alford", "own", stamp)
	p.untilServed("own")
	for _, line := range []string{
		"AT Ball +0.1 emu +1-1 100 Welsh Ball", "AT Ball +0.1 emu +1-1 100 9 Welsh",
		"AT Ball +0.1 emu +1-1 100 " + strings.Repeat("Ball ", 7) + "9 Welsh",
	} {
		if got := c.ask(1, line+"\n"); got != "? "+line+"\n\n" {
			t.Errorf("%q is answered %q", line, got)
		}
	}
}

// A neighbor that proves itself is held to that.
func TestNoLegacyLinesInAProvenNeighborsName(t *testing.T) {
	w := legacyRing(t, "optional", "Alford")
	proven := w.welcomed(welshHello)
	c := w.legacyWelsh()
	line := strings.TrimSuffix(legacyKiwi, "\r\n")
	if got := c.ask(1, legacyKiwi); got != "? "+line+"\n\n" {
		t.Errorf("answered %q", got)
	}
	proven.Close()
	w.net.RunFor(time.Second)
	c.SendString(legacyKiwi)
	w.untilStored("Alford", "kiwi")
}

// A legacy neighbor that comes back and speaks first need not wait for the next try.
func TestALegacyNeighborThatSpeaksFirst(t *testing.T) {
	w := legacyRing(t, "optional", "Alford")
	w.iamat("Alford", "own", stamp)
	w.net.RunFor(time.Minute)
	p := w.startLegacy(doesNotKnow)
	began := w.net.Elapsed()
	w.legacyWelsh().SendString(legacyKiwi)
	p.untilServed("own", "kiwi")
	if d := w.net.Elapsed() - began; d > 50*time.Millisecond {
		t.Errorf("served after %v", d)
	}
}

// What a process has sent on a connection that is older than ours may have died with it.
func TestAnEndedLegacyConnectionThatWasOlder(t *testing.T) {
	w := legacyRing(t, "optional", "Alford")
	older := w.legacyWelsh()
	older.SendString(legacyKiwi)
	w.untilStored("Alford", "kiwi")
	p := w.startLegacy(doesNotKnow)
	p.untilServed("kiwi")
	older.SendString("AT Welsh +0.1 moa +1-1 100 Welsh\r\n")
	w.untilStored("Alford", "moa")
	w.net.RunFor(time.Second)
	p.untilServed("kiwi") // as long as it may be the same process
	older.Close()
	p.untilServed("kiwi", "kiwi", "moa")
	// One that is younger is that process's, and its end says nothing.
	younger := w.legacyWelsh()
	younger.SendString("AT Welsh +0.1 emu +1-1 100 Welsh\r\n")
	w.untilStored("Alford", "emu")
	younger.Close()
	w.net.RunFor(time.Minute)
	p.untilServed("kiwi", "kiwi", "moa")
}
