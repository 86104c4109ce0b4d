package lab

import (
	"context"
	"time"
)

// copying measures a server while it receives a copy of all records of its neighbor.
func copying() *Experiment {
	const million = "1 M records"
	e := &Experiment{Rounds: 5, Expect: expectation{more: 3500 * time.Millisecond}, Section: SectionHerd, Row: Row{
		Name:     "copy",
		Question: "For how long does a copy of all records keep a server from its clients?",
		Method: "A server holds the records. Then its only neighbor is started and receives them. The longest " +
			"turn is the longest single event or call on its loop since its start; the loop lag is the " +
			"wait of posted calls, of which its status, asked for every 5 ms, is one. The copy takes from the " +
			"first of its records to the last, as its status shows it. Lines are not logged.",
		Variable: "records", LogX: true,
		Subjects: bothHerds,
		Settings: []Setting{{Label: "100 k records", X: 1e5, Quick: true}, {Label: million, X: 1e6}},
		Figures: []Figure{
			{Name: "longest turn", Unit: "ms", Better: Lower, Chart: true},
			{Name: "loop lag p99", Unit: "ms at most"},
			{Name: "copy", Unit: "s", Better: Lower},
			{Name: "CPU per record", Unit: "us of the receiver, its start included", Better: Lower},
			{Name: "resident", Unit: "MiB of the receiver"},
		},
	}}
	e.Measure = func(ctx context.Context, b *Bench, r Run) (Values, error) {
		all, err := startHerd(ctx, b, herdOptions{
			program: b.serve(r.Subject), engine: engines[0], servers: []string{"Alford", "Ball"},
			neighbors: map[string][]string{"Alford": {"Ball"}, "Ball": {"Alford"}},
			preload:   int(r.Setting.X), early: true,
		})
		if err != nil {
			return nil, err
		}
		defer all.stop()
		return measureCopy(ctx, all, uint64(r.Setting.X))
	}
	e.Targets = []Target{{Work: "a copy of 1,000,000 records", Figure: "longest turn", Setting: million,
		Subject: thisHerd, AtMost: 20}}
	return e
}

// measureCopy waits until the second server has all records of the first.
func measureCopy(ctx context.Context, all servers, records uint64) (Values, error) {
	to := all[1]
	var begun, ended time.Time // by the receiver's clock
	if err := to.until(ctx, "complete", func() bool {
		s, err := to.status()
		if err != nil || s.Records == 0 {
			return false
		}
		if begun.IsZero() {
			begun = s.Now
		}
		ended = s.Now
		return s.Records >= records
	}); err != nil {
		return nil, err
	}
	s, err := to.look()
	if err != nil {
		return nil, err
	}
	if s.status.Records != records {
		return nil, Void("%s has %d records, not %d", to.name, s.status.Records, records)
	}
	return Values{
		"longest turn": 1e3 * s.status.Loop.Slowest, "loop lag p99": 1e3 * s.status.Loop.LagP99,
		"copy":           ended.Sub(begun).Seconds(),
		"CPU per record": microseconds(s.usage.user+s.usage.system) / float64(records),
		"resident":       to.resident() / (1 << 20),
	}, all.verdict(ctx)
}
