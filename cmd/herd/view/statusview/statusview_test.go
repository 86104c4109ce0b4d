package statusview

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"serverherd/cmd/herd/ask"
	"serverherd/cmd/herd/view"
	"serverherd/cmd/herd/view/style"
	"serverherd/herd"
	"serverherd/places"
)

var now = time.Date(2026, 3, 2, 12, 0, 0, 0, time.Local)

// server is the answer of a server that is well.
func server(name string, neighbors ...string) ask.Status {
	checked := now.Add(-4 * time.Second)
	s := &herd.Status{
		Server: name, Address: "127.0.0.1:11500", Version: "v1.2.0", Engine: view.DefaultEngine, Epoch: "18a3f0c2d4e5b697", PID: 4242,
		Started: now.Add(-34 * time.Second), Now: now, Ready: true, Records: 7052, Digest: "be6e3088cee05488", Tail: 9000, Connections: 12,
	}
	s.Loop.LagP99, s.Loop.Slowest = 0.000512, 0.0021
	s.Propagation = herd.PropagationStatus{Count: 9, P50: 0.0003, P90: 0.0009, P99: 0.0012, Max: 0.0123}
	s.Log.File = "/var/log/herd/server-" + name + ".log"
	for _, n := range neighbors {
		s.Links = append(s.Links, herd.LinkStatus{Neighbor: n, State: "live", Receiving: true, Checked: &checked,
			Since: now.Add(-30 * time.Second), ATSent: 12345, ATReceived: 678, Duplicates: 90, Copies: 1,
			Clock: &herd.ClockStatus{Ahead: 0.0001, Uncertainty: 0.0002}})
	}
	return ask.Status{Server: name, Status: s}
}

// troubled is four servers: one does not answer, one has no console, one lacks records.
func troubled() []ask.Status {
	a, b := server("Alford", "Ball", "Hamilton"), server("Ball", "Alford", "Hamilton")
	for _, s := range []ask.Status{a, b} {
		l := &s.Status.Links[1]
		l.State, l.Error, l.Receiving = "down", "connection refused", false
		s.Status.Counters.LogDropped = 3
	}
	a.Status.Links[0].Behind, a.Status.Links[1].Behind = 152, 52
	b.Status.Digest, b.Status.Records, b.Status.Connections = "0123456789abcdef", 6900, 140
	b.Status.Started, b.Status.Loop.LagP99, b.Status.Propagation.Count = now.Add(-100*time.Hour), 0.131072, 0
	b.Status.Links[0].Duplicate = "refused"
	return []ask.Status{a, b, {Server: "Hamilton", Error: "no answer at 127.0.0.1:11602 within 5s"},
		{Server: "Welsh", NoConsole: true, Error: "no console in herd.toml"}}
}

// The text in the operator's manual is what a troubled herd looks like.
func TestTroubledHerd(t *testing.T) {
	manual, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(Screen{Width: 80}.Herd("ucla", view.Of(nil, troubled())), "\n")
	if !strings.Contains(string(manual), "```\n"+got+"\n```") {
		t.Errorf("not in README.md:\n%s", got)
	}
}

func TestOneServer(t *testing.T) {
	all := troubled()
	for _, test := range []struct {
		server int
		want   string
	}{
		{0, `
Alford: up 34s, ready, 1 problem

! link to Hamilton is down: connection refused

address      127.0.0.1:11500
process      v1.2.0, pid 4242, engine loop, epoch 18a3f0c2d4e5b697
records      7,052, digest be6e3088cee05488, feed position 9,000
agreement    a neighbor is 52 behind
delay        p50 300 us, p90 900 us, p99 1.2 ms, max 12 ms since the start
event loop   lag p99 <512 us since the start, slowest call 2.1 ms, 0 slow turns
clients      10 connected, 0 B buffered, 0 lookups open
requests     0 IAMAT, 0 WHATSAT, 0 refused, 0 replies
log          /var/log/herd/server-Alford.log
clocks       Ball within 300 us, Hamilton within 300 us

LINK           STATE  FOR  BEHIND  UNACKED B  AT LINES  DUPLICATES
to Ball        live   30s     152          0    12,345
from Ball      live   30s       0          0       678          90
to Hamilton    down   30s      52          0    12,345
from Hamilton  down     -       -          -       678          90
Ball: 1 full copy
Hamilton: 1 full copy

- 3 log entries dropped`},
		{2, `
Hamilton: no answer at 127.0.0.1:11602 within 5s
- Alford: its link to Hamilton is down for 30s: connection refused
- Ball: its link to Hamilton is down for 30s: connection refused`},
		{3, `
Welsh: no console in herd.toml`},
	} {
		if got := "\n" + strings.Join(Screen{Width: 80}.Server(all[test.server], view.Of(nil, all)), "\n"); got != test.want {
			t.Errorf("got%s\nwant%s", got, test.want)
		}
	}
}

