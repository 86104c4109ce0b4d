package lab

import (
	"context"
	"fmt"
	"time"
)

// manyServers measures herds of more than five processes.
func manyServers() *Experiment {
	e := &Experiment{Expect: expectation{17, 5 * time.Second}, Section: SectionGrowth, OnDemand: true, Timeout: 5 * time.Minute, Row: Row{
		Name:     "many-servers",
		Question: "What does a herd of many processes on one machine cost, idle and loaded?",
		Method: "The processes are on a ring; of 20, every second one is also a neighbor of the one opposite. They hold 10,000 " +
			"clients, and log every line. First nobody is connected, for five times as long as stated. Then updates come " +
			"as in the row herd, and its figures are measured: CPU, memory and connections are those of " +
			"all processes.",
		Variable: "thousands of updates a second",
		Subjects: bothHerds,
		Figures: append([]Figure{
			{Name: "idle", Unit: "% of a core, without clients", Better: Lower, Chart: true},
			{Name: "resident", Unit: "MiB", Better: Lower},
			{Name: "AT lines per accepted", Unit: "in the herd", Better: Lower},
		}, updateFigures()...),
	}}
	servers := map[string]int{} // of a setting
	for _, n := range []int{5, 20} {
		series := fmt.Sprintf("%d servers", n)
		for _, rate := range []float64{2, 10, 0} {
			label := fmt.Sprintf("%s, %v k/s", series, rate)
			if rate == 0 {
				label = series + ", " + saturated
			}
			servers[label] = n
			e.Settings = append(e.Settings, Setting{Label: label, X: rate, Series: series,
				Quick: n == 5 && rate == 2})
			if rate == 0 { // it is not on the line of the others
				e.Settings[len(e.Settings)-1].Series = label
			}
		}
	}
	e.Measure = func(ctx context.Context, b *Bench, r Run) (Values, error) {
		names, neighbors := crossedRing(servers[r.Setting.Label])
		all, err := startHerd(ctx, b, herdOptions{
			program: b.serve(r.Subject), engine: engines[0], servers: names, neighbors: neighbors, logged: true,
			preload: manyServersClients,
		})
		if err != nil {
			return nil, err
		}
		defer all.stop()
		return measureServers(ctx, b, all, 1000*r.Setting.X)
	}
	return e
}

const manyServersClients = 10_000

// crossedRing is a ring of n servers, in which, of more than five, every second one is also a neighbor of
// the one opposite.
func crossedRing(n int) (names []string, neighbors map[string][]string) {
	neighbors = map[string][]string{}
	for i := range n {
		names = append(names, fmt.Sprintf("S%02d", i))
	}
	join := func(i, k int) {
		a, b := names[i%n], names[k%n]
		neighbors[a], neighbors[b] = append(neighbors[a], b), append(neighbors[b], a)
	}
	for i := range n {
		join(i, i+1)
	}
	for i := 0; i < n/2 && n > 5; i += 2 {
		join(i, i+n/2)
	}
	return names, neighbors
}

// measureServers measures a herd idle, and then loaded.
func measureServers(ctx context.Context, b *Bench, all servers, rate float64) (Values, error) {
	before, err := all.usage()
	if err != nil {
		return nil, err
	}
	begun := time.Now()
	pause(ctx, 5*b.Length)
	length := time.Since(begun)
	after, err := all.usage()
	if err != nil {
		return nil, err
	}
	used := after.user + after.system - before.user - before.system
	first, err := all.counts()
	if err != nil {
		return nil, err
	}
	v, err := measureUpdates(ctx, b, all, rate, manyServersClients)
	if err != nil {
		return nil, err
	}
	last, err := all.counts()
	if err != nil {
		return nil, err
	}
	v["idle"] = 100 * used.Seconds() / length.Seconds()
	v["AT lines per accepted"] = (last.atLines - first.atLines) / (last.stored - first.stored)
	for _, p := range all {
		v["resident"] += p.resident() / (1 << 20)
	}
	return v, nil
}
