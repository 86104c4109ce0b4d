package sim

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"serverherd/herd/trace"
)

// One update costs at least as many AT lines as a tree has edges, and at most as many as a flood. On a ring it reaches
// all servers after as many hops as half of the ring has.
func TestHerd(t *testing.T) {
	for _, c := range []struct {
		shape               string
		servers             int
		leastLines, atLines uint64
		hops                time.Duration
	}{
		{"ring", 5, 4, 6, 2}, {"ring", 8, 7, 9, 4}, {"mesh", 5, 4, 16, 1}, {"line", 4, 3, 3, 3}, {"ring", 1, 0, 0, 0},
	} {
		const delay = 5 * time.Millisecond
		herd, err := NewHerd(HerdOptions{Seed: 1, Shape: c.shape, Servers: c.servers, Delay: delay})
		if err != nil {
			t.Fatal(err)
		}
		client := herd.World.Dial(herd.Config.Servers[0].Address)
		herd.World.RunFor(time.Second)
		before := herd.ATLines()
		begun := herd.World.Elapsed()
		client.SendString("IAMAT kiwi +34.068930-118.445127 1500000000\n")
		known := func() bool { return herd.Equal() && herd.Servers[0].Store().Len() == 1 }
		if !herd.World.RunUntil(time.Second, known) {
			t.Fatalf("%s of %d: the update has not reached all servers", c.shape, c.servers)
		}
		took := herd.World.Elapsed() - begun
		if least, most := c.hops*delay, c.hops*delay+time.Millisecond; took < least || took > most {
			t.Errorf("%s of %d: all servers reached after %v, want %v to %v", c.shape, c.servers, took, least, most)
		}
		herd.World.RunFor(time.Second)
		if n := herd.ATLines() - before; n < c.leastLines || n > c.atLines {
			t.Errorf("%s of %d: %d AT lines, want %d to %d", c.shape, c.servers, n, c.leastLines, c.atLines)
		}
		if most := uint64(2*herd.Edges - (c.servers - 1)); c.servers > 1 && most != c.atLines {
			t.Errorf("%s of %d has %d edges", c.shape, c.servers, herd.Edges)
		}
	}
	if _, err := NewHerd(HerdOptions{Shape: "heap", Servers: 4}); err == nil {
		t.Error("an unknown topology was accepted")
	}
}

// An update whose events have left both rings of all flight recorders: the tree still says where each server has it from.
func TestOldUpdate(t *testing.T) {
	herd, err := NewHerd(HerdOptions{Seed: 1, Shape: "line", Servers: 3, Delay: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	client := herd.World.Dial(herd.Config.Servers[0].Address)
	client.SendString("IAMAT kiwi +34.068930-118.445127 1500000000\n")
	outcomes := func() (all []string) {
		var answers []trace.Answer
		for _, s := range herd.Servers {
			f := s.Flood([]byte("kiwi"), 0)
			answers = append(answers, trace.Answer{Server: s.Name(), Flood: &f})
		}
		hash, at, err := trace.Latest([]byte("kiwi"), answers)
		if err != nil {
			return nil
		}
		tree, err := trace.Build(herd.Config.Servers, answers, hash, at)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range tree.Rows() {
			all = append(all, r.Branch+string(r.Node.Outcome)+" "+r.Node.From)
		}
		return all
	}
	fresh, old := []string{"client ", "└─ neighbor S0", "   └─ neighbor S1"}, []string{"client ", "└─ old S0", "   └─ old S1"}
	for second := range 300 {
		herd.World.RunFor(time.Second)
		switch got := outcomes(); {
		case second < 60 && !slices.Equal(got, fresh):
			t.Fatalf("after %d s: %q, want %q", second, got, fresh)
		case slices.Equal(got, old):
			return
		}
		for i := range 400 {
			client.SendString(fmt.Sprintf("IAMAT c%d +1+1 %d\n", i, 1_000_000_000+second))
		}
	}
	t.Errorf("after 300 s: %q, want %q", outcomes(), old)
}
