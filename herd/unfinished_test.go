package herd

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"serverherd/herd/config"
)

const testSilence = 300 * time.Millisecond

// unfinished is a server of the course's dialect that executes unfinished lines.
func unfinished(t *testing.T, change func(*config.Config)) *world {
	return alone(t, func(c *config.Config) {
		c.Herd.Dialect, c.Herd.UnfinishedLine = "cs131", testSilence
		if change != nil {
			change(c)
		}
	})
}

// A client that does not end its line is answered after the silence, and its connection is closed. The
// time is that of the last byte.
func TestUnfinishedLineIsExecuted(t *testing.T) {
	w := unfinished(t, nil)
	srv := w.servers["Alford"]
	c := w.dial("Alford")
	c.SendString("IAMAT kiwi +1-1 ")
	w.net.RunFor(testSilence - 50*time.Millisecond)
	c.SendString("15200")
	w.net.RunFor(testSilence - 50*time.Millisecond)
	last := w.net.Now()
	c.SendString("00000.5")
	w.net.RunFor(testSilence - 50*time.Millisecond)
	if got := c.Take(); got != "" || c.Closed() {
		t.Fatalf("before the silence: %q, closed %v", got, c.Closed())
	}
	w.until("closed", c.Closed)
	if d := w.net.Now().Sub(last); d > 2*testSilence {
		t.Errorf("answered after %v", d)
	}
	got := c.Take()
	f := strings.Fields(got)
	if len(f) != 6 || f[1] != "Alford" || f[3] != "kiwi" || f[5] != "1520000000.5" || !strings.HasSuffix(got, ".5\n") || !c.EOF() {
		t.Fatalf("answered %q, end of file %v", got, c.EOF())
	}
	diff, err := strconv.ParseFloat(f[2], 64)
	if want := last.Sub(time.Unix(1520000000, 5e8)).Seconds(); err != nil || diff < want || diff > want+0.01 {
		t.Errorf("diff %s, want that of the last byte, %f", f[2], want)
	}
	if srv.counters.UnfinishedLines != 1 || srv.counters.Stored != 1 || srv.counters.PartialTimeouts != 0 {
		t.Errorf("%+v", srv.counters)
	}
}

func TestUnfinishedLines(t *testing.T) {
	for _, test := range []struct{ sent, want string }{ // a want of "" is left open
		{"nonsense", "? nonsense\n"},
		{"IAMAT kiwi +1-1", "? IAMAT kiwi +1-1\n"},
		{"IAMAT\nquit", "? IAMAT\n? quit\n"},
		{"IAMAT kiwi +1-1 5\r", "AT Alford "},
		{"x\nWHATSAT kiwi 10.5 1", "? x\n? WHATSAT kiwi 10.5 1\n"},
		{"IAMAT kiwi +1-1 5\nWHATSAT kiwi 10 1", "AT Alford "},
		{"GET / HTTP/1.1", "closed"},
		{"\xff\xfb\x1fx", "? x\n"},
		{"AT Welsh +0.1 kiwi +1-1 5 Welsh", "? AT Welsh +0.1 kiwi +1-1 5 Welsh\n"}, // handshakes are required
		{"", ""}, {"x\n", ""}, {"\xff\xf1", ""}, {"x\n\xff\xf1", ""}, // no line has begun
		{"HELLO", ""}, {"HEL", ""}, {" \tHELLO herd/1 ucla", ""}, {"H", ""}, {" ", ""}, {"\r", ""},
		{welshHello, ""},
	} {
		for cut := range 2 { // whole, byte by byte
			w := unfinished(t, nil)
			c := w.dial("Alford")
			w.send(c, test.sent, cut)
			w.net.RunFor(10 * testSilence)
			got := c.Take()
			switch {
			case test.want == "" && c.Closed():
				t.Errorf("%q: closed after %q", test.sent, got)
			case test.want == "":
			case !c.Closed(), test.want == "closed" && got != "", test.want != "closed" && !strings.HasPrefix(got, test.want):
				t.Errorf("%q: %q, closed %v; want %q", test.sent, got, c.Closed(), test.want)
			}
			// A first line that may be a neighbor's can be finished.
			if test.sent == "HEL" {
				c.SendString("P\n")
				w.until("answered", func() bool { return string(c.Received()) == "? HELP\n" })
			}
		}
	}
}

// Off by default: the line waits for its end, or for partial_line_timeout.
func TestUnfinishedLineIsOff(t *testing.T) {
	w := alone(t, func(c *config.Config) { c.Herd.Dialect = "cs131" })
	c := w.dial("Alford")
	c.SendString("IAMAT kiwi +1-1 5")
	w.net.RunFor(29 * time.Second)
	if c.Closed() || c.Take() != "" {
		t.Error("answered, or closed")
	}
	w.until("closed", c.Closed)
	if got := c.Take(); got != "" || w.servers["Alford"].store.Len() != 0 {
		t.Errorf("%q, %d records", got, w.servers["Alford"].store.Len())
	}
}

// The reply may come late: the connection is closed behind it.
func TestUnfinishedLineWithALateReply(t *testing.T) {
	cfg := testConfig(config.Server{Name: "Alford", Address: "Alford:1"})
	cfg.Herd.Dialect, cfg.Herd.UnfinishedLine = "cs131", testSilence
	w := newWorld(t, cfg)
	w.start("Alford")
	w.reactors["Alford"].SetWork(2 * time.Second)
	c := w.dial("Alford")
	c.SendString("IAMAT kiwi +1-1 5\nWHATSAT kiwi 10 1\nWHATSAT kiwi 10.25 2")
	w.until("closed", c.Closed)
	if got := c.Take(); strings.Count(got, "\n\n") != 2 || !strings.HasSuffix(got, "\n\n") || !c.EOF() {
		t.Errorf("answered %q, end of file %v", got, c.EOF())
	}
}

