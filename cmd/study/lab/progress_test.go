package lab

import (
	"strings"
	"testing"
	"time"
)

// Before the first run the remaining time is what is expected. Then rows go on as they began, and rows that have
// not begun are as much slower as the others were.
func TestRemaining(t *testing.T) {
	p := newProgress(&strings.Builder{})
	p.add("race", 10, 2*time.Second)
	p.add("walk", 5, 10*time.Second)
	check := func(when string, want time.Duration) {
		t.Helper()
		if got := p.remaining(); got != want {
			t.Errorf("%s: %v remain, want %v", when, got, want)
		}
	}
	if p.runs() != 15 || p.total() != 70*time.Second {
		t.Errorf("%d runs, %v in all", p.runs(), p.total())
	}
	check("at first", 70*time.Second)
	p.ended("race", 3*time.Second)
	check("after a slow run", 9*3*time.Second+5*15*time.Second)
	p.ended("race", time.Second)
	check("after a fast one", 8*2*time.Second+5*10*time.Second)
	p.ended("race", 0) // left out: something is missing
	p.completed("race")
	check("after a row", 5*10*time.Second*2/3)
	for range 5 {
		p.ended("walk", time.Second)
	}
	check("at the end", 0)
}

func TestProgressLines(t *testing.T) {
	var out strings.Builder
	p := newProgress(&out)
	at := time.Unix(1.8e9, 0)
	p.now, p.begun = func() time.Time { return at }, at.Add(-65*time.Second)
	p.add("race", 40, 100*time.Second)
	p.starts("race", Run{Subject: "hare", Setting: Setting{Label: "10 things"}, Round: 1})
	const want = "1/40, 1m05s elapsed, 1h06m left: race, round 2, hare, 10 things"
	if out.String() != want+"\n" {
		t.Errorf("the line is %q, want %q", out.String(), want)
	}
	out.Reset()
	p.terminal = true
	p.starts("race", Run{Subject: "hare", Setting: Setting{Label: strings.Repeat("é", 100)}})
	p.starts("race", Run{Subject: "hare", Setting: Setting{Label: "10"}})
	p.message("done")
	lines := strings.Split(out.String(), "\r")
	for _, line := range lines {
		if n := len([]rune(line)); n >= terminalWidth {
			t.Errorf("a line of %d characters: %q", n, line)
		}
	}
	if n := len([]rune(lines[1])); len(lines) != 5 || !strings.HasSuffix(lines[1], "...") || len(lines[2]) != n || lines[4] != "done\n" {
		t.Errorf("the terminal gets %q", lines)
	}
}

func TestClock(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0m00s", 61400 * time.Millisecond: "1m01s", 3599500 * time.Millisecond: "1h00m", 2*time.Hour + 5*time.Minute: "2h05m",
	} {
		if got := clock(d); got != want {
			t.Errorf("%v is %s, want %s", d, got, want)
		}
	}
}
