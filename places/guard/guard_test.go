package guard

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"serverherd/places"
)

// scripted answers attempts from a script, and repeats its last answer.
type scripted struct {
	script []error       // nil for an answer
	takes  time.Duration // duration of an attempt

	mu    sync.Mutex
	asked []time.Time
}

func (s *scripted) Nearby(ctx context.Context, _ places.Query) (places.Result, error) {
	s.mu.Lock()
	err := s.script[min(len(s.asked), len(s.script)-1)]
	s.asked = append(s.asked, time.Now())
	s.mu.Unlock()
	if err == nil && s.takes > 0 {
		select {
		case <-time.After(s.takes):
		case <-ctx.Done():
			err = errSilence
		}
	}
	switch {
	case err == errSilence:
		<-ctx.Done()
		err = &places.Failure{Text: "no answer"}
		if ctx.Err() == context.Canceled {
			err = ctx.Err()
		}
		return places.Result{}, err
	case err != nil:
		return places.Result{}, err
	}
	return places.Result{Status: "OK"}, nil
}

var (
	errSilence = errors.New("never answers")
	transient  = &places.Failure{Kind: places.Transient, Text: "HTTP 503"}
	overLimit  = &places.Failure{Kind: places.OverLimit, Text: "OVER_QUERY_LIMIT"}
	denied     = &places.Failure{Kind: places.Denied, Text: "REQUEST_DENIED"}
	invalid    = &places.Failure{Kind: places.Invalid, Text: "INVALID_REQUEST"}
	strange    = &places.Failure{Kind: places.Strange, Text: "not JSON"}
	later      = &places.Failure{Kind: places.Transient, Text: "HTTP 429", RetryAfter: 3 * time.Second}
	muchLater  = &places.Failure{Kind: places.Transient, Text: "HTTP 429", RetryAfter: time.Minute}
)

// guarded runs f in virtual time.
func guarded(t *testing.T, script []error, f func(t *testing.T, g *Guard, s *scripted)) {
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{script: script}
		f(t, New(Options{Provider: s, Name: "google", Timeout: 5 * time.Second, Rate: 50}), s)
	})
}

func asks(t *testing.T, g *Guard, want string) {
	t.Helper()
	_, err := g.Nearby(t.Context(), places.Query{})
	if got := text(err); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestRetries(t *testing.T) {
	for _, c := range []struct {
		name        string
		script      []error
		tries       int
		want        string
		least, most time.Duration // until the last attempt
	}{
		{"an answer", []error{nil}, 1, "", 0, 0},
		{"transient once", []error{transient, nil}, 2, "", 50 * time.Millisecond, 150 * time.Millisecond},
		{"transient for ever", []error{transient}, 4, "HTTP 503", 350 * time.Millisecond, 1050 * time.Millisecond},
		{"over the limit twice", []error{overLimit, overLimit, nil}, 3, "", 150 * time.Millisecond, 450 * time.Millisecond},
		{"over the limit for ever", []error{overLimit}, 3, "OVER_QUERY_LIMIT", 0, time.Second},
		{"denied", []error{denied, nil}, 1, "REQUEST_DENIED", 0, 0},
		{"invalid", []error{invalid, nil}, 1, "INVALID_REQUEST", 0, 0},
		{"strange", []error{strange, nil}, 1, "not JSON", 0, 0},
		{"an error of no kind", []error{errors.New("what"), nil}, 1, "what", 0, 0},
		{"as late as it asked for", []error{later, nil}, 2, "", 3 * time.Second, 3 * time.Second},
		{"later than anybody waits", []error{muchLater, nil}, 1, "HTTP 429", 0, 0},
		{"silence", []error{errSilence}, 1, "no answer", 0, 0},
		{"late and then silence", []error{later, errSilence}, 2, "no answer", 3 * time.Second, 3 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			guarded(t, c.script, func(t *testing.T, g *Guard, s *scripted) {
				begun := time.Now()
				asks(t, g, c.want)
				if len(s.asked) != c.tries {
					t.Fatalf("%d tries, want %d", len(s.asked), c.tries)
				}
				if took := s.asked[c.tries-1].Sub(begun); took < c.least || took > c.most {
					t.Errorf("the last try after %v, not in %v to %v", took, c.least, c.most)
				}
				if took := time.Since(begun); took > 5*time.Second {
					t.Errorf("%v in all", took)
				}
				if r := g.Report(); r.Attempts != uint64(c.tries) || r.Retries != uint64(c.tries-1) {
					t.Errorf("%+v", r)
				}
			})
		})
	}
}

