package load

import (
	"context"
	"errors"
	"fmt"
)

// How FindMax goes about it.
const (
	findSteps = 7    // halvings of what is in doubt
	findShare = 0.95 // of the lines due must be answered
)

// FindMax looks for the highest rate at which the condition holds, by halving: first a closed loop of
// 16 lines on each connection says how much there is at most. Said is told of each step. The report
// is that of the best rate; its Rate is zero if there is none.
func FindMax(ctx context.Context, o Options, holds Threshold, said func(string)) (*Report, error) {
	return findMax(ctx, Run, o, holds, said)
}

// findMax is FindMax with what makes the runs.
func findMax(ctx context.Context, run func(context.Context, Options) (*Report, error), o Options, holds Threshold,
	said func(string)) (*Report, error) {
	closed := o
	closed.Rate, closed.Pipeline = 0, 16
	peak, err := run(ctx, closed)
	if err != nil {
		return nil, err
	}
	if peak.PerSecond == 0 {
		return nil, errors.New("the closed loop got no reply, and so there is no rate to begin at")
	}
	said(fmt.Sprintf("closed loop, pipeline 16: %.0f replies/s", peak.PerSecond))
	best := &Report{Servers: peak.Servers, Seed: o.Seed}
	low, high := 0.0, peak.PerSecond
	for range findSteps {
		if ctx.Err() != nil {
			break
		}
		o.Rate = (low + high) / 2
		r, err := run(ctx, o)
		if ctx.Err() != nil {
			break // what was cut short proves nothing
		}
		if err != nil {
			return nil, err
		}
		// Each connection may have a line under way at the end.
		answered := float64(r.Measured.Replies) + float64(o.Connections)
		served := r.All.Errors+r.All.Unanswered == 0 && answered >= findShare*o.Rate*r.Duration
		ok := served && holds.Decidable(r) && holds.Holds(r)
		verdict := "no"
		if ok {
			verdict, low, best = "yes", o.Rate, r
		} else {
			high = o.Rate
		}
		said(fmt.Sprintf("%.0f lines/s: %.0f replies/s, p50 %.3f ms, p99 %.3f ms, %d errors: %s", o.Rate,
			r.PerSecond, r.Latency.P50*1e3, r.Latency.P99*1e3, r.All.Errors, verdict))
	}
	return best, nil
}
