package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"serverherd/cmd/herd/e2e/processtest"
)

// up and serve exit with the right code even if their output is blocked.
func TestFailuresWhileTheOutputIsBlocked(t *testing.T) {
	t.Parallel()
	const storage = "[storage]\ndir = \"kept\"\n[limits]\ndrain = \"100ms\"\n"
	cannotStart := func(t *testing.T, h *processtest.Herd) {
		if err := os.WriteFile(filepath.Join(h.Dir, "kept"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	nothing := func(*testing.T, *processtest.Herd) {}
	stopped := func(t *testing.T, h *processtest.Herd) {
		processtest.Eventually(t, "both answer", func() bool { return pid(h, "Alford") != 0 && pid(h, "Welsh") != 0 })
		processtest.Suspend(t, pid(h, "Welsh"))
	}
	for _, f := range []struct {
		name    string
		args    []string
		before  func(t *testing.T, h *processtest.Herd)
		running func(t *testing.T, h *processtest.Herd) // called before SIGTERM; nil if the command exits by itself
		exit    int
	}{
		{"up, cannot start", []string{"up"}, cannotStart, nil, exitFailed},
		{"up, wrong usage", []string{"up", "Kiwi"}, nothing, nil, exitUsage},
		{"up, a server that does not stop", []string{"up"}, nothing, stopped, exitFailed},
		{"serve, cannot start", []string{"serve", "Alford"}, cannotStart, nil, exitFailed},
	} {
		for output, open := range map[string]func(*testing.T) (ours, theirs *os.File){
			"pipe": blockedPipe, "terminal": blockedTerminal,
		} {
			t.Run(f.name+", "+output, func(t *testing.T) {
				ours, theirs := open(t)
				defer ours.Close()
				h, c := upHerd(t, theirs, storage, []string{"Alford", "Welsh"})
				c.Args = append(append(c.Args[:1:1], f.args...), "--config", h.Config())
				f.before(t, h)
				if err := c.Start(); err != nil {
					t.Fatal(err)
				}
				theirs.Close()
				if f.running != nil {
					f.running(t, h)
					_ = c.Process.Signal(syscall.SIGTERM)
				}
				if code := waitUp(t, c); code != f.exit {
					t.Errorf("exit code %d", code)
				}
			})
		}
	}
}

// Another process, such as a debugger, that holds a server's output open prevents neither its restart nor
// the stop of up.
func TestUpWhenAServersOutputIsHeld(t *testing.T) {
	t.Parallel()
	out := &processtest.Output{}
	h, c := upHerd(t, out, "", []string{"Alford", "Welsh"})
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	processtest.Eventually(t, "up is ready", func() bool { return strings.Contains(out.String(), welcomed) })
	for _, name := range []string{"Alford", "Welsh"} {
		held, err := os.OpenFile(fmt.Sprintf("/proc/%d/fd/1", pid(h, name)), os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer held.Close()
	}
	dead := pid(h, "Welsh")
	_ = syscall.Kill(dead, syscall.SIGKILL)
	processtest.Eventually(t, "Welsh is back", func() bool { p := pid(h, "Welsh"); return p != 0 && p != dead })
	_ = c.Process.Signal(syscall.SIGTERM)
	if code := waitUp(t, c); code != 0 {
		t.Errorf("exit code %d: %s", code, out)
	}
}

// Without consoles up knows only that servers are ready, and nothing about links.
func TestUpWithoutConsoles(t *testing.T) {
	out := &processtest.Output{}
	h, c := upHerd(t, out, "", []string{"Alford", "Ball", "Welsh"})
	text, err := os.ReadFile(h.Config())
	if err != nil {
		t.Fatal(err)
	}
	var kept strings.Builder
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "console") {
			kept.WriteString(line)
		}
	}
	if err := os.WriteFile(h.Config(), []byte(kept.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	processtest.Eventually(t, "up says what to type next", func() bool { return strings.Contains(out.String(), welcomed) })
	said, _, _ := strings.Cut(out.String(), "3 servers ready in ")
	if strings.Count(said, "ready at ") != 3 || strings.Contains(out.String(), "links live") {
		t.Errorf("output:\n%s", out)
	}
	_ = c.Process.Signal(syscall.SIGTERM)
	if code := waitUp(t, c); code != 0 {
		t.Errorf("exit code %d: %s", code, out)
	}
}

// A server that is stopped by SIGTERM is reported as stopped, and restarted.
func TestUpWhenAServerIsStopped(t *testing.T) {
	t.Parallel()
	out := &processtest.Output{}
	h, c := startUp(t, out)
	stopped := pid(h, "Welsh")
	_ = syscall.Kill(stopped, syscall.SIGTERM)
	processtest.Eventually(t, "Welsh is back", func() bool { p := pid(h, "Welsh"); return p != 0 && p != stopped })
	if said := out.String(); !strings.Contains(said, "Welsh stopped: exit status 0; restarting it in") || strings.Contains(said, "died") {
		t.Errorf("output:\n%s", said)
	}
	_ = c.Process.Signal(syscall.SIGTERM)
	if code := waitUp(t, c); code != 0 {
		t.Errorf("exit code %d: %s", code, out)
	}
}