// The back-off has jitter, so that retries of many lookups are not synchronized.
func TestRetriesAreSpread(t *testing.T) {
	guarded(t, []error{transient, nil}, func(t *testing.T, g *Guard, s *scripted) {
		seen := map[time.Duration]bool{}
		for range 20 {
			s.asked = nil
			asks(t, g, "")
			seen[s.asked[1].Sub(s.asked[0])] = true
		}
		if len(seen) < 10 {
			t.Errorf("%d different pauses in 20", len(seen))
		}
	})
}

// The breaker opens after consecutive failures and closes with the first answer.
func TestBreaker(t *testing.T) {
	script := []error{strange, strange, strange, strange, strange, strange, nil}
	guarded(t, script, func(t *testing.T, g *Guard, s *scripted) {
		const alone = "google keeps failing: circuit breaker open for 10s"
		for range maxFailures {
			asks(t, g, "not JSON")
		}
		asks(t, g, alone)
		if len(s.asked) != maxFailures || g.Report().Breaker != "open" {
			t.Fatalf("%d attempts, breaker %s", len(s.asked), g.Report().Breaker)
		}
		time.Sleep(failingPause + time.Millisecond)
		asks(t, g, "not JSON") // the half-open attempt fails
		asks(t, g, alone)
		time.Sleep(failingPause + time.Millisecond)
		asks(t, g, "")
		asks(t, g, "")
		r := g.Report()
		if r.Breaker != "closed" || r.BreakerOpened != 1 || r.BreakerRefused != 2 || r.Strange != 6 {
			t.Errorf("%+v", r)
		}
	})
}

// The breaker ignores invalid requests and canceled lookups.
func TestBreakerIgnoresOurFaults(t *testing.T) {
	guarded(t, []error{invalid}, func(t *testing.T, g *Guard, _ *scripted) {
		for range 3 * maxFailures {
			asks(t, g, "INVALID_REQUEST")
		}
	})
	guarded(t, []error{errSilence}, func(t *testing.T, g *Guard, _ *scripted) {
		for range 3 * maxFailures {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			stop := context.AfterFunc(ctx, cancel)
			time.AfterFunc(time.Millisecond, cancel)
			if _, err := g.Nearby(ctx, places.Query{}); !errors.Is(err, context.Canceled) {
				t.Errorf("%v", err)
			}
			stop()
		}
		if r := g.Report(); r.Breaker != "closed" || r.Transient != 0 {
			t.Errorf("%+v", r)
		}
	})
}

// A rejected key opens the breaker for a minute, with one log entry.
func TestKeyRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logged := observer.New(zap.InfoLevel)
		s := &scripted{script: []error{denied, denied, transient, nil}}
		g := New(Options{Provider: s, Name: "google", Timeout: time.Second, Rate: 50, Log: zap.New(core)})
		const refuses = "google rejects the API key: circuit breaker open for 1m0s"
		asks(t, g, "REQUEST_DENIED")
		asks(t, g, refuses)
		if len(s.asked) != 1 || g.Report().Breaker != "refused" {
			t.Fatalf("%d attempts, breaker %s", len(s.asked), g.Report().Breaker)
		}
		time.Sleep(refusedPause + time.Millisecond)
		asks(t, g, "REQUEST_DENIED")
		asks(t, g, refuses)
		time.Sleep(refusedPause + time.Millisecond)
		asks(t, g, "") // after a failure unrelated to the key
		if n := logged.FilterLevelExact(zap.ErrorLevel).Len(); n != 1 {
			t.Errorf("%d errors in the log: %v", n, logged.All())
		}
		if logged.FilterMessage("places circuit breaker closed").Len() != 1 {
			t.Errorf("the log does not say that it is over: %v", logged.All())
		}
	})
}

