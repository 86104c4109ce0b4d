package herd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"serverherd/herd/config"
	"serverherd/places"
	"serverherd/reactor/memreactor"
)

// timed is a reactor on which a call off the loop takes as long as its work says.
type timed struct {
	*memreactor.Reactor
	takes time.Duration // of the call at hand
}

func (r *timed) CallFromThread(f func()) {
	d := r.takes
	r.takes = 0
	r.Reactor.CallFromThread(func() { r.CallLater(d, f) })
}

// slowGoogle is a provider that takes its time, but not more than it is given.
type slowGoogle struct {
	w       *world
	s       *Server
	r       *timed
	takes   time.Duration
	spent   string // an address without a share of the budget
	started []started

	rate      *rate.Limiter // nil for none
	left      bool          // the provider is left alone: the fallback answers
	fellBack  []float64     // latitudes about which the fallback was asked
	mostLate  int
	lateTakes time.Duration
}

// started is a question that was asked.
type started struct {
	at, left time.Duration
	address  string
	lat      float64
}

// Admit implements places.Paced.
func (g *slowGoogle) Admit(p *places.Payer) time.Duration {
	now := g.s.reactor.Now()
	if g.left || g.rate == nil {
		return 0
	}
	if p.Admitted = g.rate.AllowN(now, 1); p.Admitted {
		return 0
	}
	return time.Duration((1 - g.rate.TokensAt(now)) / float64(g.rate.Limit()) * float64(time.Second))
}

func (g *slowGoogle) Nearby(ctx context.Context, q places.Query) (places.Result, error) {
	if g.s.cfg.Places.Fallback != "" && (g.left || ctx.Err() == context.DeadlineExceeded) {
		g.fellBack = append(g.fellBack, q.Lat)
		g.mostLate = max(g.mostLate, g.s.lookups.lateRunning)
		g.r.takes = g.lateTakes
		return fakePlaces{}.Nearby(ctx, q)
	}
	f := g.s.lookups.flights[g.s.lookupKey(q)]
	if f == nil {
		return places.Result{}, ctx.Err()
	}
	left := f.deadline.Sub(g.s.reactor.Now())
	if at, ok := ctx.Deadline(); !ok || time.Until(at) > left {
		g.w.t.Errorf("the provider has until %v, more than %v", at, left)
	}
	payer := places.PayerOf(ctx)
	if payer.Address == g.spent {
		payer.Spent = true
		return places.Result{}, errors.New("spent")
	}
	g.started = append(g.started, started{g.w.net.Elapsed(), left, payer.Address, q.Lat})
	if g.r.takes = min(g.takes, left); g.takes > left {
		return places.Result{}, errors.New(places.NoAnswer(g.s.cfg.Places.Timeout))
	}
	return fakePlaces{}.Nearby(ctx, q)
}

// startSlow starts a server whose provider takes a while, with so many lookups at once.
func startSlow(t *testing.T, inFlight int, takes time.Duration, change func(*config.Config)) *slowGoogle {
	cfg := testConfig(config.Server{Name: "Alford", Address: "Alford:1"})
	cfg.Places.Provider, cfg.Places.Rate, cfg.Limits.PlacesInFlight = "google", 10_000, inFlight
	cfg.Limits.MaxConnections = 2000
	if change != nil {
		change(cfg)
	}
	w := newWorld(t, cfg)
	g := &slowGoogle{w: w, takes: takes}
	g.r = &timed{Reactor: w.net.NewReactor("Alford")}
	o := w.options("Alford", g.r.Reactor, nil)
	o.Reactor, o.Places = g.r, g
	var err error
	if g.s, err = NewServer(o); err != nil {
		t.Fatal(err)
	}
	if _, err := g.s.Start(g.r.Listen("Alford:1")); err != nil {
		t.Fatal(err)
	}
	w.servers["Alford"] = g.s
	var lines strings.Builder
	for i := range 80 {
		fmt.Fprintf(&lines, "IAMAT c%d +%d-1 5\n", i, i)
	}
	w.dial("Alford").ask(80, lines.String())
	return g
}

func (g *slowGoogle) from(host string) client { return client{g.w.net.DialFrom(host, "Alford:1"), g.w} }

