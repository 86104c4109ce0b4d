package lab

import (
	"context"
	"fmt"
	"slices"
	"time"

	"serverherd/herd/config"
	"serverherd/herd/sim"
	"serverherd/reactor/memreactor"
)

// Subjects of floodOrAsk.
const (
	flooding = "flood"
	asking   = "ask"
)

// hop is the latency between two servers in the simulated rows.
const hop = 5 * time.Millisecond

// ratio is the ratio of updates to queries.
type ratio struct{ updates, queries int }

var ratiosOfTraffic = []ratio{{100, 1}, {10, 1}, {1, 1}, {1, 10}, {1, 100}}

// askedHerd is a topology of floodOrAsk.
type askedHerd struct {
	name, shape string
	servers     int
}

var askedHerds = []askedHerd{{"ring of 5", "ring", 5}, {"random graph of 20", "random", 20}}

// floodOrAsk compares the alternatives of section 3.3 of the paper, in virtual time.
func floodOrAsk() *Experiment {
	e := &Experiment{Expect: expectation{more: 140 * time.Millisecond}, Section: SectionFlooding, Simulated: true, Row: Row{
		Name:     "flood-or-ask",
		Question: "Is it better to flood every update, or to fetch a location when somebody asks?",
		Method: "Simulated, 5 ms from server to server, none from a client to its own: the herd, and " +
			"one that stores a client's location at its server only and asks for it along the same " +
			"topology. 1,000 clients that stay with their server send an operation each 2 ms in the mean, " +
			"at chance; queries go to any server. By construction, and not as a result, a flooded herd answers at once, " +
			"and all its servers store all records.",
		Variable: "queries per update", LogX: true,
		Subjects: []string{flooding, asking},
		Figures: []Figure{
			{Name: "messages per operation", Unit: "AT lines and requests", Better: Lower,
				Chart: true, LogY: true},
			{Name: "lines per operation", Unit: "all between servers"},
			{Name: "response time", Unit: "ms, mean of all operations"},
			{Name: "response time of queries", Unit: "ms, p99"},
			{Name: "stale answers", Unit: "% of queries"},
			{Name: "records", Unit: "per server, mean"},
		},
	}}
	for _, h := range askedHerds {
		for _, r := range ratiosOfTraffic {
			e.Settings = append(e.Settings, Setting{
				Label: fmt.Sprintf("%d:%d, %s", r.updates, r.queries, h.name),
				X:     float64(r.queries) / float64(r.updates), Series: h.name,
				Quick: r.updates != 10 && r.queries != 10,
			})
		}
	}
	e.Summary = linesOfFlooding
	e.Measure = func(_ context.Context, b *Bench, r Run) (Values, error) {
		operations := 4000
		if b.Quick {
			operations = 1000
		}
		updates := 1 / (1 + r.Setting.X)
		h := askedHerds[slices.IndexFunc(askedHerds, func(h askedHerd) bool {
			return h.name == r.Setting.Series
		})]
		if r.Subject == flooding {
			return flood(uint64(r.Round), h.shape, h.servers, operations, updates)
		}
		return ask(uint64(r.Round), h.shape, h.servers, operations, updates)
	}
	const queries, busy = "1:100, ring of 5", "1:1, ring of 5"
	e.Guesses = []Guess{
		{"asking has the larger response time (3.3)", "response time of queries", busy,
			asking, flooding, Higher, "a flooded herd answers where it is asked, and the simulation has no time for that"},
		{"flooding is the more efficient where there are a lot of queries and updates (3.3)",
			"messages per operation", busy, flooding, asking, Lower, ""},
		{"the same, of a herd of twenty", "messages per operation", "1:1, random graph of 20",
			flooding, asking, Lower, ""},
		{"the same, where almost all are queries", "messages per operation", queries, flooding, asking, Lower, ""},
		{"asking stores less at each server (3.3)", "records", busy, asking, flooding, Lower,
			"it stores each record once"},
	}
	return e
}

const (
	pace           = 2 * time.Millisecond
	trafficClients = 1000
)

// flood measures the herd, which floods updates.
func flood(seed uint64, shape string, size, operations int, updates float64) (Values, error) {
	c, err := sim.NewHerd(sim.HerdOptions{Seed: seed, Shape: shape, Servers: size, Delay: hop})
	if err != nil {
		return nil, err
	}
	t := newTraffic(c.World, addressesOf(c.Config.Servers), trafficClients)
	messages, overhead := c.ATLines(), c.Overhead()
	t.operate(operations, updates, pace)
	if !c.Equal() {
		return nil, Void("the servers differ after all messages have been delivered")
	}
	v := t.values(float64(c.ATLines()-messages), float64(c.Overhead()-overhead))
	v["records"] = trafficClients
	return v, nil
}

// ask measures askers, which look up on demand.
func ask(seed uint64, shape string, size, operations int, updates float64) (Values, error) {
	w := memreactor.NewWorld(seed, memreactor.Options{})
	servers, _, err := sim.Shape(shape, size, w.Rand())
	if err != nil {
		return nil, err
	}
	sim.Spread(w, servers, hop)
	var messages uint64
	all := newAskers(w, servers, &messages)
	t := newTraffic(w, addressesOf(servers), trafficClients)
	before := messages
	t.operate(operations, updates, pace)
	v := t.values(float64(messages-before), 0)
	for _, a := range all {
		v["records"] += float64(a.store.Len()) / float64(len(all))
	}
	return v, nil
}

// values returns the figures of the measured operations.
func (t *traffic) values(messages, overhead float64) Values {
	v := Values{
		"messages per operation": messages / float64(t.done),
		"lines per operation":    (messages + overhead) / float64(t.done),
		"response time":          mean(t.response),
	}
	if t.queries > 0 {
		slices.Sort(t.asking)
		v["response time of queries"] = t.asking[(len(t.asking)*99)/100]
		v["stale answers"] = 100 * float64(t.stale) / float64(t.queries)
	}
	return v
}

func mean(values []float64) (m float64) {
	for _, v := range values {
		m += v / float64(len(values))
	}
	return m
}

func addressesOf(servers []config.Server) (all []string) {
	for _, s := range servers {
		all = append(all, s.Address)
	}
	return all
}
