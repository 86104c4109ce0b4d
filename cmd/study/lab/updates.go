package lab

import (
	"context"
	"fmt"
	"time"

	"serverherd/cmd/herd/load"
)

// Settings of updates.
const (
	loggedUpdates   = "logged"
	unloggedUpdates = "not logged"
	saturated       = "saturated"
)

// updateClients is the number of clients, all of which are known before the load; a quick study has fewer.
const (
	updateClients      = 100_000
	quickUpdateClients = 10_000
)

// updates measures what an update costs a whole herd, at fixed rates and at saturation.
func updates() *Experiment {
	e := &Experiment{Rounds: 5, Expect: expectation{12, 1800 * time.Millisecond}, Section: SectionHerd, Row: Row{
		Name:     "herd",
		Question: "What does an update cost a herd of five, at low and at high load?",
		Method: "Five processes on the paper's ring hold 100,000 clients (in a quick study 10,000) and share the cores with the loader: " +
			"50 connections, spread over all servers, update clients at random. At a rate, lines are due at " +
			"fixed times; saturated, each connection has 16 lines in flight. A run is ten times as long as " +
			"stated. An application is a record stored or applied at one server. CPU is that of all five " +
			"processes. Propagation is that of the slowest server, estimated from the histogram of its status, " +
			"whose steps are powers of two. An agreement check is a comparison of all records with a " +
			"neighbor's; how long a link has been without one is read once a second, as is how many records a " +
			"neighbor lacks. Every repair is a false alarm. With two binaries more settings are measured.",
		Variable: "thousands of updates a second", LogX: true,
		Subjects: bothHerds,
		Figures:  updateFigures(),
	}}
	for _, series := range []string{loggedUpdates, unloggedUpdates} {
		for _, rate := range []float64{0.2, 2, 10, 40} {
			if rate < 1 && series != loggedUpdates {
				continue // it is there for the propagation of an idle herd
			}
			e.Settings = append(e.Settings, Setting{Label: atRate(rate, series), X: rate, Series: series,
				Quick: rate == 2 && series == loggedUpdates, Compared: rate < 1 || series != loggedUpdates})
		}
	}
	for _, series := range []string{loggedUpdates, unloggedUpdates} {
		label := saturated + ", " + series
		e.Settings = append(e.Settings, Setting{Label: label, Series: label, Quick: series == unloggedUpdates,
			Compared: series == loggedUpdates})
	}
	e.Measure = func(ctx context.Context, b *Bench, r Run) (Values, error) {
		clients := updateClients
		if b.Quick {
			clients = quickUpdateClients
		}
		all, err := startHerd(ctx, b, herdOptions{
			program: b.serve(r.Subject), engine: engines[0], servers: ringNames, neighbors: ring,
			logged:  r.Setting.Series == loggedUpdates || r.Setting.Label == saturated+", "+loggedUpdates,
			preload: clients,
		})
		if err != nil {
			return nil, err
		}
		defer all.stop()
		return measureUpdates(ctx, b, all, 1000*r.Setting.X, clients)
	}
	e.Targets = updateTargets()
	return e
}

// atRate is the label of a setting.
func atRate(thousands float64, series string) string {
	return fmt.Sprintf("%v k/s, %s", thousands, series)
}

func updateFigures() []Figure {
	return []Figure{
		{Name: "CPU per application", Unit: "us of all servers", Better: Lower, Chart: true, LogY: true},
		{Name: "CPU per accepted update", Unit: "us of all servers", Better: Lower},
		{Name: "accepted", Unit: "updates/s", Better: Higher},
		{Name: "applications per accepted", Unit: "the number of servers if every update is applied everywhere", Better: Higher},
		{Name: "propagation p50", Unit: "ms", Better: Lower},
		{Name: "propagation p99", Unit: "ms", Better: Lower, Chart: true, LogY: true},
		{Name: "behind", Unit: "records that a neighbor lacks, the most"},
		{Name: "loop lag p99", Unit: "ms at most, of the slowest server"},
		{Name: "agreement checks", Unit: "per link and second"},
		{Name: "agreement checks of one link", Unit: "per second, the fewest"},
		{Name: "longest without a check", Unit: "s, of any link"},
		{Name: "repairs", Unit: "in the herd"},
		{Name: "context switches per application", Unit: "of all threads"},
		{Name: "servers busy", Unit: "% of a core"},
		{Name: "loader busy", Unit: "% of a core"},
	}
}

func updateTargets() []Target {
	cost := func(setting string, most float64) Target {
		return Target{Work: "against the other binary, " + setting, Figure: "CPU per application", Setting: setting,
			Subject: thisHerd, Against: otherHerd, AtMost: most}
	}
	accepted := func(setting string) Target {
		return Target{Work: "against the other binary, " + setting, Figure: "accepted", Setting: setting,
			Subject: thisHerd, Against: otherHerd, AtLeast: 1.25}
	}
	ten := atRate(10, loggedUpdates)
	return []Target{
		cost(ten, 0.6), cost(atRate(40, loggedUpdates), 0.75),
		cost(saturated+", "+loggedUpdates, 0.75), cost(saturated+", "+unloggedUpdates, 0.75),
		accepted(saturated + ", " + loggedUpdates), accepted(saturated + ", " + unloggedUpdates),
		{Work: ten, Figure: "agreement checks of one link", Setting: ten, Subject: thisHerd, AtLeast: 0.1},
		{Work: ten, Figure: "longest without a check", Setting: ten, Subject: thisHerd, AtMost: 10},
		{Work: ten, Figure: "propagation p99", Setting: ten, Subject: thisHerd, AtMost: 3},
	}
}

// measureUpdates loads a herd with updates at a rate, or saturates it if the rate is 0.
func measureUpdates(ctx context.Context, b *Bench, all servers, rate float64, clients int) (Values, error) {
	o := load.Options{Connections: 50, Rate: rate, Clients: clients, Warmup: 2 * b.Length,
		Duration: 10 * b.Length}
	if rate == 0 {
		o.Pipeline = 16
	}
	var looks []look // the first at the end of the warm-up
	var failed error
	o.OnSecond = func(s load.Second) {
		l, err := all.look()
		if err != nil {
			failed = err
			return
		}
		if s.Warmup {
			looks = looks[:0]
		}
		looks = append(looks, l)
	}
	l, err := b.apply(ctx, all, o)
	if err != nil {
		return nil, err
	}
	if failed != nil {
		return nil, failed
	}
	if len(looks) < 2 {
		return nil, fmt.Errorf("no measurement within %v", o.Duration)
	}
	v := costOfUpdates(looks)
	v["loader busy"] = 100 * l.loader.Seconds() / l.length.Seconds()
	return v, all.verdict(ctx)
}
