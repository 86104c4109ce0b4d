package lab

import (
	"context"
	"serverherd/cmd/herd/load"
)

// Settings of placement.
const (
	apartOne  = "one core each, " + loggedOne
	apartMany = "one core each, " + loggedMany
)

// placement measures what it changes that the loader shares the server's cores.
func placement() *Experiment {
	const together, apart = "both share two cores", "one core each"
	e := &Experiment{Section: SectionServer, Row: Row{
		Name:     "placement",
		Question: "What does it change that server and loader share two cores?",
		Method: "Throughput again, of 50 connections with logs. Either server and loader may both use the first two " +
			"cores of this process, or the server only the first and the loader only the second (sched_setaffinity). " +
			"Then neither takes time from the other, but the server has one core.",
		Variable: "cores of the server", Categories: true,
		Subjects: twoEngines,
		Figures: []Figure{
			{Name: "replies", Unit: "1/s", Better: Higher, Chart: true}, {Name: "CPU per reply", Unit: "us", Better: Lower},
			{Name: serverBusy, Unit: "% of a core"}, {Name: loaderBusy, Unit: "% of a core"},
		},
	}}
	for _, series := range []string{loggedOne, loggedMany} {
		for i, where := range []string{apart, together} {
			e.Settings = append(e.Settings, Setting{Label: where + ", " + series, X: float64(i + 1), Series: series,
				Quick: series == loggedMany})
		}
	}
	e.Measure = func(ctx context.Context, b *Bench, r Run) (Values, error) {
		to, undo, err := placed(ctx, b, r.Subject, r.Setting.Label == apartOne || r.Setting.Label == apartMany)
		if err != nil {
			return nil, err
		}
		defer undo()
		defer to.stop()
		o := load.Options{Connections: 50}
		if r.Setting.Series == loggedMany {
			o.Pipeline = 16
		}
		l, err := b.apply(ctx, to, o)
		if err != nil {
			return nil, err
		}
		c := l.cost()
		return Values{"replies": l.perSecond(), "CPU per reply": c["CPU per reply"], serverBusy: c[serverBusy],
			loaderBusy: c[loaderBusy]}, to.verdict(ctx)
	}
	return e
}

// placed starts a server, and if apart, binds it and this process to a core each, until undo.
func placed(ctx context.Context, b *Bench, engine string, apart bool) (to servers, undo func(), err error) {
	start := func() error {
		to, err = startHerd(ctx, b, herdOptions{engine: engine, logged: true})
		return err
	}
	if !apart {
		return to, func() {}, start()
	}
	first, second, err := cores2()
	if err != nil {
		return nil, nil, err
	}
	if err := onCore(first, start); err != nil {
		return nil, nil, err
	}
	if undo, err = selfOnCore(second); err != nil {
		to.stop()
		return nil, nil, err
	}
	return to, undo, nil
}
