package herd

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"serverherd/herd/config"
	"serverherd/places"
	"serverherd/reactor"
)

// alone is a herd of one server with the given limits.
func alone(t testing.TB, change func(*config.Config)) *world {
	cfg := testConfig(config.Server{Name: "Alford", Address: "Alford:1"})
	if change != nil {
		change(cfg)
	}
	w := newWorld(t, cfg)
	w.start("Alford")
	return w
}

func TestFastRepliesWaitForSlowOnes(t *testing.T) {
	w := alone(t, nil)
	w.reactors["Alford"].SetWork(time.Second)
	c := w.dial("Alford")
	c.ask(1, "IAMAT k +1-1 5\n")
	got := c.ask(5, "WHATSAT k 1 0\nhelp\nIAMAT k +2-2 6\nWHATSAT k 1 1\nnonsense\n")
	parts := strings.Split(strings.TrimSuffix(got, "\n\n"), "\n\n")
	if len(parts) != 5 {
		t.Fatalf("%d replies: %q", len(parts), got)
	}
	for i, want := range []string{"k +1-1 5\n{", "Available", "k +2-2 6", "k +2-2 6\n{", "? nonsense"} {
		if !strings.Contains(parts[i], want) {
			t.Errorf("reply %d is %q, want it to contain %q", i, parts[i], want)
		}
	}
	if d := w.net.Elapsed(); d > 1100*time.Millisecond {
		t.Errorf("two lookups of 1 s took %v: they do not run concurrently", d)
	}
}

func TestAnOpenLookupHoldsLinesAfterSixtyFour(t *testing.T) {
	w := alone(t, nil)
	w.reactors["Alford"].SetWork(time.Second)
	c := w.dial("Alford")
	c.ask(1, "IAMAT k +1-1 5\n")
	srv := w.servers["Alford"]
	before := srv.counters.LinesReceived
	c.SendString(strings.Repeat("WHATSAT k 1 0\n", 100))
	w.net.RunFor(500 * time.Millisecond)
	if n := srv.counters.LinesReceived - before; n != maxOpen {
		t.Errorf("%d lines executed, want %d", n, maxOpen)
	}
	w.until("all are answered", func() bool { return strings.Count(string(c.Received()), "\n\n") == 100 })
}

// A client that sends and does not read is held, then cut; nobody else notices.
func TestAClientThatDoesNotReadIsHeldAndCut(t *testing.T) {
	w := alone(t, nil)
	srv := w.servers["Alford"]
	c := w.dial("Alford")
	c.Stall()
	lines := strings.Repeat("help\n", 400<<10)
	for range 3 {
		c.SendString(lines)
		w.net.RunFor(5 * time.Second)
	}
	w.until("it is cut", c.Closed)
	if srv.counters.InputLimits+srv.counters.OutputLimits+srv.counters.StallLimits != 1 {
		t.Errorf("no limit is counted, or two: %+v", srv.counters)
	}
	if n := srv.counters.Replies; n > 10000 {
		t.Errorf("%d lines executed for a client that reads nothing", n)
	}
	if got := w.dial("Alford").ask(1, "IAMAT k +1-1 5\n"); !strings.HasPrefix(got, "AT") {
		t.Errorf("a bystander got %q", got)
	}
}

// A client that reads slowly, but reads, gets every reply and then the end.
func TestASlowReaderGetsEverything(t *testing.T) {
	// It is not idle either, whatever it leaves unread.
	w := alone(t, func(c *config.Config) { c.Limits.IdleTimeout = 2 * time.Second })
	c := w.dial("Alford")
	c.Stall()
	const n = 20000
	for range n / 1000 {
		c.SendString(strings.Repeat("help\n", 1000))
		w.net.RunFor(time.Millisecond)
	}
	c.SendString("nonsense without end")
	c.CloseWrite()
	w.net.RunFor(5 * time.Second)
	c.Unstall()
	w.until("end of file", c.Closed)
	got := string(c.Received())
	if k := strings.Count(got, "Available"); k != n || !strings.HasSuffix(got, "? nonsense without end\n\n") || !c.EOF() {
		t.Errorf("%d of %d replies, end of file %v, last %q", k, n, c.EOF(), got[max(0, len(got)-30):])
	}
}

