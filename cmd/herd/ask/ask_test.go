package ask

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"serverherd/herd"
	"serverherd/herd/access"
	"serverherd/herd/config"
)

// serverAt is a server of herd.toml with a console.
func serverAt(t *testing.T, name string, console http.HandlerFunc) config.Server {
	t.Helper()
	s := httptest.NewServer(console)
	t.Cleanup(s.Close)
	return config.Server{Name: name, Console: s.Listener.Addr().String()}
}

type named struct{ Server, Text string }

const long = time.Minute // no test waits for it

func TestAll(t *testing.T) {
	echo := func(name string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			_ = json.NewEncoder(w).Encode(named{name, r.URL.Path + " " + r.URL.Query().Get("id")})
		}
	}
	servers := []config.Server{
		serverAt(t, "Alford", echo("Alford")), {Name: "Ball"}, serverAt(t, "Welsh", echo("Welsh")),
	}
	all := All[named](t.Context(), New(Options{Timeout: long}), servers, "/trace.json?id=%00%20%ff")
	if len(all) != 3 || all[0].Value == nil || *all[0].Value != (named{"Alford", "/trace.json \x00 \ufffd"}) || all[0].Code != 200 ||
		!all[1].NoConsole || all[1].Error != "no console in herd.toml" || all[1].Value != nil ||
		all[2].Value == nil || all[2].Value.Server != "Welsh" {
		t.Errorf("%+v", all)
	}
}

// The advice follows the error of a console that does not let the asker in, and no other.
func TestAdvice(t *testing.T) {
	t.Parallel()
	client := New(Options{Timeout: long, Advice: "show a token"})
	for status, refused := range map[int]bool{401: true, 403: true, 404: false, 503: false} {
		s := serverAt(t, "Ball", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = w.Write([]byte(`{"error": "why"}`))
		})
		want := fmt.Sprintf("%d %s from %s: why", status, http.StatusText(status), s.Console)
		if refused {
			want += "; show a token"
		}
		if a := One[named](t.Context(), client, s, "/"); a.Error != want || a.Code != status || a.Reason != "why" {
			t.Errorf("%+v, want %q", a, want)
		}
		if _, err := client.Open(t.Context(), s, "/"); err == nil || err.Error() != want || Refused(err) != refused {
			t.Errorf("%v, refused: %v, want %q", err, Refused(err), want)
		}
	}
}

// All servers are asked at once: each answers only after all have been asked.
func TestServersAreAskedAtOnce(t *testing.T) {
	const n = 5
	var asked atomic.Int32
	all := make(chan struct{})
	var servers []config.Server
	for i := range n {
		name := fmt.Sprint("server", i)
		servers = append(servers, serverAt(t, name, func(w http.ResponseWriter, r *http.Request) {
			if asked.Add(1) == n {
				close(all)
			}
			select {
			case <-all:
				fmt.Fprintf(w, `{"server":%q}`, name)
			case <-r.Context().Done():
			}
		}))
	}
	for _, a := range Statuses(t.Context(), New(Options{Timeout: long}), servers) {
		if a.Status == nil {
			t.Error(a.Server, a.Error)
		}
	}
}

// A console whose answer has more links than a herd has servers is not believed.
func TestStatusWithManyLinks(t *testing.T) {
	for links, want := range map[int]string{
		herd.ConsoleLinks:     "",
		herd.ConsoleLinks + 1: "bad answer: it has more than 1000 links",
		26_000:                "bad answer: it has more than 1000 links",
	} {
		s := serverAt(t, "Alford", func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, `{"server":"Alford","links":[{}%s]}`, strings.Repeat(`,{"neighbor":"x"}`, links-1))
		})
		a := StatusOf(t.Context(), New(Options{Timeout: long}), s)
		if a.Error != want || (a.Status == nil) != (want != "") || a.Code != 200 {
			t.Errorf("%d links: %d %q", links, a.Code, a.Error)
		}
	}
}

// until the other side is gone.
func untilGone(r *http.Request) { <-r.Context().Done() }

