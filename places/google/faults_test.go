package google

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

const (
	notJSON   = "the answer is not JSON: "
	notObject = "the answer is not a JSON object"
	noStatus  = "the answer has no status"
	noResults = "the answer has no list of results"
	noResult  = "a result in the answer is not a JSON object"
	twice     = "the answer has a duplicate status or results"
	tooLong   = "the answer is longer than 1 MiB"
	failed    = "the connection to the server failed"
	brokeOff  = "the connection broke during the answer"
	notGzip   = "the answer has invalid gzip data"
)

func TestBadAnswers(t *testing.T) {
	for _, c := range []struct{ name, body, want string }{
		{"empty", "", notJSON + "unexpected end of JSON input"},
		{"HTML", "<!DOCTYPE html><html>" + marker,
			notJSON + "invalid character '<' looking for beginning of value"},
		{"null", "null", notObject},
		{"array", `[{"results":[],"status":"OK"}]`, notObject},
		{"truncated", `{"results":[{"name":"` + marker, notJSON + "unexpected end of JSON input"},
		{"two", `{"results":[],"status":"OK"}{}`, notJSON + "invalid character '{' after top-level value"},
		{"empty object", "{}", noStatus},
		{"no results", `{"status":"OK"}`, noResults},
		{"results null", `{"results":null,"status":"OK"}`, noResults},
		{"results object", `{"results":{"0":{}},"status":"OK"}`, noResults},
		{"results string", `{"results":"` + marker + `","status":"OK"}`, noResults},
		{"a result string", `{"results":[{},"` + marker + `"],"status":"OK"}`, noResult},
		{"a result null", `{"results":[null],"status":"OK"}`, noResult},
		{"results twice", `{"results":[],"results":[],"status":"OK"}`, twice},
		{"status twice", `{"results":[],"status":"OK","status":"OK"}`, twice},
		{"no status", `{"results":[]}`, noStatus},
		{"status number", `{"results":[],"status":200}`, noStatus},
		{"status null", `{"results":[],"status":null}`, noStatus},
		{"status empty", `{"results":[],"status":""}`, noStatus},
		{"status empty and then not", `{"status":"","results":[],"status":"OK"}`, noStatus},
		{"white space that is not JSON's", "\v" + `{"results":[],"status":"OK"}`,
			notJSON + `invalid character '\v' looking for beginning of value`},
		{"100,000 deep", deep(100_000), notJSON + "invalid character '[' exceeded max depth"},
		{"9,000 deep", deep(9_000), "the answer is too large or nested too deeply"},
		{"10 MB", `{"results":[],"status":"OK","x":"` + strings.Repeat("x", 10<<20) + `"}`, tooLong},
	} {
		t.Run(c.name, func(t *testing.T) { fails(t, asking(t, answering(c.body)), c.want) })
	}
}

func deep(n int) string {
	return `{"results":[],"status":"OK","x":` + strings.Repeat("[", n) + strings.Repeat("]", n) + `}`
}

// The longest valid answer, and one that is too long.
func TestLongestAnswer(t *testing.T) {
	const around = `{"results":[],"status":"OK","x":""}`
	body := strings.Replace(around, `""`, `"`+strings.Repeat("x", maxBody-len(around))+`"`, 1)
	if _, err := asking(t, answering(body)).Nearby(t.Context(), ucla); err != nil {
		t.Error(err)
	}
	fails(t, asking(t, answering(body+" ")), tooLong)
}

