package herd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"serverherd/herd/config"
	"serverherd/places"
	"serverherd/protocol"
)

// slowPlaces takes a while, and fails on demand.
type slowPlaces struct {
	asked     int
	cancelled int
	err       error
}

func (p *slowPlaces) Nearby(ctx context.Context, q places.Query) (places.Result, error) {
	p.asked++
	if ctx.Err() != nil {
		p.cancelled++
		return places.Result{}, ctx.Err()
	}
	r, _ := fakePlaces{}.Nearby(ctx, q)
	return r, p.err
}

// differing is n WHATSATs of which no two ask the same, after the IAMATs that they need.
func differing(w *world, n int) (lines []string) {
	c := w.dial("Alford")
	for client := 0; len(lines) < n; client++ {
		c.ask(1, fmt.Sprintf("IAMAT k%d +%d.5-1 5\n", client, client))
		for km := 1; km <= 50 && len(lines) < n; km++ {
			lines = append(lines, fmt.Sprintf("WHATSAT k%d %d 1\n", client, km))
		}
	}
	return lines
}

func TestLookupsAreBounded(t *testing.T) {
	p := &slowPlaces{}
	cfg := testConfig(config.Server{Name: "Alford", Address: "Alford:1"})
	cfg.Places.Timeout = time.Minute
	w := newWorld(t, cfg)
	w.places = p
	srv := w.start("Alford")
	w.reactors["Alford"].SetWork(time.Second)
	questions := differing(w, 18*64)
	// 64 of one connection are open at once, so it takes 17 connections to ask too much.
	var clients []client
	for i := range 18 {
		c := w.dial("Alford")
		c.SendString(strings.Join(questions[i*64:][:64], ""))
		clients = append(clients, c)
	}
	w.net.RunFor(100 * time.Millisecond)
	// The fifth is of a connection that has none of the others.
	if srv.lookups.inFlight != 5 || srv.lookups.waiting != maxWaiting {
		t.Errorf("%d in flight and %d waiting, want 5 and %d", srv.lookups.inFlight, srv.lookups.waiting, maxWaiting)
	}
	if want := uint64(18*64 - 5 - maxWaiting); srv.counters.LookupsBusy != want {
		t.Errorf("%d refused, want %d", srv.counters.LookupsBusy, want)
	}
	for _, c := range clients[1:] {
		c.Reset()
	}
	w.until("what nobody waits for is not asked", func() bool { return srv.lookups.waiting <= 60 })
	w.until("the one that stayed gets all its replies", func() bool {
		return strings.Count(string(clients[0].Received()), "\n\n") == 64
	})
	if srv.lookups.inFlight != 0 || p.asked > 64+8 {
		t.Errorf("%d in flight at the end; %d questions asked for 64 that anyone waited for", srv.lookups.inFlight, p.asked)
	}
}

func TestAFailedLookupIsOneReply(t *testing.T) {
	w := newWorld(t, testConfig(config.Server{Name: "Alford", Address: "Alford:1"}))
	w.places = &slowPlaces{err: errors.New("no answer\nwithin 5s")}
	w.start("Alford")
	c := w.dial("Alford")
	c.ask(1, "IAMAT k +1-1 5\n")
	want := "> WHATSAT PLACES: no answer\\nwithin 5s\n\n"
	if got := c.ask(1, "WHATSAT k 1 1\n"); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := c.ask(1, "IAMAT k +1-1 6\n"); !strings.HasPrefix(got, "AT") {
		t.Errorf("the next line is answered with %q", got)
	}
}

// A thousand clients who ask the same at once cost one question, and each gets as many places as
// it asked for.
func TestTheSameQuestionIsAskedOnce(t *testing.T) {
	p := &slowPlaces{}
	cfg := testConfig(config.Server{Name: "Alford", Address: "Alford:1"})
	cfg.Limits.MaxConnections = 2000
	w := newWorld(t, cfg)
	w.places = p
	srv := w.start("Alford")
	w.reactors["Alford"].SetWork(time.Second)
	w.dial("Alford").ask(1, "IAMAT k +1-1 5\n")
	const askers = 1000
	var clients []client
	for i := range askers {
		c := w.dial("Alford")
		c.SendString(fmt.Sprintf("WHATSAT k 1 %d\n", i%3))
		clients = append(clients, c)
	}
	w.until("all are answered", func() bool {
		return !slices.ContainsFunc(clients, func(c client) bool {
			return !strings.HasSuffix(string(c.Received()), "\n\n")
		})
	})
	if p.asked != 1 || srv.counters.LookupsShared != askers-1 {
		t.Errorf("asked %d times, %d shared", p.asked, srv.counters.LookupsShared)
	}
	for i, c := range clients {
		got := string(c.Received())
		if n := strings.Count(got, `"name"`); n != i%3 || !strings.HasSuffix(got, "\n\n") {
			t.Fatalf("client %d asked for %d places and got %q", i, i%3, got)
		}
	}
	w.dial("Alford").ask(1, "WHATSAT k 1 1\n")
	if p.asked != 2 {
		t.Errorf("a later question was asked %d times: answers are not kept", p.asked-1)
	}
	if l := srv.Status().Lookups; l.Open+l.InFlight+l.Waiting != 0 {
		t.Errorf("at the end: %+v", l)
	}
}

