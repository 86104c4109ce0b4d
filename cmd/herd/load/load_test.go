package load

import (
	"bufio"
	"bytes"
	"context"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"serverherd/protocol"
	"serverherd/reactor"
)

// scripted is a server that replies with the result of a function; nil closes the connection.
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

// well replies like a herd server.
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

// Every request has its reply and every reply is counted, in closed and open loops.
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
					known++ // in the second before the first request
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

// Short connections are made at the given rate even if the loop is late. On a busy machine a quarter of a
// second may be missing.
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

// transport discards all data.
type transport struct {
	reactor.Transport
	aborted bool
}

func (*transport) Write([]byte) {}

func (t *transport) AbortConnection() { t.aborted = true }

// An interrupted run returns a report.
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

// BenchmarkLine measures the loader's work for one request and its reply, without the network.
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
