package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"serverherd/cmd/herd/console"
	"serverherd/cmd/herd/e2e/processtest"
)

// watching is a herd watch that runs.
type watching struct {
	t              *testing.T
	cmd            *exec.Cmd
	stdout, stderr processtest.Output
}

func startWatch(t *testing.T, h *processtest.Herd, args ...string) *watching {
	t.Helper()
	w := &watching{t: t, cmd: exec.Command(processtest.Binary, append([]string{"watch", "--config", h.Config()}, args...)...)}
	w.cmd.Dir, w.cmd.Stdout, w.cmd.Stderr = h.Dir, &w.stdout, &w.stderr
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.cmd.Process.Kill() })
	return w
}

// sees waits for a part of the output.
func (w *watching) sees(text string) {
	w.t.Helper()
	processtest.Eventually(w.t, fmt.Sprintf("shown: %q", text), func() bool {
		return strings.Contains(w.stdout.String()+w.stderr.String(), text)
	})
}

// It shows what one server tells another, goes on when the server is restarted, and ends with Ctrl-C.
func TestWatchCommand(t *testing.T) {
	t.Parallel()
	h := processtest.StartHerd(t, "", "Alford", "Hamilton")
	h.Ask("Hamilton", "IAMAT kiwi +34.068930-118.445127 1520023934\n")
	processtest.Eventually(t, "Alford has it", func() bool { return strings.HasPrefix(h.Ask("Alford", "WHATSAT kiwi 1 0\n"), "AT ") })
	w := startWatch(t, h, "kiwi", "--at", "Alford")
	w.sees("kiwi               34.068930,-118.445127")
	h.Ask("Hamilton", "IAMAT puma +1+1 1520023934\nIAMAT kiwi -33.5+151.2 1520023935\n")
	w.sees("kiwi              -33.500000,151.200000")
	if out := w.stdout.String(); strings.Contains(out, "puma") || strings.Count(out, "\n") != 2 || !regexp.MustCompile(`[0-9] (us|ms|s)  Hamilton\n$`).MatchString(out) {
		t.Errorf("output %q", out)
	}
	h.Kill("Alford")
	w.sees("herd: Alford: the server closed the connection; connecting again")
	h.Start("Alford")
	w.sees("herd: Alford: connected again after a restart; updates were missed\n")
	h.Ask("Alford", "IAMAT kiwi +1.5+2.5 1520023936\n")
	w.sees("kiwi                1.500000,2.500000")
	_ = w.cmd.Process.Signal(syscall.SIGINT)
	if err := w.cmd.Wait(); err != nil {
		t.Errorf("%v: %s", err, &w.stderr)
	}
}

// All clients, ids of any bytes, as JSON and not.
func TestWatchAllCommand(t *testing.T) {
	t.Parallel()
	h := processtest.StartHerd(t, "", "Alford")
	ids := []string{"\x1b[2Jred", "\u202egnp.exe", "\xff\xfe", strings.Repeat("\x01", 1024), "kiwi"}
	plain, asJSON := startWatch(t, h, "-c", "5"), startWatch(t, h, "--json", "--count", "5")
	processtest.Eventually(t, "both watch", func() bool {
		h.Ask("Alford", fmt.Sprintf("IAMAT probe +1+1 %d.%09d\n", time.Now().Unix(), time.Now().Nanosecond()))
		return plain.stdout.String() != "" && asJSON.stdout.String() != ""
	})
	for _, id := range ids { // each is an update for both; they end before the last one, because of the probes
		h.Ask("Alford", "IAMAT "+id+" +1+1 1520023934\n")
	}
	for _, w := range []*watching{plain, asJSON} {
		if err := w.cmd.Wait(); err != nil || w.stderr.String() != "" {
			t.Errorf("%v: %s", err, &w.stderr)
		}
		if n := strings.Count(w.stdout.String(), "\n"); n != 5 {
			t.Errorf("%d lines: %q", n, w.stdout.String())
		}
		if strings.ContainsFunc(w.stdout.String(), func(r rune) bool { return r < ' ' && r != '\n' || r == 0x202e || r == 0xfffd }) {
			t.Errorf("not escaped: %q", w.stdout.String())
		}
	}
	for line := range strings.Lines(asJSON.stdout.String()) {
		var l console.WatchLine
		if err := json.Unmarshal([]byte(line), &l); err != nil || l.Record == nil || len(l.Base64) == 0 {
			t.Errorf("%q: %v", line, err)
		}
	}
}

func TestWatchCommandErrors(t *testing.T) {
	t.Parallel()
	h := processtest.StartHerd(t, "", "Alford")
	h.Kill("Alford")
	for _, c := range []struct {
		args   []string
		code   int
		stderr string
	}{
		{nil, exitFailed, "; is the server running? see herd status\n"},
		{[]string{"a b"}, exitUsage, "client id: "},
		{[]string{"a", "b"}, exitUsage, "usage: herd watch [CLIENT]"},
		{[]string{"--at", "Nobody"}, exitUsage, `unknown server "Nobody"`},
		{[]string{"--at", "127.0.0.1:1"}, exitUsage, "--at: want a server's name"},
		{[]string{"-c", "0"}, exitUsage, "-c, --count: want"},
	} {
		stdout, stderr, code := h.Command("", append([]string{"watch"}, c.args...)...)
		if code != c.code || stdout != "" || !strings.Contains(stderr, c.stderr) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%q: exit code %d, %q, %q", c.args, code, stdout, stderr)
		}
	}
}

