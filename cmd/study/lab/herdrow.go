package lab

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"serverherd/cmd/herd/load"
	"serverherd/cmd/study/peers"
)

// Settings and figures of wholeHerd.
const (
	atOne       = "updates at one"
	atAll       = "updates at all"
	atFixedRate = "5,000 updates/s at all"
	atLowRate   = "200 updates/s at one"

	untilEqual     = "accepted until equal"
	applications   = "applications"
	ofEach         = "applications per update"
	costEverywhere = "CPU per update applied everywhere"
)

// fixedRate is the rate of atFixedRate, which every subject sustains without a queue.
const fixedRate = 5000

// wholeHerd measures five real servers in the paper's ring.
func wholeHerd() *Experiment {
	e := &Experiment{Section: SectionHerd, Expect: expectation{2.5, 600 * time.Millisecond}, Row: Row{
		Name:     "herd-peers",
		Question: "How many updates a second does a herd of five take, and how soon are they everywhere?",
		Method: "Five processes on the paper's ring, every line logged, on the same cores as the " +
			"loader: 50 connections with 16 lines in flight, to one server or spread over all, that update 200 clients. " +
			"Time counts until every server answers the same of every client. Where a neighbor lags, the herd sends it only " +
			"the newest update of a client, and peers every update: an application is an update that is stored or applied at " +
			"one server. CPU per update is that of all five processes at a fixed rate, at which every update is applied at " +
			"every server. If the herd's servers apply less than 95 % there, or differ at the end, the run is void. Propagation is the " +
			"time until the slowest of the other servers has an update, at a low rate.",
		Variable: "servers that take updates", Categories: true,
		Subjects: everyone(),
		Settings: []Setting{{Label: atOne, X: 1}, {Label: atAll, X: 5, Quick: true}, {Label: atFixedRate, X: 5, Quick: true},
			{Label: atLowRate, X: 1, Quick: true}},
		Figures: append([]Figure{
			{Name: "accepted", Unit: "updates/s"},
			{Name: untilEqual, Unit: "updates/s"},
			{Name: applications, Unit: "1/s, at all five servers", Better: Higher, Chart: true},
			{Name: costEverywhere, Unit: "us of all five servers", Better: Lower, Chart: true},
			{Name: ofEach, Unit: "5 is every server"},
			{Name: "until equal", Unit: "ms after the last reply"},
			{Name: "AT lines per update", Unit: "in the herd"},
			{Name: "propagation p50", Unit: "ms", Better: Lower},
			{Name: "propagation p99", Unit: "ms"},
		}, busyFigures...),
	}}
	e.Missing = missing
	e.Excludes = func(subject string, s Setting) bool {
		return s.Label == atLowRate && !slices.Contains(engines, subject)
	}
	e.Measure = func(ctx context.Context, b *Bench, r Run) (Values, error) {
		own := slices.Contains(engines, r.Subject)
		var all servers
		var err error
		if own {
			all, err = startHerd(ctx, b, herdOptions{
				engine: r.Subject, logged: true, servers: ringNames, neighbors: ring,
			})
		} else {
			all, err = startPeer(ctx, r.Subject,
				peers.Options{Dir: b.Dir, Lines: true, Names: ringNames, Neighbors: ring})
		}
		if err != nil {
			return nil, err
		}
		defer all.stop()
		switch r.Setting.Label {
		case atFixedRate:
			return measureCost(ctx, b, all, own)
		case atLowRate:
			return measurePropagation(ctx, b, all)
		}
		to := all
		if r.Setting.X == 1 {
			to = all[:1]
		}
		return measureHerd(ctx, b, all, to, own)
	}
	e.Targets = []Target{{
		Work:   "five processes, updates at all",
		Figure: applications, Setting: atAll, Subject: "loop", Against: twisted, AtLeast: 8,
	}}
	return e
}

// herdClients is small enough to query every client at every server. nearlyAll is the least part of the servers that
// counts as everywhere.
const (
	herdClients = 200
	nearlyAll   = 0.95
)

// measurePropagation measures how soon the slowest of the other servers has an update.
func measurePropagation(ctx context.Context, b *Bench, all servers) (Values, error) {
	if _, err := b.apply(ctx, all[:1], load.Options{Connections: 1, Rate: 200, Duration: 4 * b.Length}); err != nil {
		return nil, err
	}
	c, err := all.counts()
	if err != nil {
		return nil, err
	}
	return Values{"propagation p50": 1e3 * c.p50, "propagation p99": 1e3 * c.p99}, all.verdict(ctx)
}

