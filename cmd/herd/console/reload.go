package console

import (
	"io"
	"net/http"
	"time"

	"serverherd/cmd/herd/console/door"
)

// Reloaded is the answer of /reload: what a reload did.
type Reloaded struct {
	Server string         `json:"server"`
	OK     bool           `json:"ok"` // no part failed
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
	NotConfigured = "not configured" // herd.toml has no such file
)

// ReloadedPart is what a reload did to a part.
type ReloadedPart struct {
	Part    string    `json:"part"`
	What    string    `json:"what"`
	Count   *int      `json:"count,omitempty"`   // tokens or places in force
	Skipped int       `json:"skipped,omitempty"` // places
	Expires time.Time `json:"expires,omitzero"`  // of the certificate in force
	Error   string    `json:"error,omitempty"`   // why it failed
	Took    float64   `json:"took"`              // seconds
}

// reload is /reload: it makes the server read its files again, and answers when that has ended, however long it takes. It
// goes on if the client leaves. A reload that revokes the token of its own request is answered, too.
func (c *console) reload(w http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil { // before that, net/http does not notice that the client leaves
		fail(w, http.StatusRequestEntityTooLarge, "the request must have no body")
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

// who is who has sent a request that changes something, for the log.
func who(r *http.Request) string {
	if name := door.Of(r).Name; name != "" {
		return "token " + name
	}
	return "console on loopback" // beyond it there is a token, see door.Operate
}
