package lab

import (
	"context"
	"fmt"

	"serverherd/cmd/herd/load"
)

// cores measures the effect of a second core.
func cores() *Experiment {
	e := &Experiment{Section: SectionServer, Row: Row{
		Name:     "cores",
		Question: "What does a second processor bring?",
		Method: "Throughput again, and p99 in the same closed loop, of 50 connections with logs, where " +
			"the server's GOMAXPROCS is 1 or 2. The loader runs beside it, on the same cores.",
		Variable: "GOMAXPROCS of the server", Categories: true,
		Subjects: engines,
		Figures: []Figure{
			{Name: "replies", Unit: "1/s", Better: Higher, Chart: true},
			{Name: "p99", Unit: "ms", Better: Lower},
			{Name: "CPU per reply", Unit: "us", Better: Lower},
			busyFigures[0], busyFigures[1],
		},
	}}
	for _, pipeline := range []int{1, 16} {
		series := fmt.Sprintf("pipeline %d", pipeline)
		for _, n := range []int{1, 2} {
			e.Settings = append(e.Settings, Setting{
				Label: fmt.Sprintf("GOMAXPROCS %d, %s", n, series),
				X:     float64(n), Series: series, Quick: pipeline == 1,
			})
		}
	}
	e.Measure = func(ctx context.Context, b *Bench, r Run) (Values, error) {
		pipeline := 1
		if r.Setting.Series == loggedMany {
			pipeline = 16
		}
		l, err := b.applyToOne(ctx, herdOptions{engine: r.Subject, logged: true,
			env: []string{fmt.Sprintf("GOMAXPROCS=%v", r.Setting.X)}},
			load.Options{Connections: 50, Pipeline: pipeline})
		if err != nil {
			return nil, err
		}
		v := l.busy()
		v["replies"], v["p99"], v["CPU per reply"] = l.perSecond(), 1e3*l.report.Latency.P99, l.cost()["CPU per reply"]
		return v, nil
	}
	return e
}