// measureHerd loads the herd, which is not a peer's if own, and waits until all servers agree.
func measureHerd(ctx context.Context, b *Bench, all, to servers, own bool) (Values, error) {
	var before counted
	var err error
	if own {
		if before, err = all.counts(); err != nil {
			return nil, err
		}
	}
	begun := time.Now()
	l, err := b.apply(ctx, to, load.Options{
		Connections: 50, Pipeline: 16, Clients: herdClients, Duration: 2 * b.Length,
	})
	if err != nil {
		return nil, err
	}
	replied := time.Now()
	if err := all.agree(ctx); err != nil {
		return nil, err
	}
	agreed := time.Now()
	v := Values{
		"accepted":    l.perSecond(),
		untilEqual:    float64(l.report.All.Replies) / agreed.Sub(begun).Seconds(),
		"until equal": milliseconds(agreed.Sub(replied)),
		ofEach:        float64(len(all)), // a peer sends every update to every server
	}
	if len(to) == len(all) {
		maps.Copy(v, l.busy())
	}
	if own {
		if err := all.verdict(ctx); err != nil {
			return nil, err
		}
		after, err := all.counts()
		if err != nil {
			return nil, err
		}
		v[ofEach] = after.perUpdate(before)
		v["AT lines per update"] = (after.atLines - before.atLines) / (after.stored - before.stored)
	}
	v[applications] = v[untilEqual] * v[ofEach]
	return v, nil
}

// perUpdate is at how many servers an update was stored or applied.
func (c counted) perUpdate(before counted) float64 {
	return 1 + (c.applied-before.applied)/(c.stored-before.stored)
}

// measureCost measures the CPU time of updates at a fixed rate, and checks that all servers agree at the end.
func measureCost(ctx context.Context, b *Bench, all servers, own bool) (Values, error) {
	var before, after counted
	var err error
	if own {
		if before, err = all.counts(); err != nil {
			return nil, err
		}
	}
	l, err := b.apply(ctx, all, load.Options{
		Connections: 50, Rate: fixedRate, Clients: herdClients, Warmup: b.Length / 2, Duration: 2 * b.Length,
	})
	if err != nil {
		return nil, err
	}
	if l.perSecond() < 0.95*fixedRate {
		return nil, Void("only %.0f of %d updates a second were answered", l.perSecond(), fixedRate)
	}
	if err := all.agree(ctx); err != nil {
		return nil, err
	}
	v := l.busy()
	v[costEverywhere] = microseconds(l.server.user+l.server.system) / l.replies
	if !own {
		return v, nil
	}
	if err := all.verdict(ctx); err != nil {
		return nil, err
	}
	if after, err = all.counts(); err != nil {
		return nil, err
	}
	v[ofEach] = after.perUpdate(before)
	everywhere := v[ofEach] / float64(len(all))
	if everywhere < nearlyAll {
		return nil, Void("an update was applied at %.2f of %d servers", v[ofEach], len(all))
	}
	v[costEverywhere] /= everywhere
	return v, nil
}

// counted has the sums of the servers' counters.
type counted struct {
	stored, applied, atLines float64
	p50, p99                 float64 // propagation to the slowest server, in seconds
}

func (all servers) counts() (c counted, err error) {
	for _, p := range all {
		s, err := p.status()
		if err != nil {
			return c, err
		}
		c.stored += float64(s.Counters.Stored)
		c.applied += float64(s.Counters.Applied)
		for _, l := range s.Links {
			c.atLines += float64(l.ATSent)
		}
		c.p50, c.p99 = max(c.p50, s.Propagation.P50), max(c.p99, s.Propagation.P99)
	}
	return c, nil
}

// agree waits until all servers give the same answer for every client. It sends WHATSATs, because peers
// have no status.
func (all servers) agree(ctx context.Context) error {
	var lines strings.Builder
	for i := range herdClients {
		fmt.Fprintf(&lines, "WHATSAT load%07d 0 0\n", i)
	}
	for {
		known := make(map[string]bool)
		for _, p := range all {
			replies, err := askOnce(p.addr, lines.String(), herdClients)
			if err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
			known[locations(replies)] = true
		}
		if len(known) == 1 {
			return nil
		}
		if ctx.Err() != nil {
			return Void("the servers do not agree: %v", ctx.Err())
		}
		pause(ctx, 5*time.Millisecond)
	}
}

// locations returns the AT lines among replies, from the client id on.
func locations(replies string) string {
	var all strings.Builder
	for line := range strings.Lines(replies) {
		if f := strings.Fields(line); len(f) == 6 && f[0] == "AT" {
			all.WriteString(strings.Join(f[3:], " ") + "\n")
		}
	}
	return all.String()
}