func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{script: []error{nil}}
		g := New(Options{Provider: s, Timeout: 2100 * time.Millisecond, Rate: 2})
		begun := time.Now()
		for range 4 { // a burst of two, then one per half second
			asks(t, g, "")
		}
		if took := time.Since(begun); took != time.Second {
			t.Errorf("four lookups at two a second took %v", took)
		}
		// Of ten concurrent lookups, those that the rate allows within the timeout are sent and the others
		// are rejected immediately.
		refused := make(chan error, 10)
		for range 10 {
			go func() {
				_, err := g.Nearby(t.Context(), places.Query{})
				refused <- err
			}()
		}
		n := 0
		for range 10 {
			if err := <-refused; err != nil {
				n++
				if err.Error() != "rate limit of 2 lookups per second exceeded" {
					t.Error(err)
				}
			}
		}
		if r := g.Report(); n != 6 || r.RateRefused != 6 || r.Attempts != 8 || r.RateWaits != 12 {
			t.Errorf("%d refused, %+v", n, r)
		}
		asks(t, g, "") // the breaker is still closed
	})
}

// embedded is a fallback provider.
type embedded struct{ err error }

func (e embedded) Nearby(context.Context, places.Query) (places.Result, error) {
	return places.Result{Status: "ZERO_RESULTS"}, e.err
}

func TestFallback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ask := func(script error, f places.Provider) (string, error) {
			g := New(Options{
				Provider: &scripted{script: []error{script}}, Name: "google", Timeout: time.Second,
				Rate: 50, Fallback: f,
			})
			r, err := g.Nearby(t.Context(), places.Query{})
			if want := uint64(0); script != nil && err == nil {
				if want = 1; g.Report().Fallbacks != want {
					t.Errorf("%v: %d fallbacks counted", script, g.Report().Fallbacks)
				}
			}
			return string(places.AppendJSON(nil, r, 20)), err
		}
		for _, failure := range []error{transient, overLimit, denied, invalid, strange, errSilence} {
			why := failure.Error()
			if failure == errSilence {
				why = "no answer"
			}
			want := "google could not answer: " + why + ". These places are from the embedded data."
			if got, err := ask(failure, embedded{}); err != nil || !strings.Contains(got, want) {
				t.Errorf("%v: %v, %s", failure, err, got)
			}
		}
		if got, err := ask(nil, embedded{}); err != nil || strings.Contains(got, "could not") {
			t.Errorf("an answer came, and yet: %v, %s", err, got)
		}
		if _, err := ask(strange, embedded{errors.New("no data")}); text(err) != "not JSON" {
			t.Errorf("%v", err)
		}
		if _, err := ask(strange, nil); text(err) != "not JSON" {
			t.Errorf("%v", err)
		}
	})
}

