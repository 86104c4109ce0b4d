package guard

import (
	"context"
	"errors"
	"time"

	"github.com/sony/gobreaker/v2"
	"go.uber.org/zap"

	"serverherd/places"
)

type breaker = gobreaker.CircuitBreaker[places.Result]

// When a provider is left alone, and for how long. Then one attempt shows whether it is well.
const (
	maxFailures  = 5 // in a row
	failingPause = 10 * time.Second
	refusedPause = time.Minute
)

// whenFailing opens after failures in a row: of the way to the provider, or of the provider.
func (g *Guard) whenFailing() gobreaker.Settings {
	return gobreaker.Settings{
		Name:        "keeps failing",
		Timeout:     failingPause,
		ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= maxFailures },
		IsSuccessful: func(err error) bool {
			var f *places.Failure
			// The provider that refuses a key or finds fault with a question is up.
			return !errors.As(err, &f) || f.Kind == places.Denied || f.Kind == places.Invalid
		},
		IsExcluded:    func(err error) bool { return ours(err) },
		OnStateChange: g.changed,
	}
}

// whenRefused opens with the first answer that refuses the key: no other will take it.
func (g *Guard) whenRefused() gobreaker.Settings {
	return gobreaker.Settings{
		Name:        "refuses the key",
		Timeout:     refusedPause,
		ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures > 0 },
		IsSuccessful: func(err error) bool {
			var f *places.Failure
			return !errors.As(err, &f) || f.Kind == places.Invalid
		},
		IsExcluded: func(err error) bool {
			var f *places.Failure
			return ours(err) || errors.As(err, &f) && f.Kind != places.Denied && f.Kind != places.Invalid
		},
		OnStateChange: g.changed,
	}
}

// ours says that err is no word of the provider's: nobody waits any longer, it was not asked, or it
// had too little time.
func ours(err error) bool {
	var own *ownError
	var short *cutShort
	return errors.As(err, &own) || errors.As(err, &short) || errors.Is(err, context.Canceled) ||
		errors.Is(err, context.DeadlineExceeded)
}

// changed tells the log when the trouble begins and when it ends, not of each attempt between.
func (g *Guard) changed(why string, from, to gobreaker.State) {
	provider := zap.String("provider", g.options.Name)
	switch {
	case from == gobreaker.StateClosed && to == gobreaker.StateOpen:
		g.counters.breakerOpened.Add(1)
		g.options.Log.Error("places provider is left alone", provider, zap.String("reason", why))
	case to == gobreaker.StateClosed:
		g.options.Log.Info("places provider is back", provider)
	}
}

// state is how the breakers stand, in one word.
func (g *Guard) state() string {
	switch refused, failing := g.refused.State(), g.failing.State(); {
	case refused == gobreaker.StateOpen:
		return "refused"
	case failing == gobreaker.StateOpen:
		return "open"
	case refused == gobreaker.StateHalfOpen || failing == gobreaker.StateHalfOpen:
		return "half-open"
	}
	return "closed"
}