func TestFaults(t *testing.T) {
	for _, c := range []struct {
		name, want string
		answer     http.HandlerFunc
	}{
		{"HTTP 500", "the answer was HTTP 500", func(w http.ResponseWriter, r *http.Request) {
			http.Error(w, r.URL.String(), http.StatusInternalServerError)
		}},
		{"HTTP 204", "the answer was HTTP 204", func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusNoContent)
		}},
		{"hangs up", failed, func(http.ResponseWriter, *http.Request) {
			panic(http.ErrAbortHandler)
		}},
		{"hangs up within the body", brokeOff, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, `{"results":[`)
		}},
		{"endless headers", failed, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X", strings.Repeat("x", 2*maxHeaders))
		}},
		{"endless body", tooLong, func(w http.ResponseWriter, _ *http.Request) {
			for spaces, err := make([]byte, 1<<16), error(nil); err == nil; {
				_, err = w.Write(spaces)
			}
		}},
		{"not the gzip that it says", notGzip, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = io.WriteString(w, `{"results":[],"status":"OK"}`)
		}},
		{"gzip with a flaw", notGzip, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			text := compressed(`{"results":[],"status":"OK"}`)
			text[len(text)-5] ^= 1 // in the checksum
			_, _ = w.Write(text)
		}},
		{"gzip of nonsense", notGzip, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			text := compressed("")
			_, _ = w.Write(append(text[:10:10], strings.Repeat("\xff", 100)...)) // behind the header
		}},
		{"gzip that breaks off", brokeOff, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			text := compressed(`{"results":[],"status":"OK"}`)
			_, _ = w.Write(text[:len(text)-9])
		}},
		{"an encoding not asked for", notJSON + "invalid character '\\x1b' looking for beginning of value",
			func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Encoding", "br")
				_, _ = io.WriteString(w, "\x1b\x00")
			}},
	} {
		t.Run(c.name, func(t *testing.T) { fails(t, asking(t, c.answer), c.want) })
	}
}

func compressed(text string) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = io.WriteString(z, text)
	_ = z.Close()
	return b.Bytes()
}

func TestRedirectIsNotFollowed(t *testing.T) {
	for _, code := range []int{301, 302, 303, 307, 308} {
		elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			t.Errorf("redirect %d was followed", code)
		}))
		l := asking(t, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL+"?"+r.URL.RawQuery, code)
		})
		fails(t, l, fmt.Sprintf("the answer was HTTP %d", code))
		elsewhere.Close()
	}
}

// The timeout covers a silent server and one that sends a byte now and then.
func TestTimeout(t *testing.T) {
	for name, drip := range map[string]string{"silence": "", "a slow drip": " "} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				beat := time.NewTicker(time.Millisecond)
				defer beat.Stop()
				for drip != "" && r.Context().Err() == nil {
					<-beat.C
					_, _ = io.WriteString(w, drip)
					_ = http.NewResponseController(w).Flush()
				}
				<-r.Context().Done()
			}))
			defer server.Close()
			fails(t, newLegacy(t, server.URL, 30*time.Millisecond), "no answer within 30ms")
		})
	}
}

func TestCanceled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	l := asking(t, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	_, err := l.Nearby(ctx, ucla)
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	checkText(t, err)
}

func TestNobodyThere(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	base := "http://" + listener.Addr().String()
	listener.Close()
	fails(t, newLegacy(t, base, time.Minute), "cannot connect to the server")
}

func TestForeignCertificate(t *testing.T) {
	server := httptest.NewUnstartedServer(answering(`{"results":[],"status":"OK"}`))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	l := newLegacy(t, server.URL, time.Minute)
	fails(t, l, "invalid TLS certificate of the server")
	transport(l).TLSClientConfig = server.Client().Transport.(*http.Transport).TLSClientConfig
	if _, err := l.Nearby(t.Context(), ucla); err != nil {
		t.Error("with its certificate known:", err)
	}
}

// The error of a resolver contains the host name; ours does not.
func TestNameThatIsNone(t *testing.T) {
	l := newLegacy(t, "https://places.invalid", time.Minute)
	transport(l).DialContext = func(_ context.Context, _, address string) (net.Conn, error) {
		err := &net.DNSError{Err: "no such host", Name: address}
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: err}
	}
	fails(t, l, "cannot resolve the server's name")
}
