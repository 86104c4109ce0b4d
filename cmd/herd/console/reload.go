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
	select { // requests that wait take no place of others
	case c.reloads <- struct{}{}:
		defer func() { <-c.reloads }()
	default:
		w.Header().Set("Retry-After", "1")
		fail(w, http.StatusServiceUnavailable, "too many requests wait for a reload")
		return
	}
	if status, err := noBody(r); err != nil { // before its end, net/http does not notice that the client leaves
		fail(w, status, err.Error())
		return
	}
	response := http.NewResponseController(w)
	_ = response.SetReadDeadline(time.Time{})
	_ = response.SetWriteDeadline(time.Time{})
	r = r.WithContext(door.Connection(r))
	select {
	case result := <-c.Reload(who(r)):
		_ = response.SetWriteDeadline(time.Now().Add(writeTimeout))
		c.answer(w, r, result)
	case <-r.Context().Done():
	}
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