// A provider on the network is not asked again about a place a few meters away; one in memory is.
func TestWhichQuestionsAreTheSame(t *testing.T) {
	for provider, want := range map[string]int{"google": 3, "embedded": 4} {
		p := &slowPlaces{}
		cfg := testConfig(config.Server{Name: "Alford", Address: "Alford:1"})
		cfg.Places.Provider = provider
		w := newWorld(t, cfg)
		w.places = p
		w.start("Alford")
		w.reactors["Alford"].SetWork(time.Second)
		c := w.dial("Alford")
		c.ask(3, "IAMAT here +1.00001-1.00001 5\nIAMAT near +1.00004-0.99996 5\nIAMAT far +1.0002-1 5\n")
		c.ask(4, "WHATSAT here 1 1\nWHATSAT near 1 1\nWHATSAT far 1 1\nWHATSAT near 2 1\n")
		if p.asked != want {
			t.Errorf("%s: asked %d times, want %d", provider, p.asked, want)
		}
	}
}

// A question is called off when the last who waited for it has gone, and not before.
func TestAQuestionIsCalledOffWithItsLastAsker(t *testing.T) {
	p := &slowPlaces{}
	w := newWorld(t, testConfig(config.Server{Name: "Alford", Address: "Alford:1"}))
	w.places = p
	srv := w.start("Alford")
	w.reactors["Alford"].SetWork(time.Second)
	stays := w.dial("Alford")
	stays.ask(1, "IAMAT k +1-1 5\n")
	first, second := w.dial("Alford"), w.dial("Alford")
	for _, c := range []client{first, second} {
		c.SendString("WHATSAT k 1 1\n")
	}
	w.net.RunFor(100 * time.Millisecond)
	first.Reset()
	w.net.RunFor(100 * time.Millisecond)
	if l := srv.Status().Lookups; l.Open != 1 || l.InFlight != 1 || srv.counters.LookupsCancelled != 0 {
		t.Errorf("one of two has gone: %+v", l)
	}
	second.Reset()
	w.net.RunFor(100 * time.Millisecond)
	if l := srv.Status().Lookups; l.Open+l.Waiting != 0 || l.InFlight != 1 || srv.counters.LookupsCancelled != 1 {
		t.Errorf("both have gone: %+v, %d called off", l, srv.counters.LookupsCancelled)
	}
	if got := stays.ask(1, "WHATSAT k 1 1\n"); strings.Count(got, `"name"`) != 1 {
		t.Errorf("one who asks after that gets %q", got)
	}
	if p.asked != 2 || p.cancelled != 1 {
		t.Errorf("asked %d times, %d of them called off; want 2 and 1", p.asked, p.cancelled)
	}
}

// Each WHATSAT that has a reply is in one of three histograms, from its request to its reply.
func TestLookupsAreTimed(t *testing.T) {
	p := &slowPlaces{}
	cfg := testConfig(config.Server{Name: "Alford", Address: "Alford:1"})
	cfg.Limits.PlacesInFlight = 1
	w := newWorld(t, cfg)
	w.places = p
	srv := w.start("Alford")
	w.reactors["Alford"].SetWork(100 * time.Millisecond)
	times := func(h Histogram) (n uint64) {
		for _, c := range h.Counts {
			n += c
		}
		return n
	}
	c := w.dial("Alford")
	c.ask(1, "IAMAT k +1-1 5\n")
	c.ask(1, "WHATSAT k 1 1\n")
	p.err = errors.New("no answer")
	c.ask(1, "WHATSAT k 1 1\n")
	c.ask(1, "WHATSAT moa 1 1\n") // unknown: no lookup
	l := srv.Status().Lookups
	for name, h := range map[string]Histogram{"answered": l.Answered, "failed": l.Failed} {
		if times(h) != 1 || h.Counts[17] != 1 || h.Sum < 0.1 || h.Sum > 0.11 { // 65.5 to 131 ms
			t.Errorf("%s: %+v", name, h)
		}
	}
	if times(l.Busy) != 0 {
		t.Errorf("busy: %+v", l.Busy)
	}
	srv = hitPlacesInFlight(t)
	if l := srv.Status().Lookups; times(l.Busy) != srv.counters.LookupsBusy {
		t.Errorf("busy: %d, want %d", times(l.Busy), srv.counters.LookupsBusy)
	}
}

