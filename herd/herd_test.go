package herd

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"serverherd/herd/access"
	"serverherd/herd/config"
	"serverherd/herd/herdtest"
	"serverherd/places"
	"serverherd/protocol"
	"serverherd/reactor/memreactor"
)

// at is a client's record of the given second.
func at(t testing.TB, client string, second int) protocol.Record {
	return herdtest.Record(t, fmt.Sprintf("Alford +0.100000000 %s +34.068930-118.445127 %d", client, second))
}

// The paper's ring.
var ring = []config.Server{
	{Name: "Alford", Address: "Alford:1", Neighbors: []string{"Hamilton", "Welsh"}},
	{Name: "Ball", Address: "Ball:1", Neighbors: []string{"Holiday", "Welsh"}},
	{Name: "Hamilton", Address: "Hamilton:1", Neighbors: []string{"Holiday", "Alford"}},
	{Name: "Holiday", Address: "Holiday:1", Neighbors: []string{"Ball", "Hamilton"}},
	{Name: "Welsh", Address: "Welsh:1", Neighbors: []string{"Alford", "Ball"}},
}

// testConfig is a herd of the given servers with the limits of production.
func testConfig(servers ...config.Server) *config.Config {
	return &config.Config{
		Herd:   config.Herd{Name: "ucla", Dialect: "paper"},
		Places: config.Places{Provider: "embedded", Timeout: 5 * time.Second, Rate: 50},
		Limits: config.Limits{
			MaxLine: 16384, MaxClientID: 1024, MaxConnections: 100, MaxClients: 1000,
			ConnectionsPerAddress: 1_000_000, // all clients are on one host
			MaxFuture:             time.Hour, PartialLineTimeout: 30 * time.Second,
			OutputHard: 4 << 20, OutputSoft: 1 << 20, MaxBuffered: 256 << 20, PlacesInFlight: 4, Drain: 5 * time.Second,
		},
		Servers: servers,
	}
}

// world is a herd on memreactor: virtual time, no sockets, one seed.
type world struct {
	t        testing.TB
	net      *memreactor.World
	cfg      *config.Config
	places   places.Provider
	reactors map[string]*memreactor.Reactor
	servers  map[string]*Server
	journals map[string]Journal // of those that have one
	buckets  map[string]*memBucket
	tokens   *access.Tokens
	tls      func(name string) *TLS // nil: none
}

func newWorld(t testing.TB, cfg *config.Config) *world {
	w := &world{
		t: t, cfg: cfg, places: fakePlaces{},
		net:      memreactor.NewWorld(1, memreactor.Options{MinDelay: time.Millisecond, MaxDelay: 3 * time.Millisecond}),
		reactors: map[string]*memreactor.Reactor{}, servers: map[string]*Server{},
	}
	return w
}

// startAll starts every server and waits for all links to be live.
func (w *world) startAll() *world {
	w.t.Helper()
	for _, s := range w.cfg.Servers {
		w.start(s.Name)
	}
	w.until("all links live", w.live)
	return w
}

// start starts one server, empty, as a new process.
func (w *world) start(name string) *Server {
	w.t.Helper()
	return w.startWith(name, w.cfg)
}

func (w *world) startWith(name string, cfg *config.Config) *Server {
	w.t.Helper()
	r := w.net.NewReactor(name)
	o := w.options(name, r, w.journals[name])
	o.Config = cfg
	srv, err := NewServer(o)
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := srv.Start(r.Listen(srv.self.Address)); err != nil {
		w.t.Fatal(err)
	}
	w.reactors[name], w.servers[name] = r, srv
	return srv
}

func (w *world) options(name string, r *memreactor.Reactor, j Journal) Options {
	o := Options{
		Config: w.cfg, Name: name, Reactor: r, Places: w.places, Log: zap.NewNop(), Journal: j,
		Rand: rand.New(rand.NewPCG(w.net.Rand().Uint64(), 1)), Engine: "mem", Version: "test",
		Tokens: w.tokens,
	}
	if w.tls != nil {
		o.TLS = w.tls(name)
	}
	if m := w.buckets[name]; m != nil {
		o.Bucket, o.BucketMode, o.BridgeRank = m, m.mode, m.rank
	}
	return o
}

