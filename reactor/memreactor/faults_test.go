package memreactor_test

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"serverherd/reactor"
	"serverherd/reactor/memreactor"
)

// dialer is a client Protocol that records its calls.
type dialer struct {
	t      reactor.Transport
	in     strings.Builder
	made   int
	lost   []error
	failed []error
}

func (d *dialer) BuildProtocol(string) reactor.Protocol { return d }
func (d *dialer) ConnectionFailed(reason error)         { d.failed = append(d.failed, reason) }
func (d *dialer) ConnectionMade(t reactor.Transport)    { d.made++; d.t = t }
func (d *dialer) DataReceived(p []byte)                 { d.in.Write(p) }
func (d *dialer) ConnectionLost(reason error)           { d.lost = append(d.lost, reason) }

// pair is a World with a server and a client reactor, 10 ms apart.
func pair(t *testing.T, o memreactor.Options) (
	w *memreactor.World, server, client *memreactor.Reactor) {
	t.Helper()
	if o.MaxDelay == 0 {
		o.MinDelay, o.MaxDelay = 10*time.Millisecond, 10*time.Millisecond
	}
	w, server = serve(t, o, &echo{})
	return w, server, w.NewReactor("client")
}

func TestDialTakesThereAndBack(t *testing.T) {
	w, _, client := pair(t, memreactor.Options{})
	d := &dialer{}
	client.ConnectTCP("server:1", time.Second, d)
	w.RunFor(19 * time.Millisecond)
	if d.made != 0 {
		t.Fatal("connected before the answer could arrive")
	}
	w.RunFor(time.Millisecond)
	if d.made != 1 {
		t.Fatal("not connected")
	}
}

func TestDialFaults(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault func(w *memreactor.World, server *memreactor.Reactor)
		want  error
		after time.Duration
	}{
		{"refused", func(w *memreactor.World, _ *memreactor.Reactor) { w.Refuse("server:1", true) },
			memreactor.ErrRefused, 20 * time.Millisecond},
		{"crashed", func(_ *memreactor.World, r *memreactor.Reactor) { r.Crash() },
			memreactor.ErrRefused, 20 * time.Millisecond},
		{"cut", func(w *memreactor.World, _ *memreactor.Reactor) { w.Cut("server", "client") },
			memreactor.ErrTimeout, time.Second},
		{"answers cut", func(w *memreactor.World, _ *memreactor.Reactor) {
			w.CutOneWay("server", "client")
		}, memreactor.ErrTimeout, time.Second},
		{"too slow", func(w *memreactor.World, _ *memreactor.Reactor) {
			w.Slow("server", "client", time.Second)
		}, memreactor.ErrTimeout, time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, server, client := pair(t, memreactor.Options{})
			c.fault(w, server)
			d := &dialer{}
			client.ConnectTCP("server:1", time.Second, d)
			w.RunFor(c.after - 1)
			if len(d.failed) > 0 {
				t.Fatal("failed too early:", d.failed)
			}
			w.RunFor(1)
			if len(d.failed) != 1 || !errors.Is(d.failed[0], c.want) || d.made > 0 {
				t.Fatalf("failed with %v, made %d", d.failed, d.made)
			}
		})
	}
}

func TestDialOutlastsACut(t *testing.T) {
	w, _, client := pair(t, memreactor.Options{})
	w.Cut("server", "client")
	d := &dialer{}
	client.ConnectTCP("server:1", time.Minute, d)
	w.RunFor(10 * time.Second)
	w.Heal("server", "client")
	w.RunFor(time.Second)
	if d.made != 1 || len(d.failed) > 0 {
		t.Fatalf("made %d, failed with %v", d.made, d.failed)
	}
}

func TestResetReachesBothEnds(t *testing.T) {
	w, server, client := pair(t, memreactor.Options{})
	d := &dialer{}
	client.ConnectTCP("server:1", 0, d)
	w.Run()
	if n := w.Reset("client", "server"); n != 1 {
		t.Fatalf("%d connections reset", n)
	}
	w.RunFor(time.Second)
	if len(d.lost) != 1 || !errors.Is(d.lost[0], memreactor.ErrReset) {
		t.Error("the client lost it for", d.lost)
	}
	if n := server.Stats().Connections; n != 0 {
		t.Error("the server still has", n)
	}
}