// writes counts the calls of Write and their bytes.
type writes struct {
	sink
	n, bytes int
}

func (w *writes) Write(p []byte) {
	w.n++
	w.bytes += len(p)
}

// A reply of 16 KB is one write, AT line and JSON together.
func TestALongReplyIsWrittenOnce(t *testing.T) {
	w := newWorld(t, testConfig(config.Server{Name: "Alford", Address: "Alford:1"}))
	w.places = longPlaces{}
	srv := w.start("Alford")
	s, out := srv.BuildProtocol("client").(*session), &writes{}
	s.ConnectionMade(out)
	s.DataReceived([]byte("IAMAT k +1-1 5\n"))
	*out = writes{}
	s.DataReceived([]byte("WHATSAT k 1 20\n"))
	w.until("answered", func() bool { return out.n > 0 })
	if out.n != 1 || out.bytes < 16<<10 {
		t.Errorf("%d bytes in %d writes", out.bytes, out.n)
	}
}

// BenchmarkSessionWhatsat is what the loop does for a WHATSAT with 16 KB of places, the trip to a
// worker and back apart.
func BenchmarkSessionWhatsat(b *testing.B) {
	w := newWorld(b, testConfig(config.Server{Name: "Alford", Address: "Alford:1"}))
	w.places = longPlaces{}
	srv := w.start("Alford")
	s := srv.BuildProtocol("client").(*session)
	s.ConnectionMade(sink{})
	s.DataReceived([]byte("IAMAT k +1-1 5\n"))
	line := []byte("WHATSAT k 1 20\n")
	r, err := longPlaces{}.Nearby(b.Context(), places.Query{})
	if err != nil {
		b.Fatal(err)
	}
	at := []byte("AT Alford +0.1 k +1-1 5")
	reply, _ := protocol.Paper.AppendWhatsat(nil, at, func(dst []byte) []byte { return places.AppendJSON(dst, r, 20) })
	b.ReportAllocs()
	for b.Loop() {
		command, err := protocol.Paper.Parse(line[:len(line)-1], protocol.MaxClientID)
		if err != nil {
			b.Fatal(err)
		}
		l := &lookup{session: s, bound: command.Bound, at: at}
		l.slot = s.replies.reserve(l)
		l.finish(answer{result: r, lookup: l, reply: reply}, nil)
	}
}

// An answer that very many share does not fill the memory in one turn.
func TestASharedAnswerIsGivenInSeveralTurns(t *testing.T) {
	w := newWorld(t, testConfig(config.Server{Name: "Alford", Address: "Alford:1"}))
	w.places = longPlaces{}
	srv := w.start("Alford")
	w.dial("Alford").ask(1, "IAMAT k +1-1 5\n")
	w.reactors["Alford"].SetWork(time.Second)
	var clients []client
	for range 16 {
		c := w.dial("Alford")
		c.Stall()
		c.SendString(strings.Repeat("WHATSAT k 1 20\n", maxOpen))
		clients = append(clients, c)
	}
	w.until("all wait", func() bool { return len(srv.lookups.open) == 16*maxOpen })
	most, memory := 0, srv.reactor.Memory()
	for len(srv.lookups.open) > 0 || srv.sessions[15].replies.open > 0 {
		if !w.net.Step() {
			t.Fatal("nothing happens")
		}
		most = max(most, srv.reactor.Memory()-memory)
		memory = srv.reactor.Memory()
	}
	// A buffer that grows by a reply is enlarged by a quarter and more.
	if most > 3*replyBytes {
		t.Errorf("%d more bytes of memory in a turn", most)
	}
	for _, c := range clients {
		c.Unstall()
	}
	for _, c := range clients {
		w.until("all are answered", func() bool { return strings.Count(string(c.Received()), "\n\n") == maxOpen })
	}
}
