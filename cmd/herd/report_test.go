package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"serverherd/cmd/herd/ask"
	"serverherd/herd"
	"serverherd/herd/config"
)

// Which log entries are printed: not those about links that are down because up starts or stops the
// neighbor.
func TestPrinted(t *testing.T) {
	const down = "warn\tlink down\t" + `{"neighbor": "Ball", "address": "127.0.0.1:11501", "reason": "dial tcp"}`
	const lost = "warn\trecords not handed over\t" + `{"records": 938}`
	const slow = "warn\tslow turn\t{}"
	alford := func(ready time.Time) map[string]*child { return map[string]*child{"Alford": {ready: ready}} }
	at := time.Date(2026, 11, 27, 19, 0, 0, 0, time.UTC)
	ball := func(ready time.Time) map[string]*child { return map[string]*child{"Ball": {ready: ready}} }
	for _, test := range []struct {
		name, entry string
		s           *supervisor
		want        bool
	}{
		{"info", "info\tlink live\t{}", &supervisor{}, false},
		{"info, verbose", "info\tlink live\t{}", &supervisor{verbose: true}, true},
		{"debug", "debug\treply\t{}", &supervisor{}, false},
		{"warn", slow, &supervisor{}, true},
		{"slow when it has just started", slow, &supervisor{running: alford(at.Add(-1999 * time.Millisecond))}, false},
		{"slow while it starts", slow, &supervisor{running: alford(at.Add(time.Second))}, false},
		{"slow when it has run for 2 s", slow, &supervisor{running: alford(at.Add(-quietStart))}, true},
		{"error", "error\tserver failed", &supervisor{}, true},
		{"the neighbor has died", down, &supervisor{}, false},
		{"the neighbor has died, verbose", down, &supervisor{verbose: true}, true},
		{"the neighbor starts", down, &supervisor{running: ball(time.Time{})}, false},
		{"the neighbor has just started", down, &supervisor{running: ball(at.Add(-1999 * time.Millisecond))}, false},
		{"the neighbor has started since", down, &supervisor{running: ball(at.Add(time.Second))}, false},
		{"the neighbor has run for 2 s", down, &supervisor{running: ball(at.Add(-quietStart))}, true},
		{"all stop", down, &supervisor{running: ball(at.Add(-time.Hour)), stopping: true}, false},
		{"all stop, verbose", down, &supervisor{running: ball(at.Add(-time.Hour)), stopping: true, verbose: true}, true},
		{"records in a stop of the herd", lost, &supervisor{stopping: true}, false},
		{"records in a stop without a neighbor", lost, &supervisor{stopping: true, servers: []config.Server{{Name: "Alford"}}}, true},
		{"records in another stop", lost, &supervisor{}, true},
		{"all stop, something else", "warn\tdrain timed out\t{}", &supervisor{stopping: true}, true},
		{"a neighbor that runs elsewhere", strings.ReplaceAll(down, "Ball", "Welsh"), &supervisor{}, true},
		{"no neighbor", "warn\tlink down", &supervisor{}, true},
	} {
		if test.s.servers == nil {
			test.s.servers = []config.Server{{Name: "Alford"}, {Name: "Ball"}}
		}
		e, ok := parseEntry("2026-11-27T19:00:00.000000Z\t" + test.entry)
		if got := test.s.printed(config.Server{Name: "Alford", Neighbors: []string{"Ball"}}, e); !ok || got != test.want {
			t.Errorf("%s: printed %v, want %v", test.name, got, test.want)
		}
	}
}

// Polls of a herd of Alford and Ball, with the neighbors Hamilton and Welsh not started here.
var (
	wholeLook  = []seen{{server: "Alford"}, {server: "Ball"}}
	silentLook = []seen{{server: "Alford", links: []string{"Ball"}}, {server: "Ball", unready: "see its log"}}
	unlinked   = []seen{{server: "Alford", links: []string{"Ball"}}, {server: "Ball", links: []string{"Alford"}}}
	aloneLook  = []seen{
		{server: "Alford", outside: []string{"Hamilton", "Welsh"}}, {server: "Ball", outside: []string{"Welsh"}},
	}
	worstLook = []seen{
		{server: "Alford", links: []string{"Ball"}, outside: []string{"Welsh"}}, {server: "Ball", links: []string{"Alford"}},
	}
)

