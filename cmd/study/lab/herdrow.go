package lab

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"serverherd/cmd/herd/load"
	"serverherd/cmd/study/peers"
)

// Settings of wholeHerd, and its figure of cost.
const (
	atOne       = "updates at one"
	atAll       = "updates at all"
	atFixedRate = "5,000 updates/s at all"

	costEverywhere = "CPU per update applied everywhere"
)

// fixedRate is the rate of atFixedRate, which every subject sustains without a queue.
const fixedRate = 5000

// wholeHerd measures five real servers in the paper's ring.
func wholeHerd() *Experiment {
	e := &Experiment{Section: SectionHerd, Expect: expectation{2.75, 600 * time.Millisecond}, Row: Row{
		Name:     "herd-peers",
		Question: "How many updates a second does a herd of five take, and how soon are they everywhere?",
		Method: "Five processes on the paper's ring, every line logged, on the same cores as the " +
			"loader: 50 connections with 16 lines in flight, to one server or spread over all. What is " +
			"applied everywhere counts until every server answers the same of every client. Where neighbors lag, only the " +
			"newest update of a client goes on to them. Propagation is measured before, by 200 updates a second. CPU per " +
			"update is that of all five processes at a fixed rate, at which every update is applied at every server; the " +
			"run is void if they differ at its end.",
		Variable: "servers that take updates", Categories: true,
		Subjects: everyone(),
		Settings: []Setting{{Label: atOne, X: 1}, {Label: atAll, X: 5, Quick: true}, {Label: atFixedRate, X: 5, Quick: true}},
		Figures: []Figure{
			{Name: "accepted", Unit: "updates/s"},
			{Name: "applied everywhere", Unit: "updates/s", Better: Higher, Chart: true},
			{Name: costEverywhere, Unit: "us of all five servers", Better: Lower, Chart: true},
			{Name: "applications per update", Unit: "at a fixed rate; 5 is every server"},
			{Name: "until equal", Unit: "ms after the last reply"},
			{Name: "AT lines per update", Unit: "in the herd, loaded"},
			{Name: "propagation p50", Unit: "ms, at 200 updates a second", Better: Lower},
			{Name: "propagation p99", Unit: "ms, at 200 updates a second"},
		},
	}}
	e.Missing = missing
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
		if r.Setting.Label == atFixedRate {
			return measureCost(ctx, b, all, own)
		}
		to := all
		if r.Setting.X == 1 {
			to = all[:1]
		}
		return measureHerd(ctx, b, all, to, own)
	}
	e.Targets = []Target{{
		Work:   "five processes, updates at all, applied at all five",
		Figure: "applied everywhere", Setting: atAll, Subject: "loop", Against: twisted, AtLeast: 8,
	}}
	return e
}

// herdClients is small enough to query every client at every server.
const herdClients = 200

// measureHerd measures propagation at low load if own, that is if it is the herd's, then loads the herd and
// waits until all servers agree.
func measureHerd(ctx context.Context, b *Bench, all, to servers, own bool) (Values, error) {
	v := Values{}
	var quiet counted
	if own {
		_, err := b.apply(ctx, to, load.Options{Connections: len(to), Rate: 200, Duration: 2 * b.Length})
		if err != nil {
			return nil, err
		}
		if quiet, err = all.counts(); err != nil {
			return nil, err
		}
		v["propagation p50"], v["propagation p99"] = 1e3*quiet.p50, 1e3*quiet.p99
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
	v["accepted"] = l.perSecond()
	v["applied everywhere"] = float64(l.report.All.Replies) / agreed.Sub(begun).Seconds()
	v["until equal"] = milliseconds(agreed.Sub(replied))
	if !own {
		return v, nil
	}
	if err := all.verdict(ctx); err != nil {
		return nil, err
	}
	busy, err := all.counts()
	if err != nil {
		return nil, err
	}
	v["AT lines per update"] = (busy.atLines - quiet.atLines) / (busy.stored - quiet.stored)
	return v, nil
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
	v := Values{costEverywhere: microseconds(l.server.user+l.server.system) / l.replies}
	if !own {
		return v, nil
	}
	if err := all.verdict(ctx); err != nil {
		return nil, err
	}
	if after, err = all.counts(); err != nil {
		return nil, err
	}
	v["applications per update"] = 1 + (after.applied-before.applied)/(after.stored-before.stored)
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