// questions are n of connection i, of which no two are the same, nor another connection's.
func questions(i, n int) string {
	var lines strings.Builder
	for k := range n {
		fmt.Fprintf(&lines, "WHATSAT c%d %d 1\n", i+k/50%2*40, k%50+1)
	}
	return lines.String()
}

// wait asks a question and returns the reply and how long it took.
func (g *slowGoogle) wait(c client, line string) (string, time.Duration) {
	begun := g.w.net.Elapsed()
	return c.ask(1, line), g.w.net.Elapsed() - begun
}

// attack has one host ask 64 questions on each of 20 connections, over and over, whatever the reply.
func (g *slowGoogle) attack(host string) {
	for i := range 20 {
		c := g.from(host)
		c.SendString(strings.Repeat(questions(i, 64), 100))
	}
	g.w.net.RunFor(100 * time.Millisecond)
}

// One host that asks a slow provider all the time denies it to nobody.
func TestOneHostDoesNotDenyLookups(t *testing.T) {
	g := startSlow(t, 64, 4500*time.Millisecond, nil)
	g.attack("attacker")
	if n := g.s.lookups.waiting; n < maxWaiting {
		t.Errorf("only %d wait: it is no attack", n)
	}
	honest := g.from("honest")
	for i := range 10 {
		reply, took := g.wait(honest, fmt.Sprintf("WHATSAT c%d 50 1\n", 70+i))
		if !strings.HasPrefix(reply, "AT ") || took > 5*time.Second {
			t.Errorf("question %d: %q after %v", i, reply, took)
		}
	}
	// One who shares the attacker's address has its turn, too: of a second for the first time.
	same := g.from("attacker")
	for i := range 5 {
		reply, took := g.wait(same, fmt.Sprintf("WHATSAT c%d 50 1\n", 70+i))
		if !strings.HasPrefix(reply, "AT ") || took > 5*time.Second {
			t.Errorf("from the same address: %q after %v", reply, took)
		}
	}
	if c := g.s.counters; c.LookupsBusy == 0 || c.LookupsExpired == 0 {
		t.Errorf("%+v", c)
	}
}

// The addresses take turns, and the connections of one address.
func TestTurns(t *testing.T) {
	g := startSlow(t, 1, time.Second, func(c *config.Config) { c.Places.Timeout = time.Minute })
	for i := range 9 {
		c := g.from("many")
		c.SendString(questions(i, 100))
	}
	g.w.net.RunFor(100 * time.Millisecond)
	one := g.from("one")
	one.SendString(questions(20, 20))
	g.w.net.RunFor(time.Second) // what was under way
	g.started = nil
	g.w.net.RunFor(15 * time.Second)
	var connections []float64 // of the host with many, by the latitude that they ask about
	turns := 0
	for _, s := range g.started {
		if s.address == "many" {
			connections = append(connections, float64(int(s.lat)%40))
		} else if turns++; s.lat != 20 {
			t.Errorf("%+v", s)
		}
	}
	if n := len(connections); turns < n/2 || turns > 2*n {
		t.Errorf("one of two addresses had %d turns of %d", turns, len(g.started))
	}
	for i := range len(connections) - 9 {
		if window := slices.Sorted(slices.Values(connections[i : i+9])); len(slices.Compact(window)) != 9 {
			t.Fatalf("of nine turns in a row one connection had two: %v", connections)
		}
	}
}

// With a provider in memory a turn is several lookups.
func TestTurnsOfAProviderInMemory(t *testing.T) {
	g := startSlow(t, 8, time.Second, func(c *config.Config) {
		c.Places.Provider, c.Places.Timeout = "embedded", time.Minute
	})
	for i := range 3 {
		g.from("many").SendString(questions(i, 60))
	}
	g.w.net.RunFor(500 * time.Millisecond) // all wait
	g.started = nil
	g.w.until("all are asked", func() bool { return g.s.lookups.inFlight == 0 })
	runs, last := 0, -1   // of lookups of one connection in a row
	half := map[int]int{} // lookups of a connection in the first half
	for i, s := range g.started {
		of := int(s.lat) % 40
		if of != last {
			last = of
			runs++
		}
		if i < len(g.started)/2 {
			half[of]++
		}
	}
	if n := len(g.started); runs > n/2 || min(half[0], half[1], half[2]) < n/10 {
		t.Errorf("%d lookups in %d runs, %v in the first half", n, runs, half)
	}
}

