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

// Options configure a Guard.
type Options struct {
	Provider places.Provider // sends one request per call; its errors are *places.Failure
	Name     string          // of the provider, for logs and reports
	Timeout  time.Duration   // of a lookup, including waits and retries
	Rate     int             // attempts per second, and the burst
	Budget   *Budget         // attempts per day; nil for no limit
	Fallback places.Provider // answers if Provider fails; nil for none
	Log      *zap.Logger     // for breaker state changes and the budget
}

// Attempts per lookup, by kind of failure, and the back-off between them: it doubles, with a jitter of 50
// %.
const (
	maxTries     = 4
	maxOverLimit = 3
	firstWait    = 100 * time.Millisecond
	longestWait  = 2 * time.Second
)

// Guard is a network provider with limits. Any goroutine.
type Guard struct {
	options    Options
	limiter    *rate.Limiter
	refused    *breaker // open if the provider rejects the API key
	failing    *breaker // open after consecutive failures
	answers    answers
	rejections rejections
	counters   counters

	budgetErrorLogged atomic.Int64 // when a budget file error was last logged, in Unix nanoseconds
}

// budgetErrorPause is the minimum time between two log entries about budget file errors.
const budgetErrorPause = 30 * time.Second

var _ places.Paced = (*Guard)(nil)

// New returns a guard with closed breakers.
func New(o Options) *Guard {
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	g := &Guard{options: o, limiter: rate.NewLimiter(rate.Limit(o.Rate), o.Rate)}
	g.refused = gobreaker.NewCircuitBreaker[places.Result](g.refusedSettings())
	g.failing = gobreaker.NewCircuitBreaker[places.Result](g.failingSettings())
	if o.Budget != nil {
		o.Budget.logTo(o.Log)
	}
	return g
}

// Nearby implements places.Provider. It returns within the timeout, or by ctx's deadline if that is
// earlier. Canceling ctx means that the caller has given up. If the deadline has passed already, only the
// fallback is tried.
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
		"%s could not answer: %v. These places are from the embedded data.",
		g.options.Name, err)), nil
}

// lookup makes attempts until there is an answer or a retry makes no sense.
func (g *Guard) lookup(ctx context.Context, q places.Query) (places.Result, error) {
	within, cancel := context.WithTimeout(ctx, g.options.Timeout)
	defer cancel()
	deadline, _ := within.Deadline()
	if within.Err() == context.DeadlineExceeded {
		return places.Result{}, g.timeout()
	}
	var last error // of the latest attempt
	tries := 0
	r, err := backoff.Retry(within, func() (places.Result, error) {
		var r places.Result
		tries++
		r, last = g.attempt(within, q)
		return r, retryable(last, tries)
	}, backoff.WithBackOff(pauses()), backoff.WithMaxElapsedTime(time.Until(deadline)),
		backoff.WithNotify(func(error, time.Duration) { g.counters.retries.Add(1) }))
	switch {
	case err == nil:
		return r, nil
	case ctx.Err() == context.Canceled:
		return r, ctx.Err() // the caller has given up
	}
	return r, last
}

func pauses() backoff.BackOff {
	return &backoff.ExponentialBackOff{
		InitialInterval: firstWait, RandomizationFactor: 0.5, Multiplier: 2, MaxInterval: longestWait,
	}
}

