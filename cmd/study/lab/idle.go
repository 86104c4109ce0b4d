package lab

import (
	"context"
	"fmt"

	"serverherd/cmd/herd/load"
)

// idleRatio measures how idle connections affect active ones.
func idleRatio() *Experiment {
	const all = 1000
	e := &Experiment{Row: Row{
		Name:     "idle-ratio",
		Question: "What do idle connections cost those that are active?",
		Method: "1,000 connections, of which some say nothing; the others each have a line in flight. " +
			"Lines are logged.",
		Variable: "% idle",
		Subjects: engines,
		Figures: append([]Figure{
			{Name: "replies", Unit: "1/s", Better: Higher, Chart: true},
			{Name: "p99", Unit: "ms, of the active ones", Better: Lower, Chart: true},
		}, costFigures()[0]),
	}}
	for _, percent := range []float64{0, 50, 80, 95, 99} {
		e.Settings = append(e.Settings, Setting{Label: fmt.Sprintf("%v %% idle", percent), X: percent,
			Quick: percent == 0 || percent == 95})
	}
	e.Measure = func(ctx context.Context, b *Bench, r Run) (Values, error) {
		idle := int(r.Setting.X) * all / 100
		l, err := b.applyToOne(ctx, herdOptions{engine: r.Subject, logged: true},
			load.Options{Connections: all - idle, Idle: idle})
		if err != nil {
			return nil, err
		}
		return Values{"replies": l.perSecond(), "p99": 1e3 * l.report.Latency.P99,
			"CPU per reply": l.cost()["CPU per reply"]}, nil
	}
	return e
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
