package reactor

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// fakeEngine is an engine whose time is set by the test.
type fakeEngine struct {
	Loop
	now      time.Duration
	wakes    int
	wakeAt   time.Duration
	finished bool
}

func newFake() *fakeEngine {
	e := &fakeEngine{}
	e.Init(e, nil)
	return e
}

func (e *fakeEngine) Elapsed() time.Duration  { return e.now }
func (e *fakeEngine) Wake()                   { e.wakes++ }
func (e *fakeEngine) WakeAt(at time.Duration) { e.wakeAt = at }
func (e *fakeEngine) Shutdown()               { e.finished = true }

func TestTimersAgainstSorting(t *testing.T) {
	e := newFake()
	rng := rand.New(rand.NewPCG(1, 2))
	type call struct{ at, n int }
	var want, got []call
	var calls []*DelayedCall
	for n := range 2000 {
		c := call{rng.IntN(100), n}
		calls = append(calls, e.CallLater(time.Duration(c.at), func() { got = append(got, c) }))
		want = append(want, c)
	}
	for n := len(calls) - 1; n >= 0; n -= 3 {
		calls[n].Cancel()
		want = slices.Delete(want, n, n+1)
	}
	slices.SortStableFunc(want, func(a, b call) int { return a.at - b.at })
	for e.now = 0; e.now < 101; e.now++ {
		e.Turn()
	}
	if !slices.Equal(got, want) {
		t.Fatalf("%d calls ran, %d expected, or in another order", len(got), len(want))
	}
}

func TestDelayedCall(t *testing.T) {
	e := newFake()
	ran := 0
	d := e.CallLater(10, func() { ran++ })
	if e.wakeAt != 10 {
		t.Fatalf("armed for %d", e.wakeAt)
	}
	d.Reset(20)
	e.now = 19
	e.Turn()
	if ran != 0 || !d.Active() {
		t.Fatal("ran too early")
	}
	e.now = 20
	e.Turn()
	if ran != 1 || d.Active() {
		t.Fatal("did not run, or is still active")
	}
	d.Reset(1)
	d.Cancel()
	e.now = 30
	e.Turn()
	if ran != 1 {
		t.Fatal("ran twice")
	}
}

func TestDelayedCallsOfOnePass(t *testing.T) {
	e := newFake()
	var ran []string
	var second, third *DelayedCall
	e.CallLater(1, func() {
		ran = append(ran, "first")
		e.CallLater(0, func() { ran = append(ran, "made by first") })
		second.Cancel()
		third.Reset(0)
	})
	second = e.CallLater(1, func() { ran = append(ran, "second") })
	third = e.CallLater(1, func() { ran = append(ran, "third") })
	e.now = 1
	e.Turn()
	if want := []string{"first"}; !slices.Equal(ran, want) {
		t.Fatalf("one pass ran %q", ran)
	}
	e.Turn()
	if want := []string{"first", "made by first", "third"}; !slices.Equal(ran, want) {
		t.Fatalf("two passes ran %q", ran)
	}
}

func TestTurnOrder(t *testing.T) {
	e := newFake()
	var ran []string
	note := func(s string) func() { return func() { ran = append(ran, s) } }
	e.CallSoon(func() {
		note("soon")()
		e.CallSoon(note("soon of soon"))
	})
	e.CallLater(0, func() {
		note("later")()
		e.CallSoon(note("soon of later"))
	})
	e.CallFromThread(func() {
		note("posted")()
		e.CallFromThread(note("posted by posted"))
	})
	e.Turn()
	if want := []string{"posted", "later", "soon", "soon of later"}; !slices.Equal(ran, want) {
		t.Fatalf("ran %q", ran)
	}
	if e.wakes != 4 { // soon, posted, posted by posted, and the turn's end for the soon of soon
		t.Fatalf("woken %d times", e.wakes)
	}
	e.Turn()
	want := []string{"posted", "later", "soon", "soon of later", "posted by posted", "soon of soon"}
	if !slices.Equal(ran, want) {
		t.Fatalf("ran %q", ran)
	}
}

func TestFirstPostWakes(t *testing.T) {
	e := newFake()
	for range 1000 {
		e.CallFromThread(func() {})
	}
	if e.wakes != 1 {
		t.Fatalf("woken %d times for one list", e.wakes)
	}
	e.Turn()
	e.CallFromThread(func() {})
	if e.wakes != 2 {
		t.Fatal("not woken for the next list")
	}
	e.Seal()
	e.CallFromThread(func() { t.Error("ran after Seal") })
	e.Turn()
	if e.wakes != 2 {
		t.Fatal("woken after Seal")
	}
}

func TestShutdownWaitsForAll(t *testing.T) {
	e := newFake()
	var ran []int
	var dones []func()
	for n := range 3 {
		e.BeforeShutdown(func(done func()) {
			ran = append(ran, n)
			dones = append(dones, done)
		})
	}
	e.Stop()
	e.Stop()
	e.Turn()
	if !slices.Equal(ran, []int{0, 1, 2}) {
		t.Fatalf("started %v", ran)
	}
	for _, done := range dones {
		if e.finished {
			t.Fatal("did not wait")
		}
		done()
		done() // a second call has no effect
	}
	if e.finished {
		t.Fatal("shut down during the call of done")
	}
	e.Turn()
	if !e.finished {
		t.Fatal("not finished")
	}
}