// What is printed about a start and a following restart.
func TestStartReport(t *testing.T) {
	const soon, late = time.Second, lateStart
	type step struct {
		look  []seen
		after time.Duration
		want  string // lines, with "; " between them
		done  bool
	}
	elsewhere := "no link from Alford to Hamilton, Welsh after 5 s; no link from Ball to Welsh after 5 s; " +
		"Hamilton, Welsh: not started by this command"
	for name, test := range map[string]struct{ start, restart []step }{
		"at once": {
			[]step{{silentLook, soon, "", false}, {unlinked, soon, "", false}, {wholeLook, soon, "whole", true}},
			[]step{{silentLook, soon, "", false}, {unlinked, soon, "", false}, {wholeLook, soon, "whole again", true}},
		},
		"a server that is late": {
			[]step{
				{silentLook, late - 1, "", false}, {silentLook, late, "Ball is not ready after 5 s: see its log", false},
				{silentLook, 2 * late, "", false}, {unlinked, 2 * late, "", false}, {wholeLook, 2 * late, "whole", true},
			},
			[]step{{silentLook, late, "Ball is not ready after 5 s: see its log", false}, {wholeLook, 2 * late, "whole again", true}},
		},
		"links that are late": {
			[]step{
				{unlinked, late, "no link from Alford to Ball after 5 s; no link from Ball to Alford after 5 s", false},
				{unlinked, 2 * late, "", false}, {wholeLook, 2 * late, "whole", true},
			}, nil,
		},
		"links to servers elsewhere": {
			[]step{{aloneLook, soon, "whole", false}, {aloneLook, soon + late - 1, "", false}, {aloneLook, soon + late, elsewhere, true}},
			[]step{{aloneLook, soon, "whole again", true}}, // printed already
		},
		"links to servers elsewhere, in time": {
			[]step{{aloneLook, soon, "whole", false}, {wholeLook, 2 * soon, "", true}}, nil,
		},
		"a restart before links elsewhere are reported": {
			[]step{{aloneLook, soon, "whole", false}},
			[]step{{aloneLook, soon, "whole again", false}, {aloneLook, soon + late, elsewhere, true}},
		},
		"links of both kinds": {
			[]step{
				{worstLook, late, "no link from Alford to Ball after 5 s; no link from Ball to Alford after 5 s", false},
				{aloneLook, 2 * late, "whole", false}, {aloneLook, 3 * late, elsewhere, true},
			}, nil,
		},
		"late, and links to servers elsewhere": { // unknown before
			[]step{
				{silentLook, late, "Ball is not ready after 5 s: see its log", false}, {aloneLook, 2 * late, "whole", false},
				{aloneLook, 3*late - 1, "", false}, {aloneLook, 3 * late, elsewhere, true},
			}, nil,
		},
		"whole only when it is late": {[]step{{wholeLook, 2 * late, "whole", true}}, nil},
	} {
		r := startReport{welcome: func(_ time.Duration, again bool) []string {
			return []string{map[bool]string{false: "whole", true: "whole again"}[again]}
		}}
		for i, steps := range [][]step{test.start, test.restart} {
			for k, s := range steps {
				lines, done := r.next(s.look, s.after)
				if got := strings.Join(lines, "; "); got != s.want || done != s.done {
					t.Errorf("%s, start %d, poll %d: got %q, done %v; want %q, %v", name, i, k, got, done, s.want, s.done)
				}
			}
			r = r.restarted()
		}
	}
}