// A crash during a cut is reported when the cut ends: the end of file has to arrive.
func TestCrashBehindACut(t *testing.T) {
	w, server, client := pair(t, memreactor.Options{})
	d := &dialer{}
	client.ConnectTCP("server:1", 0, d)
	w.Run()
	w.Cut("server", "client")
	server.Crash()
	w.RunFor(time.Hour)
	if len(d.lost) > 0 {
		t.Fatal("reported through a cut:", d.lost)
	}
	w.HealAll()
	w.Run()
	if len(d.lost) != 1 || !errors.Is(d.lost[0], reactor.ErrConnectionDone) {
		t.Fatal("lost for", d.lost)
	}
}

func TestStallHoldsWhatIsSentMeanwhile(t *testing.T) {
	w, _, client := pair(t, memreactor.Options{})
	d := &dialer{}
	client.ConnectTCP("server:1", 0, d)
	w.Run()
	w.Stall("client", "server", 10*time.Second)
	d.t.Write([]byte("hello\n"))
	w.RunFor(9 * time.Second)
	if d.in.Len() > 0 {
		t.Fatal("an echo despite the stall")
	}
	w.RunFor(2 * time.Second)
	if d.in.String() != "hello\n" {
		t.Fatalf("got %q", d.in.String())
	}
}

// A paused process does not read, so that eventually its peer cannot write.
func TestPauseFillsTheWindow(t *testing.T) {
	w, server, client := pair(t, memreactor.Options{Window: 1000})
	d := &dialer{}
	client.ConnectTCP("server:1", 0, d)
	w.Run()
	server.Pause()
	d.t.Write([]byte(strings.Repeat("a line\n", 1000)))
	w.RunFor(time.Minute)
	if n := d.t.Backlog(); n != 6000 {
		t.Fatalf("a backlog of %d with a window of 1000", n)
	}
	server.Resume()
	w.Run()
	if d.t.Backlog() != 0 || d.in.Len() != 7000 {
		t.Fatalf("%d bytes of backlog, %d of 7000 back", d.t.Backlog(), d.in.Len())
	}
}

func TestPausedProcessIsDialed(t *testing.T) {
	w, server, client := pair(t, memreactor.Options{})
	server.Pause()
	d := &dialer{}
	client.ConnectTCP("server:1", time.Second, d)
	w.RunFor(time.Minute)
	if d.made != 1 {
		t.Fatal("the kernel of a paused process must complete the handshake")
	}
	d.t.Write([]byte("hello\n"))
	w.RunFor(time.Minute)
	server.Resume()
	w.Run()
	if d.in.String() != "hello\n" {
		t.Fatalf("got %q", d.in.String())
	}
}

func TestClocks(t *testing.T) {
	w, server, client := pair(t, memreactor.Options{})
	server.SetClock(time.Hour)
	if d := server.Now().Sub(client.Now()); d != time.Hour {
		t.Errorf("the clocks are %v apart", d)
	}
	fired := false
	server.CallLater(time.Minute, func() { fired = true })
	server.SetClock(-time.Hour)
	w.RunFor(time.Minute - 1)
	if fired {
		t.Error("a delayed call follows the wall clock")
	}
	w.RunFor(1)
	if !fired || !server.Now().Equal(w.Now().Add(-time.Hour)) {
		t.Error("fired:", fired, "at", server.Now())
	}
}

func TestWorkTakesTime(t *testing.T) {
	w, server, _ := pair(t, memreactor.Options{})
	server.SetWork(3 * time.Second)
	var took time.Duration
	began := server.Now()
	reactor.DeferToThread(server, func() (int, error) { return 1, nil },
		func(int, error) { took = server.Now().Sub(began) })
	w.RunFor(time.Minute)
	if took != 3*time.Second {
		t.Errorf("returned after %v", took)
	}
}

// As in a kernel, closing with unread input sends a reset.
func TestCloseWithUnreadInput(t *testing.T) {
	e := &echo{}
	w, _ := serve(t, memreactor.Options{}, e)
	for _, stalled := range []bool{false, true} {
		e.lost = nil
		c := w.Dial("server:1")
		if stalled {
			c.Stall()
		}
		c.SendString("hello\n")
		w.Run()
		c.Close()
		w.Run()
		want := reactor.ErrConnectionDone
		if stalled {
			want = memreactor.ErrReset
		}
		if len(e.lost) != 1 || e.lost[0] != want {
			t.Errorf("stalled: %v: lost for %v", stalled, e.lost)
		}
	}
}

