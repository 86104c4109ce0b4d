package console

import (
	"context"
	"net/http"
	"time"

	"serverherd/herd"
)

// Loop runs f on a server's event loop and returns when it has run; false if ctx ends first. In that case f may
// still run later, or never. So f must not touch what the caller owns: its only way out is a buffered channel, as in
// OnLoop. f blocks every client of the server: it must be short and bounded.
type Loop func(ctx context.Context, f func(*herd.Server)) bool

// NewLoop returns the Loop of a server, whose reactor runs what post is given.
func NewLoop(post func(func()), srv *herd.Server) Loop {
	return func(ctx context.Context, f func(*herd.Server)) bool {
		ran := make(chan struct{})
		post(func() {
			if ctx.Err() != nil {
				return // nobody waits: a loop that was stuck does not do the work of all who gave up
			}
			f(srv)
			close(ran)
		})
		select {
		case <-ran:
			return true
		case <-ctx.Done():
			return false
		}
	}
}

// OnLoop returns what f returns on the loop; false if ctx ends first. What f returns must be a copy: nothing in it
// may alias the server's state.
func OnLoop[T any](ctx context.Context, do Loop, f func(*herd.Server) T) (result T, ok bool) {
	answer := make(chan T, 1)
	if !do(ctx, func(srv *herd.Server) { answer <- f(srv) }) {
		return result, false
	}
	return <-answer, true
}

// fromLoop is OnLoop for a request, with a timeout. If the loop does not answer, it sends the error, and the
// handler must return.
func fromLoop[T any](c *console, w http.ResponseWriter, r *http.Request, f func(*herd.Server) T) (result T, ok bool) {
	ctx, cancel := context.WithTimeout(r.Context(), loopTimeout)
	defer cancel()
	if result, ok = OnLoop(ctx, c.Do, f); !ok {
		fail(w, http.StatusServiceUnavailable, stuck(loopTimeout))
	}
	return result, ok
}

// stuck is the error of a request that has waited for the loop.
func stuck(after time.Duration) string {
	return "the event loop did not answer within " + after.String()
}