// retryable wraps err for package backoff, which decides by it whether and when to retry.
func retryable(err error, tries int) error {
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

// attempt makes one attempt, unless breakers, budget or rate limit reject it.
func (g *Guard) attempt(ctx context.Context, q places.Query) (places.Result, error) {
	r, err := g.refused.Execute(func() (places.Result, error) {
		r, err := g.failing.Execute(func() (places.Result, error) { return g.ask(ctx, q) })
		return r, g.breakerError(err, "keeps failing", failingPause)
	})
	return r, g.breakerError(err, "rejects the API key", refusedPause)
}

// breakerError replaces the error of an open breaker.
func (g *Guard) breakerError(err error, why string, pause time.Duration) error {
	if !errors.Is(err, gobreaker.ErrOpenState) && !errors.Is(err, gobreaker.ErrTooManyRequests) {
		return err
	}
	g.counters.breakerRefused.Add(1)
	return &localError{fmt.Sprintf("%s %s: circuit breaker open for %v", g.options.Name, why, pause)}
}

// ask checks the budget, waits for the rate limit, charges the budget, and sends a request. Attempts beyond
// the budget do not wait and do not count in the rate.
func (g *Guard) ask(ctx context.Context, q places.Query) (places.Result, error) {
	payer := places.PayerOf(ctx)
	if b := g.options.Budget; b != nil {
		if err := b.Check(payer.Address); err != nil {
			return places.Result{}, g.budgetError(payer, err)
		}
	}
	if err := g.waitRate(ctx, payer); err != nil {
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
	case ctx.Err() == context.DeadlineExceeded && deadline.Sub(begun) < g.minAttempt(now):
		err = &cutShort{err}
	}
	return r, err
}

// minAttempt is how much time an attempt must have had for its timeout to count as a failure of the
// provider: half of the timeout, or 1.25 times the slowest recent answer if that is more. Without the
// latter, a provider that takes 4 of 5 s would count as failing as soon as lookups wait for a second. An
// attempt that had the whole timeout always counts.
func (g *Guard) minAttempt(now time.Time) time.Duration {
	timeout := g.options.Timeout
	return min(max(timeout/2, g.answers.slowest(now)*5/4), timeout*99/100)
}

// waitRate waits until the rate limit allows an attempt, unless Admit has admitted the lookup.
func (g *Guard) waitRate(ctx context.Context, by *places.Payer) error {
	admitted := by.Admitted
	by.Admitted = false
	if !admitted && !g.limiter.Allow() {
		g.counters.rateWaits.Add(1)
		if err := g.limiter.Wait(ctx); err != nil && ctx.Err() == nil {
			g.counters.rateRefused.Add(1)
			return &localError{fmt.Sprintf("rate limit of %d lookups per second exceeded", g.options.Rate)}
		}
	}
	if ctx.Err() == context.DeadlineExceeded {
		return g.timeout()
	}
	return ctx.Err()
}

func (g *Guard) timeout() error { return &localError{places.NoAnswer(g.options.Timeout)} }

// pay charges one attempt to the budget.
func (g *Guard) pay(by *places.Payer) error {
	if b := g.options.Budget; b != nil {
		last, err := b.Spend(by.Address)
		if err != nil {
			return g.budgetError(by, err)
		}
		if last {
			g.options.Log.Warn("places budget exhausted", zap.String("provider", g.options.Name),
				zap.Int("daily_budget", b.limit))
		}
	}
	g.counters.attempts.Add(1)
	return nil
}

// budgetError counts and logs a rejection by the budget, and returns the error for the client.
func (g *Guard) budgetError(by *places.Payer, err error) error {
	switch b := g.options.Budget; err {
	case errShareSpent:
		by.Spent = true
		g.rejections.note(by.Address)
		g.counters.shareRefused.Add(1)
		if b.firstRejection(by.Address) {
			g.options.Log.Warn("places budget share exhausted", zap.String("provider", g.options.Name),
				zap.String("address", by.Address), zap.Int("budget_share", b.share))
		}
	case errSpent:
		g.rejections.note(everybody)
		g.counters.budgetRefused.Add(1)
	default:
		g.rejections.note(everybody)
		g.counters.budgetRefused.Add(1)
		now := time.Now().UnixNano()
		last := g.budgetErrorLogged.Load()
		if now-last >= int64(budgetErrorPause) && g.budgetErrorLogged.CompareAndSwap(last, now) {
			g.options.Log.Error("places budget file error", zap.Error(err))
		}
		err = fileError(err)
	}
	return &localError{err.Error()}
}

// cutShort is the failure of an attempt that had too little time, because its lookup had waited: see
// minAttempt. The breakers ignore it.
type cutShort struct{ error }

// Unwrap is for errors.As.
func (e *cutShort) Unwrap() error { return e.error }

// localError is the error of a lookup that the guard itself rejected. The breakers ignore it.
type localError struct{ text string }

func (e *localError) Error() string { return e.text }
