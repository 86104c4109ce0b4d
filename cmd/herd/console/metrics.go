package console

import "net/http"

// metrics is /metrics: the server's status for Prometheus.
func (c *console) metrics(w http.ResponseWriter, r *http.Request) {
	s, ok := c.currentStatus(r)
	if !ok {
		fail(w, http.StatusServiceUnavailable, stuck(loopTimeout))
		return
	}
	if err := c.exposed.Serve(w, r, &s); err != nil {
		fail(w, http.StatusInternalServerError, err.Error())
	}
}
