package herd

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"serverherd/herd/config"
	"serverherd/herd/link"
	"serverherd/reactor"
)

// pair is two neighbors whose drain time is far longer than anything that a drain waits for.
func pair(t *testing.T) *world {
	cfg := testConfig(
		config.Server{Name: "Alford", Address: "Alford:1", Neighbors: []string{"Welsh"}},
		config.Server{Name: "Welsh", Address: "Welsh:1", Neighbors: []string{"Alford"}})
	cfg.Limits.Drain = time.Hour
	cfg.Limits.MaxClients = 100_000
	return newWorld(t, cfg)
}

// observe lets a server log to where the test can look.
func (srv *Server) observe() *observer.ObservedLogs {
	core, seen := observer.New(zapcore.InfoLevel)
	srv.log = zap.New(core)
	return seen
}

// stop stops a server, checks that it takes between least and most, and returns how many records it
// says that it has not handed over.
func (w *world) stop(name string, least, most time.Duration) (lost int64) {
	w.t.Helper()
	srv := w.servers[name]
	seen := srv.observe()
	begun := w.net.Elapsed()
	w.reactors[name].Stop()
	if !w.net.RunUntil(10*time.Minute, w.reactors[name].Stopped) {
		w.t.Fatalf("%s has not stopped in ten minutes", name)
	}
	if took := w.net.Elapsed() - begun; took < least || took > most {
		w.t.Errorf("%s stopped after %v, want %v to %v", name, took, least, most)
	}
	delete(w.servers, name)
	for _, e := range seen.FilterMessage("stopped").All() {
		lost = e.ContextMap()["not_handed_over"].(int64)
	}
	warned := seen.FilterMessage("records not handed over").Len() > 0
	if warned != (lost > 0) {
		w.t.Errorf("%s: %d records not handed over, warned: %v", name, lost, warned)
	}
	return lost
}

// The process that had acknowledged everything is gone, and another one is there that has nothing
// yet: whatever the link is doing when the server is stopped, that one gets everything.
func TestAStopHandsOverToANewProcess(t *testing.T) {
	for _, state := range []linkState{linkDown, linkDialing, linkGreeting, linkCopying} {
		t.Run(state.String(), func(t *testing.T) {
			w := pair(t).startAll()
			const n = 500
			w.updates("Alford", 0, n, stamp)
			w.until("equal", w.equal)
			o := w.servers["Alford"].neighbors[0].link
			w.until("all is acknowledged", func() bool { return o.sent.Acked() == n })
			w.crash("Welsh")
			w.until("down", func() bool { return o.state == linkDown })
			w.net.RunFor(20 * time.Second) // the pauses between dials are long by now
			switch state {
			case linkDown:
				w.start("Welsh")
			case linkDialing: // again, as the state does not tell
				w.net.Slow("Alford", "Welsh", 100*time.Millisecond)
				w.start("Welsh")
				w.net.RunFor(50 * time.Millisecond)
				o.dialNow()
			default:
				w.start("Welsh")
				w.until(state.String(), func() bool { return o.state == state })
			}
			if lost := w.stop("Alford", 0, 2*time.Second); lost > 0 {
				t.Errorf("%d records not handed over", lost)
			}
			if k := w.servers["Welsh"].store.Len(); k != n {
				t.Errorf("the new process has %d of %d records", k, n)
			}
		})
	}
}

// A dial that is under way when the server is stopped may have been refused by nobody: the neighbor has
// started meanwhile, and gets everything by one more.
func TestAStopDialsAfterTheDialBefore(t *testing.T) {
	for _, after := range []time.Duration{50 * time.Millisecond, 150 * time.Millisecond} {
		w := pair(t).startAll()
		const n = 500
		w.updates("Alford", 0, n, stamp)
		w.until("equal", w.equal)
		o := w.servers["Alford"].neighbors[0].link
		w.crash("Welsh")
		w.until("down", func() bool { return o.state == linkDown })
		w.net.RunFor(20 * time.Second)
		w.net.Slow("Alford", "Welsh:1", 100*time.Millisecond) // the way to an address where nobody is
		o.dialNow()
		w.net.RunFor(after)
		w.start("Welsh")
		if lost := w.stop("Alford", 0, 2*time.Second); lost > 0 {
			t.Errorf("started %v after the dial: %d records not handed over", after, lost)
		}
		if k := w.servers["Welsh"].store.Len(); k != n {
			t.Errorf("started %v after the dial: the new process has %d of %d records", after, k, n)
		}
	}
}

// mute accepts connections in place of the server Welsh and answers nothing, or one thing.
type mute struct{ answer string }

