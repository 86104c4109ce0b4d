package load

import (
	"bufio"
	"bytes"
	"context"
	"math"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"serverherd/protocol"
	"serverherd/reactor"
)

// scripted is a server that answers each line as a function says; nil ends the connection.
func scripted(t *testing.T, answer func(n int, line string) []byte) Target {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	t.Cleanup(func() {
		l.Close()
		all.Wait()
	})
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer c.Close()
				in := bufio.NewReader(c)
				for n := 0; ; n++ {
					line, err := in.ReadString('\n')
					if err != nil {
						return
					}
					reply := answer(n, strings.TrimSuffix(line, "\n"))
					if reply == nil {
						return
					}
					if _, err := c.Write(reply); err != nil {
						return
					}
				}
			})
		}
	})
	return Target{Name: "Alford", Addr: l.Addr().String()}
}

// well answers as a server does.
func well(_ int, line string) []byte {
	verb, rest, _ := strings.Cut(line, " ")
	if verb == "WHATSAT" {
		id, _, _ := strings.Cut(rest, " ")
		if id == "nobody" {
			return []byte("> WHATSAT REQUEST: There is no location data\n\n")
		}
		return []byte("AT Alford +0.1 " + id + " +1-1 5\n{\n  \"status\": \"OK\"\n}\n\n")
	}
	return []byte("AT Alford +0.1 " + rest + "\n\n")
}

func small(target Target) Options {
	return Options{
		Targets: []Target{target}, Connections: 4, Pipeline: 3, Duration: 200 * time.Millisecond, Seed: 7,
		Clients: 50, RadiusKM: 10, Bound: 5,
	}
}

func mustRun(t *testing.T, o Options) *Report {
	t.Helper()
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Every line is one that a server takes, and each has a time of its own.
func TestLines(t *testing.T) {
	o := Options{Targets: make([]Target, 1), Connections: 2, Duration: 1, IAMAT: 2, WHATSAT: 1, Clients: 5, RadiusKM: 50, Bound: 20,
		Zipf: 1.5, Seed: 3, Epoch: time.Unix(1520023934, 0)}
	if err := o.Check(); err != nil {
		t.Fatal(err)
	}
	texts := [2]string{}
	seen := map[string]bool{}
	whatsats := 0
	for k := range 2 {
		l := newLines(&o, k, 2)
		for range 1000 {
			line, whatsat := l.appendNext(nil)
			fields := bytes.Fields(line)
			if _, err := protocol.Parse(line, protocol.MaxClientID); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			if whatsat {
				whatsats++
				continue
			}
			if stamp := string(fields[3]); seen[stamp] {
				t.Fatalf("the time %s stands in two lines", stamp)
			} else {
				seen[stamp] = true
			}
			texts[k] += string(line)
		}
	}
	if texts[0] == texts[1] || whatsats < 500 || whatsats > 850 {
		t.Errorf("connections say the same: %v; %d WHATSATs of 2,000, a third was wanted", texts[0] == texts[1], whatsats)
	}
}

// The same seed and epoch are the same lines, byte for byte.
func TestASeedRepeatsItsLines(t *testing.T) {
	run := func(seed uint64) []string {
		var mu sync.Mutex
		var got []string
		o := small(scripted(t, func(n int, line string) []byte {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, line)
			return well(n, line)
		}))
		o.Connections, o.Seed, o.Epoch, o.IAMAT, o.WHATSAT = 1, seed, time.Unix(1520023934, 918963000), 3, 1
		mustRun(t, o)
		mu.Lock()
		defer mu.Unlock()
		return got
	}
	first, second, other := run(7), run(7), run(8)
	n := min(len(first), len(second), len(other))
	if n < 60 || !slices.Equal(first[:n], second[:n]) {
		t.Errorf("%d lines, the same in both runs: %v", n, slices.Equal(first[:n], second[:n]))
	}
	if slices.Equal(first[:n], other[:n]) {
		t.Error("another seed says the same")
	}
}

