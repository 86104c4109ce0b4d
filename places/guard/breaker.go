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

// When a breaker opens, and for how long. After that, one attempt decides whether it closes.
const (
	maxFailures  = 5 // consecutive
	failingPause = 10 * time.Second
	refusedPause = time.Minute
)

// failingSettings open the breaker after consecutive failures of the provider or the network.
func (g *Guard) failingSettings() gobreaker.Settings {
	return gobreaker.Settings{
		Name:        "consecutive failures",
		Timeout:     failingPause,
		ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= maxFailures },
		IsSuccessful: func(err error) bool {
			var f *places.Failure
			// A provider that rejects a key or a request works.
			return !errors.As(err, &f) || f.Kind == places.Denied || f.Kind == places.Invalid
		},
		IsExcluded:    isLocal,
		OnStateChange: g.changed,
	}
}

// refusedSettings open the breaker at the first answer that rejects the API key: others would, too.
func (g *Guard) refusedSettings() gobreaker.Settings {
	return gobreaker.Settings{
		Name:        "API key rejected",
		Timeout:     refusedPause,
		ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures > 0 },
		IsSuccessful: func(err error) bool {
			var f *places.Failure
			return !errors.As(err, &f) || f.Kind == places.Invalid
		},
		IsExcluded: func(err error) bool {
			var f *places.Failure
			return isLocal(err) || errors.As(err, &f) && f.Kind != places.Denied && f.Kind != places.Invalid
		},
		OnStateChange: g.changed,
	}
}

// isLocal reports whether err is a local error (canceled, rate limit, budget, too little time left): the
// breakers ignore it.
func isLocal(err error) bool {
	var local *localError
	var short *cutShort
	return errors.As(err, &local) || errors.As(err, &short) || errors.Is(err, context.Canceled) ||
		errors.Is(err, context.DeadlineExceeded)
}

// changed logs when a breaker opens and when it closes, but not half-open attempts between.
func (g *Guard) changed(why string, from, to gobreaker.State) {
	provider := zap.String("provider", g.options.Name)
	switch {
	case from == gobreaker.StateClosed && to == gobreaker.StateOpen:
		g.counters.breakerOpened.Add(1)
		g.options.Log.Error("places circuit breaker open", provider, zap.String("reason", why))
	case to == gobreaker.StateClosed:
		g.options.Log.Info("places circuit breaker closed", provider)
	}
}

// state is the state of the breakers, see places.NetworkReport.
func (g *Guard) state() string {
	switch refused, failing := g.refused.State(), g.failing.State(); {
	case refused == gobreaker.StateOpen:
		return places.BreakerRefused
	case failing == gobreaker.StateOpen:
		return places.BreakerOpen
	case refused == gobreaker.StateHalfOpen || failing == gobreaker.StateHalfOpen:
		return places.BreakerHalfOpen
	}
	return places.BreakerClosed
}
