package googletest

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Fault is a failure of the service.
type Fault struct {
	Name   string
	Answer Answer
	Want   string // the error text, or the beginning of it
}

// Status answers with an error status, in the form of the dialect.
func (d Dialect) Status(status string) Answer {
	if d == LegacyAPI {
		return body(200, fmt.Sprintf(
			`{"html_attributions":[],"results":[],"status":%q,"error_message":"The key %s is bad."}`,
			status, Key))
	}
	code, name, reason := 400, "INVALID_ARGUMENT", ""
	switch status {
	case "REQUEST_DENIED":
		reason = "API_KEY_INVALID"
	case "OVER_QUERY_LIMIT":
		code, name = 429, "RESOURCE_EXHAUSTED"
	case "UNKNOWN_ERROR":
		code, name = 503, "UNAVAILABLE"
	}
	return body(code, fmt.Sprintf(
		`{"error":{"code":%d,"message":"API key %s not valid.","status":%q,"details":[{"reason":%q}]}}`,
		code, Key, name, reason))
}

// Faults are all faults of a dialect except a rejected key, which opens the circuit breaker for a minute.
func (d Dialect) Faults() []Fault {
	list := `{"status":"OK","results":%s}`
	noList := "the answer has no list of results"
	noObject := "a result in the answer is not a JSON object"
	if d == NewAPI {
		list = `{"places":%s}`
		noList = "the answer's places are not a list of JSON objects"
		noObject = noList
	}
	with := func(results string) Answer { return body(200, fmt.Sprintf(list, results)) }
	const notJSON = "the answer is not JSON: "
	return []Fault{
		{"OVER_QUERY_LIMIT", d.Status("OVER_QUERY_LIMIT"), "the answer was OVER_QUERY_LIMIT"},
		{"INVALID_REQUEST", d.Status("INVALID_REQUEST"), "the answer was INVALID_REQUEST"},
		{"UNKNOWN_ERROR", d.Status("UNKNOWN_ERROR"), "the answer was UNKNOWN_ERROR"},
		{"HTTP 404", body(404, "<html>"+Key), "the answer was HTTP 404"},
		{"HTTP 500", body(500, "<html>"+Key), "the answer was "},
		{"never answers", silence, "no answer within "},
		{"a byte now and then", drip, "no answer within "},
		{"hangs up", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
			"the connection to the server failed"},
		{"breaks off", breakOff, "the connection broke during the answer"},
		{"a redirect", redirect, "the answer was HTTP 302"},
		{"HTML", body(200, "<html>"+Key), notJSON},
		{"nothing", body(200, ""), notJSON},
		{"null", body(200, "null"), "the answer is not a JSON object"},
		{"truncated", body(200, strings.TrimSuffix(fmt.Sprintf(list, "[]"), "}")), notJSON},
		{"results that are none", with(`{"a":1}`), noList},
		{"a result that is none", with(`[7]`), noObject},
		{"results without end", with("[" + strings.Repeat(" ", 10<<20) + "]"),
			"the answer is longer than 1 MiB"},
		{"100,000 deep", with(strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000)),
			notJSON},
		{"a gzip bomb", bomb, "the answer is longer than 1 MiB"},
		{"not the gzip that it says", notGzip, "the answer has invalid gzip data"},
		{"another status", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) },
			"the answer was HTTP 204"},
	}
}

func body(code int, text string) Answer {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		_, _ = io.WriteString(w, text)
	}
}

// Slow gives the recorded answer after a delay, compressed.
func Slow(d Dialect, after time.Duration) Answer {
	return func(w http.ResponseWriter, r *http.Request) {
		late := time.NewTimer(after)
		defer late.Stop()
		select {
		case <-late.C:
		case <-r.Context().Done():
			return
		}
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = io.WriteString(z, d.Recorded())
		_ = z.Close()
	}
}

func silence(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

func drip(w http.ResponseWriter, r *http.Request) {
	beat := time.NewTicker(10 * time.Millisecond)
	defer beat.Stop()
	for r.Context().Err() == nil {
		<-beat.C
		_, _ = io.WriteString(w, " ")
		_ = http.NewResponseController(w).Flush()
	}
}

func breakOff(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", "1000")
	_, _ = io.WriteString(w, `{"results":[`)
}

// redirect redirects to another server, with the key in the URL.
func redirect(w http.ResponseWriter, r *http.Request) {
	http.Redirect(w, r, "http://127.0.0.1:1/?key="+Key, http.StatusFound)
}

// bomb is an endless gzip bomb with a compression ratio of 1000: gzip members may be concatenated.
func bomb(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Encoding", "gzip")
	for one := zeros(); ; {
		if _, err := w.Write(one); err != nil {
			return // the client has closed the connection
		}
	}
}

// zeros is 1 MiB of zeros, compressed to 1 KiB.
var zeros = sync.OnceValue(func() []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(make([]byte, 1<<20))
	_ = z.Close()
	return b.Bytes()
})

func notGzip(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Encoding", "gzip")
	_, _ = io.WriteString(w, `{"results":[],"status":"OK"}`)
}
