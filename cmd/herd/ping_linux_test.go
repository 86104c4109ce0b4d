package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"serverherd/cmd/herd/e2e/processtest"
	"serverherd/cmd/herd/ping"
	"serverherd/cmd/herd/view"
)

// screen is a program on a terminal of its own.
type screen struct {
	t      *testing.T
	cmd    *exec.Cmd
	person *os.File
	shown  processtest.Output
}

// onTerminal runs the herd binary in a herd's directory with a terminal.
func onTerminal(t *testing.T, h *processtest.Herd, env []string, args ...string) *screen {
	t.Helper()
	person, program := terminal(t)
	s := &screen{t: t, person: person, cmd: exec.Command(processtest.Binary, append(args, "--config", h.Config())...)}
	s.cmd.Dir, s.cmd.Env = h.Dir, append(append(os.Environ(), "TERM=xterm"), env...)
	s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = program, program, program
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.cmd.Process.Kill() })
	go func() { _, _ = io.Copy(&s.shown, person) }() // until the terminal is closed
	return s
}

// sees waits until the program has shown a text.
func (s *screen) sees(what string) {
	s.t.Helper()
	processtest.Eventually(s.t, fmt.Sprintf("shown: %q; so far %q", what, s.shown.String()),
		func() bool { return strings.Contains(s.shown.String(), what) })
}

// types sends keys.
func (s *screen) types(text string) {
	s.t.Helper()
	if _, err := io.WriteString(s.person, text); err != nil {
		s.t.Fatal(err)
	}
}

// ends waits for the program's end and returns its exit code.
func (s *screen) ends() int {
	s.t.Helper()
	defer func() {
		if s.t.Failed() {
			s.t.Logf("%q", s.shown.String())
		}
	}()
	return waitUp(s.t, s.cmd)
}

// On a terminal the table is updated in place, also while the server is away and when it is back.
func TestPingOnATerminal(t *testing.T) {
	t.Parallel()
	h := processtest.StartHerd(t, "", "Alford")
	s := onTerminal(t, h, nil, "ping", "--interval", "10ms")
	s.sees("SERVER")
	s.sees("\x1b[2A") // again, over it
	h.Kill("Alford")
	s.sees("connection refused")
	h.Start("Alford")
	processtest.Eventually(t, "the error is gone", func() bool {
		text := s.shown.String()
		last := text[strings.LastIndex(text, "SERVER"):]
		return strings.Contains(last, "Alford") && !strings.Contains(last, "refused")
	})
	s.types("\x03")
	if code := s.ends(); code != exitFailed {
		t.Errorf("exit code %d after a loss: %q", code, s.shown.String())
	}
}

// Ctrl-C is the normal end. A server that hangs is shown, and its pings are lost after --timeout.
func TestPingOfASilentServer(t *testing.T) {
	t.Parallel()
	h := processtest.StartHerd(t, "", "Alford")
	s := onTerminal(t, h, nil, "ping", "--interval", "10ms", "--timeout", "2s")
	s.sees("Alford")
	processtest.Suspend(t, h.Running["Alford"].Cmd.Process.Pid)
	s.sees("no reply for ")
	s.sees("no reply in 2s")
	_ = h.Running["Alford"].Cmd.Process.Signal(syscall.SIGCONT)
	s.types("\x03")
	if code := s.ends(); code != exitFailed {
		t.Errorf("exit code %d: %q", code, s.shown.String())
	}
	connections := func(n int) func() bool {
		return func() bool {
			status := h.Status("Alford")
			return status != nil && status.Connections == n
		}
	}
	processtest.Eventually(t, "the first one is gone", connections(0))
	s = onTerminal(t, h, nil, "ping", "--json")
	processtest.Eventually(t, "the second one has connected", connections(1))
	s.types("\x03")
	if code := s.ends(); code != 0 && !strings.Contains(s.shown.String(), `"answered":0`) {
		t.Errorf("exit code %d: %q", code, s.shown.String())
	}
}

// A line of the table never wraps, and no more lines are drawn than the terminal has.
func TestPingTable(t *testing.T) {
	var out strings.Builder
	table := pingTable{out: &out, live: true}
	var results []ping.Result
	for i := range 40 {
		results = append(results, ping.Result{Server: fmt.Sprintf("Server%026d", i), Answered: 1, Lost: 1, Max: 3599, P50: 0.5,
			Min: 0.05, P99: 5, Error: "\x1b[2Jhostile\u202e" + strings.Repeat("x", 100)})
	}
	for range 2 {
		out.Reset()
		if err := table.draw(results); err != nil {
			t.Fatal(err)
		}
		text := strings.TrimSuffix(strings.TrimPrefix(out.String(), "\r\x1b[23A"), "\x1b[J")
		lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
		if len(lines) != 23 {
			t.Errorf("%d lines", len(lines))
		}
		for _, line := range lines {
			line, ok := strings.CutSuffix(line, "\x1b[K")
			if !ok || view.Width(line) > 79 || view.Escape(line) != line {
				t.Errorf("%q", line)
			}
		}
	}
	if !strings.HasPrefix(out.String(), "\r\x1b[23A") {
		t.Errorf("the second table is not drawn over the first: %.40q", out.String())
	}
	for seconds, want := range map[float64]string{0: "0.000", 0.0000521: "0.052", 0.009999: "9.999", 0.0123: "12.30", 0.5: "500.0", 3.6: "3600"} {
		if got := pingTime(seconds); got != want {
			t.Errorf("%g s: %q, want %q", seconds, got, want)
		}
	}
}