// A pipe whose reader goes ends it quietly.
func TestWatchInAPipe(t *testing.T) {
	t.Parallel()
	h := processtest.StartHerd(t, "", "Alford")
	h.Ask("Alford", "IAMAT kiwi +1+1 1520023934\n")
	var stderr bytes.Buffer
	c := exec.Command("sh", "-c", processtest.Binary+" watch kiwi --config "+h.Config()+" | head -n 1")
	c.Dir, c.Stderr = h.Dir, &stderr
	ended := make(chan struct{})
	moves := make(chan struct{})
	go func() {
		defer close(moves)
		for second := 1520023935; ; second++ {
			select {
			case <-ended:
				return
			case <-time.After(20 * time.Millisecond):
				h.Ask("Alford", fmt.Sprintf("IAMAT kiwi +1+1 %d\n", second))
			}
		}
	}()
	out, err := c.Output()
	close(ended)
	<-moves
	if err != nil || bytes.Count(out, []byte("\n")) != 1 || stderr.Len() > 0 {
		t.Errorf("%q, %q, %v", out, &stderr, err)
	}
}

// Lines of a terminal fit into 80 columns, also with long ids and names.
func TestWatchColumns(t *testing.T) {
	took := 0.000212
	r := console.Record{ClientID: console.ClientID{ID: "kiwi"}, Lat: 34.06893, Lng: -118.445127, Origin: "Hamilton", Source: "neighbor", Neighbor: "Holiday",
		Applied: time.Date(2026, 3, 2, 12, 34, 56, 789e6, time.Local)}
	line := func(change func(*console.WatchLine)) console.WatchLine {
		own := r
		l := console.WatchLine{Record: &own, Took: &took}
		change(&l)
		return l
	}
	for _, c := range []struct {
		line     console.WatchLine
		terminal string
		pipe     string // "": the same
	}{
		{line(func(*console.WatchLine) {}), "12:34:56.789 kiwi              34.068930,-118.445127 212 us Hamilton via Holiday",
			"12:34:56.789  kiwi               34.068930,-118.445127  212 us  Hamilton via Holiday"},
		{line(func(l *console.WatchLine) { l.Source, l.Neighbor = "client", "" }), "12:34:56.789 kiwi              34.068930,-118.445127 212 us Hamilton",
			"12:34:56.789  kiwi               34.068930,-118.445127  212 us  Hamilton"},
		{line(func(l *console.WatchLine) { l.Neighbor = "Hamilton" }), "12:34:56.789 kiwi              34.068930,-118.445127 212 us Hamilton",
			"12:34:56.789  kiwi               34.068930,-118.445127  212 us  Hamilton"},
		{line(func(l *console.WatchLine) { l.Present, l.Took, l.Source, l.Neighbor = true, nil, "journal", "" }),
			"2026-03-02   kiwi              34.068930,-118.445127        Hamilton, journal",
			"2026-03-02    kiwi               34.068930,-118.445127          Hamilton, journal"},
		{line(func(l *console.WatchLine) { l.Source, l.Neighbor = "bucket", "" }), "12:34:56.789 kiwi              34.068930,-118.445127 212 us Hamilton, bucket",
			"12:34:56.789  kiwi               34.068930,-118.445127  212 us  Hamilton, bucket"},
		{line(func(l *console.WatchLine) { l.ID = "東京\x1b" + strings.Repeat("x", 20) }),
			`12:34:56.789 東京\x1bxxxxxxx…  34.068930,-118.445127 212 us Hamilton via Holiday`,
			`12:34:56.789  東京\x1bxxxxxxxxxxxxxxxxxxxx   34.068930,-118.445127  212 us  Hamilton via Holiday`},
		{line(func(l *console.WatchLine) { l.Origin = strings.Repeat("y", 32) }),
			"12:34:56.789 kiwi              34.068930,-118.445127 212 us yyyyyyyyyyyyyyyyyyy…",
			"12:34:56.789  kiwi               34.068930,-118.445127  212 us  yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy via Holiday"},
		{console.WatchLine{Behind: 1234}, "behind: 1,234 updates at once, only the newest of each client", ""},
		{console.WatchLine{Behind: 2, Lost: 1}, "behind: 2 updates at once, only the newest of each client, and none of 1 client", ""},
	} {
		for _, terminal := range []bool{true, false} {
			var out bytes.Buffer
			p := &updatePrinter{out: &out, terminal: terminal}
			if err := p.print(c.line); err != nil {
				t.Fatal(err)
			}
			want := c.terminal
			if !terminal && c.pipe != "" {
				want = c.pipe
			}
			if out.String() != want+"\n" {
				t.Errorf("terminal %v: got\n%swant\n%s", terminal, &out, want)
			}
		}
	}
}
