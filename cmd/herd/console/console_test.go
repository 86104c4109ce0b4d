package console

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"serverherd/herd"
)

// atOnce is a loop that answers at once.
var atOnce = NewLoop(func(f func()) { f() }, nil)

// start serves a console and returns its address.
func start(t *testing.T, o Options) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if o.Do == nil {
		o.Do = atOnce
	}
	s := New(o)
	done := make(chan error, 1)
	go func() { done <- Serve(s, l) }()
	t.Cleanup(func() {
		s.Close()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return l.Addr().String()
}

// fetch sends a request with a Host header and returns the answer's code and body.
func fetch(t testing.TB, addr, host, path string) (int, string) {
	t.Helper()
	r, err := http.NewRequest("GET", "http://"+addr+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = host
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

func fixed(s herd.Status) func(context.Context) (herd.Status, bool) {
	return func(context.Context) (herd.Status, bool) { return s, true }
}

func TestPages(t *testing.T) {
	ready := start(t, Options{Status: fixed(herd.Status{Server: "Ball", Ready: true, Records: 7})})
	unready := start(t, Options{Status: fixed(herd.Status{Server: "Ball"})})
	failing := start(t, Options{Status: fixed(herd.Status{Server: "Ball", Ready: true,
		Journal: &herd.JournalStatus{Behind: 3, Error: "no space left on device"}})})
	apart := start(t, Options{Status: fixed(herd.Status{Server: "Ball", Ready: true,
		Bridge: &herd.BridgeStatus{State: herd.BridgeDown, Error: "no servers available"}})})
	alone := start(t, Options{Status: fixed(herd.Status{Server: "Ball", Ready: true,
		Asks: &herd.AskStatus{Error: "no servers available"}})})
	profiled := start(t, Options{Status: fixed(herd.Status{}), Pprof: true})
	for _, test := range []struct {
		addr, path string
		code       int
		body       string // a part
	}{
		{ready, "/healthz", 200, "ok\n"},
		{ready, "/readyz", 200, "ready\n"},
		{failing, "/readyz", 200, "ready\njournal: behind by 3 records: no space left on device\n"},
		{apart, "/readyz", 200, "ready\nbridge: down: no servers available\n"},
		{alone, "/readyz", 200, "ready\nthe bucket does not answer: no servers available\n"},
		{unready, "/healthz", 200, "ok\n"},
		{unready, "/readyz", 503, "not ready"},
		{ready, "/status.json", 200, `"records": 7`},
		{ready, "/metrics", 200, "\nherd_records 7\n"},
		{ready, "/debug/pprof/", 404, ""},
		{profiled, "/debug/pprof/", 200, "goroutine"},
		{profiled, "/debug/pprof/goroutine?debug=1", 200, "goroutine profile"},
	} {
		code, body := fetch(t, test.addr, "", test.path)
		if code != test.code || !strings.Contains(body, test.body) {
			t.Errorf("%s: %d %q, want %d and %q", test.path, code, body, test.code, test.body)
		}
	}
	var s herd.Status
	if _, body := fetch(t, ready, "", "/status.json"); json.Unmarshal([]byte(body), &s) != nil || s.Server != "Ball" {
		t.Errorf("status.json is no status: %s", body)
	}
}

// Requests with another Host are rejected (DNS rebinding), but for health checks.
func TestHostHeader(t *testing.T) {
	addr := start(t, Options{Status: fixed(herd.Status{})})
	for _, host := range []string{"localhost", "LocalHost:11600", "localhost.", "localhost.:11600", "127.0.0.1", "127.0.0.1:1", "[::1]", "[::1]:11600", "127.9.9.9"} {
		if code, _ := fetch(t, addr, host, "/status.json"); code != 200 {
			t.Errorf("Host %q: %d, want 200", host, code)
		}
	}
	for _, host := range []string{"evil.example", "localhost.evil.example:11600", "10.0.0.1", "[::2]:11600", "127.0.0.1.evil.example", "0.0.0.0"} {
		if code, body := fetch(t, addr, host, "/status.json"); code != 403 || errorOf(body) == "" {
			t.Errorf("Host %q: %d %q, want 403 and no status", host, code, body)
		}
	}
	for request, want := range map[string]string{
		"GET /healthz HTTP/1.0\r\n\r\n":                           "HTTP/1.0 200 OK\r\n",
		"GET /status.json HTTP/1.0\r\nHost: evil.example\r\n\r\n": "HTTP/1.0 403 Forbidden\r\n",
		"GET /nothing HTTP/1.1\r\nHost: evil.example\r\n\r\n":     "HTTP/1.1 403 Forbidden\r\n",
		"GET /status.json HTTP/1.1\r\nHost:\r\n\r\n":              "HTTP/1.1 403 Forbidden\r\n",
		"GET /healthz HTTP/1.1\r\nHost: evil.example\r\n\r\n":     "HTTP/1.1 200 OK\r\n",
		"GET /healthz HTTP/1.1\r\n\r\n":                           "HTTP/1.1 400 Bad Request: missing required Host header\r\n",
	} {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(c, request)
		line, _ := bufio.NewReader(c).ReadString('\n')
		if c.Close(); line != want {
			t.Errorf("%q: %q, want %q", request, line, want)
		}
	}
}

// If the loop does not answer, the request fails after a timeout.
func TestTheLoopIsStuck(t *testing.T) {
	var bounded bool
	addr := start(t, Options{Status: func(ctx context.Context) (herd.Status, bool) {
		_, bounded = ctx.Deadline()
		return herd.Status{}, false
	}})
	for _, path := range []string{"/readyz", "/status.json", "/metrics"} {
		if code, body := fetch(t, addr, "", path); code != 503 || !strings.Contains(body, "did not answer") || !bounded {
			t.Errorf("%s: %d %q, with a deadline: %v", path, code, body, bounded)
		}
	}
	if code, _ := fetch(t, addr, "", "/healthz"); code != 200 {
		t.Errorf("/healthz: %d, want 200: the process lives", code)
	}
}

func TestNothingButGet(t *testing.T) {
	addr := start(t, Options{Status: fixed(herd.Status{})})
	r, err := http.Post("http://"+addr+"/status.json", "text/plain", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	if r.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d, want 405", r.StatusCode)
	}
}

// Invalid requests close their connection and have no other effect.
func TestGarbage(t *testing.T) {
	addr := start(t, Options{Status: fixed(herd.Status{})})
	for _, text := range []string{"IAMAT kiwi +1-1 1\r\n\r\n", "\x16\x03\x01\x02\x00", "GET / HTTP/1.1\r\n" + strings.Repeat("x", 64<<10)} {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(time.Minute))
		_, _ = io.WriteString(c, text)
		_ = c.(*net.TCPConn).CloseWrite()
		_, _ = io.Copy(io.Discard, bufio.NewReader(c))
		c.Close()
	}
	if code, _ := fetch(t, addr, "", "/healthz"); code != 200 {
		t.Errorf("/healthz: %d after garbage", code)
	}
}

func TestLimits(t *testing.T) {
	for _, o := range []Options{{}, {Pprof: true}} {
		s := New(o)
		if s.ReadTimeout <= 0 || s.WriteTimeout <= 0 || s.IdleTimeout <= 0 || s.MaxHeaderBytes <= 0 {
			t.Errorf("pprof %v: a client may hold a connection for ever: %+v", o.Pprof, s)
		}
	}
}
