package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"serverherd/cmd/herd/e2e/processtest"
	"serverherd/cmd/herd/view"
)

// status --watch redraws on the alternate screen. Ctrl-C restores the terminal and leaves the last status on
// it.
func TestStatusWatchOnATerminal(t *testing.T) {
	t.Parallel()
	h := processtest.StartHerd(t, "", "Alford", "Ball")
	h.UntilLive()
	s := onTerminal(t, h, nil, "status", "--watch", "--interval", "100ms")
	s.sees(enterScreen)
	s.sees("2 of 2 answered, no problems")
	s.sees("\x1b[J\x1b[H") // again, over it
	h.Kill("Ball")
	s.sees("no answer at ")
	h.Start("Ball")
	processtest.Eventually(t, "it is well again", func() bool {
		text := s.shown.String()
		return strings.LastIndex(text, "no problems") > strings.LastIndex(text, "no answer")
	})
	s.types("\x03")
	if code := s.ends(); code != 0 {
		t.Errorf("exit code %d: %q", code, s.shown.String())
	}
	s.sees(leaveScreen)
	processtest.Eventually(t, "the last status stays", func() bool {
		_, after, _ := strings.Cut(s.shown.String(), leaveScreen)
		return strings.Contains(after, "2 of 2 answered") && strings.HasSuffix(after, "\n") && !strings.Contains(after, "\x1b[H")
	})
}

// Colors are for terminals that have them, unless NO_COLOR is set.
func TestStatusColors(t *testing.T) {
	t.Parallel()
	h := processtest.StartHerd(t, "", "Alford")
	for name, test := range map[string]struct {
		env            []string
		colors, redraw bool
	}{
		"xterm":    {nil, true, true},
		"NO_COLOR": {[]string{"NO_COLOR=1"}, false, true},
		"dumb":     {[]string{"TERM=dumb"}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			h.Ask("Alford", "IAMAT kiwi +1+1 1\n")
			for _, args := range [][]string{{"status"}, {"status", "Alford"}, {"ready"}, {"trace", "kiwi"}, {"status", "-w"}} {
				s := onTerminal(t, h, append([]string{"NO_COLOR="}, test.env...), args...)
				s.sees("Alford")
				if args[len(args)-1] == "-w" {
					s.sees("answered")
					s.types("\x03")
				}
				code := s.ends()
				text := s.shown.String()
				redraws := strings.Contains(text, enterScreen)
				for _, control := range []string{enterScreen, leaveScreen, "\x1b[H", "\x1b[K", "\x1b[J", "^C"} {
					text = strings.ReplaceAll(text, control, "")
				}
				if code != 0 || strings.Contains(text, "\x1b[") != test.colors || strings.Contains(text, `\x1b`) || redraws != (test.redraw && args[len(args)-1] == "-w") {
					t.Errorf("%v: exit code %d, %q", args, code, text)
				}
			}
		})
	}
}

// On a terminal a server that does not answer is not reported a second time.
func TestStatusOfADeadServerOnATerminal(t *testing.T) {
	t.Parallel()
	h := processtest.StartHerd(t, "", "Alford")
	h.Kill("Alford")
	s := onTerminal(t, h, nil, "status")
	if code := s.ends(); code != 1 {
		t.Errorf("exit code %d", code)
	}
	s.sees("AGREEMENT")
	if text := s.shown.String(); strings.Count(text, "no answer at") != 1 {
		t.Errorf("%q", text)
	}
}

// Without a terminal, status --watch prints one status after the other. SIGTERM ends it as Ctrl-C does.
func TestStatusWatchWithoutATerminal(t *testing.T) {
	t.Parallel()
	h := processtest.StartHerd(t, "", "Alford")
	for _, test := range []struct {
		args   []string
		signal os.Signal
		code   int
		want   string // at the beginning of each status
	}{
		{nil, os.Interrupt, 0, "1 of 1 answered, no problems\n"},
		{[]string{"Alford"}, syscall.SIGTERM, 0, "\nAlford: up "},
		{[]string{"--json"}, os.Interrupt, 0, "[\n  {\n    \"server\": \"Alford\","},
	} {
		c := exec.Command(processtest.Binary, append([]string{"status", "-w", "--interval", "100ms", "--config", h.Config()}, test.args...)...)
		var out processtest.Output
		c.Stdout = &out
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		processtest.Eventually(t, "two statuses", func() bool { return strings.Count(out.String(), test.want) >= 2 })
		_ = c.Process.Signal(test.signal)
		_ = c.Wait()
		if code := c.ProcessState.ExitCode(); code != test.code || strings.Contains(out.String(), "\x1b") {
			t.Errorf("%v: exit code %d, want %d\n%s", test.args, code, test.code, &out)
		}
	}
}

// What is drawn fits the terminal: a line that wraps, or scrolls, would break the screen.
func TestLiveScreen(t *testing.T) {
	var out strings.Builder
	s := liveScreen{out: &out}
	var lines []string
	for i := range 40 {
		lines = append(lines, fmt.Sprintf("\x1b[31m%d 東京%s\x1b[m", i, strings.Repeat("x", 100)))
	}
	for i, want := range []string{enterScreen + "\x1b[H", "\x1b[H"} {
		out.Reset()
		if err := s.draw(lines); err != nil {
			t.Fatal(err)
		}
		text, ok := strings.CutPrefix(out.String(), want)
		drawn := strings.Split(strings.TrimSuffix(text, "\x1b[J"), "\r\n")
		if !ok || len(drawn) != 24 || drawn[23] != "... 17 more lines\x1b[K" {
			t.Errorf("frame %d: %d lines, %q", i, len(drawn), out.String())
		}
		for _, line := range drawn[:23] {
			line = strings.TrimSuffix(strings.ReplaceAll(strings.TrimPrefix(line, "\x1b[31m"), "\x1b[m", ""), "\x1b[K")
			if n := view.Width(line); n != 80 || view.Escape(line) != line {
				t.Errorf("%d columns: %q", n, line)
			}
		}
	}
	out.Reset()
	if err := s.close(); err != nil || !strings.HasPrefix(out.String(), leaveScreen) || strings.Count(out.String(), "\n") != 40 {
		t.Errorf("%v, %q", err, out.String())
	}
}
