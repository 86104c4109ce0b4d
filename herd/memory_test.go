package herd

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"serverherd/herd/config"
)

// owe makes the server owe a client of that host about so many KiB beyond what the network holds.
func (w *world) owe(host string, kib int) client {
	c := client{w.net.DialFrom(host, "Alford:1"), w}
	c.Stall()
	c.SendString(strings.Repeat(strings.Repeat("x", 1020)+"\n", 256+kib))
	return c
}

// cutOffs says which clients are cut off.
func cutOffs(clients ...client) (cut []int) {
	for i, c := range clients {
		if c.Err() != nil {
			cut = append(cut, i)
		}
	}
	return cut
}

func hitMaxBuffered(t *testing.T) *Server {
	w := alone(t, func(c *config.Config) { c.Limits.MaxBuffered = 1 << 20 })
	srv := w.servers["Alford"]
	for range 20 {
		w.owe("one", 100)
	}
	w.until("cut", w.counted("memory_limits"))
	w.net.RunFor(2 * time.Second)
	if n := srv.Status().Buffered; n > 1<<20 || n < 256<<10 {
		t.Errorf("%d bytes are left", n)
	}
	if n := srv.reactor.Memory(); n != srv.buffered {
		t.Errorf("%d bytes by the reactor, %d by the sweep", n, srv.buffered)
	}
	return srv
}

// hitStallTime is a client that is owed little and takes nothing, beside one that takes little and one
// that stops doing so.
func hitStallTime(t *testing.T) *Server {
	w := alone(t, nil)
	srv := w.servers["Alford"]
	stalled, slow, tired := w.owe("a", 5), w.owe("b", 200), w.owe("c", 200)
	begun := w.net.Elapsed()
	read := func(c client) {
		n := len(c.Received())
		c.Unstall()
		w.until("a piece", func() bool { return len(c.Received()) > n })
		c.Stall()
	}
	for i := range 8 {
		w.net.RunFor(25 * time.Second)
		read(slow)
		if i < 3 {
			read(tired)
		}
		want := uint64(0)
		switch after := w.net.Elapsed() - begun; {
		case after >= 75*time.Second+stallTime+2*time.Second:
			want = 2
		case after >= stallTime+2*time.Second:
			want = 1
		}
		if n := srv.counters.StallLimits; n != want {
			t.Errorf("%d clients cut off after %v, want %d", n, w.net.Elapsed()-begun, want)
		}
	}
	if cut := cutOffs(stalled, slow, tired); !slices.Equal(cut, []int{0, 2}) {
		t.Errorf("cut off: %v", cut)
	}
	slow.Unstall()
	w.until("the slow one has all", func() bool { return strings.Count(string(slow.Received()), "\n\n") == 456 })
	return srv
}

// One address with many connections that are owed little each goes before one connection of another
// that is owed more than any of them.
func TestTheAddressThatTakesMostIsCutFirst(t *testing.T) {
	w := alone(t, func(c *config.Config) { c.Limits.MaxBuffered = 2 << 20 })
	srv := w.servers["Alford"]
	honest := w.owe("honest", 200)
	w.net.RunFor(time.Second)
	var attackers []client
	for range 50 {
		attackers = append(attackers, w.owe("attacker", 50))
	}
	w.until("cut", w.counted("memory_limits"))
	w.net.RunFor(2 * time.Second)
	if n := srv.buffered; n > 2<<20 {
		t.Errorf("%d bytes", n)
	}
	if n, cut := srv.counters.MemoryLimits, len(cutOffs(attackers...)); n < 5 || n > 50 || cut != int(n) {
		t.Errorf("%d are cut off, %d of the attackers", n, cut)
	}
	honest.Unstall()
	w.until("the honest one is answered", func() bool { return strings.Count(string(honest.Received()), "\n\n") == 456 })
}

// However fast it grows, memory does not wait for the next sweep.
func TestMemoryIsBoundedBetweenSweeps(t *testing.T) {
	const limit = 2 << 20
	w := alone(t, func(c *config.Config) { c.Limits.MaxBuffered = limit; c.Limits.MaxConnections = 1000 })
	srv := w.servers["Alford"]
	w.net.RunFor(10 * time.Millisecond) // just after a sweep
	for i := range 100 {
		w.owe(fmt.Sprint("host", i%7), 100)
	}
	most, period := 0, srv.sweepPeriod()
	begun := w.net.Elapsed()
	for w.net.Elapsed()-begun < period/2 && w.net.Step() {
		most = max(most, srv.reactor.Memory())
	}
	if srv.counters.MemoryLimits < 50 {
		t.Errorf("%d clients cut off within half a sweep", srv.counters.MemoryLimits)
	}
	// A reply takes 1 KiB here, but a buffer grows by a quarter and more at once.
	if most > limit+512<<10 {
		t.Errorf("%d bytes at most, with a limit of %d", most, limit)
	}
}