func (m *mute) BuildProtocol(string) reactor.Protocol { return &muteConn{mute: m} }

type muteConn struct {
	*mute
	t reactor.Transport
}

func (c *muteConn) ConnectionMade(t reactor.Transport) { c.t = t }
func (c *muteConn) DataReceived([]byte)                { c.t.Write([]byte(c.answer)) }
func (c *muteConn) ConnectionLost(error)               {}

// Whatever ends the last thing that a stop waits for ends the stop, which here has an hour.
func TestAStopEndsWithTheLastThingOwed(t *testing.T) {
	const moment = 50 * time.Millisecond
	silent := func(w *world) *acceptor { // it acknowledges nothing
		a := w.acceptor()
		a.ack = false
		w.start("Alford")
		w.iamat("Alford", "kiwi", stamp)
		w.until("it is sent", func() bool { return len(a.clients) == 1 })
		return a
	}
	for _, test := range []struct {
		name        string
		prepare     func(w *world)
		least, most time.Duration
		lost        int64
	}{
		{"nobody listens", func(w *world) {
			w.start("Alford")
			w.iamat("Alford", "kiwi", stamp)
			w.net.RunFor(time.Minute)
		}, 0, moment, 1},
		{"a dial gets no answer", func(w *world) {
			w.playWelsh(&mute{"REFUSE herd: other\r\n"})
			w.start("Alford")
			w.iamat("Alford", "kiwi", stamp)
			w.net.RunFor(time.Minute)
			w.net.Cut("Alford", "Welsh")
		}, dialTimeout, dialTimeout + moment, 1},
		{"a handshake gets no answer", func(w *world) {
			w.playWelsh(&mute{})
			w.start("Alford")
			w.iamat("Alford", "kiwi", stamp)
		}, link.HandshakeTimeout - time.Second, link.HandshakeTimeout + moment, 1},
		{"a handshake is refused", func(w *world) {
			w.playWelsh(&mute{"REFUSE herd: other\r\n"})
			w.start("Alford")
			w.iamat("Alford", "kiwi", stamp)
			w.net.RunFor(time.Minute)
		}, 0, moment, 1},
		{"the neighbor leaves", func(w *world) {
			a := silent(w)
			w.net.At(3*time.Second, func() { w.net.Refuse("Welsh:1", true); a.t.LoseConnection() })
		}, 3 * time.Second, 3*time.Second + moment, 1},
		{"the link falls silent, and the neighbor is there again", func(w *world) {
			a := silent(w)
			w.net.Cut("Alford", "Welsh")
			w.net.At(30*time.Second, func() { w.net.HealAll(); a.ack = true })
		}, 30 * time.Second, 30*time.Second + 2*dialTimeout, 0},
		{"the last acknowledgement comes", func(w *world) {
			a := silent(w)
			w.net.At(3*time.Second, func() { a.t.Write([]byte("ACK 1\r\n")) })
		}, 3 * time.Second, 3*time.Second + moment, 0},
		{"a client has read its replies", func(w *world) {
			w.startAll()
			c := w.dial("Alford")
			c.Stall()
			c.SendString(strings.Repeat("help\n", 20_000))
			w.net.RunFor(time.Second)
			w.net.At(3*time.Second, c.Unstall)
		}, 3 * time.Second, 4*time.Second + moment, 0},
		{"a handshake that somebody began", func(w *world) {
			w.startAll()
			if got := w.impostor("Alford", "Welsh").firstLine(welshHello); !strings.HasPrefix(got, "CHALLENGE") {
				w.t.Fatalf("answered %q", got)
			}
		}, 0, moment, 0},
		{"the disk has it", func(w *world) {
			d := w.newDisk()
			w.journals = map[string]Journal{"Alford": d}
			w.start("Alford")
			d.delay = 3 * time.Second
			w.iamat("Alford", "kiwi", stamp)
		}, 2 * time.Second, 6*time.Second + moment, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := pair(t)
			test.prepare(w)
			srv := w.servers["Alford"]
			if lost := w.stop("Alford", test.least, test.most); lost != test.lost {
				t.Errorf("%d records not handed over, want %d", lost, test.lost)
			}
			if err := srv.StopError(); err != nil {
				t.Errorf("error: %v", err)
			}
		})
	}
}

// firstLine says the first line of a handshake and returns the answer.
func (p *impostor) firstLine(hello string) string {
	p.say(hello)
	return p.line()
}