// A caller's earlier deadline applies, and no request is sent after it.
func TestACallersDeadline(t *testing.T) {
	const none = "no answer within 5s"
	for _, c := range []struct {
		name   string
		left   time.Duration
		script error
		tries  int
		want   string
	}{
		{"over", 0, nil, 0, none},
		{"a moment", time.Millisecond, nil, 1, ""},
		{"a silent provider", time.Second, errSilence, 1, "no answer"},
		{"one retry", 100 * time.Millisecond, transient, 2, "HTTP 503"},
		{"a retry after it", 2 * time.Second, later, 1, "HTTP 429"},
		{"later than the timeout", time.Minute, errSilence, 1, "no answer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			guarded(t, []error{c.script}, func(t *testing.T, g *Guard, s *scripted) {
				ctx, cancel := context.WithTimeout(t.Context(), c.left)
				defer cancel()
				begun := time.Now()
				_, err := g.Nearby(ctx, places.Query{})
				if text(err) != c.want || len(s.asked) > c.tries || c.tries > 0 && len(s.asked) == 0 {
					t.Errorf("%v after %d tries", err, len(s.asked))
				}
				most := min(c.left, 5*time.Second)
				if c.script == later {
					most = 0 // waiting is useless
				}
				if took := time.Since(begun); took > most {
					t.Errorf("%v in all", took)
				}
				if n := g.Report().Attempts; n != uint64(len(s.asked)) {
					t.Errorf("%d paid, %d asked", n, len(s.asked))
				}
				g.options.Fallback = embedded{}
				if _, err := g.Nearby(ctx, places.Query{}); err != nil {
					t.Errorf("with other data: %v", err)
				}
			})
		})
	}
}

// After a wait, an attempt has less time than the timeout. Its timeout counts as a failure if it had enough
// time, see minAttempt.
func TestAttemptsWithLessThanTheTimeout(t *testing.T) {
	const never = time.Hour
	for _, c := range []struct {
		name  string
		takes time.Duration // duration of an answer before; one hour for none
		ago   time.Duration // when it came
		left  time.Duration
		opens bool
	}{
		{"the whole timeout", never, 0, 5 * time.Second, true},
		{"a moment less", never, 0, 4940 * time.Millisecond, true},
		{"half", never, 0, 2500 * time.Millisecond, true},
		{"less than half", never, 0, 2400 * time.Millisecond, false},
		{"half, of a fast provider", 100 * time.Millisecond, 0, 2500 * time.Millisecond, true},
		{"less than half, of a fast provider", 100 * time.Millisecond, 0, 2400 * time.Millisecond, false},
		{"as much as a slow provider takes", 3 * time.Second, 0, 3 * time.Second, false},
		{"a quarter more", 3 * time.Second, 0, 3800 * time.Millisecond, true},
		{"a provider that takes nearly all", 4900 * time.Millisecond, 0, 4940 * time.Millisecond, false},
		{"the same, and the whole timeout", 4900 * time.Millisecond, 0, 5 * time.Second, true},
		{"it has answered a minute ago", 4 * time.Second, answersKept, 3 * time.Second, false},
		{"it has not answered for two", 4 * time.Second, 2 * answersKept, 3 * time.Second, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			guarded(t, []error{nil}, func(t *testing.T, g *Guard, s *scripted) {
				if c.takes != never {
					s.takes = c.takes
					asks(t, g, "")
					time.Sleep(c.ago)
				}
				s.takes = never
				before := len(s.asked)
				for range maxFailures {
					ctx, cancel := context.WithTimeout(t.Context(), c.left)
					if _, err := g.Nearby(ctx, places.Query{}); text(err) != "no answer" {
						t.Errorf("%v", err)
					}
					cancel()
				}
				want := "closed"
				if c.opens {
					want = "open"
				}
				if r := g.Report(); r.Breaker != want || len(s.asked)-before != maxFailures {
					t.Errorf("breaker %s after %d attempts, want %s", r.Breaker, len(s.asked)-before, want)
				}
			})
		})
	}
}

// At full load every lookup has waited. If a slow provider then hangs, the breaker opens nevertheless,
// before the daily budget is used up.
func TestAProviderThatHangsAtFullLoad(t *testing.T) {
	guarded(t, []error{nil}, func(t *testing.T, g *Guard, s *scripted) {
		s.takes = 4 * time.Second
		asks(t, g, "")
		s.takes = time.Hour
		hung := time.Now()
		for g.Report().Breaker == "closed" && time.Since(hung) < time.Hour {
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			_, _ = g.Nearby(ctx, places.Query{})
			cancel()
		}
		if took := time.Since(hung); took > 3*answersKept {
			t.Errorf("the breaker was closed for %v, %d attempts", took, len(s.asked))
		}
	})
}
