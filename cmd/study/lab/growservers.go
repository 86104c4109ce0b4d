package lab

import (
	"context"
	"fmt"
	"time"

	"serverherd/herd/sim"
)

// growthOfServers measures how costs grow with the number of servers.
func growthOfServers() *Experiment {
	e := &Experiment{Expect: expectation{more: 150 * time.Millisecond}, Section: SectionGrowth, Simulated: true, Row: Row{
		Name:     "growth-servers",
		Question: "What does an update cost, and how long until it is known everywhere, as a herd grows?",
		Method: "Simulated, 5 ms from server to server: single updates at servers drawn at random, " +
			"each followed until all servers hold it. The random graph is a tree with up to N more edges. " +
			"No flood can do with fewer lines than a tree has edges, N-1, and none needs more than " +
			"2E-(N-1).",
		Variable: "servers", LogX: true,
		Subjects: []string{"ring", "random", "mesh"},
		Figures: []Figure{
			{Name: "messages per update", Unit: "AT lines in the herd", Chart: true, LogY: true},
			{Name: "of the tree minimum", Unit: "times N-1"},
			{Name: "of the bound", Unit: "times 2E-(N-1)"},
			{Name: "time to converge", Unit: "ms, mean", Chart: true},
			{Name: "longest time to converge", Unit: "ms"},
			{Name: "messages per update and server", Unit: "AT lines"},
			{Name: "connections", Unit: "between servers, most at one"},
		},
	}}
	for _, n := range []float64{5, 10, 20, 35, 50} {
		e.Settings = append(e.Settings, Setting{Label: fmt.Sprintf("%v servers", n), X: n, Quick: n <= 20})
	}
	e.Measure = func(_ context.Context, b *Bench, r Run) (Values, error) {
		updates := 60
		if b.Quick {
			updates = 20
		}
		return growServers(uint64(r.Round), r.Subject, int(r.Setting.X), updates)
	}
	for _, s := range e.Subjects {
		e.Growth = append(e.Growth,
			Growth{"longest time to converge", s, "", 1000, "a second in which answers are old", false},
			Growth{"messages per update and server", s, "", 50,
				"at 10,000 updates a second, 500,000 lines a second for each loop", false},
			Growth{"connections", s, "", 700, "what a server keeps descriptors for", true})
	}
	return e
}

// growServers measures updates in a herd, one at a time.
func growServers(seed uint64, shape string, servers, updates int) (Values, error) {
	c, err := sim.NewHerd(sim.HerdOptions{Seed: seed, Shape: shape, Servers: servers, Delay: hop})
	if err != nil {
		return nil, err
	}
	first := c.ATLines()
	var sum, longest time.Duration
	for i := range updates {
		at := c.World.Rand().IntN(servers)
		client := c.World.Dial(c.Config.Servers[at].Address)
		client.SendString(fmt.Sprintf("IAMAT client%d +34.068930-118.445127 1500000000\n", i))
		begun := c.World.Elapsed()
		known := func() bool { return c.Servers[at].Store().Len() > i && c.Equal() }
		if !c.World.RunUntil(time.Minute, known) {
			return nil, Void("an update did not reach all servers within a minute")
		}
		took := c.World.Elapsed() - begun
		sum, longest = sum+took, max(longest, took)
		client.Close()
		c.World.RunFor(time.Second) // until its messages have ended
	}
	lines := float64(c.ATLines()-first) / float64(updates)
	most := 0
	for _, s := range c.Config.Servers {
		most = max(most, 2*len(s.Neighbors))
	}
	return Values{
		"messages per update":            lines,
		"of the tree minimum":            lines / float64(servers-1),
		"of the bound":                   lines / float64(2*c.Edges-(servers-1)),
		"messages per update and server": lines / float64(servers),
		"time to converge":               milliseconds(sum) / float64(updates),
		"longest time to converge":       milliseconds(longest),
		"connections":                    float64(most),
	}, nil
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
