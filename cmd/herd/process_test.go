package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"serverherd/herd"
)

// binary is the program under test, built with the race detector.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "herd")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(dir, "herd")
	build := exec.Command("go", "build", "-race", "-o", binary, ".")
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build:", err)
		os.Exit(1)
	}
	// Without this a program under the race detector lives on for a second after its end.
	os.Setenv("GORACE", "atexit_sleep_ms=0")
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// patience is ten times and more what anything here should take.
const patience = 60 * time.Second

// eventually polls until something holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// output is what a process has written so far.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// testHerd is a herd of real processes.
type testHerd struct {
	t       *testing.T
	dir     string
	servers []herd.ServerConfig
	running map[string]*running
}

type running struct {
	cmd    *exec.Cmd
	stderr *output
	done   chan struct{} // closed when it has ended
}

var edges = map[string][]string{
	"Alford": {"Hamilton", "Welsh"}, "Ball": {"Holiday", "Welsh"}, "Hamilton": {"Holiday", "Alford"},
	"Holiday": {"Ball", "Hamilton"}, "Welsh": {"Alford", "Ball"},
}

var names = []string{"Alford", "Ball", "Hamilton", "Holiday", "Welsh"}

// newHerd writes a herd.toml whose ports are those of listeners made here. extra goes in front.
func newHerd(t *testing.T, extra string, names ...string) (*testHerd, map[string][]net.Listener) {
	h := &testHerd{t: t, dir: t.TempDir(), running: map[string]*running{}}
	listeners := map[string][]net.Listener{}
	var text strings.Builder
	text.WriteString(extra)
	for _, name := range names {
		s := herd.ServerConfig{Name: name}
		for range 2 {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			listeners[name] = append(listeners[name], l)
		}
		s.Address, s.Console = listeners[name][0].Addr().String(), listeners[name][1].Addr().String()
		neighbors := edges[name]
		if len(names) == 1 {
			neighbors = nil
		}
		fmt.Fprintf(&text, "\n[[server]]\nname = %q\naddress = %q\nconsole = %q\nneighbors = [", name, s.Address, s.Console)
		for _, n := range neighbors {
			fmt.Fprintf(&text, "%q, ", n)
		}
		text.WriteString("]\n")
		h.servers = append(h.servers, s)
	}
	if err := os.WriteFile(h.config(), []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.killAll)
	return h, listeners
}

// startHerd starts a herd and waits until all links are live.
func startHerd(t *testing.T, extra string, names ...string) *testHerd {
	t.Helper()
	h, listeners := newHerd(t, extra, names...)
	for _, s := range h.servers {
		h.start(s.Name, listeners[s.Name]...)
	}
	h.untilLive()
	return h
}

func (h *testHerd) config() string { return filepath.Join(h.dir, "herd.toml") }

func (h *testHerd) server(name string) herd.ServerConfig {
	for _, s := range h.servers {
		if s.Name == name {
			return s
		}
	}
	h.t.Fatalf("no server %s", name)
	return herd.ServerConfig{}
}

// start starts a server as a process. Listeners that are given go over to it; without any it
// binds its own, as after a crash.
func (h *testHerd) start(name string, listeners ...net.Listener) *running {
	h.t.Helper()
	r := &running{stderr: &output{}, done: make(chan struct{})}
	r.cmd = exec.Command(binary, "serve", name, "--config", h.config())
	r.cmd.Dir = h.dir
	r.cmd.Stderr = r.stderr
	for _, l := range listeners {
		f, err := l.(*net.TCPListener).File()
		if err != nil {
			h.t.Fatal(err)
		}
		defer f.Close()
		defer l.Close()
		r.cmd.ExtraFiles = append(r.cmd.ExtraFiles, f)
	}
	if len(listeners) > 0 {
		r.cmd.Env = append(os.Environ(), fmt.Sprintf("LISTEN_FDS=%d", len(listeners)))
	}
	if err := r.cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	go func() {
		_ = r.cmd.Wait()
		close(r.done)
	}()
	h.running[name] = r
	return r
}

