package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"serverherd/cmd/herd/e2e/processtest"
	"serverherd/cmd/herd/engines"
	"serverherd/herd/herdtest"
)

// The transcripts of the simulation also hold for real processes, on every engine.
func TestTranscripts(t *testing.T) {
	t.Parallel()
	for _, engine := range engines.Names {
		t.Run(engine, func(t *testing.T) { playTranscripts(t, engine) })
	}
}

func playTranscripts(t *testing.T, engine string) {
	for _, dialect := range []string{"paper", "cs131"} {
		t.Run(dialect, func(t *testing.T) {
			h, listeners := processtest.NewHerd(t, fmt.Sprintf("[herd]\ndialect = %q\n", dialect), "Alford")
			h.Flags = []string{"--engine", engine}
			h.Start("Alford", listeners["Alford"]...)
			h.UntilLive()
			if s := h.Status("Alford"); s.Engine != engine {
				t.Errorf("engine %q, want %q", s.Engine, engine)
			}
			herdtest.Play(t, "../../testdata/transcripts", dialect, func(t *testing.T) herdtest.Conn {
				return processtest.Dial(t, h.Server("Alford").Address)
			})
			herdtest.Play(t, "../../testdata/transcripts/open", dialect, func(t *testing.T) herdtest.Conn {
				return processtest.Dial(t, h.Server("Alford").Address)
			})
			if code := h.Stop("Alford"); code != 0 {
				t.Errorf("exit code %d after SIGTERM", code)
			}
		})
	}
}

// The same of clients with tokens.
func TestTranscriptsOfTokens(t *testing.T) {
	t.Parallel()
	const dir = "../../testdata/transcripts/tokens"
	tokens, err := os.ReadFile(dir + "/tokens.toml")
	if err != nil {
		t.Fatal(err)
	}
	for _, dialect := range []string{"paper", "cs131"} {
		t.Run(dialect, func(t *testing.T) {
			h, listeners := processtest.NewHerd(t, fmt.Sprintf("[herd]\ndialect = %q\n[clients]\ntokens = \"tokens.toml\"\n", dialect), "Alford")
			if err := os.WriteFile(filepath.Join(h.Dir, "tokens.toml"), tokens, 0o600); err != nil {
				t.Fatal(err)
			}
			h.Start("Alford", listeners["Alford"]...)
			h.UntilLive()
			herdtest.Play(t, dir, dialect, func(t *testing.T) herdtest.Conn {
				return processtest.Dial(t, h.Server("Alford").Address)
			})
		})
	}
}

const kiwi = "kiwi.cs.ucla.edu +34.068930-118.445127 1520023934.918963997"

// The paper's herd and the paper's client.
func TestFiveServers(t *testing.T) {
	t.Parallel()
	h := processtest.StartHerd(t, "[herd]\nname = \"ucla\"\n"+processtest.Embedded, processtest.Names...)
	before := h.ATSent()
	ack := h.Ask("Alford", "IAMAT "+kiwi+"\n")
	if !strings.HasPrefix(ack, "AT Alford +") || !strings.HasSuffix(ack, kiwi+"\n\n") {
		t.Fatalf("Alford answered %q", ack)
	}
	h.UntilEqual(1)
	for _, name := range processtest.Names {
		reply := h.Ask(name, "WHATSAT kiwi.cs.ucla.edu 10 5\n")
		at, json, _ := strings.Cut(reply, "\n")
		if at+"\n\n" != ack || strings.Count(json, `"place_id"`) != 5 || !strings.Contains(json, "Westwood") {
			t.Errorf("%s answered %q, want %q and five places", name, reply, ack)
		}
	}
	if n := h.ATSent() - before; n < 4 || n > 6 {
		t.Errorf("%d AT lines for one update, want 4 to 6", n)
	}
	before = h.ATSent()
	h.Ask("Welsh", "IAMAT "+kiwi+"\n") // the same, elsewhere
	h.Ask("Alford", "IAMAT "+kiwi+"\n")
	h.Ask("Alford", "IAMAT after "+"+1-1 1\n") // arrives after the messages that those caused
	h.UntilEqual(2)
	if n := h.ATSent() - before; n > 6 {
		t.Errorf("%d AT lines for one new update and two known ones, want at most 6", n)
	}
}

func TestAKilledServerComesBackEqual(t *testing.T) {
	t.Parallel()
	h := processtest.StartHerd(t, "[herd]\nname = \"ucla\"\n", processtest.Names...)
	update := func(name string, from, to, second int) {
		var lines strings.Builder
		for i := from; i < to; i++ {
			fmt.Fprintf(&lines, "IAMAT client%d +34.068930-118.445127 %d\n", i, second)
		}
		if n := strings.Count(h.Ask(name, lines.String()), "\n\n"); n != to-from {
			t.Fatalf("%d replies to %d lines", n, to-from)
		}
	}
	update("Ball", 0, 1000, 1520023934)
	h.UntilEqual(1000)
	h.Kill("Ball")
	update("Alford", 0, 1500, 1520023935)
	h.UntilEqual(1500)
	h.Start("Ball")
	update("Holiday", 1500, 1600, 1520023935)
	h.UntilLive()
	h.UntilEqual(1600)
	if got := h.Ask("Ball", "WHATSAT client7 1 0\n"); !strings.HasPrefix(got, "AT Alford ") {
		t.Errorf("Ball has %q, want the update that it missed", got)
	}
	for _, name := range processtest.Names {
		if code := h.Stop(name); code != 0 {
			t.Errorf("%s: exit code %d", name, code)
		}
	}
}

func TestServeRefuses(t *testing.T) {
	h, listeners := processtest.NewHerd(t, "", "Alford", "Welsh", "Hamilton", "Ball", "Holiday")
	address := h.Server("Alford").Address
	tests := []struct {
		name string
		args []string
		code int
		want string
	}{
		{"an unknown name", []string{"serve", "Kiwi"}, 2, `unknown server "Kiwi"; servers in herd.toml: Alford, Welsh, Hamilton, Ball, Holiday`},
		{"no name", []string{"serve"}, 2, "no server: name one, or set $HERD_SERVER; see herd serve --help"},
		{"two names", []string{"serve", "Alford", "Ball"}, 2, "usage: herd serve [NAME]"},
		{"a port in use", []string{"serve", "Alford"}, 1, "Alford cannot listen: listen tcp " + address + ": bind: address already in use"},
		{"a port in use, for up", []string{"up", "Alford"}, 1, "Alford cannot listen: listen tcp " + address + ": bind: address already in use"},
		{"an unknown flag", []string{"status", "--jsn"}, 2, "unknown flag: --jsn"},
		{"an unknown command", []string{"stats"}, 2, `unknown command "stats"`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, stderr, code := h.Command("", test.args...)
			if code != test.code || !strings.Contains(stderr, test.want) {
				t.Errorf("exit code %d, want %d; stderr %q, want it to contain %q", code, test.code, stderr, test.want)
			}
		})
	}
	for _, ls := range listeners {
		for _, l := range ls {
			l.Close()
		}
	}
}
