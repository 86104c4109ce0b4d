package console

import "net/http"

// status is /status.json: the server's herd.Status.
func (c *console) status(w http.ResponseWriter, r *http.Request) {
	if s, ok := c.currentStatus(r); ok {
		c.answer(w, r, s)
	} else {
		fail(w, http.StatusServiceUnavailable, stuck(loopTimeout))
	}
}
