package console

import (
	"context"
	"fmt"
	"net/http"

	"serverherd/cmd/herd/view"
	"serverherd/herd"
)

// healthz is /healthz: the process lives. Its answers and those of readyz are text.
func (c *console) healthz(w http.ResponseWriter, _ *http.Request) {
	_, _ = w.Write([]byte("ok\n"))
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

func (c *console) currentStatus(r *http.Request) (herd.Status, bool) {
	ctx, cancel := context.WithTimeout(r.Context(), loopTimeout)
	defer cancel()
	return c.Status(ctx)
}