// crash ends a process without a word.
func (w *world) crash(name string) {
	w.reactors[name].Crash()
	delete(w.servers, name)
}

// live says whether all links between running servers are live.
func (w *world) live() bool {
	for _, c := range w.cfg.Servers {
		if srv := w.servers[c.Name]; srv != nil {
			for _, n := range srv.neighbors {
				if w.servers[n.name] != nil && (n.link.state != linkLive || len(n.inbounds) == 0) {
					return false
				}
			}
		}
	}
	return true
}

// equal says whether all running servers hold the same state.
func (w *world) equal() bool {
	var first *Server
	for _, c := range w.cfg.Servers {
		srv := w.servers[c.Name]
		switch {
		case srv == nil:
		case first == nil:
			first = srv
		case srv.store.Digest() != first.store.Digest() || srv.store.Len() != first.store.Len():
			return false
		}
	}
	return true
}

// until lets virtual time pass until something holds; a minute of it is too much.
func (w *world) until(what string, holds func() bool) {
	w.t.Helper()
	if !w.net.RunUntil(time.Minute, holds) {
		for _, c := range w.cfg.Servers {
			if srv := w.servers[c.Name]; srv != nil {
				st, _ := json.Marshal(srv.Status())
				w.t.Logf("%s", st)
			}
		}
		w.t.Fatalf("not within a minute: %s", what)
	}
}

// client is a connection of a test.
type client struct {
	*memreactor.Client
	w *world
}

func (w *world) dial(server string) client {
	return client{w.net.Dial(w.servers[server].self.Address), w}
}

// ask sends lines and returns what comes back once n replies are there.
func (c client) ask(n int, lines string) string {
	c.w.t.Helper()
	c.SendString(lines)
	c.w.until(fmt.Sprintf("%d replies to %q; got %q", n, lines, c.Received()), func() bool {
		return strings.Count(string(c.Received()), "\n\n") >= n || c.Closed()
	})
	return c.Take()
}

// iamat updates a client at a server and checks the acknowledgement.
func (w *world) iamat(server, name string, second int) {
	w.t.Helper()
	c := w.dial(server)
	line := fmt.Sprintf("IAMAT %s +34.068930-118.445127 %d\n", name, second)
	if got := c.ask(1, line); !strings.HasPrefix(got, "AT "+server+" +") {
		w.t.Fatalf("%s answered %q to %q", server, got, line)
	}
	c.Close()
}

// stamp is a time a while before the World's clock.
const stamp = 1520000000

// fakePlaces answers every query with one place.
type fakePlaces struct{}

func (fakePlaces) Nearby(context.Context, places.Query) (places.Result, error) {
	return places.Result{
		Results: []json.RawMessage{[]byte(`{"name":"a"}`), []byte(`{"name":"b"}`)},
		After:   []places.Field{{Name: "status", Value: []byte(`"OK"`)}}, Status: "OK",
	}, nil
}

// atSent is how many AT lines all servers have written on their links.
func (w *world) atSent() (n uint64) {
	for _, c := range w.cfg.Servers {
		if srv := w.servers[c.Name]; srv != nil {
			for _, nb := range srv.neighbors {
				n += nb.counters.atSent
			}
		}
	}
	return n
}

func TestAnUpdateFloodsTheRingWithSixLines(t *testing.T) {
	w := newWorld(t, testConfig(ring...)).startAll()
	for i, c := range ring {
		before := w.atSent()
		w.iamat(c.Name, "kiwi", stamp+i)
		w.until("equal", w.equal)
		w.net.RunFor(2 * time.Second)
		if n := w.atSent() - before; n < 4 || n > 6 {
			t.Errorf("update at %s: %d AT lines, want 4 to 6", c.Name, n)
		}
		before = w.atSent()
		w.iamat(c.Name, "kiwi", stamp+i) // the same once more
		w.net.RunFor(2 * time.Second)
		if n := w.atSent() - before; n != 0 {
			t.Errorf("the same update twice at %s: %d more AT lines", c.Name, n)
		}
	}
}