// The state of a server from its console's answer.
func TestSeenFrom(t *testing.T) {
	link := func(neighbor, state string, receiving bool) herd.LinkStatus {
		return herd.LinkStatus{Neighbor: neighbor, State: state, Receiving: receiving}
	}
	for _, test := range []struct {
		name   string
		status *herd.Status
		err    string
		want   seen
	}{
		{"no answer", nil, "no answer", seen{unready: "no answer"}},
		{"not ready", &herd.Status{Waiting: "waiting"}, "", seen{unready: "waiting"}},
		{"live", &herd.Status{Ready: true, Links: []herd.LinkStatus{link("Ball", "live", true)}}, "", seen{}},
		{"one way only", &herd.Status{Ready: true, Links: []herd.LinkStatus{
			link("Ball", "live", false), link("Welsh", "copying", true),
		}}, "", seen{links: []string{"Ball"}, outside: []string{"Welsh"}}},
		{"legacy", &herd.Status{Ready: true, Links: []herd.LinkStatus{link("Welsh", "plain", false)}}, "", seen{}},
	} {
		test.want.server = "Alford"
		got := seenFrom(ask.Status{Server: "Alford", Status: test.status, Error: test.err}, func(name string) bool { return name == "Ball" })
		if fmt.Sprint(got) != fmt.Sprint(test.want) {
			t.Errorf("%s: %+v, want %+v", test.name, got, test.want)
		}
	}
}

// The suggested commands fit on a terminal of 80 columns with the longest prefix.
func TestWelcome(t *testing.T) {
	args := os.Args
	defer func() { os.Args = args }()
	os.Args = []string{"bin/herd"}
	cfg, err := (&options{config: "../../herd.toml"}).load()
	if err != nil {
		t.Fatal(err)
	}
	silent := slices.Clone(cfg.Servers)
	silent[1].Console = ""
	const kiwi = "  bin/herd iamat kiwi.cs.ucla.edu +34.068930-118.445127 --at "
	for _, test := range []struct {
		name    string
		servers []config.Server
		again   bool
		want    []string // the first lines
		lines   int
	}{
		{"all", cfg.Servers, false, []string{
			"5 servers, 10 links live in 0.4 s. In another terminal:", kiwi + "Alford",
			"  bin/herd whatsat kiwi.cs.ucla.edu 10 3 --at Welsh", "  bin/herd trace kiwi.cs.ucla.edu",
			"  bin/herd status", "  bin/herd top", "  bin/herd demo", "The page: http://localhost:11600/",
		}, 11},
		{"all, again", cfg.Servers, true, []string{"5 servers, 10 links live again"}, 1},
		{"no links", cfg.Servers[:2], false, []string{
			"2 servers ready in 0.4 s. In another terminal:", kiwi + "Alford", "  bin/herd whatsat kiwi.cs.ucla.edu 10 3 --at Alford",
		}, 11},
		{"one", cfg.Servers[:1], false, []string{"1 server ready in 0.4 s. In another terminal:"}, 11},
		{"one without a console", silent, false, []string{"5 servers ready in 0.4 s. In another terminal:"}, 11},
		{"one without a console, again", silent, true, []string{"5 servers ready again"}, 1},
		{"tokens", cfg.Servers, false, []string{
			"5 servers, 10 links live in 0.4 s. In another terminal:",
			"  export HERD_TOKEN=...    # bin/herd token --help", kiwi + "Alford",
		}, 12},
	} {
		cfg.Clients.Tokens = ""
		if test.name == "tokens" {
			cfg.Clients.Tokens = "tokens.toml"
		}
		s := &supervisor{cfg: cfg, file: defaultConfig, servers: test.servers}
		for mode, want := range map[string]string{"off": "http", "optional": "https", "required": "https"} {
			secure := *cfg
			secure.Console.TLS = mode
			with := &supervisor{cfg: &secure, file: defaultConfig, servers: test.servers}
			page := "The page: " + want + "://localhost:"
			if all := strings.Join(with.welcome(0, false), "\n"); !strings.Contains(all, page) {
				t.Errorf("%s, tls %s: no %s in\n%s", test.name, mode, page, all)
			}
		}
		got := s.welcome(400*time.Millisecond, test.again)
		if len(got) != test.lines || !slices.Equal(got[:min(len(got), len(test.want))], test.want) {
			t.Errorf("%s: got\n%s", test.name, strings.Join(got, "\n"))
		}
		for _, line := range got {
			if n := len("Hamilton | " + line); n > 80 && !strings.Contains(line, cfg.Log.Dir) {
				t.Errorf("%s: %d columns: %s", test.name, n, line)
			}
		}
	}
}
