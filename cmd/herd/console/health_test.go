package console

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"serverherd/herd"
)

// small is a listener whose connections have small socket buffers.
type small struct{ net.Listener }

func (l small) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		_ = c.(*net.TCPConn).SetWriteBuffer(4 << 10)
	}
	return c, err
}

// slowConsole is a console with timeouts longer than the test and a large status.
func slowConsole(t *testing.T) (addr string) {
	t.Helper()
	large := herd.Status{Server: "Ball", Ready: true, Version: strings.Repeat("x", 256<<10)}
	s := New(Options{Status: fixed(large), Do: atOnce, Pprof: true})
	s.ReadTimeout, s.WriteTimeout, s.IdleTimeout = time.Hour, time.Hour, time.Hour
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- Serve(s, small{l}) }()
	t.Cleanup(func() {
		s.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

const get = "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n"

// holders are kinds of connections that are kept open. Each sends something and reads the beginning of the
// response, so that the console has handled it.
var holders = []struct {
	name, sent string
	reads      string // a part of the response to wait for
}{
	{"silent", "", ""},
	{"idle", fmt.Sprintf(get, "/healthz"), "ok\n"},
	{"idle after a page", fmt.Sprintf(get, "/debug/pprof/cmdline"), "\r\n\r\n"},
	{"half a request line", "GET /hea", ""},
	{"half a header", "GET /healthz HTTP/1.1\r\nHost: loc", ""},
	{"half a body", "POST /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nx", ""},
	{"does not read a large page", fmt.Sprintf(get, "/status.json"), ""},
	{"does not read many small ones", strings.Repeat(fmt.Sprintf(get, "/readyz"), 1000), "ready\n"},
	{"a profile of 30 s", fmt.Sprintf(get, "/debug/pprof/heap?seconds=30"), ""},
	{"a CPU profile of 30 s", fmt.Sprintf(get, "/debug/pprof/profile?seconds=30"), ""},
}

// hold makes n connections of a kind and returns a function that closes them.
func hold(t *testing.T, addr, sent, reads string, n int) (release func()) {
	t.Helper()
	var conns []net.Conn
	var writers sync.WaitGroup
	for range n {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.(*net.TCPConn).SetReadBuffer(4 << 10)
		conns = append(conns, c)
		writers.Go(func() { _, _ = io.WriteString(c, sent) }) // the console may not read everything
		if reads != "" {
			waitFor(c, reads)
		}
	}
	return func() {
		for _, c := range conns {
			c.Close()
		}
		writers.Wait()
	}
}

// waitFor reads until a text is received, or the console has closed the connection for another one.
func waitFor(c net.Conn, text string) {
	in := bufio.NewReaderSize(c, 16)
	for seen := ""; !strings.HasSuffix(seen, text); {
		b, err := in.ReadByte()
		if err != nil {
			return
		}
		seen += string(b)
	}
}

// checked requests health and readiness like a load balancer, with a new connection for each.
func checked(addr string) error {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}
	for path, want := range map[string]string{"/healthz": "ok\n", "/readyz": "ready\n"} {
		r, err := client.Get("http://" + addr + path)
		if err != nil {
			return err
		}
		body, err := io.ReadAll(r.Body)
		r.Body.Close()
		if err != nil || r.StatusCode != http.StatusOK || string(body) != want {
			return fmt.Errorf("%s: %s %q, %v", path, r.Status, body, err)
		}
	}
	return nil
}

func descriptors(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("needs /proc: ", err)
	}
	return len(all)
}

// Health and readiness checks succeed whatever other connections exist. These do not end before the checks
// time out.
func TestHealthBesideEverything(t *testing.T) {
	for _, kind := range holders {
		t.Run(kind.name, func(t *testing.T) {
			addr := slowConsole(t)
			before := descriptors(t)
			release := hold(t, addr, kind.sent, kind.reads, herd.ConsoleConnections)
			for range 3 {
				if err := checked(addr); err != nil {
					t.Error(err)
				}
			}
			release()
			eventually(t, "descriptors are back", func() bool { return descriptors(t) <= before })
		})
	}
}

// The same with more connections than the limit.
func TestHealthBesideAllKindsAtOnce(t *testing.T) {
	addr := slowConsole(t)
	before := descriptors(t)
	var releases []func()
	for _, kind := range holders {
		releases = append(releases, hold(t, addr, kind.sent, kind.reads, herd.ConsoleConnections/4))
		if err := checked(addr); err != nil {
			t.Errorf("with %s: %v", kind.name, err)
		}
	}
	for _, release := range releases {
		release()
	}
	eventually(t, "descriptors are back", func() bool { return descriptors(t) <= before })
}

// A high rate of new connections may close a check's connection before it is answered; then the check is
// repeated.
func TestHealthBesideChurn(t *testing.T) {
	addr := slowConsole(t)
	ctx, cancel := context.WithCancel(context.Background())
	var churn sync.WaitGroup
	for range 4 {
		churn.Go(func() {
			for ctx.Err() == nil {
				c, err := net.Dial("tcp", addr)
				if err == nil {
					_, _ = io.WriteString(c, "GET /")
					c.Close()
				}
			}
		})
	}
	for range 5 {
		eventually(t, "the check succeeds", func() bool { return checked(addr) == nil })
	}
	cancel()
	churn.Wait()
}

// Page requests beyond the limit are rejected immediately, and accepted when others end.
func TestTooManyPages(t *testing.T) {
	addr := slowConsole(t)
	release := hold(t, addr, fmt.Sprintf(get, "/status.json"), "", herd.ConsoleRequests)
	status := func() (int, string) {
		client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
		r, err := client.Get("http://" + addr + "/status.json")
		if err != nil {
			return 0, err.Error()
		}
		defer r.Body.Close()
		body, _ := io.ReadAll(io.LimitReader(r.Body, 100))
		return r.StatusCode, string(body)
	}
	eventually(t, "all are in the making", func() bool {
		code, body := status()
		return code == http.StatusServiceUnavailable && body == `{"error":"too many requests at once"}`+"\n"
	})
	release()
	eventually(t, "there is room", func() bool {
		code, _ := status()
		return code == http.StatusOK
	})
}

// eventually polls until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("not within a minute: %s", what)
		}
	}
}
