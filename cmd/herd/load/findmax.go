package load

import (
	"context"
	"errors"
	"fmt"
)

// Parameters of FindMax.
const (
	findSteps = 7    // bisection steps
	findShare = 0.95 // of the requests due must be answered
)

// FindMax finds the highest rate that meets a condition, by bisection. A closed loop with a pipeline of 16
// gives the upper bound. Progress is called for each step. The report is that of the best rate; its Rate is
// 0 if no rate meets the condition.
func FindMax(ctx context.Context, o Options, holds Threshold, progress func(string)) (*Report, error) {
	return findMax(ctx, Run, o, holds, progress)
}

// findMax is FindMax with a replaceable Run.
func findMax(ctx context.Context, run func(context.Context, Options) (*Report, error), o Options, holds Threshold,
	progress func(string)) (*Report, error) {
	closed := o
	closed.Rate, closed.Pipeline = 0, 16
	peak, err := run(ctx, closed)
	if err != nil {
		return nil, err
	}
	if peak.PerSecond == 0 {
		return nil, errors.New("no replies in the closed loop: no rate to start from")
	}
	progress(fmt.Sprintf("closed loop, pipeline 16: %.0f replies/s", peak.PerSecond))
	best := &Report{Servers: peak.Servers, Seed: o.Seed}
	low, high := 0.0, peak.PerSecond
	for range findSteps {
		if ctx.Err() != nil {
			break
		}
		o.Rate = (low + high) / 2
		r, err := run(ctx, o)
		if ctx.Err() != nil {
			break // an interrupted run is not conclusive
		}
		if err != nil {
			return nil, err
		}
		// Each connection may have a request in flight at the end.
		answered := float64(r.Measured.Replies) + float64(o.Connections)
		served := r.All.Errors+r.All.Unanswered == 0 && answered >= findShare*o.Rate*r.Duration
		ok := served && holds.Decidable(r) && holds.Holds(r)
		verdict := "no"
		if ok {
			verdict, low, best = "yes", o.Rate, r
		} else {
			high = o.Rate
		}
		progress(fmt.Sprintf("%.0f requests/s: %.0f replies/s, p50 %.3f ms, p99 %.3f ms, %d errors: %s", o.Rate,
			r.PerSecond, r.Latency.P50*1e3, r.Latency.P99*1e3, r.All.Errors, verdict))
	}
	return best, nil
}