func TestWhatsatIsTheSameEverywhere(t *testing.T) {
	w := newWorld(t, testConfig(ring...)).startAll()
	c := w.dial("Welsh")
	ack := c.ask(1, "IAMAT kiwi.cs.ucla.edu +34.068930-118.445127 1520023934.918963997\n")
	want := strings.TrimSuffix(ack, "\n")
	w.until("equal", w.equal)
	for _, s := range ring {
		got := w.dial(s.Name).ask(1, "WHATSAT kiwi.cs.ucla.edu 10 1\n")
		if !strings.HasPrefix(got, want) || !strings.Contains(got, `"name": "a"`) || strings.Contains(got, `"name": "b"`) {
			t.Errorf("%s: %q, want it to begin with %q", s.Name, got, want)
		}
	}
}

func TestARestartedServerGetsEverythingBack(t *testing.T) {
	w := newWorld(t, testConfig(ring...)).startAll()
	for i := range 50 {
		w.iamat(ring[i%5].Name, fmt.Sprint("c", i), stamp)
	}
	w.until("equal", w.equal)
	w.crash("Ball")
	for i := range 50 {
		w.iamat("Holiday", fmt.Sprint("c", i), stamp+1+i)
	}
	w.start("Ball")
	w.iamat("Welsh", "new", stamp)
	w.until("live", w.live)
	w.until("equal", w.equal)
	if n := w.servers["Ball"].store.Len(); n != 51 {
		t.Errorf("Ball has %d records, want 51", n)
	}
	w.until("agreement measured everywhere", w.agreed)
}

// agreed says whether every server has measured that it agrees with each of its neighbors.
func (w *world) agreed() bool {
	for _, c := range w.cfg.Servers {
		if srv := w.servers[c.Name]; srv != nil {
			for _, l := range srv.Status().Links {
				if l.Agreement != "in sync" {
					return false
				}
			}
		}
	}
	return true
}

func TestACutLinkResumes(t *testing.T) {
	w := newWorld(t, testConfig(ring...)).startAll()
	for i := range 100 {
		w.iamat("Alford", fmt.Sprint("c", i), stamp)
	}
	w.until("equal", w.equal)
	w.net.RunFor(10 * time.Second)
	before := w.atSent()
	w.net.Reset("Alford", "Welsh")
	w.iamat("Alford", "c0", stamp+1)
	w.until("live", w.live)
	w.until("equal", w.equal)
	if n := w.atSent() - before; n > 7 {
		t.Errorf("%d AT lines after a moment's cut, want no copy", n)
	}
	n := w.servers["Alford"].neighbor([]byte("Welsh"))
	if n.counters.resumes == 0 || n.counters.copies != 1 {
		t.Errorf("%d resumes and %d copies, want a resume and the first copy only",
			n.counters.resumes, n.counters.copies)
	}
}

func TestASplitRingHeals(t *testing.T) {
	w := newWorld(t, testConfig(ring...)).startAll()
	w.net.Cut("Alford", "Welsh")
	w.net.Cut("Hamilton", "Holiday")
	w.net.RunFor(20 * time.Second)
	for i := range 100 {
		w.iamat("Alford", fmt.Sprint("c", i), stamp+i)
		w.iamat("Ball", fmt.Sprint("c", i), stamp+100-i)
	}
	w.net.RunFor(20 * time.Second)
	if w.equal() {
		t.Error("equal while split: the test does not split")
	}
	w.net.HealAll()
	healed := w.net.Elapsed()
	w.until("live", w.live)
	if took := w.net.Elapsed() - healed; took > 9*time.Second {
		t.Errorf("links were live %v after the heal", took)
	}
	w.until("equal", w.equal)
}

func TestASilentNeighborIsDropped(t *testing.T) {
	w := newWorld(t, testConfig(ring...)).startAll()
	for _, oneWay := range [][2]string{{"Alford", "Welsh"}, {"Welsh", "Alford"}} {
		w.net.CutOneWay(oneWay[0], oneWay[1])
		cut := w.net.Elapsed()
		a, b := w.servers["Alford"].neighbor([]byte("Welsh")), w.servers["Welsh"].neighbor([]byte("Alford"))
		w.until("both sides have dropped both links", func() bool {
			return !a.link.sending() && !b.link.sending() && len(a.inbounds) == 0 && len(b.inbounds) == 0
		})
		if took := w.net.Elapsed() - cut; took > 8*time.Second {
			t.Errorf("dropped after %v", took)
		}
		w.net.HealAll()
		w.until("live", w.live)
	}
}

