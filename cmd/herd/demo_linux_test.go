package main

import (
	"strings"
	"testing"

	"serverherd/cmd/herd/e2e/processtest"
	"serverherd/cmd/herd/view"
)

// On a terminal the last line is updated in place. Ctrl-C ends the demo as it should end.
func TestDemoOnATerminal(t *testing.T) {
	t.Parallel()
	h := processtest.StartHerd(t, "", "Alford", "Welsh")
	s := onTerminal(t, h, nil, "demo", "--clients", "50", "--rate", "200")
	s.sees("\r\x1b[K50 clients, ")
	s.sees(" of 2 servers, 1s")
	h.Kill("Welsh")
	s.sees("\r\x1b[KWelsh: connection lost")
	s.sees(" 1 of 2 servers, ")
	s.types("\x03")
	if code := s.ends(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	s.sees("50 clients demo/... stay in the herd until all its servers are stopped\r\n")
	for line := range strings.SplitSeq(s.shown.String(), "\r") {
		if text, ok := strings.CutPrefix(line, "\x1b[K"); ok && strings.Contains(text, " updates/s") && view.Width(text) > 79 {
			t.Errorf("a status line of %d columns: %q", view.Width(text), text)
		}
	}
}

// A terminal that cannot move its cursor gets plain lines.
func TestDemoOnADumbTerminal(t *testing.T) {
	t.Parallel()
	h := processtest.StartHerd(t, "", "Alford")
	s := onTerminal(t, h, []string{"TERM=dumb"}, "demo", "--clients", "50", "--rate", "200", "--duration", "1s")
	if code := s.ends(); code != 0 || strings.Contains(s.shown.String(), "\x1b") {
		t.Errorf("exit code %d, %q", code, s.shown.String())
	}
	processtest.Eventually(t, "its end", func() bool { return strings.Contains(s.shown.String(), " updates in ") })
}
