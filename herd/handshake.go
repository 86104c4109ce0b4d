package herd

import (
	"math/rand/v2"
	"time"

	"serverherd/protocol"
	"serverherd/reactor"
)

// maxLinkLine is the maximum length of a line between servers. max_line does not apply to them.
const maxLinkLine = 8192

// deadlineTimer is the one timer of a link.Outbound or link.Inbound. It fires at the machine's deadline, or
// earlier.
type deadlineTimer struct {
	call *reactor.DelayedCall
	at   time.Duration
	f    func()
}

// arm makes the timer fire at a moment of the reactor's steady clock, if ok. A timer that fires earlier is
// left alone: f arms it again.
func (dt *deadlineTimer) arm(clock reactor.Clock, at time.Duration, ok bool) {
	if !ok || dt.call != nil && dt.at <= at {
		return
	}
	dt.stop()
	dt.at = at
	dt.call = clock.CallLater(at-clock.Elapsed(), func() {
		dt.call = nil
		dt.f()
	})
}

func (dt *deadlineTimer) stop() {
	if dt.call != nil {
		dt.call.Cancel()
		dt.call = nil
	}
}

// newNonce and newEpoch use a generator that the command seeds with the system's entropy. Its outputs cannot
// be predicted from one another.
func newNonce(r *rand.Rand) (n protocol.Nonce) {
	for i := 0; i < len(n); i += 8 {
		v := r.Uint64()
		for j := range 8 {
			// #nosec G115 -- the lowest byte is wanted
			n[i+j] = byte(v >> (8 * j))
		}
	}
	return n
}

// newEpoch never returns 0, which stands for no process.
func newEpoch(r *rand.Rand) protocol.Epoch {
	for {
		if e := protocol.Epoch(r.Uint64()); e != 0 {
			return e
		}
	}
}
