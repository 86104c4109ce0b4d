package herd

import (
	"math/rand/v2"
	"time"

	"serverherd/herd/link"
	"serverherd/protocol"
	"serverherd/reactor"
)

// maxLinkLine is the limit on a line between servers, whatever max_line is.
const maxLinkLine = 8192

// wake keeps the one timer of a machine.
type deadlineTimer struct {
	call *reactor.DelayedCall
	at   time.Duration
	f    func()
}

// arm sees to it that f is called at a moment of the reactor's steady clock, if ok. It is left alone if it is called
// before that: whoever is called looks again.
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

// time is now, as machines have it.
func (srv *Server) time() link.Time {
	return link.Time{Wall: srv.reactor.Now(), Steady: srv.reactor.Elapsed()}
}

// newNonce and newEpoch draw from a generator that the command seeds with the system's entropy
// and whose outputs cannot be foretold from one another.
func newNonce(r *rand.Rand) (n protocol.Nonce) {
	for i := 0; i < len(n); i += 8 {
		v := r.Uint64()
		for j := range 8 {
			n[i+j] = byte(v >> (8 * j))
		}
	}
	return n
}

// newEpoch is never 0, which stands for no process.
func newEpoch(r *rand.Rand) protocol.Epoch {
	for {
		if e := protocol.Epoch(r.Uint64()); e != 0 {
			return e
		}
	}
}