// Every line has its reply and every reply is counted, in both loops and dialects.
func TestCounts(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(o *Options)
	}{
		{"closed", func(*Options) {}},
		{"open", func(o *Options) { o.Rate = 500 }},
		{"threads", func(o *Options) { o.Threads = 2 }},
		{"a mix", func(o *Options) { o.IAMAT, o.WHATSAT = 1, 1 }},
		{"with warm-up, idle ones and churn", func(o *Options) { o.Warmup, o.Idle, o.Churn = 100*time.Millisecond, 3, 100 }},
		{"connected at a rate", func(o *Options) { o.ConnectRate = 1000 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			var mu sync.Mutex
			lines, visits, known := uint64(0), uint64(0), uint64(0)
			o := small(scripted(t, func(n int, line string) []byte {
				mu.Lock()
				defer mu.Unlock()
				switch {
				case strings.HasPrefix(line, "WHATSAT nobody"):
					visits++
				case strings.Contains(line, "152002393"):
					known++ // of the second before the first line
				default:
					lines++
				}
				return well(n, line)
			}))
			o.Epoch = time.Unix(1520023940, 0)
			c.change(&o)
			r := mustRun(t, o)
			mu.Lock()
			defer mu.Unlock()
			if lines == 0 || r.All.Sent != lines || r.All.Replies != lines || r.All.Errors+r.All.Unanswered != 0 {
				t.Errorf("%d lines came; %+v", lines, r.All)
			}
			if r.All.Came != visits || o.Churn > 0 && visits == 0 {
				t.Errorf("%d clients came, %d counted", visits, r.All.Came)
			}
			if want := uint64(0); o.WHATSAT > 0 {
				if want = 50; known != want {
					t.Errorf("%d clients made known, want %d", known, want)
				}
			}
			if r.Measured.Replies == 0 || r.PerSecond == 0 || r.Latency.Count < int64(r.Measured.Replies) || r.Loader.Total() == 0 {
				t.Errorf("%+v", r)
			}
		})
	}
}

func TestCS131(t *testing.T) {
	o := small(scripted(t, func(n int, line string) []byte {
		reply := well(n, line)
		if reply[0] == 'A' && !bytes.Contains(reply, []byte("{")) || reply[0] == '>' {
			return append(bytes.TrimRight(reply, "\n"), '\n')
		}
		return reply
	}))
	o.Dialect, o.IAMAT, o.WHATSAT = protocol.CS131, 1, 1
	if r := mustRun(t, o); r.All.Errors != 0 || r.All.Replies == 0 || r.All.Replies != r.All.Sent {
		t.Errorf("%+v", r.All)
	}
}

// A server that stalls once: from when lines were due that shows, from when they were sent it does
// not, because while it lasted only one was.
func TestAStallShows(t *testing.T) {
	const stall = 400 * time.Millisecond
	o := small(scripted(t, func(n int, line string) []byte {
		if n == 100 {
			<-time.After(stall)
		}
		return well(n, line)
	}))
	o.Connections, o.Pipeline, o.Rate, o.Duration = 1, 1, 1000, 2*time.Second
	r := mustRun(t, o)
	if r.Latency.P999 < stall.Seconds()/2 || r.Raw.P999 > r.Latency.P999/2 || r.Raw.Max < stall.Seconds() {
		t.Errorf("p99.9 %.3f s corrected, %.3f s raw, %.3f s at most", r.Latency.P999, r.Raw.P999, r.Raw.Max)
	}
	if r.All.Late == 0 {
		t.Errorf("%+v", r.All)
	}
}

// What a server does wrong is counted under its name.
func TestErrorsAreNamed(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer func(n int, line string) []byte
		want   string
	}{
		{"dies", func(n int, line string) []byte {
			if n == 20 {
				return nil
			}
			return well(n, line)
		}, "Alford: connection lost: "},
		{"refuses", func(n int, line string) []byte {
			if n%10 == 5 {
				return []byte("> IAMAT FUTURE: too far\n\n")
			}
			return well(n, line)
		}, "Alford: > IAMAT FUTURE"},
		{"refuses in two lines", func(n int, line string) []byte {
			return []byte("> IAMAT TIME: 3 is more than 1h0m0s ahead of this server\n? " + line + "\n\n")
		}, "Alford: > IAMAT TIME"},
		{"says ?", func(n int, line string) []byte { return []byte("? " + line + "\n\n") }, "Alford: ? IAMAT"},
		{"mixes them up", func(n int, line string) []byte { return []byte("AT Alford +0.1 somebody +1-1 5\n\n") },
			"Alford: a reply that is not its line's"},
		{"says too much", func(n int, line string) []byte { return append(well(n, line), "more\n\n"...) }, "Alford: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := small(scripted(t, c.answer))
			o.Pipeline = 1
			r := mustRun(t, o)
			if r.All.Errors == 0 || len(r.All.Failures) == 0 || !strings.HasPrefix(r.All.Failures[0].What, c.want) {
				t.Errorf("%+v, want %q", r.All, c.want)
			}
			var text bytes.Buffer
			if err := r.WriteText(&text); err != nil || !strings.Contains(text.String(), "error: ") {
				t.Errorf("%v, %s", err, &text)
			}
		})
	}
}

