package herd

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
)

// What is printed is what is in force, and what is in force is printed, in both places.
func TestConstantsAreShown(t *testing.T) {
	var text bytes.Buffer
	if err := testConfig(ring...).WriteTOML(&text); err != nil {
		t.Fatal(err)
	}
	w := ringOf(t, nil, "Alford")
	shown := w.servers["Alford"].Status().Constants
	for _, c := range Constants() {
		value := fmt.Sprint(c.Value)
		if !strings.Contains(text.String(), fmt.Sprintf("# %-18s %8s  %s\n", c.Name, value, c.What)) {
			t.Errorf("herd config does not show %s = %s", c.Name, value)
		}
		if shown[c.Name] != c.Value {
			t.Errorf("/status.json shows %v for %s, want %s", shown[c.Name], c.Name, value)
		}
	}
	if len(shown) != len(Constants()) {
		t.Errorf("%d constants in /status.json, want %d", len(shown), len(Constants()))
	}
}

// Each limit on links has its counter.
func TestDroppedLinksAreCounted(t *testing.T) {
	for _, test := range []struct {
		name string
		drop func(w *world, p *impostor)
		of   func(c Counters) uint64
	}{
		{"silent", func(w *world, p *impostor) { w.net.RunFor(8 * time.Second) },
			func(c Counters) uint64 { return c.LinksSilent }},
		{"garbled", func(w *world, p *impostor) { p.SendString(strings.Repeat("nonsense\r\n", 101)) },
			func(c Counters) uint64 { return c.LinksGarbled }},
		{"too long", func(w *world, p *impostor) { p.SendString(strings.Repeat("x", maxLinkLine+2)) },
			func(c Counters) uint64 { return c.LinksGarbled }},
		{"unread", func(w *world, p *impostor) {
			p.Stall()
			for range 100 {
				p.SendString(strings.Repeat("PING 1\r\n", 20_000))
				w.net.RunFor(10 * time.Millisecond)
			}
		}, func(c Counters) uint64 { return c.LinksUnread }},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := ringOf(t, nil, "Alford")
			p := w.welcomed(welshHello)
			s := w.servers["Alford"]
			if n := test.of(s.counters); n != 0 {
				t.Fatalf("%d before", n)
			}
			test.drop(w, p)
			w.until("dropped", func() bool { return len(s.neighbor([]byte("Welsh")).intakes) == 0 })
			if n := test.of(s.counters); n != 1 {
				t.Errorf("counted %d times", n)
			}
		})
	}
	w := ringOf(t, nil, "Alford")
	c := w.dial("Alford")
	c.SendString(welshHello + "\r\n")
	w.net.RunFor(3 * time.Second)
	if n := w.servers["Alford"].counters.LinksUnanswered; n != 1 || !c.Closed() {
		t.Errorf("a handshake that ends with HELLO: counted %d times, closed %v", n, c.Closed())
	}
}

func TestHeldLinesAreCounted(t *testing.T) {
	w := ringOf(t, nil, "Alford")
	c := w.dial("Alford")
	c.Stall()
	c.SendString(strings.Repeat(strings.Repeat("x", 1000)+"\n", 2000))
	s := w.servers["Alford"]
	w.until("held", func() bool { return s.counters.Held == 1 })
	c.Unstall()
	w.until("answered", func() bool { return strings.Count(string(c.Received()), "\n\n") == 2000 })
}
