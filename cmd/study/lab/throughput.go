package lab

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// everyone is the subjects of the first two rows.
func everyone(more ...string) []string { return slices.Concat(engines, peerNames(), more) }

// Labels of settings of throughput.
const (
	loggedOne     = "pipeline 1"
	loggedMany    = "pipeline 16"
	serverBusy    = "server busy"
	loaderBusy    = "loader busy"
	unlogged      = "lines not logged, pipeline "
	fewConns      = "50 connections, "
	manyConns     = "1000 connections, "
	unloggedLabel = fewConns + unlogged
)

// otherWork says how the work of a GEOADD differs from that of an IAMAT.
const otherWork = "A GEOADD is other work than an IAMAT. It parses RESP and two decimal numbers, computes a geohash, " +
	"inserts into a sorted set, and replies with one number. It does not parse ISO 6709, check a time, decide between two " +
	"updates of a client, reply with a line that has a time difference, log, or keep what neighbors and restarts need."

// throughput measures the throughput of one server in a closed loop.
func throughput() *Experiment {
	e := &Experiment{Expect: expectation{1.25, 350 * time.Millisecond}, Section: SectionServer, Row: Row{
		Name:     "throughput",
		Question: "How many updates a second does one server take, and what does one cost?",
		Method: "Each connection keeps its lines in flight: IAMATs of 1,000 clients, each newer than " +
			"the last. Engines and peers log every line in and out, except where it is said otherwise; " +
			"yardsticks do not. The loader is one event loop that compares every reply. Redis, which keeps " +
			"nothing on disk here, gets a GEOADD of the same id and position for each IAMAT; or its own " +
			"redis-benchmark sends it GEOADDs of 1,000 ids with as many connections and as deep a pipeline (-c and " +
			"-P), and does not compare replies. " + otherWork + " Of many connections the run is longer, by 0.1 ms for " +
			"each. Peers, Redis and the bare servers are loaded by 50 connections only. " +
			"The bare servers have the herd's parser and a map, and neither log nor feed, digest, limits, " +
			"or links.",
		Variable: "connections", LogX: true,
		Subjects: everyone(redis, redisBenchmark, bareLoop, bareGoroutines),
		Figures: append([]Figure{{Name: "replies", Unit: "1/s", Better: Higher, Chart: true, LogY: true}},
			costFigures()...),
	}}
	for _, pipeline := range []int{1, 16} {
		series := fmt.Sprintf("pipeline %d", pipeline)
		for _, conns := range []int{1, 50, 1000, 10_000} {
			if conns > 1000 && pipeline > 1 {
				continue // the logs of most engines would drop entries
			}
			e.Settings = append(e.Settings, Setting{Label: fmt.Sprintf("%d connections, %s", conns, series),
				X: float64(conns), Series: series, Quick: conns == 50})
		}
	}
	for _, pipeline := range []int{1, 16} {
		e.Settings = append(e.Settings, Setting{Label: fmt.Sprint(unloggedLabel, pipeline), X: 50,
			Series: fmt.Sprint(unlogged, pipeline), Quick: pipeline == 16})
	}
	e.Missing = missing
	e.Excludes = func(subject string, s Setting) bool {
		return s.X != 50 && !slices.Contains(engines, subject)
	}
	e.Measure = func(ctx context.Context, b *Bench, r Run) (Values, error) {
		pipeline := 1
		if r.Setting.Series == loggedMany || r.Setting.Series == unlogged+"16" {
			pipeline = 16
		}
		logged := r.Setting.Series == loggedOne || r.Setting.Series == loggedMany
		to, err := startAny(ctx, b, r.Subject, logged)
		if err != nil {
			return nil, err
		}
		defer to.stop()
		apply := b.applyAny
		if r.Subject == redisBenchmark {
			apply = b.benchmarkRedis
		}
		l, err := apply(ctx, to, int(r.Setting.X), pipeline)
		if err != nil {
			return nil, err
		}
		if slices.Contains(engines, r.Subject) {
			if err := to.verdict(ctx); err != nil {
				return nil, err
			}
		}
		v := l.cost()
		v["replies"] = l.perSecond()
		return v, nil
	}
	e.Targets = throughputTargets()
	e.Guesses = []Guess{
		{"Node.js could outperform Python with Twisted (6.3.3)", "replies", fewConns + loggedOne,
			nodeJS, twisted, Higher, ""},
		{"the same, pipelined", "replies", fewConns + loggedMany, nodeJS, twisted, Higher, ""},
		{"threads could be useful: the goroutines engine against the loop (6.3.3)", "replies",
			fewConns + loggedOne, "goroutines", "loop", Higher, ""},
		{"the same, pipelined", "replies", fewConns + loggedMany, "goroutines", "loop", Higher, ""},
		{"the same, of a thousand connections", "replies", manyConns + loggedOne, "goroutines", "loop", Higher, ""},
	}
	return e
}

func throughputTargets() []Target {
	const loop, goroutines = "loop", "goroutines"
	many, one := fewConns+loggedMany, fewConns+loggedOne
	of := func(work, setting, against string, least float64) Target {
		return Target{Work: work, Figure: "replies", Setting: setting, Subject: loop, Against: against,
			AtLeast: least}
	}
	const (
		logged    = "50 connections, pipeline 16, logged"
		notLogged = "50 connections, pipeline 16, not logged"
		single    = "50 connections, no pipeline, logged"
	)
	return []Target{
		of(logged, many, redis, 1.3), of(logged, many, redisBenchmark, 1.3), of(logged, many, twisted, 2),
		of(logged, many, goroutines, 1.2), of(notLogged, unloggedLabel+"16", redis, 2),
		of(notLogged, unloggedLabel+"16", redisBenchmark, 2), of(notLogged, unloggedLabel+"16", bareLoop, 0.75),
		of(single, one, redis, 1), of(single, one, twisted, 2), of(single, one, bareLoop, 0.8),
		{Work: "1,000 connections", Figure: "CPU per reply", Setting: manyConns + loggedOne, Subject: loop,
			Against: goroutines, AtMost: 0.8},
	}
}