// kill ends a process as a crash would.
func (h *testHerd) kill(name string) {
	r := h.running[name]
	_ = r.cmd.Process.Kill()
	<-r.done
	delete(h.running, name)
}

func (h *testHerd) killAll() {
	for name, r := range h.running {
		if strings.Contains(r.stderr.String(), "DATA RACE") {
			h.t.Errorf("%s: %s", name, r.stderr)
		}
		h.kill(name)
	}
}

// stop ends a process in good order and returns its exit code.
func (h *testHerd) stop(name string) int {
	h.t.Helper()
	r := h.running[name]
	_ = r.cmd.Process.Signal(syscall.SIGTERM)
	h.wait(r)
	delete(h.running, name)
	return r.cmd.ProcessState.ExitCode()
}

func (h *testHerd) wait(r *running) {
	h.t.Helper()
	select {
	case <-r.done:
	case <-time.After(patience):
		h.t.Fatalf("process does not end; it said %s", r.stderr)
	}
}

// status is what a server's console says, or nil.
func (h *testHerd) status(name string) *herd.Status {
	r, err := http.Get("http://" + h.server(name).Console + "/status.json")
	if err != nil {
		return nil
	}
	defer r.Body.Close()
	var s herd.Status
	if r.StatusCode != http.StatusOK || json.NewDecoder(r.Body).Decode(&s) != nil {
		return nil
	}
	return &s
}

// untilLive waits until all links between the running servers are live.
func (h *testHerd) untilLive() {
	h.t.Helper()
	eventually(h.t, "all links live", func() bool {
		for name := range h.running {
			s := h.status(name)
			if s == nil || live(s) < len(s.Links) {
				return false
			}
		}
		return true
	})
}

// untilEqual waits until all running servers hold the same n records.
func (h *testHerd) untilEqual(n int) {
	h.t.Helper()
	var last []string
	eventually(h.t, fmt.Sprintf("%d records everywhere; last: %v", n, last), func() bool {
		digest := ""
		for name := range h.running {
			s := h.status(name)
			if s == nil || s.Records != uint64(n) || digest != "" && s.Digest != digest {
				return false
			}
			digest = s.Digest
		}
		return true
	})
}

// atSent is how many AT lines all servers have sent each other.
func (h *testHerd) atSent() (n uint64) {
	for name := range h.running {
		s := h.status(name)
		if s == nil {
			h.t.Fatalf("%s does not answer", name)
		}
		for _, l := range s.Links {
			n += l.ATSent
		}
	}
	return n
}

// ask sends lines to a server, ends its side, and returns everything that comes.
func (h *testHerd) ask(name, lines string) string {
	h.t.Helper()
	c, err := net.Dial("tcp", h.server(name).Address)
	if err != nil {
		h.t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, lines); err != nil {
		h.t.Fatal(err)
	}
	_ = c.(*net.TCPConn).CloseWrite()
	reply, err := io.ReadAll(c)
	if err != nil {
		h.t.Fatal(err)
	}
	return string(reply)
}

// command runs the program with --config and returns what it wrote and its exit code.
func (h *testHerd) command(in string, args ...string) (out, errOut string, code int) {
	h.t.Helper()
	return command(h.t, h.dir, in, append(args, "--config", h.config())...)
}

func command(t *testing.T, dir, in string, args ...string) (out, errOut string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c := exec.CommandContext(ctx, binary, args...)
	c.Dir = dir
	c.Stdin = strings.NewReader(in)
	var o, e bytes.Buffer
	c.Stdout, c.Stderr = &o, &e
	err := c.Run()
	if _, exited := err.(*exec.ExitError); err != nil && !exited {
		t.Fatal(err)
	}
	return o.String(), e.String(), c.ProcessState.ExitCode()
}