// A client that sends much more than the server holds, ends its side and begins to read only then
// gets every reply.
func TestAHalfClosedClientGetsEveryReply(t *testing.T) {
	w := alone(t, nil)
	c := w.dial("Alford")
	c.Stall()
	const n = 40_000
	var lines strings.Builder
	for i := range n {
		fmt.Fprintf(&lines, "IAMAT client%05d +34.068930-118.445127 1520023934.5\n", i)
	}
	c.SendString(lines.String())
	c.CloseWrite()
	w.net.RunFor(2 * time.Second)
	srv := w.servers["Alford"]
	if m := w.reactors["Alford"].Memory(); srv.counters.Held == 0 || m > 2<<20 {
		t.Errorf("%d bytes of buffers, held %d times", m, srv.counters.Held)
	}
	c.Unstall()
	w.until("end of file", c.Closed)
	if k := strings.Count(string(c.Received()), "\n\n"); k != n || !c.EOF() || srv.counters.LinesReceived != n {
		t.Errorf("%d replies to %d lines, end of file: %v; %d executed", k, n, c.EOF(), srv.counters.LinesReceived)
	}
}

func TestMaxConnections(t *testing.T) {
	cfg := testConfig(ring...)
	cfg.Limits.MaxConnections = 3
	w := newWorld(t, cfg)
	srv := w.start("Alford")
	var clients []client
	for range 3 {
		c := w.dial("Alford")
		c.ask(1, "help\n")
		clients = append(clients, c)
	}
	// Beyond the maximum a first line decides, or two seconds.
	if got := w.dial("Alford").ask(1, "help\n"); got != "> SERVER FULL\n\n" {
		t.Errorf("a fourth client got %q", got)
	}
	c := w.dial("Alford")
	c.CloseWrite()
	w.until("one that says nothing and ends is closed", c.Closed)
	if got := c.Take(); got != "> SERVER FULL\n\n" {
		t.Errorf("a fourth client that ended got %q", got)
	}
	c = w.dial("Alford")
	w.until("a silent one is closed", c.Closed)
	if got := c.Take(); got != "> SERVER FULL\n\n" {
		t.Errorf("a silent fourth client got %q", got)
	}
	c = w.dial("Alford")
	w.net.RunFor(time.Second)
	clients[0].ask(1, "quit\n")
	w.net.RunFor(5 * time.Second)
	if got := c.ask(1, "WHATSAT x 1 1\n"); !strings.HasPrefix(got, "> WHATSAT REQUEST: ") {
		t.Errorf("a silent one, with room for it since: %q", got)
	}
	clients[0] = c
	// Beyond those that may be neighbors there is no waiting.
	for range srv.maxOverflow() {
		w.dial("Alford")
	}
	w.net.RunFor(100 * time.Millisecond)
	c = w.dial("Alford")
	w.net.RunFor(100 * time.Millisecond)
	if got := c.Take(); got != "> SERVER FULL\n\n" || !c.Closed() {
		t.Errorf("one too many got %q, closed %v", got, c.Closed())
	}
	w.net.RunFor(5 * time.Second)
	// Neighbors have their own places.
	w.start("Welsh")
	w.until("the neighbor's link is live", func() bool {
		return w.servers["Welsh"].neighbor([]byte("Alford")).link.state == linkLive
	})
	clients[0].Close()
	w.net.RunFor(100 * time.Millisecond)
	if got := w.dial("Alford").ask(1, "IAMAT k +1-1 5\n"); !strings.HasPrefix(got, "AT") {
		t.Errorf("after one has left, the next got %q", got)
	}
}

func TestMaxClients(t *testing.T) {
	w := alone(t, func(c *config.Config) { c.Limits.MaxClients = 2 })
	c := w.dial("Alford")
	c.ask(2, "IAMAT a +1-1 5\nIAMAT b +1-1 5\n")
	want := "> IAMAT CLIENTS: this server holds its maximum of 2\n? IAMAT c +1-1 5\n\n"
	if got := c.ask(1, "IAMAT c +1-1 5\n"); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := c.ask(1, "IAMAT b +1-1 6\n"); !strings.HasPrefix(got, "AT") {
		t.Errorf("a known client got %q", got)
	}
}

