package console

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
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
	was, err := c.Log.SetLevel(request.Level, who(r))
	if err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	c.answer(w, r, LogLevel{Server: c.Name, Level: request.Level, Configured: c.Config.Log.Level, Was: was})
}