// What a held connection asks as soon as it is answered does not overtake those that wait.
func TestAHeldConnectionDoesNotOvertake(t *testing.T) {
	g := startSlow(t, 4, time.Second, func(c *config.Config) { c.Places.Timeout = time.Minute })
	g.from("held").SendString(questions(0, 100) + questions(1, 100))
	g.w.net.RunFor(100 * time.Millisecond)
	begun := g.w.net.Elapsed()
	g.from("other").ask(10, questions(2, 10))
	// Half of the four at once are ten in five seconds.
	if took := g.w.net.Elapsed() - begun; took > 6500*time.Millisecond {
		t.Errorf("ten lookups beside those of a held connection took %v", took)
	}
}

// The time of a lookup begins when its line is read. Who has waited too long is not asked for any
// more, and the provider has what is left.
func TestWaitingCounts(t *testing.T) {
	g := startSlow(t, 1, 2*time.Second, nil)
	got := g.from("client").ask(5, questions(0, 5))
	const late = "> WHATSAT PLACES: no answer within 5s\n\n"
	if strings.Count(got, "AT c") != 0 || !strings.HasSuffix(got, late+late+late) || strings.Count(got, "\n\n") != 5 {
		t.Errorf("%q", got)
	}
	var left []time.Duration
	for _, s := range g.started {
		left = append(left, s.left.Round(10*time.Millisecond))
	}
	if want := []time.Duration{5 * time.Second, 3 * time.Second, time.Second}; !slices.Equal(left, want) {
		t.Errorf("the provider had %v, want %v", left, want)
	}
	if c := g.s.counters; c.LookupsExpired != 2 || c.LookupsFailed != 3 {
		t.Errorf("%+v", c)
	}
	if e := g.w.net.Elapsed(); e > 5200*time.Millisecond {
		t.Errorf("the last reply came after %v", e)
	}
}

// fill takes all lookups that may be under way.
func (g *slowGoogle) fill() {
	for i := range mostInTurn(g.s.cfg.Limits.PlacesInFlight) {
		g.from(fmt.Sprint("full", i)).SendString(questions(i, 1))
		g.w.net.RunFor(10 * time.Millisecond)
	}
	if n := g.s.lookups.inFlight; n != mostInTurn(g.s.cfg.Limits.PlacesInFlight) {
		g.w.t.Fatalf("%d are under way", n)
	}
}

// Who shares the question of one that has waited long does not share its haste.
func TestSharingWithOneWhoHasWaited(t *testing.T) {
	g := startSlow(t, 1, 4900*time.Millisecond, nil)
	g.fill()
	first, second := g.from("first"), g.from("second")
	first.SendString("WHATSAT c50 1 1\n")
	g.w.net.RunFor(4 * time.Second)
	g.takes = time.Second
	second.SendString("WHATSAT c50 1 2\n")
	g.w.until("the first is answered", func() bool { return strings.Contains(string(first.Received()), "\n\n") })
	if got := first.Take(); got != "> WHATSAT PLACES: no answer within 5s\n\n" {
		t.Errorf("the first: %q", got)
	}
	if got := second.Take(); got != "" {
		t.Errorf("the second, at the same time: %q", got)
	}
	if got := second.ask(1, ""); !strings.HasPrefix(got, "AT ") {
		t.Errorf("the second: %q", got)
	}
	if l := g.s.Status().Lookups; l.Open+l.InFlight+l.Waiting != 0 || g.s.lookups.waitingAddresses != 0 {
		t.Errorf("at the end: %+v, %d addresses wait", l, g.s.lookups.waitingAddresses)
	}
}

// An address that has had its share of the budget takes no answer from others who ask the same.
func TestSharingWithOneWhoHasSpentItsShare(t *testing.T) {
	g := startSlow(t, 1, 200*time.Millisecond, nil)
	g.fill()
	g.spent = "spent"
	first, second := g.from("spent"), g.from("solvent")
	first.SendString("WHATSAT c50 1 1\n")
	g.w.net.RunFor(10 * time.Millisecond)
	if got := second.ask(1, "WHATSAT c50 1 1\n"); !strings.HasPrefix(got, "AT ") {
		t.Errorf("%q", got)
	}
	if got := first.Take(); got != "> WHATSAT PLACES: spent\n\n" {
		t.Errorf("who has spent its share: %q", got)
	}
}

