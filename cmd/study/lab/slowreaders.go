package lab

import (
	"context"
	"fmt"

	"serverherd/cmd/herd/load"
)

// slowReaders measures the cost of clients that send and hardly read.
func slowReaders() *Experiment {
	const all, rate = 200, 5000
	e := &Experiment{Section: SectionWaiting, Row: Row{
		Name:     "slow-readers",
		Question: "What do clients that do not read their replies cost the others?",
		Method: "200 connections, of which some send as fast as they may and read 1 KiB a second, " +
			"until the server disconnects them; on the others together 5,000 lines are due a " +
			"second. Memory is the process's at the end.",
		Variable: "% slow readers", Categories: true,
		Subjects: twoEngines,
		Figures: []Figure{
			{Name: "p99", Unit: "ms, of the others", Better: Lower, Chart: true, LogY: true},
			{Name: "p99.9", Unit: "ms, of the others"},
			{Name: "resident", Unit: "MiB", Better: Lower, Chart: true},
			{Name: "CPU", Unit: "s of a core, per second"},
		},
	}}
	for _, percent := range []float64{0, 1, 10} {
		e.Settings = append(e.Settings, Setting{Label: fmt.Sprintf("%v %%", percent), X: percent,
			Quick: percent != 1})
	}
	e.Measure = func(ctx context.Context, b *Bench, r Run) (Values, error) {
		slow := int(r.Setting.X) * all / 100
		l, err := b.applyToOne(ctx, herdOptions{engine: r.Subject},
			load.Options{Connections: all - slow, SlowReaders: slow, Rate: rate})
		if err != nil {
			return nil, err
		}
		return Values{
			"p99": 1e3 * l.report.Latency.P99, "p99.9": 1e3 * l.report.Latency.P999,
			"resident": l.resident / (1 << 20),
			"CPU":      (l.server.user + l.server.system).Seconds() / l.length.Seconds(),
		}, nil
	}
	return e
}