// Whatever a console answers, the result is a value or a bounded error.
func TestHostileConsoles(t *testing.T) {
	elsewhere := serverAt(t, "Alford", func(http.ResponseWriter, *http.Request) { t.Error("a redirect was followed") })
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	_, _ = io.Copy(z, io.LimitReader(strings.NewReader(`{"server":"Alford","text":"`+strings.Repeat(" ", 8<<20)+`"}`), 16<<20))
	_ = z.Close()
	text := func(format string, args ...any) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, format, args...) }
	}
	endless := func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := io.WriteString(w, `{"server":"Alford","links":[`+strings.Repeat(" ", 4096)); err != nil {
				return
			}
		}
	}
	for name, test := range map[string]struct {
		console http.HandlerFunc
		want    string // AT is the console's address
		code    int
	}{
		"another server":    {text(`{"server":"Ball"}`), "the console at AT belongs to Ball", 200},
		"no server":         {text(`{}`), "console at AT: the answer does not name its server", 200},
		"a name that is no": {text(`{"server":7}`), "console at AT: json: cannot unmarshal number", 200},
		"a name of a MiB":   {text(`{"server":"%s"}`, strings.Repeat("x", 1<<19)), "the console at AT belongs to xxx", 200},
		"nothing":           {text(""), "console at AT: unexpected end of JSON input", 200},
		"garbage":           {text("<html>"), "console at AT: invalid character '<'", 200},
		"an array":          {text("[]"), "console at AT: json: cannot unmarshal array", 200},
		"nothing behind":    {text(`{"server":"Alford"} x`), "console at AT: invalid character 'x' after top-level value", 200},
		"deep":              {text("%s", strings.Repeat("[", 1<<19)), "console at AT: invalid character", 200},
		"huge":              {text(`{"server":"Alford","text":"%s"}`, strings.Repeat("x", herd.ConsoleAnswer)), "console at AT: the answer is longer than 1048576 bytes", 200},
		"endless":           {endless, "console at AT: the answer is longer than 1048576 bytes", 200},
		"many elements":     {text(`{"server":"Alford","text":",\",","links":[{}%s]}`, strings.Repeat(",{}", 300_000)), "console at AT: the answer has more than 65536 elements", 200},
		"a gzip bomb": {func(w http.ResponseWriter, r *http.Request) {
			if e := r.Header.Get("Accept-Encoding"); e != "" {
				t.Errorf("Accept-Encoding: %s", e)
			}
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(bomb.Bytes())
		}, `console at AT: invalid character '\x1f'`, 200},
		"a redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://"+elsewhere.Console+"/", http.StatusFound)
		}, "302 Found from AT", 302},
		"an error":       {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "x", http.StatusBadRequest) }, "400 Bad Request from AT", 400},
		"an error, JSON": {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, `{"error":"no id"}`, 404) }, "404 Not Found from AT: no id", 404},
		"an endless error": {func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(500)
			endless(w, r)
		}, "500 Internal Server Error from AT", 500},
		"a large header": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X", strings.Repeat("x", 1<<20))
		}, "no answer at AT", 0},
		"no HTTP": {func(w http.ResponseWriter, _ *http.Request) {
			if c, _, err := w.(http.Hijacker).Hijack(); err == nil {
				fmt.Fprint(c, "SSH-2.0-\r\n")
				c.Close()
			}
		}, "no answer at AT", 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := serverAt(t, "Alford", test.console)
			got := One[herd.Status](t.Context(), New(Options{Timeout: long}), s, "/")
			want := strings.ReplaceAll(test.want, "AT", s.Console)
			if got.Value != nil || !strings.HasPrefix(got.Error, want) || got.Code != test.code || len(got.Error) > maxError+3 {
				t.Errorf("%d %q, want %d %q", got.Code, got.Error, test.code, want)
			}
		})
	}
}

