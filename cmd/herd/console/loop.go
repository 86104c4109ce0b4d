package console

import (
	"context"
	"net/http"
	"time"

	"serverherd/herd"
)

// Loop runs f on a server's event loop and returns when it has run; false if ctx ends first. In that case f may
// still run later, or never. So what f uses belongs to the loop from the call on, and to the caller again only if the
// result is true. f blocks every client of the server: it must be short and bounded.
type Loop func(ctx context.Context, f func(*herd.Server)) bool

// NewLoop returns the Loop of a server, whose reactor runs what post is given.
func NewLoop(post func(func()), srv *herd.Server) Loop {
	return func(ctx context.Context, f func(*herd.Server)) bool {
		r := &request{ctx, srv, f, make(chan struct{})}
		post(r.onLoop)
		select {
		case <-r.ran:
			return true
		case <-ctx.Done():
			return false
		}
	}
}

// request is what a request to the console does on the loop. It is a type so that an entry about a slow turn in the log
// names it: console.(*request).onLoop.
type request struct {
	ctx context.Context
	srv *herd.Server
	f   func(*herd.Server)
	ran chan struct{}
}

func (r *request) onLoop() {
	if r.ctx.Err() != nil {
		return // nobody waits: a loop that was stuck does not do the work of all who gave up
	}
	r.f(r.srv)
	close(r.ran)
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