// A neighbor that is connected, and takes nothing, makes the stop fail once the drain time is over,
// if there are records that nobody else has.
func TestStopError(t *testing.T) {
	for _, test := range []struct {
		name       string
		ack, other bool // Welsh acknowledges; Hamilton runs
		lost       int64
		fail       bool
	}{
		{"all is acknowledged", true, false, 0, false},
		{"nothing is acknowledged", false, false, 1, true},
		{"by one of two", false, true, 0, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, testConfig(ring...))
			a := w.acceptor()
			a.ack = test.ack
			srv := w.start("Alford")
			if test.other {
				w.start("Hamilton")
			}
			w.until("live", w.live)
			w.iamat("Alford", "kiwi", stamp)
			w.until("it is sent", func() bool { return len(a.clients) == 1 })
			least, most := srv.cfg.Limits.Drain, srv.cfg.Limits.Drain+time.Second
			if test.ack {
				least, most = 0, time.Second
			}
			if lost := w.stop("Alford", least, most); lost != test.lost {
				t.Errorf("%d records not handed over, want %d", lost, test.lost)
			}
			switch err := srv.StopError(); {
			case (err != nil) != test.fail:
				t.Errorf("error %v", err)
			case err != nil && err.Error() != "1 records are on no other server: Welsh did not acknowledge them within 5s":
				t.Errorf("error %v", err)
			}
		})
	}
}

// A neighbor that crashes in the drain is dialed until the drain time is over. Its next process gets what
// the former one had not acknowledged; without one the stop fails. Once another neighbor has everything,
// nobody is waited for.
func TestANeighborCrashesInTheDrain(t *testing.T) {
	const drain = 5 * time.Second
	legacy := func(w *world) { w.startLegacy(doesNotKnow) }
	hello := func(w *world) { w.start("Welsh") }
	for _, test := range []struct {
		name        string
		start       func(w *world)
		acked       bool // Welsh has acknowledged everything before it crashes
		other       bool // Hamilton takes everything, a second later
		back        time.Duration
		least, most time.Duration
		lost        int64
		fail        bool
	}{
		{"it stays away", hello, false, false, 0, drain, drain, 50, true},
		{"it is back", hello, false, false, 2 * time.Second, 2 * time.Second, 3 * time.Second, 0, false},
		{"it had acknowledged everything", hello, true, false, 0, 0, time.Second, 50, false},
		{"another one has everything", hello, false, true, 0, time.Second, 2 * time.Second, 0, false},
		{"legacy, it stays away", legacy, false, false, 0, drain, drain, 50, true},
		{"legacy, it is back", legacy, false, false, 2 * time.Second, 2 * time.Second, 4 * time.Second, 0, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := legacyRing(t, "optional", "Alford")
			test.start(w)
			srv, o := w.servers["Alford"], w.linkToWelsh()
			if test.other {
				w.start("Hamilton")
			}
			w.until("up", func() bool { return o.up() && o.state != linkCopying && (!test.other || w.live()) })
			if !test.acked {
				w.reactors["Welsh"].Pause()
			}
			if test.other {
				w.net.Cut("Alford", "Hamilton")
			}
			w.updates("Alford", 0, 50, stamp)
			if test.acked {
				w.until("acknowledged", func() bool { return o.sent.Acked() == 50 })
			}
			crash := func() { w.reactors["Welsh"].Crash(); delete(w.servers, "Welsh") }
			if test.acked {
				w.net.At(0, crash)
			} else {
				w.net.At(500*time.Millisecond, crash)
			}
			w.net.At(time.Second, w.net.HealAll)
			if test.back > 0 {
				w.net.At(test.back, func() { test.start(w) })
			}
			if lost := w.stop("Alford", test.least, test.most); lost != test.lost {
				t.Errorf("%d records not handed over, want %d", lost, test.lost)
			}
			switch err := srv.StopError(); {
			case (err != nil) != test.fail:
				t.Errorf("error %v", err)
			case err != nil && err.Error() != "50 records are on no other server: Welsh did not acknowledge them within 5s":
				t.Errorf("error %v", err)
			}
			if welsh := w.servers["Welsh"]; welsh != nil && welsh.store.Len() != 50 {
				t.Errorf("the new process has %d of 50 records", welsh.store.Len())
			}
		})
	}
}

// What came from a neighbor is on another server as long as the neighbor is connected to us, even if we
// are not connected to it.
func TestRecordsOfANeighborThatWeDoNotReach(t *testing.T) {
	w := ringOf(t, nil, "Alford")
	p := w.welcomed(welshHello)
	p.SendString("AT Welsh +0.1 kiwi +1-1 100 Welsh\r\nMARK 1 1 - 1 0000000000000000\r\n")
	w.until("stored", func() bool { return w.servers["Alford"].store.Len() == 1 })
	w.iamat("Alford", "here", stamp)
	if lost := w.stop("Alford", 0, time.Second); lost != 1 {
		t.Errorf("%d records not handed over, want that of a client", lost)
	}
}

