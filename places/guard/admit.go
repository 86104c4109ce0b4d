package guard

import (
	"sync"
	"time"

	"github.com/sony/gobreaker/v2"

	"serverherd/places"
)

// Admit implements places.Paced. It uses the rate only if a request is likely to be sent: lookups that an
// open breaker or the budget rejects need not wait. With a half-open breaker, the one attempt waits for the
// rate in Nearby.
func (g *Guard) Admit(p *places.Payer) (wait time.Duration) {
	if g.refused.State() != gobreaker.StateClosed || g.failing.State() != gobreaker.StateClosed ||
		g.rejections.recent(p.Address) {
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
	// rejectionKept is how long a rejection by the budget is remembered. After that, one lookup waits for
	// the rate and checks the budget again: there may be a new day or a new file.
	rejectionKept = time.Second
	maxRejections = 1024 // addresses
	everybody     = ""
)

// rejections remembers for which addresses the budget has recently rejected an attempt. Admit cannot check
// the budget itself, which is a file, without blocking. Any goroutine.
type rejections struct {
	mu    sync.Mutex // held for a few instructions
	since map[string]time.Time
}

// note records a rejection for an address, or for everybody.
func (u *rejections) note(address string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.since == nil || len(u.since) >= maxRejections {
		u.since = make(map[string]time.Time)
	}
	u.since[address] = time.Now()
}

// recent reports whether an attempt for an address was rejected within rejectionKept.
func (u *rejections) recent(address string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, a := range []string{everybody, address} {
		if at, ok := u.since[a]; ok && time.Since(at) < rejectionKept {
			return true
		}
	}
	return false
}