// A refusal of two lines is one error, and the connection goes on.
func TestARefusalOfTwoLinesIsOneReply(t *testing.T) {
	o := small(scripted(t, func(n int, line string) []byte {
		if n%2 == 0 {
			return []byte("> IAMAT TIME: 3 is too far ahead\n? " + line + "\n\n")
		}
		return well(n, line)
	}))
	r := mustRun(t, o)
	if c := r.All; c.Replies != c.Sent || len(c.Failures) != 1 || c.Errors < c.Sent/3 || c.Errors >= c.Replies {
		t.Errorf("%+v", r.All)
	}
}

// A server that is full says so to those who send nothing, too, and before any line is sent.
func TestIdleConnectionsThatAreRefused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte("> SERVER FULL\n\n"))
			c.Close()
		}
	}()
	o := small(Target{Name: "Alford", Addr: l.Addr().String()})
	o.Connections, o.Pipeline, o.Idle = 0, 0, 5
	r := mustRun(t, o)
	if r.All.Errors != 5 || !strings.HasPrefix(r.All.Failures[0].What, "Alford: an idle connection: > SERVER FULL") {
		t.Errorf("%+v", r.All)
	}
}

// Clients come at the rate that was asked for, however late the loop looks: on a machine that is
// busy a quarter of a second may be missing.
func TestChurnKeepsItsRate(t *testing.T) {
	o := small(scripted(t, well))
	o.Connections, o.Pipeline, o.Churn, o.Duration = 0, 0, 400, time.Second
	r := mustRun(t, o)
	if due := o.Churn * r.Duration; float64(r.All.Came) < due-o.Churn/4 || float64(r.All.Came) > due+o.Churn/4 {
		t.Errorf("%d clients came in %.3f s, %.0f were due", r.All.Came, r.Duration, due)
	}
	if len(r.All.Failures) > 0 || r.Churn.Count == 0 {
		t.Errorf("%+v", r.All)
	}
}

// Every line that was due has been sent or skipped, though the server stopped answering.
func TestWhatIsDueIsSentOrSkipped(t *testing.T) {
	o := small(scripted(t, func(n int, line string) []byte {
		if n > 10 {
			return []byte{}
		}
		return well(n, line)
	}))
	o.Connections, o.Pipeline, o.Rate, o.drain = 1, 2, 1000, 100*time.Millisecond
	r := mustRun(t, o)
	// Eleven have a reply and two are under way. Of the eleven, some may have waited, too.
	if c := r.All; c.Sent != 13 || c.Unanswered != 2 || c.Late == 0 || c.Skipped > c.Late || c.Skipped+11 < c.Late {
		t.Errorf("%+v", r.All)
	}
}

// A server that answers nonsense, however short, is an error and no more.
func TestReasons(t *testing.T) {
	for reply, want := range map[string]string{
		"\n": "", "a\n": "a", "? \n": "? ", "?\n": "?", ">\n": ">", "\n ": "\\n ", "> FULL\n\n": "> FULL",
		"> A B: c\n\n": "> A B", "? IAMAT x\n\n": "? IAMAT",
	} {
		if got := reason([]byte(reply)); got != want {
			t.Errorf("%q: %q, want %q", reply, got, want)
		}
	}
}

// A server that never answers: what was sent is unanswered, and the run ends.
func TestNoAnswer(t *testing.T) {
	o := small(scripted(t, func(int, string) []byte { return []byte{} }))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o.drain = 100 * time.Millisecond
	r, err := Run(ctx, o)
	if err != nil || r.All.Sent != 12 || r.All.Unanswered != 12 || r.All.Replies != 0 {
		t.Fatalf("%v, %+v", err, r)
	}
	want := Failure{"Alford: no reply came, or no whole one", "", 12}
	if len(r.All.Failures) != 1 || r.All.Failures[0] != want {
		t.Errorf("%+v, want %+v", r.All.Failures, want)
	}
}

