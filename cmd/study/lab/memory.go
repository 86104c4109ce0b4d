package lab

import (
	"context"
	"fmt"
	"time"
)

// memory measures the memory of idle connections.
func memory() *Experiment {
	const silent, spoken = "never active", "once active"
	e := &Experiment{Expect: expectation{more: 660 * time.Millisecond}, Section: SectionConnections, Row: Row{
		Name:     "memory",
		Question: "What does an idle connection cost?",
		Method: "Connections are made and held; those that were once active have sent sixteen updates " +
			"and read their replies. What the heap and the stacks have in use is taken after a " +
			"collection, less what it was before the first connection; resident is the process's memory, " +
			"likewise.",
		Variable: "connections",
		Subjects: engines,
		Figures: []Figure{
			{Name: "memory per connection", Unit: "bytes of heap and stacks", Better: Lower, Chart: true},
			{Name: "resident per connection", Unit: "bytes"},
			{Name: "resident", Unit: "MiB"},
			{Name: "goroutines", Unit: "in all"},
			{Name: "GC cycles", Unit: "while connecting"},
			{Name: "GC pause", Unit: "ms, longest"},
		},
	}}
	for _, series := range []string{silent, spoken} {
		for _, n := range []float64{1000, 2000, 4000, 7000, 10_000} {
			e.Settings = append(e.Settings, Setting{Label: fmt.Sprintf("%v connections, %s", n, series),
				X: n, Series: series, Quick: n == 1000})
		}
	}
	e.Measure = func(ctx context.Context, b *Bench, r Run) (Values, error) {
		to, err := startHerd(ctx, b, herdOptions{engine: r.Subject, args: []string{"--pprof"}})
		if err != nil {
			return nil, err
		}
		defer to.stop()
		p := to[0]
		before, err := p.runtimeStats()
		if err != nil {
			return nil, err
		}
		residentBefore := p.resident()
		n := int(r.Setting.X)
		held, err := connectCrowd(ctx, p.addr, n, r.Setting.Series == spoken)
		if err != nil {
			return nil, err
		}
		defer held.close()
		if err := p.connected(ctx, n); err != nil {
			return nil, err
		}
		after, err := p.runtimeStats()
		if err != nil {
			return nil, err
		}
		v := Values{
			"resident": p.resident() / (1 << 20), "goroutines": after.goroutines,
			"GC cycles": float64(after.cycles - before.cycles - 1), // one is by runtimeStats
			"GC pause":  quantile(after.pauses[:max(0, min(after.cycles-before.cycles, len(after.pauses)))], 1),
		}
		v["memory per connection"] = (after.heap + after.stacks - before.heap - before.stacks) / float64(n)
		v["resident per connection"] = (p.resident() - residentBefore) / float64(n)
		return v, to.verdict(ctx)
	}
	most := "10000 connections, " + silent
	e.Targets = []Target{
		{Work: "an idle connection", Figure: "memory per connection", Setting: most, Subject: "loop",
			AtMost: 2560},
		{Work: "an idle connection", Figure: "memory per connection", Setting: most, Subject: "loop",
			Against: "goroutines", AtMost: 0.2},
		{Work: "an idle connection", Figure: "resident per connection", Setting: most, Subject: "loop",
			AtMost: 2560},
		{Work: "an idle connection", Figure: "resident per connection", Setting: most, Subject: "loop",
			Against: "goroutines", AtMost: 0.2},
	}
	e.Growth = []Growth{{"resident", "loop", silent, 4096, "what a small machine has", true},
		{"resident", "goroutines", silent, 4096, "what a small machine has", true}}
	return e
}
