package guard

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/sony/gobreaker/v2"
	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"serverherd/places"
)

// Options are what a Guard is made of.
type Options struct {
	Provider places.Provider // makes one attempt with each call; its errors are *places.Failure
	Name     string          // of the provider, for logs and reports
	Timeout  time.Duration   // of a whole lookup, waiting and repeating included
	Rate     int             // attempts a second, and as many at once
	Budget   *Budget         // attempts of a day; nil for any number
	Fallback places.Provider // answers when Provider did not; nil for none
	Log      *zap.Logger     // hears when a breaker opens or closes and when the budget is spent
}

// How often a question is asked in all, and how long to wait before it is asked again: the wait
// doubles from the first to the last, plus or minus a half.
const (
	maxTries     = 4
	maxOverLimit = 3
	firstWait    = 100 * time.Millisecond
	longestWait  = 2 * time.Second
)

// Guard is a network provider with bounds. Any goroutine.
type Guard struct {
	options  Options
	limiter  *rate.Limiter
	refused  *breaker // the provider does not take the key
	failing  *breaker // the provider keeps failing
	answers  answers
	unpaid   unpaid
	counters counters

	uncounted atomic.Int64 // when the log was last told that attempts cannot be counted, in nanoseconds
}

// uncountedPause is how often the log is told that attempts cannot be counted, at most.
const uncountedPause = 30 * time.Second

var _ places.Paced = (*Guard)(nil)

// New returns a guard with closed breakers.
func New(o Options) *Guard {
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	g := &Guard{options: o, limiter: rate.NewLimiter(rate.Limit(o.Rate), o.Rate)}
	g.refused = gobreaker.NewCircuitBreaker[places.Result](g.whenRefused())
	g.failing = gobreaker.NewCircuitBreaker[places.Result](g.whenFailing())
	if o.Budget != nil {
		o.Budget.logTo(o.Log)
	}
	return g
}

// Nearby implements places.Provider: an answer within the timeout, or by ctx's deadline if that is
// earlier, or what kept it away. Cancelling ctx means that nobody waits any longer. If the deadline is
// over already, the fallback answers at once.
func (g *Guard) Nearby(ctx context.Context, q places.Query) (places.Result, error) {
	r, err := g.lookup(ctx, q)
	if err == nil || g.options.Fallback == nil || ctx.Err() == context.Canceled {
		return r, err
	}
	other, failed := g.options.Fallback.Nearby(context.WithoutCancel(ctx), q)
	if failed != nil {
		return places.Result{}, err
	}
	g.counters.fallbacks.Add(1)
	return places.WithAttribution(other, fmt.Sprintf(
		"%s could not answer: %v. These places are from the data built into the server.",
		g.options.Name, err)), nil
}

// lookup tries until there is an answer or no sense in trying.
func (g *Guard) lookup(ctx context.Context, q places.Query) (places.Result, error) {
	within, cancel := context.WithTimeout(ctx, g.options.Timeout)
	defer cancel()
	deadline, _ := within.Deadline()
	if within.Err() == context.DeadlineExceeded {
		return places.Result{}, g.late()
	}
	var last error // what the latest attempt said
	tries := 0
	r, err := backoff.Retry(within, func() (places.Result, error) {
		var r places.Result
		tries++
		r, last = g.attempt(within, q)
		return r, again(last, tries)
	}, backoff.WithBackOff(pauses()), backoff.WithMaxElapsedTime(time.Until(deadline)),
		backoff.WithNotify(func(error, time.Duration) { g.counters.retries.Add(1) }))
	switch {
	case err == nil:
		return r, nil
	case ctx.Err() == context.Canceled:
		return r, ctx.Err() // nobody waits
	}
	return r, last
}

func pauses() backoff.BackOff {
	return &backoff.ExponentialBackOff{
		InitialInterval: firstWait, RandomizationFactor: 0.5, Multiplier: 2, MaxInterval: longestWait,
	}
}

// again is err as backoff wants it: whether to try again, and when.
func again(err error, tries int) error {
	var f *places.Failure
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &f):
	case f.Kind == places.Transient && tries < maxTries, f.Kind == places.OverLimit && tries < maxOverLimit:
		if f.RetryAfter > 0 {
			return &backoff.RetryAfterError{Duration: f.RetryAfter}
		}
		return err
	}
	return backoff.Permanent(err)
}

// attempt asks once, if breakers, rate and budget let it.
func (g *Guard) attempt(ctx context.Context, q places.Query) (places.Result, error) {
	r, err := g.refused.Execute(func() (places.Result, error) {
		r, err := g.failing.Execute(func() (places.Result, error) { return g.ask(ctx, q) })
		return r, g.inWords(err, "keeps failing and is left alone for", failingPause)
	})
	return r, g.inWords(err, "refuses the key and is asked again after", refusedPause)
}