// What comes when the server has decided to leave is neither acknowledged nor taken: it would be found
// missing on the disk.
func TestNothingIsTakenWhenTheStopIsOver(t *testing.T) {
	for _, handshake := range []string{"required", "optional"} {
		w := legacyRing(t, handshake, "Alford")
		srv := w.servers["Alford"]
		p := client{w.net.DialFrom("Welsh", "Alford:1"), w}
		if handshake == "required" {
			p = client{w.welcomed(welshHello).Client, w}
		}
		p.SendString("AT Welsh +0.1 kiwi +1-1 100 Welsh\r\n")
		w.net.RunFor(time.Second)
		srv.drain.begun = true
		srv.stopApplying()
		p.SendString("AT Welsh +0.1 emu +1-1 100 Welsh\r\n")
		w.net.RunFor(time.Second)
		if n := srv.store.Len(); n != 1 || p.Closed() {
			t.Errorf("%s: %d records taken, closed %v", handshake, n, p.Closed())
		}
	}
}

// A neighbor that is slow to take what it is sent does not delay what is owed to another one.
func TestADrainBeginsWithAllNeighbors(t *testing.T) {
	w := legacyRing(t, "optional")
	p := w.startLegacy(doesNotKnow)
	srv := w.start("Alford")
	w.start("Hamilton")
	w.iamat("Alford", "kiwi", stamp)
	p.untilServed("kiwi")
	first := srv.neighbor([]byte("Hamilton"))
	w.until("live", func() bool {
		return first == srv.neighbors[0] && first.link.state == linkLive && first.link.sent.Acked() == 1
	})
	w.net.Cut("Alford", "Hamilton")
	w.iamat("Alford", "kiwi", stamp+1)
	begun := w.net.Elapsed()
	w.reactors["Alford"].Stop()
	w.until("its connection is closed", func() bool { return p.last().closed })
	if d := w.net.Elapsed() - begun; d > time.Second || first.link.drained() {
		t.Errorf("closed after %v; the first neighbor is done: %v", d, first.link.drained())
	}
}