func TestSlowTurnAlarm(t *testing.T) {
	e := &fakeEngine{}
	var alarms []string
	e.Init(e, func(what string, d time.Duration) { alarms = append(alarms, what) })
	slow := func() { e.now += 60 * time.Millisecond }
	e.CallSoon(slow)
	e.CallSoon(slow) // within a second of the first
	e.Turn()
	if len(alarms) != 1 || alarms[0] != "call soon serverherd/reactor.TestSlowTurnAlarm.func2" {
		t.Fatalf("reports: %q", alarms)
	}
	e.now += time.Second
	e.CallFromThread(func() {})
	e.now += 70 * time.Millisecond
	e.Turn()
	if len(alarms) != 2 {
		t.Fatalf("no report for a call that waited: %q", alarms)
	}
	if s := e.Stats(); s.MaxLag != 70*time.Millisecond || s.Lags.Quantile(0.99) < s.MaxLag || s.SlowTurns != 3 {
		t.Fatalf("%+v", s)
	}
}

// dials is a reactor that only dials and schedules calls.
type dials struct {
	*fakeEngine
	Reactor
	asked int
	f     ClientFactory
}

func (d *dials) CallLater(t time.Duration, f func()) *DelayedCall {
	return d.fakeEngine.CallLater(t, f)
}
func (d *dials) Now() time.Time         { return time.Unix(0, 0).Add(d.now) }
func (d *dials) Elapsed() time.Duration { return d.now }
func (d *dials) ConnectTCP(addr string, timeout time.Duration, f ClientFactory) {
	d.asked++
	d.f = f
}

type linkProtocol struct{ lost int }

func (p *linkProtocol) ConnectionMade(Transport) {}
func (p *linkProtocol) DataReceived([]byte)      {}
func (p *linkProtocol) ConnectionLost(error)     { p.lost++ }

type linkFactory struct {
	p      *linkProtocol
	failed int
}

func (f *linkFactory) BuildProtocol(string) Protocol { return f.p }
func (f *linkFactory) ConnectionFailed(error)        { f.failed++ }

func TestReconnectingClient(t *testing.T) {
	d := &dials{fakeEngine: newFake()}
	f := &linkFactory{p: &linkProtocol{}}
	c := &ReconnectingClient{Reactor: d, Addr: "x:1", Factory: f, Jitter: -1}
	c.Connect()
	c.Connect()
	c.DialNow()
	if d.asked != 1 {
		t.Fatalf("%d dials at once", d.asked)
	}
	for n, wait := range []time.Duration{250, 500, 1000, 2000, 4000, 5000, 5000} {
		d.f.ConnectionFailed(ErrLinger)
		wait *= time.Millisecond
		d.now += wait - 1
		d.Turn()
		if d.asked != n+1 || f.failed != n+1 {
			t.Fatalf("failure %d: dialed before %v", n, wait)
		}
		d.now++
		d.Turn()
		if d.asked != n+2 {
			t.Fatalf("failure %d: not dialed after %v", n, wait)
		}
	}
	p := d.f.BuildProtocol("x:1")
	c.DialNow()
	p.ConnectionLost(ErrConnectionDone)
	if f.p.lost != 1 || d.asked != 8 {
		t.Fatalf("lost %d, dialed %d", f.p.lost, d.asked)
	}
	c.ResetDelay()
	c.DialNow() // dials at once, and cancels the scheduled dial
	d.now += time.Minute
	d.Turn()
	if d.asked != 9 {
		t.Fatalf("dialed %d times", d.asked)
	}
	d.f.ConnectionFailed(ErrLinger)
	c.DialNow()
	d.f.ConnectionFailed(ErrLinger) // the delay of the first failure would end before this one's
	d.now += 300 * time.Millisecond
	d.Turn()
	if d.asked != 10 {
		t.Fatalf("dialed %d times: a canceled delay led to a dial", d.asked)
	}
	c.DialNow()
	c.Stop()
	d.f.ConnectionFailed(ErrLinger)
	d.now += time.Minute
	d.Turn()
	if d.asked != 11 {
		t.Fatal("dialed after Stop")
	}
}

func TestReconnectingClientJitter(t *testing.T) {
	delays := func(seed uint64) (all []time.Duration) {
		d := &dials{fakeEngine: newFake()}
		c := &ReconnectingClient{Reactor: d, Rand: rand.New(rand.NewPCG(seed, 0)),
			Factory: &linkFactory{}, Factor: 1}
		c.Connect()
		for range 100 {
			began := d.now
			d.f.ConnectionFailed(nil)
			for asked := d.asked; d.asked == asked; d.now += time.Millisecond {
				d.Turn()
			}
			all = append(all, d.now-began)
		}
		return all
	}
	a, b := delays(1), delays(2)
	if !slices.Equal(a, delays(1)) {
		t.Error("different delays with the same seed")
	}
	if slices.Equal(a, b) || slices.Min(a) < 125*time.Millisecond ||
		slices.Max(a) > 380*time.Millisecond || slices.Max(a)-slices.Min(a) < 100*time.Millisecond {
		t.Errorf("delays from %v to %v", slices.Min(a), slices.Max(a))
	}
}