// transport takes all and keeps nothing.
type transport struct {
	reactor.Transport
	aborted bool
}

func (*transport) Write([]byte)       {}
func (t *transport) AbortConnection() { t.aborted = true }

// A reply that never ends is taken up to a bound, and the connection is given up: 64 KiB where a line
// was due, 4 MiB where places were.
func TestRepliesAreBounded(t *testing.T) {
	for _, c := range []struct {
		iamat, whatsat, bound int
	}{{1, 0, maxShort}, {0, 1, maxReply}} {
		o := small(Target{Name: "Alford"})
		o.IAMAT, o.WHATSAT = c.iamat, c.whatsat
		if err := o.Check(); err != nil {
			t.Fatal(err)
		}
		w, end := newWorker(&o, nil), &transport{}
		u := &user{worker: w, target: &o.Targets[0], lines: newLines(&o, 0, 1), window: make([]request, 2), t: end}
		u.fill(0)
		for n := 0; n < c.bound; n += 4 << 10 {
			u.DataReceived(bytes.Repeat([]byte("A"), 4<<10))
		}
		if end.aborted {
			t.Fatalf("given up at %d bytes", c.bound)
		}
		u.DataReceived([]byte("A"))
		u.DataReceived([]byte("and more"))
		f := w.now.counts.Failures
		if !end.aborted || len(f) != 1 || f[0].What != "Alford: a reply without end" || len(u.part) > 0 {
			t.Errorf("beyond %d bytes: %+v", c.bound, f)
		}
	}
}

// What comes when nobody waits for it any more is not an error besides.
func TestRepliesThatComeTooLate(t *testing.T) {
	o := small(Target{Name: "Alford"})
	if err := o.Check(); err != nil {
		t.Fatal(err)
	}
	w, end := newWorker(&o, nil), &transport{}
	u := &user{worker: w, target: &o.Targets[0], lines: newLines(&o, 0, 1), window: make([]request, 2), t: end}
	u.fill(0)
	w.ending = true
	w.abandon(u)
	u.DataReceived([]byte("AT Alford +0.1 load0000001 +1-1 5\n\n"))
	if c := w.now.counts; end.aborted || c.Errors != 0 || c.Unanswered != 2 || len(c.Failures) != 1 {
		t.Errorf("%+v", c)
	}
}

// Whatever the servers do, Replication says it of them, with what there was before.
func TestReplicationNamesErrors(t *testing.T) {
	endless := bytes.Repeat([]byte("A"), 1<<20)
	last := ""
	from := scripted(t, func(n int, line string) []byte {
		last = line
		return well(n, line)
	})
	for want, answer := range map[string]func(n int, line string) []byte{
		"Ball: bufio: buffer full": func(int, string) []byte { return endless },
		"Ball: EOF":                func(int, string) []byte { return nil },
	} {
		to := scripted(t, func(n int, line string) []byte {
			if n < 3 {
				return []byte("AT Alford +0.1 " + strings.TrimPrefix(last, "IAMAT ") + "\n{}\n\n")
			}
			return answer(n, line)
		})
		to.Name = "Ball"
		o := Options{Targets: []Target{from, to}, Duration: time.Minute}
		r, err := Replication(t.Context(), o)
		if err != nil || r.All.Replies != 3 || r.All.Errors != 1 || r.All.Failures[0].What != want {
			t.Errorf("%v, %+v, want %s", err, r, want)
		}
		var text bytes.Buffer
		if err := r.WriteText(&text); err != nil || !strings.Contains(text.String(), "error: 1 times "+want) {
			t.Errorf("%v, %s", err, &text)
		}
	}
}

func TestNobodyThere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if _, err := Run(t.Context(), small(Target{Name: "Alford", Addr: l.Addr().String()})); err == nil ||
		!strings.HasPrefix(err.Error(), "Alford, connection 1: ") {
		t.Error(err)
	}
}

// An early end is a report of what there is.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	o := small(scripted(t, well))
	o.Duration = time.Hour
	o.OnSecond = func(Second) { cancel() }
	r, err := Run(ctx, o)
	if err != nil || r.All.Sent == 0 || r.All.Sent != r.All.Replies || r.Length > time.Minute {
		t.Errorf("%v, %+v", err, r)
	}
}