// The rule, by a table: addresses with what their connections take, and what is left of each.
func TestCutDown(t *testing.T) {
	for _, c := range []struct {
		name   string
		takes  map[string][]int
		excess int
		left   map[string][]int
	}{
		{"nothing", map[string][]int{"a": {5}}, 0, map[string][]int{"a": {5}}},
		{"the largest of one address", map[string][]int{"a": {5, 9, 1}}, 9, map[string][]int{"a": {5, 1}}},
		{"as many as needed", map[string][]int{"a": {5, 9, 1}}, 10, map[string][]int{"a": {1}}},
		{"the greater sum, not the greater connection", map[string][]int{"a": {3, 3, 3}, "b": {8}}, 3,
			map[string][]int{"a": {3, 3}, "b": {8}}},
		{"then the other, when it is the greater", map[string][]int{"a": {3, 3, 3}, "b": {8}}, 6,
			map[string][]int{"a": {3, 3}}},
		{"by name if they are equal", map[string][]int{"b": {4}, "a": {4}}, 1, map[string][]int{"b": {4}}},
		{"all of them, if that is not enough", map[string][]int{"b": {4}, "a": {4}}, 100, nil},
		{"not those that take nothing", map[string][]int{"a": {0, 0, 4}}, 100, map[string][]int{"a": {0, 0}}},
	} {
		w := alone(t, nil)
		srv := w.servers["Alford"]
		for _, name := range []string{"a", "b"} {
			for _, n := range c.takes[name] {
				k := srv.BuildProtocol(name + ":1").(*session)
				k.ConnectionMade(taking{n: n})
			}
		}
		srv.cutOffLargest(c.excess)
		left := map[string][]int{}
		for _, k := range srv.sessions {
			if !k.aborted {
				left[k.address] = append(left[k.address], k.t.Memory())
			}
		}
		if fmt.Sprint(left) != fmt.Sprint(c.left) {
			t.Errorf("%s: left %v, want %v", c.name, left, c.left)
		}
	}
}

// taking is a Transport that takes n bytes of memory.
type taking struct {
	sink
	n int
}

func (t taking) Memory() int { return t.n }

// Of two connections that take the same the newer one goes.
func TestCutDownOfEquals(t *testing.T) {
	w := alone(t, nil)
	srv := w.servers["Alford"]
	for range 3 {
		srv.BuildProtocol("a:1").(*session).ConnectionMade(taking{n: 7})
	}
	srv.cutOffLargest(8)
	for i, k := range srv.sessions {
		if k.aborted != (i > 0) {
			t.Errorf("connection %d is cut off: %v", i, k.aborted)
		}
	}
}

// What is logged of many cut off clients is one entry for each address and reason.
func TestCutOffClientsAreLoggedOnce(t *testing.T) {
	w := alone(t, nil)
	srv := w.servers["Alford"]
	core, entries := observer.New(zap.WarnLevel)
	srv.log = zap.New(core)
	for range 40 {
		for _, host := range []string{"a:1", "b:1"} {
			srv.BuildProtocol(host).(*session).ConnectionMade(taking{n: 7})
		}
	}
	srv.cutOffLargest(1000)
	for _, k := range srv.sessions {
		k.aborted = false
		k.cutOff(errStalled, 0)
	}
	if n := entries.FilterMessage("client cut off").Len(); n != 4 {
		t.Errorf("%d entries", n)
	}
}

// The account of a session's replies is what they take, whatever was done to them.
func TestRepliesKnowTheirMemory(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	var rs replies
	var open []*slot
	for range 10_000 {
		switch rng.IntN(4) {
		case 0:
			rs.add(make([]byte, rng.IntN(300)))
		case 1:
			open = append(open, rs.reserve(&lookup{at: make([]byte, rng.IntN(100)), line: make([]byte, rng.IntN(100))}))
		case 2:
			if len(open) > 0 {
				i := rng.IntN(len(open))
				rs.fill(open[i], make([]byte, rng.IntN(3000)))
				open = slices.Delete(open, i, i+1)
			}
		case 3:
			rs.next()
		}
		want := 0
		for _, sl := range rs.queue {
			want += sl.memory()
		}
		if rs.memory != want {
			t.Fatalf("%d bytes, there are %d", rs.memory, want)
		}
	}
}

// Small replies behind one that is not known yet are bounded by what they take, not by their text.
func TestManySmallRepliesAreHeld(t *testing.T) {
	cfg := testConfig(config.Server{Name: "Alford", Address: "Alford:1"})
	w := newWorld(t, cfg)
	w.places = &slowPlaces{err: errors.New("no answer")}
	srv := w.start("Alford")
	c := w.dial("Alford")
	c.ask(1, "IAMAT k +1-1 5\n")
	w.reactors["Alford"].SetWork(25 * time.Second)
	c.SendString("WHATSAT k 2 1\n")
	w.net.RunFor(time.Second)
	w.reactors["Alford"].SetWork(0)
	c.SendString(strings.Repeat("WHATSAT k 1 1\n", 20_000))
	w.net.RunFor(15 * time.Second)
	s := srv.sessions[0]
	if s.replies.memory > maxHeldReplies+64<<10 || s.t.Memory() < s.replies.memory || !s.held {
		t.Errorf("%d replies wait, which take %d bytes of %d; held: %v", len(s.replies.queue),
			s.replies.memory, s.t.Memory(), s.held)
	}
	w.until("all are answered", func() bool { return strings.Count(string(c.Received()), "\n\n") == 20_001 })
	w.net.RunFor(2 * time.Second)
	if n := srv.buffered; n > keptByIdle {
		t.Errorf("%d bytes are kept afterwards", n)
	}
}

// keptByIdle is what a client that is owed nothing may have the server keep: the buffer for an
// unfinished line.
const keptByIdle = 512