// When all places are taken, those who come have theirs of those who have most.
func TestPlacesAreSharedOut(t *testing.T) {
	g := startSlow(t, 1, time.Minute, func(c *config.Config) { c.Places.Timeout = time.Minute })
	hosts := []string{"first", "second", "third"}
	sent := map[string][]client{}
	for i, host := range hosts {
		for k := range 20 {
			c := g.from(host)
			c.SendString(strings.Repeat(questions(20*i+k, 50), 2))
			sent[host] = append(sent[host], c)
			g.w.net.RunFor(5 * time.Millisecond)
		}
		g.w.net.RunFor(100 * time.Millisecond)
		if n := g.s.lookups.waiting; n != maxWaiting {
			t.Errorf("%d wait", n)
		}
		for _, h := range hosts[:i+1] {
			if n, part := g.s.lookups.addresses[h].waiting, maxWaiting/(i+1); n < part-1 || n > part+1 {
				t.Errorf("of %d addresses, %s has %d places of %d", i+1, h, n, maxWaiting)
			}
			for _, c := range sent[h] {
				c := &g.s.sessionOf(c).turns
				if part := c.address.waiting / 20; c.waiting < part-1 || c.waiting > part+1 {
					t.Errorf("a connection of %s has %d places of %d", h, c.waiting, c.address.waiting)
				}
			}
		}
	}
	if c := g.s.counters; c.LookupsDisplaced == 0 || c.LookupsDisplaced > c.LookupsBusy {
		t.Errorf("%+v", c)
	}
	// Each line has one reply in the end, and nothing is left of anybody.
	for _, c := range slices.Concat(sent["first"], sent["second"], sent["third"]) {
		c.CloseWrite()
	}
	g.w.until("all are answered", func() bool { return g.s.counters.Replies == 80+6000 })
	g.w.net.RunFor(5 * time.Second)
	q := &g.s.lookups
	if len(q.addresses)+len(q.flights)+len(q.turns)+q.waiting+q.waitingAddresses+q.inFlight > 0 {
		t.Errorf("at the end %d addresses, %d questions, %d turns, %d waiting of %d, %d under way",
			len(q.addresses), len(q.flights), len(q.turns), q.waiting, q.waitingAddresses, q.inFlight)
	}
}

// sessionOf is the server's end of a test's connection.
func (srv *Server) sessionOf(c client) *session {
	for _, s := range srv.sessions {
		if s.t.Peer() == c.Addr() {
			return s
		}
	}
	return nil
}

// Who comes back on another connection still has under way what it had.
func TestAReserveIsNotForWhoReconnects(t *testing.T) {
	g := startSlow(t, 8, time.Second, nil)
	for i := range 20 {
		c := g.from("attacker")
		c.SendString(questions(i, 5))
		g.w.net.RunFor(10 * time.Millisecond)
		c.Reset()
	}
	if n := g.s.lookups.inFlight; n != 9 {
		t.Errorf("%d are under way of one address that does not stay, want 8 and 1", n)
	}
	if reply, took := g.wait(g.from("honest"), "WHATSAT c50 1 1\n"); took > 1100*time.Millisecond {
		t.Errorf("%q after %v", reply, took)
	}
}

// The turns are also those of the rate: who is alone has all of it, and nobody else's is taken.
func TestTheRateIsShared(t *testing.T) {
	g := startSlow(t, 64, 100*time.Millisecond, nil)
	g.rate = rate.NewLimiter(10, 10)
	g.attack("attacker")
	g.w.net.RunFor(5 * time.Second)
	if n := len(g.started); n < 55 || n > 65 {
		t.Errorf("%d questions in 5 s at a rate of 10", n)
	}
	honest := g.from("honest")
	for i := range 5 {
		if reply, took := g.wait(honest, fmt.Sprintf("WHATSAT c%d 50 1\n", 70+i)); took > 400*time.Millisecond {
			t.Errorf("%q after %v", reply, took)
		}
	}
}

