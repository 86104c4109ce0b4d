package lab

import (
	"context"
	"fmt"
	"strings"

	"serverherd/cmd/herd/load"
)

// Settings of placement.
const (
	bothShare = "both share all cores"
	oneEach   = "one core each"
	apartOne  = oneEach + ", " + loggedOne
	apartMany = oneEach + ", " + loggedMany
)

// placement measures what it changes that the loader shares the server's cores.
func placement() *Experiment {
	const together, apart = bothShare, oneEach
	e := &Experiment{Section: SectionServer, Row: Row{
		Name:     "placement",
		Question: "What does it change that server and loader share two cores?",
		Method: "Throughput again, of 50 connections with logs. Either server and loader may both use all " +
			"cores of this process, or the server only the first and the loader only the second (sched_setaffinity). " +
			"Then neither takes time from the other, but the server has one core.",
		Variable: "cores of the server", Categories: true,
		Subjects: twoEngines,
		Figures: []Figure{
			{Name: "replies", Unit: "1/s", Better: Higher, Chart: true}, {Name: "CPU per reply", Unit: "us", Better: Lower},
			busyFigures[0], busyFigures[1],
		},
	}}
	for _, series := range []string{loggedOne, loggedMany} {
		for i, where := range []string{apart, together} {
			e.Settings = append(e.Settings, Setting{Label: where + ", " + series, X: float64(i + 1), Series: series,
				Quick: series == loggedMany})
		}
	}
	e.Summary = effectOfPlacement
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
		v := l.busy()
		v["replies"], v["CPU per reply"] = l.perSecond(), l.cost()["CPU per reply"]
		return v, to.verdict(ctx)
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
		err = start()
		return to, func() {}, err
	}
	first, second, err := twoCores()
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

// effectOfPlacement says how many times as many lines an engine answers if server and loader have a core each; "" if
// that was not measured.
func effectOfPlacement(d *Data) string {
	var texts []string
	for _, engine := range twoEngines {
		var ratios []string
		for _, series := range []struct{ name, words string }{{loggedOne, "with one line in flight"}, {loggedMany, "with 16"}} {
			e := paired(d.values(engine, oneEach+", "+series.name, "replies"), d.values(engine, bothShare+", "+series.name, "replies"))
			if e.N > 0 {
				ratios = append(ratios, fmt.Sprintf("%s times%s as many lines %s", times(e.Mean), doubt(e), series.words))
			}
		}
		if len(ratios) > 0 {
			texts = append(texts, fmt.Sprintf("With a core for itself, and another one for the loader, %s %s as where both share all cores.",
				plainNames[engine].does("answers", "answer"), strings.Join(ratios, " and ")))
		}
	}
	return strings.Join(texts, " ")
}