func TestADivergedNeighborIsRepaired(t *testing.T) {
	for _, fault := range []string{"older", "gone", "gone at its origin"} {
		t.Run(fault, func(t *testing.T) {
			w := newWorld(t, testConfig(ring...)).startAll()
			for i := range 20 {
				w.iamat("Alford", fmt.Sprint("c", i), stamp+i)
			}
			w.until("equal", w.equal)
			w.net.RunFor(10 * time.Second)
			switch s := w.servers["Ball"].store; fault {
			case "older":
				r := at(t, "c7", stamp-100)
				s.Damage([]byte("c7"), &r)
			case "gone":
				s.Damage([]byte("c7"), nil)
			case "gone at its origin":
				w.servers["Alford"].store.Damage([]byte("c7"), nil)
			}
			w.until("equal", w.equal)
			w.until("agreed", w.agreed)
		})
	}
}

// A repair that is cut, before anything of it is acknowledged or after, goes on as one: what the
// damaged server had once sent itself comes back, and nobody has to find the difference again.
func TestARepairThatIsCutGoesOn(t *testing.T) {
	for _, acknowledged := range []bool{false, true} {
		t.Run(fmt.Sprint("acknowledged ", acknowledged), func(t *testing.T) {
			cfg := testConfig(
				config.Server{Name: "Alford", Address: "Alford:1", Neighbors: []string{"Ball"}},
				config.Server{Name: "Ball", Address: "Ball:1", Neighbors: []string{"Alford"}})
			cfg.Limits.MaxClients = 10_000
			w := newWorld(t, cfg).startAll()
			for i := range 9 {
				w.updates("Alford", 1000*i, 1000*(i+1), stamp)
			}
			w.until("equal", w.equal)
			w.net.RunFor(5 * time.Second)
			w.servers["Alford"].store.Damage([]byte("c8999"), nil)
			back := w.servers["Ball"].neighbors[0]
			w.until("a copy under way", func() bool {
				return back.counters.copies == 2 && back.link.state == linkCopying && back.link.sent.Acked() > 0 == acknowledged
			})
			w.net.Cut("Alford", "Ball")
			w.until("dropped", func() bool { return back.link.state == linkDown })
			w.net.Reset("Alford", "Ball")
			w.net.HealAll()
			w.until("equal", w.equal)
			w.until("live", w.live)
			w.until("agreed", w.agreed)
			most := uint64(3) // the first, that which was cut, and once more from the head
			if acknowledged {
				most = 2
			}
			if got := back.counters.copies; got > most {
				t.Errorf("%d copies, want at most %d", got, most)
			}
		})
	}
}

func TestAServerDrains(t *testing.T) {
	w := newWorld(t, testConfig(ring...)).startAll()
	c := w.dial("Alford")
	c.ask(1, "IAMAT kiwi +1-1 1520000000\n")
	var lines strings.Builder
	for i := range 900 {
		fmt.Fprintf(&lines, "IAMAT c%d +1-1 1520000000\n", i)
	}
	c.SendString(lines.String() + "WHATSAT kiwi 1 1\n")
	w.until("all lines read", func() bool { return w.servers["Alford"].counters.LinesReceived == 902 })
	w.reactors["Alford"].Stop()
	w.until("stopped", w.reactors["Alford"].Stopped)
	w.until("closed", c.Closed)
	if n := strings.Count(string(c.Received()), "\n\n"); n != 901 || !c.EOF() {
		t.Errorf("%d replies before the end, want 901; end of file %v", n, c.EOF())
	}
	delete(w.servers, "Alford")
	w.until("equal", w.equal)
	if n := w.servers["Holiday"].store.Len(); n != 901 {
		t.Errorf("Holiday has %d records, want 901", n)
	}
}