// storm applies all kinds of faults at random, depending on the seed, and returns the trace.
func storm(t *testing.T, seed uint64) uint64 {
	w := memreactor.NewWorld(seed, memreactor.Options{MaxDelay: 50 * time.Millisecond, Chop: 40})
	rng := rand.New(rand.NewPCG(seed, 1))
	hosts := []string{"a", "b", "c"}
	reactors := map[string]*memreactor.Reactor{}
	start := func(host string) {
		r := w.NewReactor(host)
		reactors[host] = r
		r.ListenTCP(r.Listen(host+":1"), echoes{})
		for _, other := range hosts {
			c := &reactor.ReconnectingClient{Reactor: r, Rand: rng, Addr: other + ":1",
				Timeout: time.Second, Factory: talkers{r}}
			c.Connect()
		}
	}
	for _, h := range hosts {
		start(h)
	}
	for range 300 {
		a, b := hosts[rng.IntN(3)], hosts[rng.IntN(3)]
		switch rng.IntN(9) {
		case 0:
			w.Cut(a, b)
		case 1:
			w.CutOneWay(a, b)
		case 2:
			w.Heal(a, b)
		case 3:
			w.Reset(a, b)
		case 4:
			w.Stall(a, b, time.Second)
		case 5:
			reactors[a].Crash()
			start(a)
		case 6:
			reactors[a].Pause()
		case 7:
			reactors[a].Resume()
		case 8:
			w.Refuse(a+":1", rng.IntN(2) == 0)
		}
		w.RunFor(time.Duration(rng.IntN(int(time.Second))))
	}
	w.HealAll()
	w.RunFor(10 * time.Second)
	for _, h := range hosts { // three links dialed and three accepted, all of them open
		if n := reactors[h].Stats().Connections; n != 6 {
			t.Errorf("seed %d: %s has %d connections after HealAll", seed, h, n)
		}
	}
	return w.Trace()
}

type echoes struct{}

func (echoes) BuildProtocol(peer string) reactor.Protocol { return (&echo{}).BuildProtocol(peer) }

// talkers makes Protocols that send something now and then and check that it is echoed.
type talkers struct{ r reactor.Reactor }

func (f talkers) BuildProtocol(string) reactor.Protocol { return &talker{r: f.r} }
func (f talkers) ConnectionFailed(error)                {}

type talker struct {
	dialer
	r    reactor.Reactor
	said int
}

func (p *talker) ConnectionMade(t reactor.Transport) {
	p.t = t
	p.say()
}

func (p *talker) say() {
	if len(p.lost) > 0 {
		return
	}
	if got := p.in.String(); got != strings.Repeat(word, len(got)/len(word)+1)[:len(got)] {
		panic("bytes were lost or swapped inside a connection: " + got)
	}
	p.said++
	p.t.Write([]byte(word))
	p.r.CallLater(100*time.Millisecond, p.say)
}

const word = "the quick brown fox\n"

// Bytes stay in order under all faults, all connections recover, and a seed is reproducible.
func TestStorm(t *testing.T) {
	for seed := range uint64(10) {
		if first, second := storm(t, seed), storm(t, seed); first != second {
			t.Fatalf("seed %d: traces %x and %x", seed, first, second)
		}
	}
}

// BenchmarkHour simulates an hour of five servers with twenty links and ten messages a second on each.
func BenchmarkHour(b *testing.B) {
	hosts := []string{"a", "b", "c", "d", "e"}
	w := memreactor.NewWorld(1, memreactor.Options{MaxDelay: time.Millisecond})
	for _, h := range hosts {
		r := w.NewReactor(h)
		r.ListenTCP(r.Listen(h+":1"), echoes{})
		for _, other := range hosts {
			if other != h {
				r.ConnectTCP(other+":1", time.Second, pingers{r})
			}
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		w.RunFor(time.Hour)
	}
}

type pingers struct{ r reactor.Reactor }

func (f pingers) BuildProtocol(string) reactor.Protocol { return &pinger{r: f.r} }
func (f pingers) ConnectionFailed(error)                {}

type pinger struct {
	r reactor.Reactor
	t reactor.Transport
}

func (p *pinger) DataReceived([]byte)  {}
func (p *pinger) ConnectionLost(error) {}
func (p *pinger) ConnectionMade(t reactor.Transport) {
	p.t = t
	p.ping()
}

func (p *pinger) ping() {
	p.t.Write([]byte(word))
	p.r.CallLater(100*time.Millisecond, p.ping)
}