// What came while the process was stopped is read before the line is judged.
func TestUnfinishedLineAndAStoppedProcess(t *testing.T) {
	for after := testSilence - 50*time.Millisecond; ; after += time.Millisecond {
		w := unfinished(t, nil)
		c := w.dial("Alford")
		c.SendString("IAMAT kiwi +1-1 15200000")
		w.net.RunFor(after)
		if w.servers["Alford"].counters.UnfinishedLines > 0 {
			if after < testSilence {
				t.Errorf("executed within %v", after)
			}
			return
		}
		w.reactors["Alford"].Pause()
		w.net.RunFor(50 * time.Millisecond)
		c.SendString("00\n")
		w.net.RunFor(5 * time.Second)
		w.reactors["Alford"].Resume()
		w.until("answered", func() bool { return len(c.Received()) > 0 })
		if got := c.Take(); !strings.HasSuffix(got, " 1520000000\n") || c.Closed() {
			t.Fatalf("stopped after %v: %q, closed %v", after, got, c.Closed())
		}
	}
}

// Nor is it judged by a sweep that comes late, whatever has been read before that.
func TestUnfinishedLineAndALateSweep(t *testing.T) {
	w := unfinished(t, nil)
	srv := w.servers["Alford"]
	c := w.dial("Alford")
	c.SendString("IAMAT kiwi +1-1 15200000")
	w.until("one sweep has found it silent", func() bool { return len(srv.sessions) > 0 && srv.sessions[0].wasSilent })
	srv.lastSweep = srv.lastSweep.Add(-time.Second)
	w.until("the next one was late", func() bool { return srv.sweepLate })
	c.SendString("00\n")
	w.until("answered", func() bool { return len(c.Received()) > 0 })
	if got := c.Take(); !strings.HasSuffix(got, " 1520000000\n") || c.Closed() {
		t.Errorf("%q, closed %v", got, c.Closed())
	}
}

// Input that is held is not silence.
func TestUnfinishedLineAndHeldInput(t *testing.T) {
	cfg := testConfig(config.Server{Name: "Alford", Address: "Alford:1"})
	cfg.Herd.Dialect, cfg.Herd.UnfinishedLine = "cs131", testSilence
	w := newWorld(t, cfg)
	srv := w.start("Alford")
	w.reactors["Alford"].SetWork(time.Second)
	c := w.dial("Alford")
	c.SendString("IAMAT kiwi +1-1 5\n" + strings.Repeat("WHATSAT kiwi 1 1\n", maxOpen) + "IAMAT moa +1-1 152")
	w.until("held", func() bool { return srv.counters.Held > 0 })
	w.net.RunFor(2 * testSilence)
	w.until("released", func() bool { return !srv.sessions[0].held })
	w.net.RunFor(testSilence - 100*time.Millisecond) // the client could not send before
	c.SendString("0000000\n")
	w.until("answered", func() bool { return srv.counters.IAMAT == 2 })
	if item, ok := srv.store.Lookup([]byte("moa")); !ok || string(item.Record.Time()) != "1520000000" {
		t.Errorf("stored %q", item.Record.Text())
	}
}

// Lines of neighbors are never executed unfinished, with a handshake or without.
func TestUnfinishedLineOfANeighbor(t *testing.T) {
	cfg := testConfig(ring...)
	cfg.Herd.Dialect, cfg.Herd.UnfinishedLine, cfg.Peers.Handshake = "cs131", testSilence, "optional"
	for _, sent := range []string{
		"AT Welsh +0.1 kiwi +1-1 100.25 Welsh", "AT Welsh +0.1 kiwi +1-1 100", "A", " AT",
		"AT Welsh +0.1 moa +1-1 100 Welsh\r\nAT Welsh +0.1 kiwi +1-1 100 Welsh", legacyKiwi + "IAMAT emu +1-1 5",
	} {
		w := newWorld(t, cfg)
		srv := w.start("Alford")
		c := w.legacyWelsh()
		c.SendString(sent)
		w.net.RunFor(10 * time.Second)
		if got := c.Take(); got != "" || c.Closed() || srv.counters.UnfinishedLines != 0 {
			t.Errorf("%q: answered %q, closed %v", sent, got, c.Closed())
		}
	}
	w := newWorld(t, cfg)
	w.start("Alford")
	proven := w.welcomed(welshHello)
	proven.SendString("AT Welsh +0.1 kiwi +1-1 100 Welsh")
	w.net.RunFor(time.Second)
	if srv := w.servers["Alford"]; srv.store.Len() != 0 || proven.Closed() {
		t.Errorf("%d records, closed %v", srv.store.Len(), proven.Closed())
	}
	// And a whole herd of it is as it was.
	w = newWorld(t, cfg).startAll()
	for i := range 20 {
		w.dial(ring[i%5].Name).SendString(fmt.Sprintf("IAMAT c%d +1-1 5", i))
	}
	w.until("all are everywhere", func() bool { return w.servers["Ball"].store.Len() == 20 && w.equal() })
}
