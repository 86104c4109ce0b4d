package guard

import (
	"context"
	"errors"
	"net/http/httptrace"
	"sync/atomic"

	"serverherd/places"
)

// counters are the counters in Report. Any goroutine.
type counters struct {
	attempts, retries, rateWaits, rateRefused, budgetRefused, shareRefused atomic.Uint64
	breakerOpened, breakerRefused, fallbacks                               atomic.Uint64

	failures [places.Strange + 1]atomic.Uint64 // by kind
}

// count counts the outcome of an attempt.
func (c *counters) count(err error) {
	var f *places.Failure
	if errors.As(err, &f) {
		c.failures[f.Kind].Add(1)
	}
}

// traced counts requests that net/http repeats by itself: if an idle connection turns out to be dead, it
// sends a GET again on another, but the first may have been served and charged.
func (g *Guard) traced(ctx context.Context, payer *places.Payer) context.Context {
	var sent atomic.Int32
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() {
		if sent.Add(1) == 1 {
			return // counted by pay
		}
		g.counters.attempts.Add(1)
		if g.options.Budget != nil {
			_, _ = g.options.Budget.Spend(payer.Address) // already sent: the result does not matter
		}
	}})
}

// Report returns the guard's status. It reads the budget file.
func (g *Guard) Report() places.NetworkReport {
	c := &g.counters
	r := places.NetworkReport{
		Breaker:  g.state(),
		Attempts: c.attempts.Load(), Retries: c.retries.Load(),
		Transient: c.failures[places.Transient].Load(), OverLimit: c.failures[places.OverLimit].Load(),
		Denied: c.failures[places.Denied].Load(), Invalid: c.failures[places.Invalid].Load(),
		Strange: c.failures[places.Strange].Load(), RateWaits: c.rateWaits.Load(),
		RateRefused: c.rateRefused.Load(), BudgetRefused: c.budgetRefused.Load(),
		ShareRefused:  c.shareRefused.Load(),
		BreakerOpened: c.breakerOpened.Load(), BreakerRefused: c.breakerRefused.Load(),
		Fallbacks: c.fallbacks.Load(),
	}
	if g.options.Budget != nil {
		r.Budget = g.options.Budget.Report()
	}
	return r
}
