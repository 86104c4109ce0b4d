package main

import (
	"encoding/json"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/term"

	"serverherd/cmd/herd/e2e/processtest"
)

// startTop runs herd top on a terminal.
func startTop(t *testing.T, h *processtest.Herd, args ...string) *screen {
	t.Helper()
	return onTerminal(t, h, nil, append([]string{"top"}, args...)...)
}

// A dead server is shown as such and comes back, and q leaves the screen as it was.
func TestTop(t *testing.T) {
	t.Parallel()
	h := processtest.StartHerd(t, "", "Alford", "Welsh")
	s := startTop(t, h, "--interval", "100ms")
	s.sees("2 of 2 answered")
	s.sees("Welsh")
	h.Kill("Welsh")
	s.sees("no answer")
	h.Start("Welsh")
	before := s.shown.String()
	s.types("j\r") // Welsh alone
	processtest.Eventually(t, "it is back", func() bool {
		return strings.Contains(strings.TrimPrefix(s.shown.String(), before), "process")
	})
	s.types("q")
	if code := s.ends(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	s.sees("\x1b[?1049l")
}

// A signal ends top and leaves the terminal as it was.
func TestTopAndSignals(t *testing.T) {
	t.Parallel()
	h := processtest.StartHerd(t, "", "Alford")
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP, syscall.SIGINT} {
		s := startTop(t, h)
		s.sees("Alford")
		raw, err := term.GetState(int(s.person.Fd()))
		if err != nil {
			t.Fatal(err)
		}
		_ = s.cmd.Process.Signal(signal)
		want := 0
		if signal == syscall.SIGHUP {
			want = exitSignal + int(signal)
		}
		if code := s.ends(); code != want {
			t.Errorf("%v: exit code %d, want %d", signal, code, want)
		}
		s.sees("\x1b[?1049l")
		if after, err := term.GetState(int(s.person.Fd())); err != nil || *raw == *after {
			t.Errorf("%v: the terminal is still in raw mode, %v", signal, err)
		}
	}
}

func TestTopWithoutATerminal(t *testing.T) {
	t.Parallel()
	h := processtest.StartHerd(t, "", "Alford", "Welsh")
	h.Kill("Welsh")
	out, errOut, code := h.Command("", "top", "--once", "--interval", "100ms")
	if code != 0 || errOut != "" || strings.Contains(out, "\x1b") || !strings.Contains(out, "1 of 2 answered") ||
		!strings.Contains(out, "  Alford  ! ") || !strings.Contains(out, "  Welsh   ! no answer") || !strings.Contains(out, " 0 updates/s") {
		t.Errorf("exit code %d, %q\n%s", code, errOut, out)
	}
	out, errOut, code = h.Command("", "top", "--once", "--json", "--interval", "100ms")
	var report struct {
		Verdict string
		Servers []struct {
			Server, Error string
			Lines         *float64 `json:"lines_per_second"`
			Status        *struct{ PID int }
		}
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil || code != 0 || errOut != "" || len(report.Servers) != 2 ||
		!strings.HasPrefix(report.Verdict, "! Welsh: no answer") || report.Servers[0].Lines == nil || report.Servers[0].Status == nil ||
		report.Servers[1].Lines != nil || report.Servers[1].Error == "" {
		t.Errorf("exit code %d, %q, %v\n%s", code, errOut, err, out)
	}
	if _, errOut, code := h.Command("", "top", "--json"); code != exitUsage || !strings.Contains(errOut, "--json needs --once") {
		t.Errorf("exit code %d, %q", code, errOut)
	}
	if _, errOut, code := h.Command("", "top"); code != exitUsage || errOut != "herd: top needs a terminal; herd top --once prints one screen\n" {
		t.Errorf("exit code %d, %q", code, errOut)
	}
}
