package guard

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"serverherd/places"
)

// An attempt uses the rate once, in Admit or in Nearby.
func TestAdmit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{script: []error{nil}}
		g := New(Options{Provider: s, Timeout: 5 * time.Second, Rate: 2})
		for range 2 {
			p := &places.Payer{}
			if wait := g.Admit(p); wait != 0 || !p.Admitted {
				t.Fatalf("%v, %+v", wait, p)
			}
			if _, err := g.Nearby(places.WithPayer(t.Context(), p), places.Query{}); err != nil {
				t.Error(err)
			}
		}
		begun := time.Now()
		p := &places.Payer{}
		if wait := g.Admit(p); wait != 500*time.Millisecond || p.Admitted {
			t.Errorf("%v, %+v", wait, p)
		}
		asks(t, g, "") // not admitted: waits
		if took := time.Since(begun); took != 500*time.Millisecond {
			t.Errorf("it waited %v", took)
		}
		if wait := g.Admit(p); wait != 500*time.Millisecond {
			t.Errorf("%v", wait)
		}
		time.Sleep(500 * time.Millisecond)
		if wait := g.Admit(p); wait != 0 || !p.Admitted {
			t.Errorf("%v, %+v", wait, p)
		}
	})
}

// Lookups that are not sent to the provider neither wait for the rate nor use it: the fallback, or an
// error, is immediate.
func TestWhatIsNotSentHasNoRate(t *testing.T) {
	const address = "192.0.2.1"
	for _, c := range []struct {
		name string
		// trouble makes the guard reject lookups.
		trouble func(t *testing.T, g *Guard, s *scripted, dir string)
		others  bool // lookups of other addresses are accepted
	}{
		{"the provider fails", func(t *testing.T, g *Guard, s *scripted, _ string) {
			s.script = []error{strange}
			for range maxFailures {
				_, _ = g.Nearby(t.Context(), places.Query{})
			}
		}, false},
		{"one attempt shows whether it still fails", func(t *testing.T, g *Guard, s *scripted, _ string) {
			s.script = []error{strange, strange, strange, strange, strange, nil}
			for range maxFailures {
				_, _ = g.Nearby(t.Context(), places.Query{})
			}
			time.Sleep(failingPause + time.Second)
			s.takes = time.Minute
			go func() { _, _ = g.Nearby(t.Context(), places.Query{}) }()
			synctest.Wait()
		}, false},
		{"the key is refused", func(t *testing.T, g *Guard, s *scripted, _ string) {
			s.script = []error{denied}
			_, _ = g.Nearby(t.Context(), places.Query{})
		}, false},
		{"the budget is spent", func(t *testing.T, g *Guard, _ *scripted, _ string) {
			spend(t, g.options.Budget)
			_, _ = g.Nearby(t.Context(), places.Query{})
		}, false},
		{"the share of an address is spent", func(t *testing.T, g *Guard, _ *scripted, _ string) {
			for range 20 {
				p := &places.Payer{Address: address}
				_, _ = g.Nearby(places.WithPayer(t.Context(), p), places.Query{})
			}
		}, true},
		{"the budget cannot be counted", func(t *testing.T, g *Guard, _ *scripted, dir string) {
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(dir, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			_, _ = g.Nearby(t.Context(), places.Query{})
		}, false},
	} {
		for _, fallback := range []places.Provider{embedded{}, nil} {
			t.Run(c.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := &scripted{script: []error{nil}}
					dir := filepath.Join(t.TempDir(), "state")
					g := New(Options{
						Provider: s, Name: "google", Timeout: 5 * time.Second, Rate: 2,
						Budget: openBudget(t, dir, 20, time.Now), Fallback: fallback,
					})
					c.trouble(t, g, s, dir)
					g.limiter.AllowN(time.Now(), int(g.limiter.Tokens())) // use up the rate
					tokens, asked, begun := g.limiter.Tokens(), len(s.asked), time.Now()
					for range 1000 {
						p := &places.Payer{Address: address}
						if wait := g.Admit(p); wait != 0 || p.Admitted {
							t.Fatalf("to wait %v, %+v", wait, p)
						}
						_, err := g.Nearby(places.WithPayer(t.Context(), p), places.Query{})
						if (err == nil) != (fallback != nil) {
							t.Fatalf("%v", err)
						}
					}
					if took := time.Since(begun); took != 0 || len(s.asked) != asked || g.limiter.Tokens() != tokens {
						t.Errorf("1,000 lookups took %v, %d asked, %v turns taken", took, len(s.asked)-asked,
							tokens-g.limiter.Tokens())
					}
					if wait := g.Admit(&places.Payer{Address: "192.0.2.2"}); (wait > 0) != c.others {
						t.Errorf("another address is to wait %v", wait)
					}
					time.Sleep(time.Minute) // until the probe ends
				})
			})
		}
	}
}

// A rejection by the budget is forgotten after rejectionKept; then a lookup waits for the rate.
func TestARefusalOfTheBudgetIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &clock{time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)}
		s := &scripted{script: []error{nil}}
		g := New(Options{
			Provider: s, Name: "google", Timeout: 5 * time.Second, Rate: 2,
			Budget: openBudget(t, t.TempDir(), 20, c.now),
		})
		spend(t, g.options.Budget)
		asks(t, g, errSpent.Error())
		p := &places.Payer{}
		if wait := g.Admit(p); wait != 0 || p.Admitted {
			t.Errorf("%v, %+v", wait, p)
		}
		c.Time = c.AddDate(0, 0, 1)
		asks(t, g, "")
		time.Sleep(rejectionKept)
		if wait := g.Admit(p); wait != 0 || !p.Admitted {
			t.Errorf("%v, %+v", wait, p)
		}
	})
}

// The memory for rejected addresses is limited.
func TestRejectionsAreBounded(t *testing.T) {
	var u rejections
	for i := range 3 * maxRejections {
		u.note(string(rune('a' + i)))
		if len(u.since) > maxRejections {
			t.Fatalf("%d addresses", len(u.since))
		}
	}
}

// A lookup past its deadline uses neither the rate nor the one attempt of a half-open breaker.
func TestALookupWhoseTimeIsOver(t *testing.T) {
	script := []error{strange, strange, strange, strange, strange, nil}
	guarded(t, script, func(t *testing.T, g *Guard, s *scripted) {
		over, cancel := context.WithTimeout(t.Context(), 0)
		defer cancel()
		late := func(want string) {
			t.Helper()
			tokens := g.limiter.Tokens()
			if _, err := g.Nearby(over, places.Query{}); text(err) != want || g.limiter.Tokens() != tokens {
				t.Errorf("%v, %v turns taken", err, tokens-g.limiter.Tokens())
			}
		}
		late(places.NoAnswer(5 * time.Second))
		for range maxFailures {
			asks(t, g, "not JSON")
		}
		time.Sleep(failingPause + time.Second)
		late(places.NoAnswer(5 * time.Second))
		if r := g.Report(); r.Breaker != "half-open" || r.BreakerRefused != 0 {
			t.Errorf("%+v", r)
		}
		g.options.Fallback = embedded{}
		late("")
		asks(t, g, "")
		if len(s.asked) != maxFailures+1 {
			t.Errorf("%d asked", len(s.asked))
		}
	})
}