func TestTimeLimits(t *testing.T) {
	limits := func(c *config.Config) {
		c.Limits.IdleTimeout, c.Limits.PartialLineTimeout = 10*time.Second, 4*time.Second
	}
	tests := []struct {
		name        string
		script      func(w *world, c client)
		least, most time.Duration
	}{
		{"silent", func(*world, client) {}, 10 * time.Second, 12 * time.Second},
		{"unfinished line", func(_ *world, c client) { c.SendString("IAM") }, 4 * time.Second, 5 * time.Second},
		{"byte by byte", func(w *world, c client) {
			for i := range 20 {
				w.net.At(time.Duration(i)*time.Second, func() { c.SendString("x") })
			}
		}, 4 * time.Second, 5 * time.Second},
		{"whole lines, then an unfinished one", func(w *world, c client) {
			for i := range 6 {
				w.net.At(time.Duration(i)*time.Second, func() { c.SendString("x\nx") })
			}
		}, 9 * time.Second, 10 * time.Second},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := alone(t, limits)
			c := w.dial("Alford")
			test.script(w, c)
			w.until("closed", c.Closed)
			if d := w.net.Elapsed(); d < test.least || d > test.most {
				t.Errorf("closed after %v, want %v to %v", d, test.least, test.most)
			}
		})
	}
}

func TestTornRequestsAreNotExecuted(t *testing.T) {
	w := alone(t, nil)
	c := w.dial("Alford")
	c.SendString("IAMAT k +1-1 5")
	w.net.RunFor(time.Second)
	c.Reset()
	w.net.RunFor(time.Second)
	if n := w.servers["Alford"].store.Len(); n != 0 {
		t.Errorf("a line cut off by a reset was executed: %d records", n)
	}
	if n := len(w.servers["Alford"].sessions); n != 0 {
		t.Errorf("%d sessions left", n)
	}
}

// However a stream is cut, the replies are the same.
func TestRepliesDoNotDependOnCuts(t *testing.T) {
	const lines = "IAMAT k +1-1 5\r\nWHATSAT k 1 1\nhelp\n\nnonsense \xff\nWHATSAT nobody 1 1\r\nquit\nhelp\n"
	talk := func(cut int) string {
		w := alone(t, nil)
		c := w.dial("Alford")
		for i := 0; i < len(lines); i += cut {
			c.SendString(lines[i:min(i+cut, len(lines))])
			w.net.RunFor(10 * time.Millisecond)
		}
		w.until("closed", c.Closed)
		_, rest, _ := strings.Cut(string(c.Received()), " k ") // the first diff depends on the clock
		return rest[:strings.Index(rest, "AT Alford")] + rest[strings.Index(rest, " k "):]
	}
	want := talk(len(lines))
	if !strings.HasSuffix(want, "> Goodbye\n\n") {
		t.Fatalf("whole: %q", want)
	}
	for cut := 1; cut < 40; cut++ {
		if got := talk(cut); got != want {
			t.Fatalf("in pieces of %d: %q, want %q", cut, got, want)
		}
	}
}

// Many long replies at once are no sin of a client that reads.
func TestAReaderIsNotCutForABurst(t *testing.T) {
	cfg := testConfig(config.Server{Name: "Alford", Address: "Alford:1"})
	cfg.Limits.OutputHard, cfg.Limits.PlacesInFlight = 512<<10, 64
	w := newWorld(t, cfg)
	w.places = longPlaces{}
	w.start("Alford")
	c := w.dial("Alford")
	c.ask(1, "IAMAT k +1-1 5\n")
	if got := c.ask(64, strings.Repeat("WHATSAT k 1 1\n", 64)); strings.Count(got, "\n\n") != 64 {
		t.Errorf("%d of 64 replies of 16 KB", strings.Count(got, "\n\n"))
	}
}

// longPlaces answers with 16 KB.
type longPlaces struct{}

func (longPlaces) Nearby(context.Context, places.Query) (places.Result, error) {
	long := fmt.Appendf(nil, "{%q: %q}", "name", strings.Repeat("x", 16<<10))
	return places.Result{Results: []json.RawMessage{long}, Status: "OK"}, nil
}