func TestThresholds(t *testing.T) {
	r := &Report{PerSecond: 100, Latency: Latency{Count: 1, P99: 0.005, Max: 1}, All: Counts{Errors: 1}}
	none := &Report{PerSecond: 100}
	for text, want := range map[string]bool{"p99<5ms": false, "max>1s": false, "rate>5": true, "errors>0": true} {
		if th, err := ParseThreshold(text); err != nil || th.Decidable(none) != want {
			t.Errorf("%s without a latency: decidable %v, %v", text, th.Decidable(none), err)
		}
	}
	for text, want := range map[string]bool{
		"p99<5ms": false, "p99<=5ms": true, "p99>=5ms": true, "p99 > 4999us": true, "max<1s": false,
		"rate>99.5": true, "errors>0": true, "errors<1": false, "skipped>0": false, "p50<1ns": true,
	} {
		th, err := ParseThreshold(text)
		if err != nil || th.Holds(r) != want {
			t.Errorf("%s: %v, %v", text, th.Holds(r), err)
		}
	}
	for _, text := range []string{"", "p99", "p99=5ms", "p98<5ms", "p99<5", "rate<5ms", "p99<-5ms", "errors>"} {
		if _, err := ParseThreshold(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

func TestFindMax(t *testing.T) {
	o := small(scripted(t, well))
	o.Duration = 100 * time.Millisecond
	holds, err := ParseThreshold("p50<10s")
	if err != nil {
		t.Fatal(err)
	}
	steps := 0
	r, err := FindMax(t.Context(), o, holds, func(string) { steps++ })
	if err != nil || r.Rate == 0 || steps != 1+findSteps {
		t.Errorf("%v, %+v, %d steps", err, r, steps)
	}
	never, err := ParseThreshold("errors>5")
	if err != nil {
		t.Fatal(err)
	}
	if r, err := FindMax(t.Context(), o, never, func(string) {}); err != nil || r.Rate != 0 {
		t.Errorf("%v, %+v", err, r)
	}
}

// What cannot be is said before anything is sent.
func TestImpossible(t *testing.T) {
	for want, change := range map[string]func(o *Options){
		"no server to load":                func(o *Options) { o.Targets = nil },
		"no connections":                   func(o *Options) { o.Connections = 0 },
		"a rate of -1 lines in a second":   func(o *Options) { o.Rate = -1 },
		"5 threads for 4 connections":      func(o *Options) { o.Threads = 5 },
		"a pipeline of -1 lines":           func(o *Options) { o.Pipeline = -1 },
		"a duration of 0s is not above 0":  func(o *Options) { o.Duration = 0 },
		"a warm-up of -1s is not":          func(o *Options) { o.Warmup = -time.Second },
		"a rate of NaN lines in a second":  func(o *Options) { o.Rate = math.NaN() },
		"a rate of +Inf lines in a second": func(o *Options) { o.Rate = math.Inf(1) },
		"1e+09 clients that come and go":   func(o *Options) { o.Churn = 1e9 },
		"a rate of 1e-10 lines in a secon": func(o *Options) { o.Rate = 1e-10 },
		"1e-10 connections in a second: i": func(o *Options) { o.ConnectRate = 1e-10 },
		"1e-10 clients that come and go i": func(o *Options) { o.Churn = 1e-10 },
		"a skew of NaN is not above 1":     func(o *Options) { o.Zipf = math.NaN() },
		"6553600 in all are too many":      func(o *Options) { o.Connections, o.Pipeline = 100, 65536 },
		"a number of connections is neg":   func(o *Options) { o.Idle = -1 },
		"client ids are not between":       func(o *Options) { o.Clients = -1 },
		"a skew of 0.5 is not above 1":     func(o *Options) { o.Zipf = 0.5 },
		"a radius from 0 to 50 km":         func(o *Options) { o.RadiusKM = 51 },
		"ids that the servers know":        func(o *Options) { o.WHATSAT, o.Clients = 1, 2_000_000 },
		"connections need 100000064 descr": func(o *Options) { o.Idle, o.Connections = 99_999_996, 4 },
	} {
		o := small(Target{Name: "Alford", Addr: "127.0.0.1:1"})
		change(&o)
		if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestManyConnectionsLeaveByManyAddresses(t *testing.T) {
	if source(2, 2*portsOfOne) != nil {
		t.Error("few connections leave by other addresses")
	}
	by := source(1, 3*portsOfOne)
	count := map[string]int{}
	for range 3 * portsOfOne {
		count[by("127.0.0.1:5").String()]++
	}
	if len(count) < 3 || by("10.0.0.1:5") != nil || by("[::1]:5") != nil {
		t.Errorf("%v", count)
	}
	for addr, n := range count {
		if n > portsOfOne || !strings.HasPrefix(addr, "127.0.0.") {
			t.Errorf("%d connections leave by %s", n, addr)
		}
	}
}

// BenchmarkLine is what the loader does for one line and its reply, without the network.
func BenchmarkLine(b *testing.B) {
	o := small(Target{})
	if err := o.Check(); err != nil {
		b.Fatal(err)
	}
	w := newWorker(&o, nil)
	w.running = true
	u := &user{worker: w, target: &o.Targets[0], lines: newLines(&o, 0, 1), window: make([]request, 16)}
	var reply []byte
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		u.add(0, 0)
		r := &u.window[u.first]
		reply = append(append(append(reply[:0], "AT Alford +0.1"...), r.line[len("IAMAT"):]...), "\n\n"...)
		u.text = u.text[:0]
		if rest := u.replies(reply, time.Millisecond); len(rest) > 0 || u.open > 0 {
			b.Fatalf("%q is left", rest)
		}
	}
}

// Of what this machine has too little, and how to have more: said of every kind of connection.
func TestTooLittleIsNamed(t *testing.T) {
	o := small(Target{Name: "Alford"})
	for reason, how := range map[error]string{
		syscall.EADDRNOTAVAIL: "widen net.ipv4.ip_local_port_range", syscall.EMFILE: "raise ulimit -n",
		syscall.EADDRINUSE: "widen net.ipv4.ip_local_port_range",
	} {
		w := newWorker(&o, nil)
		w.made = 20
		(&dial{w, &o.Targets[0], nil}).ConnectionFailed(os.NewSyscallError("connect", reason))
		err := <-w.ready
		if !strings.HasPrefix(err.Error(), "Alford, connection 21: ") || !strings.Contains(err.Error(), how) {
			t.Error(err)
		}
		(&visitor{w: w, target: &o.Targets[0]}).ConnectionFailed(os.NewSyscallError("connect", reason))
		if f := w.now.counts.Failures; len(f) != 1 || !strings.Contains(f[0].What, how) {
			t.Errorf("%+v", f)
		}
	}
}

// The report is read on terminals of 80 columns.
func TestTheReportFitsTheTerminal(t *testing.T) {
	l := Latency{Count: 1, Mean: 12.3456789, P50: 12.3456789, P90: 12.3456789, P99: 60, P999: 60, Max: 60}
	r := &Report{
		IAMAT: 999_999, WHATSAT: 999_999, Clients: 10_000_000, Zipf: 1.25, Idle: 10_000, SlowReaders: 10_000, ChurnRate: 100_000,
		Servers: []string{"Alford"}, Connections: 10_000, Pipeline: 64, Rate: 1_000_000, Seed: math.MaxUint32,
		Epoch: "1795435686.004168", Duration: 3600, PerSecond: 1_234_567, Latency: l, Raw: l, Lateness: l, Churn: l,
		Loader: Usage{User: 7200}, LoaderPerLine: 23.45e-6, ServerCPU: 2 * time.Hour, ServerPerLine: 23.45e-6,
		All: Counts{Sent: 3_600_000_000, Replies: 3_600_000_000, Unanswered: 1000, Errors: 1000, Late: 1e9, Skipped: 1e9},
	}
	var text bytes.Buffer
	if err := r.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(text.String()) {
		if len(line) > 81 {
			t.Errorf("%d columns: %s", len(line)-1, line)
		}
	}
}

// Who ends it in the warm-up is told that nothing was measured, not that there were no replies.
func TestInterruptedInTheWarmUp(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	o := small(scripted(t, well))
	o.Warmup = time.Hour
	o.OnSecond = func(Second) { cancel() }
	r, err := Run(ctx, o)
	if err != nil || r.All.Replies == 0 || r.Latency.Count != 0 {
		t.Fatalf("%v, %+v", err, r)
	}
	var text bytes.Buffer
	if err := r.WriteText(&text); err != nil || !strings.Contains(text.String(), "nothing was measured") ||
		strings.Contains(text.String(), "replies/s") {
		t.Errorf("%v, %s", err, &text)
	}
}