// A console that does not answer, or does not finish its answer, is given up after the timeout.
func TestSlowConsoles(t *testing.T) {
	for name, console := range map[string]http.HandlerFunc{
		"nothing": func(_ http.ResponseWriter, r *http.Request) { untilGone(r) },
		"a byte": func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, "{")
			_ = http.NewResponseController(w).Flush()
			untilGone(r)
		},
	} {
		s := serverAt(t, "Alford", console)
		a := StatusOf(t.Context(), New(Options{Timeout: 20 * time.Millisecond}), s)
		if want := "no answer at " + s.Console + " within 20ms"; a.Error != want {
			t.Errorf("%s: %q, want %q", name, a.Error, want)
		}
	}
	silent := serverAt(t, "Alford", func(_ http.ResponseWriter, r *http.Request) { untilGone(r) })
	if a := StatusOf(t.Context(), New(Options{}), silent); a.Error != "no answer at "+silent.Console+" within 1s" {
		t.Errorf("by default: %q", a.Error)
	}
	ctx, cancel := context.WithCancel(t.Context())
	s := serverAt(t, "Alford", func(_ http.ResponseWriter, r *http.Request) { cancel(); untilGone(r) })
	if a := StatusOf(ctx, New(Options{Timeout: long}), s); a.Error != "canceled" {
		t.Errorf("after a cancel: %q", a.Error)
	}
	l := httptest.NewServer(http.NotFoundHandler())
	l.Close()
	s.Console = l.Listener.Addr().String()
	if a := StatusOf(t.Context(), New(Options{Timeout: long}), s); a.Error != "no answer at "+s.Console {
		t.Errorf("nobody listens: %q", a.Error)
	}
}

// Only the addresses of herd.toml are asked, whatever the environment says.
func TestNoProxy(t *testing.T) {
	transport := New(Options{}).http.Transport.(*http.Transport)
	if transport.Proxy != nil {
		t.Error("there is a proxy") // net/http reads the environment once, and never for loopback
	}
}

func TestALimitOfTheCaller(t *testing.T) {
	s := serverAt(t, "Alford", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"server":"Alford","text":"%s"}`, strings.Repeat("x", herd.ConsoleAnswer))
	})
	if a := One[named](t.Context(), New(Options{Timeout: long, MaxAnswer: 2 * herd.ConsoleAnswer}), s, "/"); a.Value == nil || len(a.Value.Text) != herd.ConsoleAnswer {
		t.Error(a.Error)
	}
}

// A stream is read as it comes and ends when it is closed.
func TestOpen(t *testing.T) {
	gone := make(chan struct{})
	more := make(chan struct{})
	s := serverAt(t, "Alford", func(w http.ResponseWriter, r *http.Request) {
		flush := http.NewResponseController(w).Flush
		fmt.Fprintln(w, "one")
		_ = flush()
		<-more
		fmt.Fprintln(w, "two")
		_ = flush()
		untilGone(r)
		close(gone)
	})
	c := New(Options{Timeout: long})
	body, err := c.Open(t.Context(), s, "/watch")
	if err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 4)
	_, _ = io.ReadFull(body, line)
	close(more)
	if _, err := io.ReadFull(body, line); err != nil || string(line) != "two\n" {
		t.Errorf("%q, %v", line, err)
	}
	body.Close()
	<-gone
	for want, s := range map[string]config.Server{
		"no console in herd.toml": {},
		"404 Not Found from":      serverAt(t, "Alford", http.NotFound),
	} {
		if _, err := c.Open(t.Context(), s, "/watch"); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	slow := serverAt(t, "Alford", func(_ http.ResponseWriter, r *http.Request) { untilGone(r) })
	if _, err := New(Options{Timeout: 20 * time.Millisecond}).Open(t.Context(), slow, "/"); err == nil ||
		!strings.HasSuffix(err.Error(), "within 20ms") || errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

// A client with a token sends it, one with the herd's secret signs each request differently, and others say nothing.
func TestAuthorization(t *testing.T) {
	var headers []string
	s := serverAt(t, "Alford", func(w http.ResponseWriter, r *http.Request) {
		headers = append(headers, r.Header.Get("Authorization"))
		if q := (access.Question{Server: "Alford", Method: r.Method, Target: r.RequestURI}); len(headers) > 2 {
			if _, err := access.Verify([]string{"secret"}, q, headers[len(headers)-1], time.Now(), time.Time{}); err != nil {
				t.Error(err)
			}
		}
		fmt.Fprint(w, `{"server":"Alford"}`)
	})
	for _, o := range []Options{{}, {Token: "herd_x", Secret: "secret"}, {Secret: "secret"}, {Secret: "secret"}} {
		o.Timeout = long
		if a := One[named](t.Context(), New(o), s, "/trace.json?id=%00%20%ff"); a.Error != "" {
			t.Error(a.Error)
		}
	}
	if headers[0] != "" || headers[1] != "Bearer herd_x" || headers[2] == headers[3] {
		t.Errorf("%q", headers)
	}
}
