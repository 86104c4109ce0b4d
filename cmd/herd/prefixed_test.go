package main

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"serverherd/cmd/herd/e2e/processtest"
	"serverherd/cmd/herd/logging"
	"serverherd/herd/config"
)

// all prints every entry.
func all(logEntry) bool { return true }

// Lines get prefixes, for every split into writes.
func TestPrefixed(t *testing.T) {
	out := &processtest.Output{}
	p := newPrefixed(out, []config.Server{{Name: "Alford"}, {Name: "Hamilton"}})
	a := p.writer("Alford", all)
	for _, text := range []string{"one\ntw", "", "o\n\nthree", strings.Repeat("x", maxTail)} {
		fmt.Fprint(a, text)
	}
	a.Close()
	fmt.Fprint(a, "last words\x1b[2J")
	a.Close()
	p.say("two\nlines")
	p.close()
	x := strings.Repeat("x", maxTail)
	want := "Alford   | one\nAlford   | two\nAlford   | \nAlford   | three" + x +
		"\nAlford   | last words\\x1b[2J\nherd     | two\nherd     | lines\n"
	if out.String() != want {
		t.Errorf("got\n%q\nwant\n%q", out, want)
	}
}

// Entries of several servers are printed in order of time, and lines after an entry stay behind it. Entries
// of level info are printed only on request.
func TestPrefixedInOrderOfTime(t *testing.T) {
	begun := time.Now().Add(-time.Second)
	entry := func(ms int, level, text string) string {
		at := begun.Add(time.Duration(ms) * time.Millisecond).UTC().Format(logging.TimeLayout)
		return at + "\t" + level + "\t" + text + "\n"
	}
	for verbose, want := range map[bool][]string{
		false: {"Alford", "one", "Ball", "two", "Ball", "trace", "Alford", "three"},
		true:  {"Alford", "one", "Ball", "two", "Ball", "trace", "Alford", "info", "Alford", "three"},
	} {
		out := &processtest.Output{}
		p := newPrefixed(out, []config.Server{{Name: "Alford"}, {Name: "Ball"}})
		wanted := func(e logEntry) bool { return (&supervisor{verbose: verbose}).printed(config.Server{}, e) }
		a, b := p.writer("Alford", wanted), p.writer("Ball", wanted)
		fmt.Fprint(a, entry(1, "warn", "one")+entry(3, "info", "info")+entry(4, "error", "three"))
		fmt.Fprint(b, entry(2, "warn", "two")+"trace\n")
		p.close()
		var got []string
		for _, line := range strings.Split(strings.TrimSpace(out.String()), "\n") {
			name, text, _ := strings.Cut(line, " | ")
			fields := strings.Split(text, "\t")
			got = append(got, strings.TrimSpace(name), fields[len(fields)-1])
		}
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("verbose %v: got %q, want %q", verbose, got, want)
		}
	}
}

// A line that is held back is printed even if the clock is set back.
func TestPrefixedWhenTheClockIsSetBack(t *testing.T) {
	out := &processtest.Output{}
	p := newPrefixed(out, []config.Server{{Name: "Alford"}})
	setBack := func(text string) { // as soon as it is received
		p.mu.Lock()
		defer p.mu.Unlock()
		now := time.Now()
		p.pending = append(p.pending, outputLine{now.Add(time.Hour).Round(0), now, p.entry("Alford", text), nil})
	}
	setBack("one")
	processtest.Eventually(t, "the line is printed", func() bool { return out.String() == "Alford | one\n" })
	setBack("two")
	p.close()
	if want := "Alford | one\nAlford | two\n"; out.String() != want {
		t.Errorf("got %q, want %q", out, want)
	}
}

// Wanted is called again when an entry is printed.
func TestPrefixedWhenMoreIsKnown(t *testing.T) {
	for _, test := range []struct {
		name    string
		answers []bool
		want    bool
	}{
		{"wanted", []bool{true, true}, true}, {"not wanted", []bool{false}, false}, {"not wanted any more", []bool{true, false}, false},
	} {
		out, asked := &processtest.Output{}, 0
		p := newPrefixed(out, []config.Server{{Name: "Alford"}})
		fmt.Fprint(p.writer("Alford", func(logEntry) bool { asked++; return test.answers[asked-1] }),
			"2026-11-27T19:00:00.000000Z\twarn\tlink down\t{}\n")
		p.close()
		if got := out.String() != ""; got != test.want || asked != len(test.answers) {
			t.Errorf("%s: printed %q, asked %d times", test.name, out, asked)
		}
	}
}

// While the output is blocked, lines are dropped and counted, and writers do not block.
func TestPrefixedBlocked(t *testing.T) {
	r, w := io.Pipe()
	p := newPrefixed(w, []config.Server{{Name: "Alford"}})
	line := strings.Repeat("x", 1000)
	const lines = 5000
	for range lines {
		p.say(line)
	}
	got := make(chan string)
	go func() {
		all, _ := io.ReadAll(r)
		got <- string(all)
	}()
	p.close()
	w.Close()
	text := <-got
	printed := strings.Count(text, line)
	var dropped int
	for l := range strings.Lines(text) {
		var n int
		if _, err := fmt.Sscanf(l, "herd   | dropped %d lines", &n); err == nil {
			dropped += n
		}
	}
	if dropped == 0 || printed+dropped != lines {
		t.Errorf("%d lines printed, %d reported as dropped, of %d", printed, dropped, lines)
	}
}
