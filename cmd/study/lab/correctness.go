package lab

import (
	"context"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"time"

	"serverherd/herd/sim"
)

// correctness checks that all engines give the same replies.
func correctness() *Experiment {
	e := &Experiment{Rounds: 5, Expect: expectation{more: 150 * time.Millisecond}, Section: SectionServer, Row: Row{
		Name:     "correctness",
		Question: "Do all engines answer alike?",
		Method: "3,000 lines of every kind, good and bad, from one seed for each round, sent in " +
			"pieces, are answered by each engine and by the herd's server in the simulation. Replies are " +
			"compared byte for byte, but for the time difference, which no two have alike. Besides, every " +
			"run of the other rows is void where a reply is wrong or where servers do not end up with one " +
			"digest.",
		Variable: "lines",
		Subjects: engines,
		Settings: []Setting{{Label: "3,000 lines", X: 3000, Quick: true}},
		Figures: []Figure{
			{Name: "replies", Unit: "compared"},
			{Name: "replies that differ", Unit: "of those"},
		},
	}}
	e.Summary = sameAnswers
	e.Measure = func(ctx context.Context, b *Bench, r Run) (Values, error) {
		lines := mixedLines(uint64(r.Round), int(r.Setting.X))
		want, err := simulated(lines, int(r.Setting.X))
		if err != nil {
			return nil, err
		}
		to, err := startHerd(ctx, b, herdOptions{engine: r.Subject, logged: true, servers: []string{"S0"}})
		if err != nil {
			return nil, err
		}
		defer to.stop()
		got, err := askOnce(to[0].addr, lines, int(r.Setting.X))
		if err != nil {
			return nil, err
		}
		expected, answers := masked(want), masked(got)
		differ := 0
		for i := range expected {
			if i >= len(answers) || answers[i] != expected[i] {
				differ++
			}
		}
		if differ > 0 {
			return nil, Void("%d of %d replies differ", differ, len(expected))
		}
		v := Values{"replies": float64(len(expected)), "replies that differ": float64(differ)}
		return v, to.verdict(ctx)
	}
	return e
}

// sameAnswers says whether the replies were the same in every run.
func sameAnswers(d *Data) string {
	compared, bad := 0.0, 0
	for _, s := range d.Samples {
		compared += s.Values["replies"]
		if s.Void != "" || s.Error != "" {
			bad++
		}
	}
	switch {
	case bad > 0:
		return fmt.Sprintf("Not in every run: %d of %d are void or failed.", bad, len(d.Samples))
	case compared > 0:
		return fmt.Sprintf("Yes: %s replies were compared, and all are the same but for the time difference.", rounded(compared))
	}
	return ""
}

// mixedLines are lines of every kind. Their times are in the past.
func mixedLines(seed uint64, n int) string {
	r := rand.New(rand.NewPCG(seed, 0))
	kinds := []func() string{
		func() string {
			return fmt.Sprintf("IAMAT c%d +34.068930-118.445127 14%08d.%d", r.IntN(50), r.IntN(1e8), r.IntN(1e9))
		},
		func() string { return fmt.Sprintf("IAMAT c%d -33.8688+151.2093/ 1400000000", r.IntN(50)) },
		func() string { return fmt.Sprintf("  IAMAT\tc%d\v+0+0 %d ", r.IntN(50), r.IntN(1e9)) },
		func() string { return fmt.Sprintf("WHATSAT nobody%d 10 5", r.IntN(50)) },
		func() string { return fmt.Sprintf("WHATSAT c%d %d 5", r.IntN(50), 51+r.IntN(50)) },
		func() string { return fmt.Sprintf("IAMAT c1 +91+1 %d", r.IntN(1e9)) },
		func() string { return "IAMAT c1 +1+1 nan" }, func() string { return "IAMAT c1 +1+1" },
		func() string { return "help" }, func() string { return "" },
		func() string { return "iamat c1 +1+1 5" },
		func() string { return "\xff\xfe\x00" }, func() string { return strings.Repeat("x", r.IntN(500)) },
	}
	var all strings.Builder
	for range n {
		all.WriteString(kinds[r.IntN(len(kinds))]() + "\n")
	}
	return all.String()
}

// simulated returns the replies of a server in the simulation.
func simulated(lines string, n int) (string, error) {
	c, err := sim.NewHerd(sim.HerdOptions{Seed: 1, Shape: "line", Servers: 1})
	if err != nil {
		return "", err
	}
	client := c.World.Dial(c.Config.Servers[0].Address)
	client.SendString(lines)
	if !c.World.RunUntil(time.Minute, func() bool { return client.Unsent() == 0 }) {
		return "", fmt.Errorf("the simulated server did not answer %d lines", n)
	}
	c.World.RunFor(time.Second)
	return string(client.Received()), nil
}

var difference = regexp.MustCompile(`(?m)^AT S0 [+-]\d+\.\d{9} `)

// masked returns replies without their time differences.
func masked(replies string) []string {
	return strings.Split(difference.ReplaceAllString(replies, "AT S0 * "), "\n\n")
}
