package guard

import (
	"sync"
	"time"
)

// answersKept is how long the duration of an answer is remembered, up to twice that.
const answersKept = time.Minute

// answers tracks the maximum duration of recent answers. Any goroutine.
type answers struct {
	mu     sync.Mutex
	since  time.Time     // when recent began
	recent time.Duration // the longest since then
	before time.Duration // the longest of the previous period
}

// note records an answer received at now.
func (a *answers) note(now time.Time, took time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.forget(now)
	a.recent = max(a.recent, took)
}

// slowest returns the longest duration of a recent answer; 0 if there is none.
func (a *answers) slowest(now time.Time) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.forget(now)
	return max(a.recent, a.before)
}

// forget removes old durations.
func (a *answers) forget(now time.Time) {
	switch age := now.Sub(a.since); {
	case age >= 2*answersKept:
		a.since, a.recent, a.before = now, 0, 0
	case age >= answersKept:
		a.since, a.recent, a.before = a.since.Add(answersKept), 0, a.recent
	}
}
