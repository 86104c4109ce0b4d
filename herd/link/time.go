package link

import "time"

// HandshakeTimeout limits a handshake from its connection to WELCOME, on both sides.
const HandshakeTimeout = 2 * time.Second

// Time is a moment on two clocks. Deadlines use the steady clock, which is never set; what other servers or
// people are told uses the wall clock.
type Time struct {
	Wall   time.Time
	Steady time.Duration // since some fixed moment
}

// timer is a moment on the steady clock; 0: never.
type timer time.Duration

func (now Time) in(d time.Duration) timer { return timer(now.Steady + d) }

func (t timer) due(now Time) bool { return t != 0 && now.Steady >= time.Duration(t) }

// earliest returns the first of the timers; false if none is set.
func earliest(all ...timer) (at time.Duration, ok bool) {
	for _, t := range all {
		if t != 0 && (!ok || time.Duration(t) < at) {
			at, ok = time.Duration(t), true
		}
	}
	return at, ok
}
