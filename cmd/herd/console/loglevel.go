package console

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"golang.org/x/time/rate"

	"serverherd/cmd/herd/console/door"
	"serverherd/herd"
	"serverherd/herd/config"
)

// LogLevel is the answer of /loglevel.
type LogLevel struct {
	Server     string `json:"server"`
	Level      string `json:"level"`         // in force
	Configured string `json:"configured"`    // in herd.toml when the server started
	Was        string `json:"was,omitempty"` // before it was changed
}

// LogLevelRequest is the body of a PUT to /loglevel.
type LogLevelRequest struct {
	Level string `json:"level"`
}

// logLevel is GET /loglevel.
func (c *console) logLevel(w http.ResponseWriter, r *http.Request) {
	c.answer(w, r, LogLevel{Server: c.Name, Level: c.Log.Level(), Configured: c.Config.Log.Level})
}

// levelLimits are the limits of changes of the log level. Each change has its entry, so that the log says who had which
// level when; so changes are limited, not entries. Who has no token cannot keep those from it who have one.
type levelLimits struct{ tokens, others *rate.Limiter }

func newLevelLimits() levelLimits {
	one := func() *rate.Limiter {
		return rate.NewLimiter(rate.Every(herd.ConsoleLevelPause), herd.ConsoleLevelChanges)
	}
	return levelLimits{one(), one()}
}

// allow reports whether a request may change the level now.
func (l levelLimits) allow(r *http.Request) bool {
	if door.Of(r).Name != "" {
		return l.tokens.Allow()
	}
	return l.others.Allow()
}

// setLogLevel is PUT /loglevel: it changes the level of the log until the server is restarted.
func (c *console) setLogLevel(w http.ResponseWriter, r *http.Request) {
	if !isJSON(r) {
		fail(w, http.StatusUnsupportedMediaType, "the Content-Type must be application/json")
		return
	}
	var request LogLevelRequest
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	err := d.Decode(&request)
	if err == nil && d.Decode(new(any)) != io.EOF {
		err = errors.New("more than one value")
	}
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		fail(w, http.StatusRequestEntityTooLarge, "the request is too long")
		return
	}
	if err != nil {
		fail(w, http.StatusBadRequest, `want {"level":"debug"}: `+err.Error())
		return
	}
	if err := config.CheckLogLevel(request.Level); err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	if request.Level != c.Log.Level() && !c.levels.allow(r) {
		w.Header().Set("Retry-After", strconv.Itoa(int(herd.ConsoleLevelPause/time.Second)))
		fail(w, http.StatusTooManyRequests, "too many changes of the log level: each is logged")
		return
	}
	was, err := c.Log.SetLevel(request.Level, who(r))
	if err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	c.answer(w, r, LogLevel{Server: c.Name, Level: request.Level, Configured: c.Config.Log.Level, Was: was})
}