// inWords is err, or what it means when a breaker is open.
func (g *Guard) inWords(err error, why string, pause time.Duration) error {
	if !errors.Is(err, gobreaker.ErrOpenState) && !errors.Is(err, gobreaker.ErrTooManyRequests) {
		return err
	}
	g.counters.breakerRefused.Add(1)
	return &ownError{fmt.Sprintf("%s %s %v", g.options.Name, why, pause)}
}

// ask waits for its turn, pays and asks. What cannot be paid does not wait, and takes nobody's turn.
func (g *Guard) ask(ctx context.Context, q places.Query) (places.Result, error) {
	payer := places.PayerOf(ctx)
	if b := g.options.Budget; b != nil {
		if err := b.Check(payer.Address); err != nil {
			return places.Result{}, g.refusedPay(payer, err)
		}
	}
	if err := g.turn(ctx, payer); err != nil {
		return places.Result{}, err
	}
	if err := g.pay(payer); err != nil {
		return places.Result{}, err
	}
	deadline, _ := ctx.Deadline()
	begun := time.Now()
	r, err := g.options.Provider.Nearby(g.traced(ctx, payer), q)
	g.counters.count(err)
	switch now := time.Now(); {
	case err == nil:
		g.answers.note(now, now.Sub(begun))
	case ctx.Err() == context.DeadlineExceeded && deadline.Sub(begun) < g.enough(now):
		err = &cutShort{err}
	}
	return r, err
}

// enough is how much time an attempt must have had for its timeout to count as a failure of the
// provider: half of the timeout, or a quarter more than the slowest of the latest answers took if
// that is more. Without the latter, a provider that takes 4 of 5 s would count as failing as soon as
// its lookups wait for a second. An attempt that had the whole timeout always counts.
func (g *Guard) enough(now time.Time) time.Duration {
	timeout := g.options.Timeout
	return min(max(timeout/2, g.answers.slowest(now)*5/4), timeout*99/100)
}

// turn waits until the rate allows an attempt, unless Admit has let the lookup pass.
func (g *Guard) turn(ctx context.Context, by *places.Payer) error {
	admitted := by.Admitted
	by.Admitted = false
	if !admitted && !g.limiter.Allow() {
		g.counters.rateWaits.Add(1)
		if err := g.limiter.Wait(ctx); err != nil && ctx.Err() == nil {
			g.counters.rateRefused.Add(1)
			return &ownError{fmt.Sprintf("more than %d lookups a second", g.options.Rate)}
		}
	}
	if ctx.Err() == context.DeadlineExceeded {
		return g.late()
	}
	return ctx.Err()
}

func (g *Guard) late() error { return &ownError{places.NoAnswer(g.options.Timeout)} }

// pay takes one attempt from the budget.
func (g *Guard) pay(by *places.Payer) error {
	if b := g.options.Budget; b != nil {
		last, err := b.Spend(by.Address)
		if err != nil {
			return g.refusedPay(by, err)
		}
		if last {
			g.options.Log.Warn("places budget spent", zap.String("provider", g.options.Name),
				zap.Int("daily_budget", b.limit))
		}
	}
	g.counters.attempts.Add(1)
	return nil
}

// refusedPay counts and logs why the budget refuses an attempt, and returns it in a client's words.
func (g *Guard) refusedPay(by *places.Payer, err error) error {
	switch b := g.options.Budget; err {
	case errShareSpent:
		by.Spent = true
		g.unpaid.note(by.Address)
		g.counters.shareRefused.Add(1)
		if b.firstRefused(by.Address) {
			g.options.Log.Warn("places budget share spent", zap.String("provider", g.options.Name),
				zap.String("address", by.Address), zap.Int("budget_share", b.share))
		}
	case errSpent:
		g.unpaid.note(everybody)
		g.counters.budgetRefused.Add(1)
	default:
		g.unpaid.note(everybody)
		g.counters.budgetRefused.Add(1)
		now := time.Now().UnixNano()
		if told := g.uncounted.Load(); now-told >= int64(uncountedPause) && g.uncounted.CompareAndSwap(told, now) {
			g.options.Log.Error("places budget cannot be counted", zap.Error(err))
		}
		err = uncounted(err)
	}
	return &ownError{err.Error()}
}

// cutShort is the failure of an attempt that had too little time because its lookup had waited, see
// enough. It says nothing about the provider.
type cutShort struct{ error }

// Unwrap is what errors.As looks into.
func (e *cutShort) Unwrap() error { return e.error }

// ownError is a lookup that the guard did not let through. It says nothing about the provider.
type ownError struct{ text string }

func (e *ownError) Error() string { return e.text }
