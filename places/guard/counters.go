package guard

import (
	"context"
	"errors"
	"net/http/httptrace"
	"sync/atomic"

	"serverherd/places"
)

// counters are what Report says. Any goroutine.
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

// traced makes the requests count that net/http sends by itself: when a kept connection turns out
// to be dead, it repeats a GET on another, though the first may have been served and charged.
func (g *Guard) traced(ctx context.Context, payer *places.Payer) context.Context {
	var sent atomic.Int32
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() {
		if sent.Add(1) == 1 {
			return // paid for
		}
		g.counters.attempts.Add(1)
		if g.options.Budget != nil {
			_, _ = g.options.Budget.Spend(payer.Address) // it has been sent, whatever the budget says
		}
	}})
}

// Report is the state of affairs. It reads the file of the budget.
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