// A provider that is left alone is not asked, and so its rate limits nothing.
func TestTheRateIsOfWhatIsSent(t *testing.T) {
	g := startSlow(t, 8, time.Second, func(c *config.Config) { c.Places.Fallback = "embedded" })
	g.rate, g.left = rate.NewLimiter(5, 5), true
	var clients []client
	for i := range 5 {
		c := g.from(fmt.Sprint("client", i))
		c.SendString(questions(i, 48))
		clients = append(clients, c)
	}
	begun := g.w.net.Elapsed()
	for _, c := range clients {
		if got := c.ask(48, ""); strings.Count(got, "AT ") != 48 {
			t.Errorf("%d of 48 lookups answered", strings.Count(got, "AT "))
		}
	}
	if took := g.w.net.Elapsed() - begun; took > time.Second || g.s.counters.LookupsExpired > 0 {
		t.Errorf("answered in %v, %d expired", took, g.s.counters.LookupsExpired)
	}
}

// With a fallback a lookup whose turn has not come in time is answered from it, as soon as its time is
// over, and is not sent. It takes no turn of others: those under way are as many as before.
func TestTheFallbackAnswersWhatIsLate(t *testing.T) {
	g := startSlow(t, 8, 7*time.Second, func(c *config.Config) {
		c.Places.Timeout, c.Places.Fallback = 5*time.Second, "embedded"
	})
	g.lateTakes = time.Millisecond
	g.fill()
	sent := len(g.started)
	var clients []client
	for i := range 10 {
		c := g.from("late")
		c.SendString(questions(20+i, 30))
		clients = append(clients, c)
	}
	g.w.net.RunFor(10 * time.Millisecond)
	begun := g.w.net.Elapsed()
	clients[9].Reset()
	g.s.lookups.inFlight += 100 // no turn comes
	for _, c := range clients[:9] {
		if got := c.ask(30, ""); strings.Count(got, "AT ") != 30 {
			t.Errorf("%d of 30 lookups answered", strings.Count(got, "AT "))
		}
	}
	if took := g.w.net.Elapsed() - begun; took > 5500*time.Millisecond {
		t.Errorf("answered after %v", took)
	}
	g.w.net.RunFor(100 * time.Millisecond)
	q, c := &g.s.lookups, &g.s.counters
	if len(g.started) != sent || len(g.fellBack) != 9*30 || g.mostLate > reserve(g.s.cfg.Limits.PlacesInFlight) {
		t.Errorf("%d of them sent, %d times the fallback, %d at once", len(g.started)-sent, len(g.fellBack), g.mostLate)
	}
	if c.LookupsExpired != 9*30 || q.waiting+q.waitingAddresses+len(q.late)+q.lateRunning+len(q.turns) > 0 {
		t.Errorf("%d expired; at the end %d waiting of %d, %d late, %d of them running, %d turns",
			c.LookupsExpired, q.waiting, q.waitingAddresses, len(q.late), q.lateRunning, len(q.turns))
	}
}

// Who asks the same as one that is late, and has time left, still waits for the provider. Those that are
// late together share the fallback's answer.
func TestSharingWithOneThatIsLate(t *testing.T) {
	g := startSlow(t, 1, 4900*time.Millisecond, func(c *config.Config) { c.Places.Fallback = "embedded" })
	g.fill()
	first, second, third := g.from("first"), g.from("second"), g.from("third")
	g.s.lookups.inFlight += 100 // no turn comes
	g.lateTakes = 50 * time.Millisecond
	first.SendString("WHATSAT c50 1 1\n")
	second.SendString("WHATSAT c50 1 1\n")
	g.w.net.RunFor(3 * time.Second)
	third.SendString("WHATSAT c50 1 1\n")
	g.w.until("the first is answered", func() bool { return strings.Contains(string(first.Received()), "\n\n") })
	g.w.net.RunFor(100 * time.Millisecond)
	if got := second.Take(); !strings.HasPrefix(got, "AT ") || len(g.fellBack) != 1 {
		t.Errorf("the second: %q, the fallback was asked %d times", got, len(g.fellBack))
	}
	g.s.lookups.inFlight -= 100
	g.takes, g.started = time.Second, nil
	g.s.lookups.next()
	if got := third.ask(1, ""); !strings.HasPrefix(got, "AT ") || len(g.started) != 1 || len(g.fellBack) != 1 {
		t.Errorf("the third: %q, %d sent, the fallback was asked %d times", got, len(g.started), len(g.fellBack))
	}
	if l := g.s.Status().Lookups; l.Open+l.InFlight+l.Waiting != 0 {
		t.Errorf("at the end: %+v", l)
	}
}