// Which links are over TLS, in which direction: Ball's to Alford is not yet.
func TestServerWithTLS(t *testing.T) {
	all := []ask.Status{server("Alford", "Ball"), server("Ball", "Alford")}
	a := all[0].Status
	a.Links[0].TLS = true
	a.TLS = &herd.TLSStatus{Links: "optional", Clients: "required", Console: "off", Expires: now.Add(365 * 24 * time.Hour)}
	const want = `
clients      10 connected, 0 B buffered, 0 lookups open
requests     0 IAMAT, 0 WHATSAT, 0 refused, 0 replies
tls          links optional, clients required, console off; certificate valid
             until 2027-03-02 12:00:00
log          /var/log/herd/server-Alford.log
clocks       Ball within 300 us

LINK       STATE      FOR  BEHIND  UNACKED B  AT LINES  DUPLICATES
to Ball    live, TLS  30s       0          0    12,345
from Ball  live       30s       0          0       678          90
Ball: 1 full copy`
	show := func() string { return "\n" + strings.Join(Screen{Width: 80}.Server(all[0], view.Of(nil, all)), "\n") }
	if got := show(); !strings.HasSuffix(got, want) {
		t.Errorf("got%s\nwant%s", got, want)
	}
	a.Links[0].State = "down" // it was over TLS
	if got := show(); strings.Contains(got, ", TLS") {
		t.Error(got)
	}
}