// Two servers that are stopped at the same moment do not wait for each other, nor does a whole herd.
func TestServersThatStopTogether(t *testing.T) {
	for _, names := range [][]string{
		{"Alford", "Welsh"}, {"Alford", "Holiday"}, {"Alford", "Ball", "Hamilton", "Holiday", "Welsh"},
	} {
		w := newWorld(t, testConfig(ring...)).startAll()
		for i, s := range ring {
			w.updates(s.Name, 100*i, 100*(i+1), stamp)
		}
		for i, s := range ring {
			c := w.dial(s.Name)
			for k := range 100 {
				c.SendString(fmt.Sprintf("IAMAT late%d.%d +1-1 %d\n", i, k, stamp))
			}
		}
		w.net.RunFor(2 * time.Millisecond)
		stopped := map[string]*Server{}
		for _, name := range names {
			stopped[name] = w.servers[name]
			w.reactors[name].Stop()
		}
		begun := w.net.Elapsed()
		for _, name := range names {
			w.until(name+" has stopped", w.reactors[name].Stopped)
			delete(w.servers, name)
		}
		if took := w.net.Elapsed() - begun; took > time.Second {
			t.Errorf("%v stopped after %v", names, took)
		}
		for name, srv := range stopped {
			if err := srv.StopError(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			for c := srv.store.Head(); len(w.servers) > 0; {
				item, ok := c.Next()
				if !ok {
					break
				}
				for other, o := range w.servers {
					if _, ok := o.store.Lookup(item.Record.Client()); !ok && srv.neighbor([]byte(other)) != nil {
						t.Fatalf("%s of %v had %q; %s has not", name, names, item.Record.Text(), other)
					}
				}
			}
		}
	}
}

// A link that is cut in the middle of a stop, again and again, is made again as long as it gets
// anything across.
func TestAStopGoesOnAfterACut(t *testing.T) {
	w := pair(t).startAll()
	srv := w.servers["Alford"]
	o := srv.neighbors[0].link
	w.net.Slow("Alford", "Welsh", 50*time.Millisecond)
	const n = 50_000
	for i := range n {
		srv.store.ApplyOwn(at(t, fmt.Sprint("c", i), 100))
	}
	srv.pumpSoon()
	cuts, acked := 0, uint64(0)
	var cut func()
	cut = func() {
		if o.sent.Acked() > acked && cuts < 5 {
			acked = o.sent.Acked()
			cuts++
			w.net.Reset("Alford", "Welsh")
		}
		w.net.At(10*time.Millisecond, cut)
	}
	cut()
	if lost := w.stop("Alford", 0, time.Minute); lost > 0 || cuts < 5 {
		t.Errorf("%d records not handed over, %d cuts", lost, cuts)
	}
	if k := w.servers["Welsh"].store.Len(); k != n {
		t.Errorf("Welsh has %d of %d records", k, n)
	}
}

// A stop that finds a neighbor with the other secret of two tries that one, too.
func TestAStopTriesBothSecrets(t *testing.T) {
	w := pair(t)
	both := *w.cfg
	both.Herd.Secrets = []string{"new", "old"}
	srv := w.startWith("Alford", &both)
	w.iamat("Alford", "kiwi", stamp)
	w.net.RunFor(20 * time.Second)
	old := *w.cfg
	old.Herd.Secrets = []string{"old"}
	w.startWith("Welsh", &old)
	if srv.neighbors[0].link.secretIndex != 0 {
		t.Fatal("the first secret has been tried")
	}
	if lost := w.stop("Alford", 0, time.Second); lost > 0 {
		t.Errorf("%d records not handed over", lost)
	}
}

// A neighbor without a handshake gets everything, too, if it is there. That all has been written and
// that the connection has ended in good order is all that is known of it. One that was connected is
// dialed again after each loss.
func TestAStopHandsOverToALegacyNeighbor(t *testing.T) {
	for _, test := range []struct {
		name   string
		up     bool // when the stop begins
		breaks int  // of connections with AT lines
		lost   int64
	}{
		{"down", false, 0, 0}, {"down, and lost", false, 1, 500},
		{"up", true, 0, 0}, {"up, and lost", true, 1, 0}, {"up, and lost twice", true, 2, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := legacyRing(t, "optional", "Alford")
			broken := test.breaks
			answer := func(c *legacyConn, line string) {
				doesNotKnow(c, line)
				if broken < test.breaks && strings.HasPrefix(line, "AT ") {
					broken++
					c.reader.Stop()
					c.t.AbortConnection()
				}
			}
			w.net.RunFor(time.Minute)
			var p *legacyPeer
			if test.up {
				p = w.startLegacy(answer)
				w.until("up", func() bool { return w.linkToWelsh().state == linkLegacy })
			}
			var want []string
			for i := range 500 {
				name := fmt.Sprint("c", i)
				w.servers["Alford"].store.ApplyOwn(at(t, name, 100))
				want = append(want, name)
			}
			if !test.up {
				p = w.startLegacy(answer)
			}
			broken = 0
			if lost := w.stop("Alford", 0, 4*time.Second); lost != test.lost {
				t.Errorf("%d records not handed over, want %d", lost, test.lost)
			}
			if test.lost == 0 {
				p.untilServed(want...)
			}
		})
	}
}

// What comes after a server has decided to go is not acknowledged: its sender keeps it.
func TestNothingIsAcknowledgedAfterADrain(t *testing.T) {
	w := ringOf(t, nil, "Alford")
	p := w.welcomed(welshHello)
	srv := w.servers["Alford"]
	srv.drain.begun = true
	srv.stopApplying()
	p.SendString("AT Welsh +0.1 kiwi +1-1 100 Welsh\r\nMARK 1 1 - 1 0000000000000000\r\n")
	w.net.RunFor(time.Second)
	if got := p.Take(); got != "" {
		t.Errorf("answered %q", got)
	}
}

// What a stop has nobody to hand over to is counted, unless it is on the disk.
func TestAStopCountsWhatItLeavesNowhere(t *testing.T) {
	w := pair(t).startAll()
	w.updates("Alford", 0, 10, stamp)
	w.updates("Welsh", 10, 15, stamp)
	w.until("equal", w.equal)
	if lost := w.stop("Alford", 0, time.Second); lost != 0 {
		t.Errorf("the first of two: %d records not handed over", lost)
	}
	if lost := w.stop("Welsh", 0, time.Second); lost != 15 {
		t.Errorf("the last: %d records not handed over, want 15", lost)
	}
	w, d := journaled(t)
	w.updates("Alford", 0, 10, stamp)
	w.until("on the disk", func() bool { return len(d.kept) == 10 })
	d.delay = time.Hour
	w.updates("Alford", 10, 17, stamp)
	if lost := w.stop("Alford", 5*time.Second, 6*time.Second); lost != 7 {
		t.Errorf("a disk that stalls: %d records not handed over, want 7", lost)
	}
}
