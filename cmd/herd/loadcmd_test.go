package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"serverherd/cmd/herd/e2e/processtest"
	"serverherd/cmd/herd/load"
)

// The counts of load agree with the server's counters.
func TestLoadCountsAsTheServerDoes(t *testing.T) {
	t.Parallel()
	h := processtest.StartHerd(t, "", "Alford")
	out, errOut, code := h.Command("", "load", "-c", "8", "-d", "500ms", "--warmup", "100ms", "--pipeline", "4",
		"--mix", "iamat:whatsat=9:1", "--clients", "100", "--idle", "25%", "--json", "r.json", "--csv", "r.csv",
		"--hdr", "r.hdr", "--live")
	if code != 0 || !strings.Contains(out, "replies/s") || !strings.Contains(errOut, "replies/s") {
		t.Fatalf("exit %d\n%s%s", code, out, errOut)
	}
	var r load.Report
	text, err := os.ReadFile(filepath.Join(h.Dir, "r.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	c := h.Status("Alford").Counters
	const known = 100 // preloaded clients
	if c.IAMAT+c.WHATSAT != r.All.Sent+known || c.Replies != r.All.Replies+known || r.All.Errors != 0 || r.Connections != 6 {
		t.Errorf("the server counts %+v\nthe loader %+v", c, r.All)
	}
	if c.Stored != c.IAMAT {
		t.Errorf("of %d updates %d were new to the server", c.IAMAT, c.Stored)
	}
	if r.Idle != 2 || r.IAMAT != 9 || r.WHATSAT != 1 || r.Clients != 100 || r.Threads != 1 || r.Warmup != 0.1 {
		t.Errorf("the report says of the load: %+v", r)
	}
	if r.ServerPerLine == 0 || r.LoaderPerLine == 0 {
		t.Errorf("CPU: loader %g, server %g", r.LoaderPerLine, r.ServerPerLine)
	}
	for name, want := range map[string]string{"r.csv": "second,replies_per_second", "r.hdr": "Percentile"} {
		if text, err := os.ReadFile(filepath.Join(h.Dir, name)); err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s: %v, %.100s", name, err, text)
		}
	}
	if out, errOut, code := h.Command("", "load", "-d", "200ms", "--warmup", "0s", "--json", "-", "--csv", "too.csv",
		"--fail-if", "p99>1us"); code != 1 ||
		json.Unmarshal([]byte(out), &r) != nil || !strings.Contains(errOut, "--fail-if condition met: p99>1us (") {
		t.Errorf("exit %d\n%s%s", code, out, errOut)
	}
	if _, err := os.Stat(filepath.Join(h.Dir, "too.csv")); err != nil {
		t.Errorf("with --json -: %v", err)
	}
	// Without samples a latency condition fails.
	if _, errOut, code := h.Command("", "load", "-d", "200ms", "--warmup", "0s", "-c", "0", "--churn", "50/s",
		"--fail-if", "p99>1us"); code != 1 || !strings.Contains(errOut, "--fail-if p99>1us: no latency samples") {
		t.Errorf("exit %d, %s", code, errOut)
	}
}

func TestLoadReplication(t *testing.T) {
	t.Parallel()
	h := processtest.StartHerd(t, "", processtest.Names...)
	out, errOut, code := h.Command("", "load", "--servers", "Alford,Ball", "--replication", "-d", "300ms")
	if code != 0 || !strings.Contains(out, "updates at Alford, each until visible at Ball") || !strings.Contains(out, "p99.9") {
		t.Errorf("exit %d\n%s%s", code, out, errOut)
	}
	out, errOut, code = h.Command("", "load", "--servers", "all", "-d", "200ms", "--warmup", "0s", "-c", "10")
	if code != 0 || !strings.Contains(out, "10 connections to Alford, Ball, Hamilton, Holiday, Welsh") {
		t.Errorf("exit %d\n%s%s", code, out, errOut)
	}
}

func TestLoadRefuses(t *testing.T) {
	h := processtest.New(t, "[[server]]\nname = \"Alford\"\naddress = \"127.0.0.1:1\"\n"+
		"neighbors = [\"Ball\"]\n[[server]]\nname = \"Ball\"\naddress = \"127.0.0.1:2\"\nneighbors = [\"Alford\"]\n")
	for want, args := range map[string][]string{
		"--find-max and --rate exclude each other":                            {"--find-max", "p99<5ms", "--rate", "5"},
		"--fail-if: want a condition as p99<5ms or errors>0":                  {"--fail-if", "p99"},
		"parts from 0 to 1000000, not all 0, got iamat=0;":                    {"--mix", "iamat=0"},
		"--mix: want iamat, whatsat, or iamat:whatsat=9:1":                    {"--mix", "at"},
		"not all 0, got iamat:whatsat=9;":                                     {"--mix", "iamat:whatsat=9"},
		"or a share from 0% to 100%, got 120%;":                               {"--idle", "120%"},
		"--idle and --slow-readers exceed --connections":                      {"--idle", "60%", "--slow-readers", "60%"},
		"--replication requires two servers":                                  {"--replication"},
		"--replication excludes --pipeline: it sends one update":              {"--replication", "--servers", "Alford,Ball", "--pipeline", "2"},
		"--servers Ball,Ball: duplicate server Ball":                          {"--servers", "Ball,Ball"},
		"--idle 1% of 40 connections is less than one":                        {"-c", "40", "--idle", "1%"},
		"--find-max and --epoch exclude each other: ":                         {"--find-max", "p99<5ms", "--epoch", "1520023934"},
		"--servers and --at exclude each other":                               {"--servers", "all", "--at", "Alford"},
		`--servers: unknown server "Emu"; servers in herd.toml: Alford, Ball`: {"--servers", "Emu"},
		"--connections 0: no connection is left to send":                      {"-c", "0"},
		"--zipf: want a number above 1 and up to 100, or 0, got 0.5;":         {"--zipf", "0.5"},
		"invalid number of threads 5: ":                                       {"-c", "4", "-t", "5"},
		"two of --json, --csv and --hdr name the same":                        {"--json", "x", "--hdr", "x"},
		"a share from 0% to 100%, got NaN%;":                                  {"--idle", "NaN%"},
		"a rate or pipeline requires connections that send":                   {"-c", "4", "--idle", "100%", "--rate", "5"},
	} {
		_, errOut, code := h.Command("", append([]string{"load"}, args...)...)
		if code != 2 || !strings.Contains(errOut, want) || strings.Count(errOut, "\n") != 1 {
			t.Errorf("%v: exit %d, %q, want %q", args, code, errOut, want)
		}
	}
	if _, errOut, code := h.Command("", "load"); code != 1 || !strings.Contains(errOut, "Alford, connection 1: ") {
		t.Errorf("nobody there: exit %d, %q", code, errOut)
	}
	few := exec.Command("sh", "-c", "ulimit -n 200; exec \"$0\" load -c 1000 --config \"$1\"", processtest.Binary, h.Config())
	text, _ := few.CombinedOutput()
	if want := "1000 connections need 1064 file descriptors, but the limit is 200: raise ulimit -n"; !strings.Contains(string(text), want) {
		t.Errorf("%s, want %s", text, want)
	}
}

// A server that dies under load is reported by name, and the exit code is 1.
func TestLoadOfAServerThatDies(t *testing.T) {
	t.Parallel()
	h := processtest.StartHerd(t, "", "Alford")
	c := exec.Command(processtest.Binary, "load", "-c", "4", "-d", "1h", "--live", "--config", h.Config())
	var out processtest.Output
	c.Stdout, c.Stderr = &out, &out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	processtest.Eventually(t, "the load has begun", func() bool { return strings.Contains(out.String(), "replies/s") })
	h.Kill("Alford")
	// No connection is left: it ends before the hour is over.
	err := c.Wait()
	if err == nil || c.ProcessState.ExitCode() != 1 || !strings.Contains(out.String(), " Alford: connection lost: ") {
		t.Errorf("%v\n%s", err, out.String())
	}
}

// An interrupted load exits with 130 in every phase, and says what its report covers.
func TestInterruptedLoad(t *testing.T) {
	t.Parallel()
	h := processtest.StartHerd(t, "", "Alford")
	for _, test := range []struct {
		when, want string // output before and after the signal
		args       []string
	}{
		{"line logs: ", "herd: interrupted before all connections were made\n",
			[]string{"-c", "1000", "--connect-rate", "1", "-d", "1h"}},
		{"closed loop, pipeline 16: ", "herd: interrupted before a rate was found\n",
			[]string{"--find-max", "p99<1us", "-d", "4s", "--warmup", "0s", "-c", "2"}},
		{"replies/s", "herd: --fail-if condition met: p99>1us (",
			[]string{"--fail-if", "p99>1us", "-d", "1h", "--warmup", "0s", "--live", "-c", "2"}},
		{"replies/s", "herd: interrupted: the report covers ", []string{"-d", "1h", "--warmup", "0s", "--live", "-c", "2"}},
		{"replies/s", "herd: interrupted in the warm-up: nothing was measured\n", []string{"--warmup", "1h", "--live", "-c", "2"}},
	} {
		c := exec.Command(processtest.Binary, append(append([]string{"load"}, test.args...), "--config", h.Config())...)
		var out processtest.Output
		c.Stdout, c.Stderr = &out, &out
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		processtest.Eventually(t, "it says "+test.when, func() bool { return strings.Contains(out.String(), test.when) })
		_ = c.Process.Signal(os.Interrupt)
		_ = c.Wait()
		if code := c.ProcessState.ExitCode(); code != 130 || !strings.Contains(out.String(), test.want) {
			t.Errorf("%q: exit code %d, want 130 and %q in\n%s", test.args, code, test.want, out.String())
		}
	}
}

// A share of the connections is rounded, not truncated.
func TestShare(t *testing.T) {
	for text, want := range map[string]int{"29%": 29, "80%": 80, "0%": 0, "100%": 100, "0.6%": 1, "7": 7} {
		if n, err := share("idle", text, 100); n != want || err != nil {
			t.Errorf("%s of 100: %d, %v", text, n, err)
		}
	}
}