func TestHerdThatIsWell(t *testing.T) {
	all := []ask.Status{server("Alford", "Ball"), server("Ball", "Alford")}
	want := `ucla: 2 of 2 answered, no problems

SERVER      UP  LINKS  RECORDS  CLIENTS      LAG   DELAY  AGREEMENT
Alford     34s    1/1    7,052       10  <512 us  1.2 ms  in sync
Ball       34s    1/1    7,052       10  <512 us  1.2 ms  in sync`
	if got := strings.Join(Screen{Width: 90}.Herd("ucla", view.Of(nil, all)), "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	differ := []ask.Status{server("Alford", "Ball"), server("Ball", "Alford")}
	all[0].Status.Now, all[0].Status.Digest, all[1].Status.Now = now.Add(time.Second), "0", now.Add(time.Second)
	if got := strings.Join(Screen{Width: 80}.Herd("ucla", view.Of(differ, all)), "\n"); !strings.Contains(got, "1 problem\n\n! the servers do not have the same records\n") {
		t.Error(got)
	}
}

var escapes = regexp.MustCompile("\x1b\\[[0-9;]*m")

// Whatever servers answer, no line is wider than the screen, and there are no control characters but colors.
func TestWidth(t *testing.T) {
	const hostile = "\x1b[2J\u202e東京\t\nx"
	extreme := func(name string) ask.Status {
		a := server(name, "Ball")
		s := a.Status
		s.Records, s.Connections, s.Tail, s.Buffered = 1<<64-1, 1<<62, 1<<64-1, 1<<62
		s.Started = time.Time{}
		s.Address, s.Version, s.Epoch, s.Waiting, s.Log.File = hostile, strings.Repeat("x", 1000), hostile, hostile, strings.Repeat("/東京", 100)
		s.Ready, s.Log.Error = false, hostile
		s.Loop = herd.LoopStatus{LagP99: 1e300, Slowest: -1, SlowTurns: 1<<64 - 1}
		s.Propagation = herd.PropagationStatus{Count: 1, P50: -1e300, P90: 1e9, P99: 59.99, Max: 1e18}
		s.Places = &places.Report{File: &places.FileReport{Refused: &now, Error: hostile}}
		s.Counters = herd.Counters{LogDropped: 1<<64 - 1, IAMAT: 1<<64 - 1, WHATSAT: 1<<64 - 1, Refused: 1<<64 - 1, Replies: 1<<64 - 1}
		for i := range 1000 {
			s.Links = append(s.Links, herd.LinkStatus{Neighbor: fmt.Sprint(hostile, i), State: hostile, Error: hostile, Behind: 1<<64 - 1,
				ATSent: 1<<64 - 1, ATReceived: 1<<64 - 1, Duplicates: 1<<64 - 1, Unacknowledged: 1 << 62, DialsFailed: 1<<64 - 1,
				Clock: &herd.ClockStatus{Ahead: -1e300, Wrong: true}, Duplicate: hostile, Agreement: hostile})
		}
		s.Links[0].Error = strings.Repeat("no ", 1<<18)
		return a
	}
	large := server("Alford", "Ball")
	large.Status.Records, large.Status.Connections, large.Status.Loop.LagP99 = 1_000_000, 10_002, 0.131072
	large.Status.Started = now.Add(-1000 * time.Hour)
	behind := server("Ball", "Alford")
	behind.Status.Digest, behind.Status.Links[0].Behind, behind.Status.Records, behind.Status.Tail = "0", 1_000_000, 1_000_000, 1_000_000
	long := server(strings.Repeat("LongName", 8), "Alford")
	for name, all := range map[string][]ask.Status{
		"large":   {large, behind, long},
		"names":   {server(strings.Repeat("東京", 30)), {Server: strings.Repeat("x", 64), Error: strings.Repeat("error ", 50)}},
		"hostile": {extreme("Alford"), extreme(strings.Repeat("x", 64)), {Server: "Ball", Error: hostile}},
		"errors":  append(make([]ask.Status, 30), ask.Status{Error: strings.Repeat("x", 300)}),
		"nothing": {},
	} {
		for _, width := range []int{Narrowest, 80, 120} {
			for _, colors := range []style.Styles{{}, style.Always()} {
				s := Screen{Width: width, Styles: colors}
				h := view.Of(nil, all)
				lines := s.Herd("ucla", h)
				for _, a := range all {
					lines = append(lines, s.Server(a, h)...)
				}
				for _, line := range lines {
					plain := escapes.ReplaceAllString(line, "")
					if view.Width(plain) > width || view.OneLine(plain) != plain || !colors.Colored() && plain != line {
						t.Fatalf("%s, %d columns: %d in %q", name, width, view.Width(plain), line)
					}
				}
				if n := len(lines); n > 700 {
					t.Errorf("%s: %d lines", name, n)
				}
			}
		}
	}
	// With the usual numbers, no agreement is cut.
	got := strings.Join(Screen{Width: 80}.Herd("ucla", view.Of(nil, []ask.Status{large, behind, long})), "\n")
	for _, want := range []string{"  1,000,000 behind\n", "41d16h", "1.00M", "10,000", "<131 ms", "LongNameL…"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
}

// What is wrong is red, and nothing else is.
func TestColors(t *testing.T) {
	s := Screen{Width: 80, Styles: style.Always()}
	red := regexp.MustCompile("\x1b\\[1;31m([^\x1b]*)\x1b\\[m")
	var got []string
	for _, m := range red.FindAllStringSubmatch(strings.Join(s.Herd("ucla", view.Of(nil, troubled())), "\n"), -1) {
		got = append(got, strings.TrimSpace(m[1]))
	}
	want := []string{
		"ucla: 2 of 3 answered, 3 problems",
		"! Hamilton: no answer at 127.0.0.1:11602 within 5s",
		"! Alford, Ball: link to Hamilton is down: connection refused",
		"! Ball: two processes use the name Alford: one of them is rejected",
		"Alford", "1/2", "Ball", "1/2", "Hamilton", "-", "-", "-", "-", "-", "no answer",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("red is %q, want %q", got, want)
	}
}

// The tokens of a server that has some.
func TestTokensOfAServer(t *testing.T) {
	a := server("Alford")
	a.Status.Tokens = &herd.TokensStatus{Count: 3, Expired: 1, Connections: 12, Loaded: now}
	got := strings.Join(Screen{Width: 100}.Server(a, view.Of(nil, []ask.Status{a})), "\n")
	if want := "tokens       3 tokens, 1 expired, read at 2026-03-02 12:00:00; shown on 12 connections\n"; !strings.Contains(got, want) {
		t.Errorf("%q is not in\n%s", want, got)
	}
}