// A line that is left unfinished behind held ones is timed, too.
func TestAnUnfinishedLineBehindHeldOnes(t *testing.T) {
	w := alone(t, func(c *config.Config) { c.Limits.PartialLineTimeout = 4 * time.Second })
	w.reactors["Alford"].SetWork(100 * time.Millisecond)
	c := w.dial("Alford")
	c.ask(1, "IAMAT k +1-1 5\n")
	c.SendString(strings.Repeat("WHATSAT k 1 0\n", 100) + "IAM")
	w.until("closed", c.Closed)
	got := string(c.Received())
	if n := strings.Count(got, "\n\n"); n != 101 || !strings.HasSuffix(got, "> LINE: not finished within 4s\n\n") {
		t.Errorf("%d replies before the end, want 100 and the reason", n)
	}
}

// Whatever a server has read when it is told to stop is answered, however slowly the client reads.
func TestHeldLinesAreAnsweredBeforeTheEnd(t *testing.T) {
	w := alone(t, nil)
	c := w.dial("Alford")
	c.Stall()
	for range 3 { // the server reads all of it
		c.SendString(strings.Repeat("help\n", 1000))
		w.net.RunFor(10 * time.Millisecond)
	}
	c.SendString("torn")
	w.net.RunFor(10 * time.Millisecond)
	w.reactors["Alford"].Stop()
	w.net.RunFor(time.Second)
	c.Unstall()
	w.until("closed", c.Closed)
	got := string(c.Received())
	if n := strings.Count(got, "Available"); n != 3000 || strings.Contains(got, "torn") || !c.EOF() {
		t.Errorf("%d of 3,000 replies; end of file %v", n, c.EOF())
	}
	w.until("stopped", w.reactors["Alford"].Stopped)
}

func TestGarbage(t *testing.T) {
	w := alone(t, nil)
	for _, garbage := range []string{
		strings.Repeat("\x00\xff\x80", 10000) + "\n", "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"\x16\x03\x01\x02\x00\x01\x00", strings.Repeat("\n", 10000),
	} {
		c := w.dial("Alford")
		c.SendString(garbage)
		c.CloseWrite()
		w.until("closed", c.Closed)
		if n := strings.Count(string(c.Received()), "\n\n"); garbage[0] == '\n' && n != 10000 {
			t.Errorf("%d replies to 10,000 empty lines", n)
		}
	}
	if n := w.servers["Alford"].store.Len(); n != 0 {
		t.Errorf("%d records", n)
	}
}

func BenchmarkSessionIAMAT(b *testing.B) {
	w := alone(b, nil)
	s := w.servers["Alford"].BuildProtocol("client").(*session)
	s.ConnectionMade(sink{})
	lines := make([][]byte, 1024)
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; i < b.N; i++ {
		if k := i % len(lines); k == 0 {
			b.StopTimer()
			for j := range lines {
				lines[j] = fmt.Appendf(nil, "IAMAT kiwi.cs.ucla.edu +34.068930-118.445127 1519%06d.%09d\n", i/1000000, i+j)
			}
			b.StartTimer()
		}
		s.DataReceived(lines[i%len(lines)]) // the pump that it asks for never comes
	}
}

// sink is a Transport that takes everything.
type sink struct{}

func (sink) Write([]byte)                       {}
func (sink) LoseConnection()                    {}
func (sink) AbortConnection()                   {}
func (sink) Backlog() int                       { return 0 }
func (sink) Taken() uint64                      { return 0 }
func (sink) Memory() int                        { return 0 }
func (sink) Keep(int)                           {}
func (sink) Security() (s reactor.Security)     { return s }
func (sink) StartTLS([]byte, reactor.TLSConfig) {}
func (sink) PauseReceiving()                    {}
func (sink) ResumeReceiving()                   {}
func (sink) StopReceiving()                     {}
func (sink) Prioritize()                        {}
func (sink) Peer() string                       { return "client:1" }
func (sink) Host() string                       { return "Alford:1" }

// An empty first line has its reply at once: the header of a proxy begins likewise, but none may come.
func TestEmptyFirstLine(t *testing.T) {
	for sent, want := range map[string]string{
		"\n": "? \n\n", "\r\n": "? \n\n", "\r\n\r\n": "? \n\n? \n\n", "\r\n\r\n\x00\r\nQUIT\n\x21\x11": "",
	} {
		w := alone(t, nil)
		c := w.dial("Alford")
		c.SendString(sent)
		w.net.RunFor(time.Second)
		if got := c.Take(); got != want || c.Closed() != (want == "") {
			t.Errorf("%q: got %q, closed: %v; want %q", sent, got, c.Closed(), want)
		}
	}
}
