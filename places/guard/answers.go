package guard

import (
	"sync"
	"time"
)

// answersKept is how long the time that an answer took is remembered, and up to twice that.
const answersKept = time.Minute

// answers remembers how long the latest answers took. Any goroutine.
type answers struct {
	mu     sync.Mutex
	since  time.Time     // when recent began
	recent time.Duration // the longest since then
	before time.Duration // the longest of the period before that
}

// note remembers an answer that has come now.
func (a *answers) note(now time.Time, took time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.forget(now)
	a.recent = max(a.recent, took)
}

// slowest is the longest that one of the latest answers took, 0 if there was none.
func (a *answers) slowest(now time.Time) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.forget(now)
	return max(a.recent, a.before)
}

// forget forgets what is too old.
func (a *answers) forget(now time.Time) {
	switch age := now.Sub(a.since); {
	case age >= 2*answersKept:
		a.since, a.recent, a.before = now, 0, 0
	case age >= answersKept:
		a.since, a.recent, a.before = a.since.Add(answersKept), 0, a.recent
	}
}
