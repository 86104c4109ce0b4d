package guard

import (
	"sync"
	"time"

	"github.com/sony/gobreaker/v2"

	"serverherd/places"
)

// Admit implements places.Paced. It takes a turn of the rate only if the provider would be asked as far
// as is known: an open breaker and an empty budget answer faster than the rate allows. Of a half-open
// breaker one attempt takes its turn in Nearby.
func (g *Guard) Admit(p *places.Payer) (wait time.Duration) {
	if g.refused.State() != gobreaker.StateClosed || g.failing.State() != gobreaker.StateClosed ||
		g.unpaid.lately(p.Address) {
		return 0
	}
	now := time.Now()
	if p.Admitted = g.limiter.AllowN(now, 1); p.Admitted {
		return 0
	}
	missing := (1 - g.limiter.TokensAt(now)) / float64(g.limiter.Limit()) // seconds
	return max(time.Millisecond, time.Duration(missing*float64(time.Second)))
}

const (
	// unpaidKept is how long a refusal of the budget is remembered. Then one lookup takes its turn again
	// and has the budget look: there may be a new day or a new file.
	unpaidKept = time.Second
	maxUnpaid  = 1024 // addresses
	everybody  = ""
)

// unpaid remembers for whom the budget has refused an attempt lately. The budget itself cannot be asked
// without blocking: it is a file. Any goroutine.
type unpaid struct {
	mu    sync.Mutex // held for a few instructions
	since map[string]time.Time
}

// note remembers that an attempt for an address was refused, or for everybody.
func (u *unpaid) note(address string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.since == nil || len(u.since) >= maxUnpaid {
		u.since = make(map[string]time.Time)
	}
	u.since[address] = time.Now()
}

// lately says whether an attempt for an address was refused a moment ago.
func (u *unpaid) lately(address string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, a := range []string{everybody, address} {
		if at, ok := u.since[a]; ok && time.Since(at) < unpaidKept {
			return true
		}
	}
	return false
}
