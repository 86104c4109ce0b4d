package lab

import (
	"context"
	"fmt"

	"serverherd/cmd/herd/load"
)

// idleRatio measures how idle connections affect active ones.
func idleRatio() *Experiment {
	const few, many = 1000, 19_000
	e := &Experiment{Section: SectionConnections, Row: Row{
		Name:     "idle-ratio",
		Question: "What do idle connections cost those that are active?",
		Method: "1,000 connections, of which some say nothing; the others each have a line in flight. " +
			"Then 19,000 of which 99 % say nothing, and the 190 others without them. Lines are logged. " +
			"The resident memory of an idle connection is what the process has more of when all idle ones " +
			"are connected, before the others.",
		Variable: "% idle",
		Subjects: twoEngines,
		Figures: []Figure{
			{Name: "replies", Unit: "1/s", Better: Higher, Chart: true},
			{Name: "p99", Unit: "ms, of the active ones", Better: Lower, Chart: true, LogY: true},
			{Name: "CPU per reply", Unit: "us", Better: Lower},
			{Name: "resident per idle connection", Unit: "bytes", Better: Lower},
			busyFigures[0], busyFigures[1],
		},
	}}
	connections := map[string][2]int{} // of a setting: idle and active
	add := func(label, series string, percent float64, idle, active int, quick bool) {
		e.Settings = append(e.Settings, Setting{Label: label, X: percent, Series: series, Quick: quick})
		connections[label] = [2]int{idle, active}
	}
	for _, percent := range []float64{0, 50, 80, 95, 99} {
		idle := int(percent) * few / 100
		add(fmt.Sprintf("%v %% idle", percent), "", percent, idle, few-idle, percent == 0 || percent == 95)
	}
	const active = many / 100
	add(fmt.Sprintf("%d connections, 0 %% idle", active), "190 active", 0, 0, active, false)
	add(fmt.Sprintf("%d connections, 99 %% idle", many), "190 active", 99, many-active, active, false)
	e.Measure = func(ctx context.Context, b *Bench, r Run) (Values, error) {
		of := connections[r.Setting.Label]
		return measureIdle(ctx, b, r.Subject, of[0], of[1])
	}
	return e
}

// measureIdle measures active connections beside idle ones.
func measureIdle(ctx context.Context, b *Bench, engine string, idle, active int) (Values, error) {
	h := herdOptions{engine: engine, logged: true}
	if all := idle + active; all > 9000 { // the default of max_connections is 10,000 at most
		if err := checkDescriptors(all); err != nil {
			return nil, err
		}
		h.toml = fmt.Sprintf("[limits]\nmax_connections = %d\n", all)
	}
	to, err := startHerd(ctx, b, h)
	if err != nil {
		return nil, err
	}
	defer to.stop()
	p := to[0]
	before := p.resident()
	held, err := connectCrowd(ctx, p.addr, idle, false)
	if err != nil {
		return nil, err
	}
	defer held.close()
	if err := p.connected(ctx, idle); err != nil {
		return nil, err
	}
	connected := p.resident()
	l, err := b.apply(ctx, to, load.Options{Connections: active})
	if err != nil {
		return nil, err
	}
	v := l.busy()
	if idle > 0 {
		v["resident per idle connection"] = (connected - before) / float64(idle)
	}
	v["replies"], v["p99"] = l.perSecond(), 1e3*l.report.Latency.P99
	v["CPU per reply"] = l.cost()["CPU per reply"]
	s, err := p.status()
	if err != nil {
		return nil, err
	}
	if s.Connections < idle {
		return nil, Void("%s has %d connections, of which %d should be idle", p.name, s.Connections, idle)
	}
	return v, to.verdict(ctx)
}

// connected waits until a server has n connections.
func (p *process) connected(ctx context.Context, n int) error {
	return p.until(ctx, "connected", func() bool {
		s, err := p.status()
		return err == nil && s.Connections >= n
	})
}

// applyToOne starts one server, runs a load, and checks the server afterwards.
func (b *Bench) applyToOne(ctx context.Context, h herdOptions, o load.Options) (loaded, error) {
	to, err := startHerd(ctx, b, h)
	if err != nil {
		return loaded{}, err
	}
	defer to.stop()
	l, err := b.apply(ctx, to, o)
	if err != nil {
		return l, err
	}
	return l, to.verdict(ctx)
}
