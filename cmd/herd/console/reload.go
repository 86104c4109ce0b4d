package console

import (
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"serverherd/cmd/herd/console/door"
)

// Reloaded is the answer of /reload: what a reload did.
type Reloaded struct {
	Server string         `json:"server"`
	OK     bool           `json:"ok"` // no part failed or is delayed
	Parts  []ReloadedPart `json:"parts"`
	Took   float64        `json:"took"` // seconds
}

// The parts of a reload.
const (
	LogPart          = "log"
	TokensPart       = "tokens"
	CertificatesPart = "certificates"
	PlacesPart       = "places"
)

// What a reload did to a part.
const (
	Reread        = "reloaded"
	Reopened      = "reopened"       // the log file, which was moved, deleted or replaced
	Unchanged     = "unchanged"      // the log file
	Failed        = "failed"         // what was in force before still is
	Delayed       = "delayed"        // the tokens: in force for the console, and for clients when the event loop answers
	NotConfigured = "not configured" // herd.toml has no such file
)

// ReloadedPart is what a reload did to a part.
type ReloadedPart struct {
	Part    string    `json:"part"`
	What    string    `json:"what"`
	Count   *int      `json:"count,omitempty"`   // tokens or places in force
	Skipped int       `json:"skipped,omitempty"` // places
	Expires time.Time `json:"expires,omitzero"`  // of the certificate in force
	Error   string    `json:"error,omitempty"`   // why it failed or is delayed
	Took    float64   `json:"took"`              // seconds
}

// reload is /reload: it makes the server read its files again, and answers when that has ended, however long it takes. It
// goes on if the client leaves. A reload that revokes the token of its own request is answered, too.
func (c *console) reload(w http.ResponseWriter, r *http.Request) {
	if status, err := noBody(r); err != nil { // before its end, net/http does not notice that the client leaves
		fail(w, status, err.Error())
		return
	}
	slots := c.reloads.of(r)
	select { // requests that wait take no place of others
	case slots <- struct{}{}:
		defer func() { <-slots }()
	default:
		w.Header().Set("Retry-After", "1")
		fail(w, http.StatusServiceUnavailable, "too many requests wait for a reload")
		return
	}
	response := http.NewResponseController(w)
	_ = response.SetReadDeadline(time.Time{})
	_ = response.SetWriteDeadline(time.Time{})
	r = r.WithContext(door.Connection(r))
	next := c.Reload(who(r))
	select {
	case <-next.Done():
		_ = response.SetWriteDeadline(time.Now().Add(writeTimeout))
		c.answer(w, r, next.Result())
	case <-r.Context().Done():
	}
}

// PendingReload is a reload that was asked for. All who wait for the same one share it. Any goroutine.
type PendingReload struct {
	ended  chan struct{}
	result Reloaded
}

// NewPendingReload returns a reload that has not ended.
func NewPendingReload() *PendingReload { return &PendingReload{ended: make(chan struct{})} }

// End ends it. It is called once.
func (p *PendingReload) End(result Reloaded) {
	p.result = result
	close(p.ended)
}

// Done is closed when it has ended.
func (p *PendingReload) Done() <-chan struct{} { return p.ended }

// Result is what it did. It may be called when it has ended.
func (p *PendingReload) Result() Reloaded { return p.result }

// reloadSlots have a value for each request that waits for a reload. Who has no token cannot keep those from it who have
// one.
type reloadSlots struct{ tokens, others chan struct{} }

func newReloadSlots(n int) reloadSlots {
	return reloadSlots{make(chan struct{}, n), make(chan struct{}, n)}
}

func (s reloadSlots) of(r *http.Request) chan struct{} {
	if door.Of(r).Name != "" {
		return s.tokens
	}
	return s.others
}

// noBody reads the end of a request without a body. An error has an HTTP status.
func noBody(r *http.Request) (status int, err error) {
	n, err := io.Copy(io.Discard, r.Body)
	switch tooLarge := (*http.MaxBytesError)(nil); {
	case errors.As(err, &tooLarge):
		return http.StatusRequestEntityTooLarge, errors.New("the request must have no body")
	case errors.Is(err, os.ErrDeadlineExceeded):
		return http.StatusRequestTimeout, errors.New("the request did not end in time")
	case err != nil:
		return http.StatusBadRequest, errors.New("the request is not complete")
	case n > 0:
		return http.StatusBadRequest, errors.New("the request must have no body")
	}
	return http.StatusOK, nil
}

// who is who has sent a request that changes something, for the log.
func who(r *http.Request) string {
	if name := door.Of(r).Name; name != "" {
		return "token " + name
	}
	return "console on loopback" // beyond it there is a token, see door.Operate
}
