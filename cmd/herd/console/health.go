package console

import (
	"context"
	"fmt"
	"net/http"
	"sync"

	"serverherd/cmd/herd/view"
	"serverherd/herd"
)

// healthz is /healthz: the process lives. Its answers and those of readyz are text.
func (c *console) healthz(w http.ResponseWriter, _ *http.Request) {
	_, _ = w.Write([]byte("ok\n"))
}

// livez is /livez: the event loop turns. A server that stops is alive until it exits, also when its loop has ended: a stop
// has a time limit of its own.
func (c *console) livez(w http.ResponseWriter, r *http.Request) {
	if !c.Stopping() && !c.turns(r.Context()) && !c.Stopping() {
		http.Error(w, "the event loop does not answer", http.StatusServiceUnavailable)
		return
	}
	_, _ = w.Write([]byte("ok\n"))
}

// turns reports whether the loop runs a call within loopTimeout.
func (c *console) turns(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, loopTimeout)
	defer cancel()
	select {
	case <-c.turning.next(c.Do):
		return true
	case <-ctx.Done():
		return false
	}
}

// nextTurn is the loop's next turn, for all who wait for it. Everyone may ask for /livez and /readyz, so they share one
// call: a loop that is stuck has no more to do, and the server nothing more to keep, however many ask and for however
// long.
type nextTurn struct {
	mu  sync.Mutex
	ran chan struct{} // closed when the call has run; nil if none waits
}

func (n *nextTurn) next(do Loop) <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ran == nil {
		ran := make(chan struct{})
		n.ran = ran
		go func() {
			do(context.Background(), func(*herd.Server) {})
			n.mu.Lock()
			defer n.mu.Unlock()
			n.ran = nil
			close(ran)
		}()
	}
	return n.ran
}

// readyz is /readyz: a rolling restart may go on to the next server. Everyone may know whether it is ready, and who may
// read the console, why.
func (c *console) readyz(w http.ResponseWriter, r *http.Request) {
	s, ok := c.currentStatus(r)
	details := c.Door.MayRead(r)
	switch {
	case (!ok || !s.Ready) && !details:
		http.Error(w, "not ready", http.StatusServiceUnavailable)
		return
	case !ok:
		http.Error(w, stuck(loopTimeout), http.StatusServiceUnavailable)
		return
	case !s.Ready:
		http.Error(w, "not ready: "+view.OneLine(s.Waiting), http.StatusServiceUnavailable)
		return
	}
	_, _ = w.Write([]byte("ready\n"))
	if !details {
		return
	}
	if s.Journal != nil && !s.Journal.OK { // it serves clients anyway
		_, _ = fmt.Fprintf(w, "journal: behind by %d records: %s\n", s.Journal.Behind, view.OneLine(s.Journal.Error))
	}
	if s.Bridge != nil && s.Bridge.Error != "" { // likewise
		_, _ = fmt.Fprintf(w, "bridge: %s: %s\n", view.OneLine(s.Bridge.State), view.OneLine(s.Bridge.Error))
	}
	if s.Asks != nil && !s.Asks.OK { // likewise
		_, _ = fmt.Fprintf(w, "the bucket does not answer: %s\n", view.OneLine(s.Asks.Error))
	}
}

// currentStatus is the server's status; false if the loop does not answer within loopTimeout. It posts nothing of its own
// to a loop that is stuck.
func (c *console) currentStatus(r *http.Request) (herd.Status, bool) {
	ctx, cancel := context.WithTimeout(r.Context(), loopTimeout)
	defer cancel()
	if !c.turns(ctx) {
		return herd.Status{}, false
	}
	return c.Status(ctx)
}
