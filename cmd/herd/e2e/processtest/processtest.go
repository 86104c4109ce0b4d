package processtest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"serverherd/cmd/herd/certs"
	"serverherd/cmd/herd/parent"
	"serverherd/herd"
	"serverherd/herd/config"
)

// Binary is the path of the herd binary that Main has built.
var Binary string

// Runner runs the tests of a package: a *testing.M.
type Runner interface{ Run() int }

// Main is called by a test package's TestMain. It builds cmd/herd, with the race detector or with the given flags of go
// build, and runs the tests.
func Main(m Runner, flags ...string) {
	flag.Parse()
	if f := flag.Lookup("test.fuzz"); f != nil && f.Value.String() != "" { // fuzz targets start no programs
		os.Exit(m.Run())
	}
	dir, err := os.MkdirTemp("", "herd")
	if err != nil {
		panic(err)
	}
	Binary = filepath.Join(dir, "herd")
	if len(flags) == 0 {
		flags = []string{"-race"}
	}
	if err := build(Binary, flags...); err != nil {
		fmt.Fprintln(os.Stderr, "build:", err)
		os.Exit(1)
	}
	// Otherwise a program with the race detector waits for a second before it exits.
	os.Setenv("GORACE", "atexit_sleep_ms=0")
	// Tests mostly wait, for processes and for timeouts of the protocol such as 6 s of silence.
	_ = flag.Set("test.parallel", "6")
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// Build builds another program, cmd/NAME, with the race detector, in the directory of Binary.
func Build(name string) (binary string, err error) {
	binary = filepath.Join(filepath.Dir(Binary), name)
	return binary, build(binary, "-race")
}

// build builds the program whose name is that of the binary. A test may be in another module than the program.
func build(binary string, flags ...string) error {
	module, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "serverherd").Output()
	if err != nil {
		return fmt.Errorf("go list: %w", err)
	}
	args := slices.Concat([]string{"build"}, flags, []string{"-o", binary, "serverherd/cmd/" + filepath.Base(binary)})
	c := exec.Command("go", args...)
	c.Dir = strings.TrimSpace(string(module))
	c.Stdout, c.Stderr = os.Stderr, os.Stderr
	return c.Run()
}

// Patience is the timeout of all waiting: at least ten times as long as anything should take.
const Patience = 60 * time.Second

// Eventually polls until a condition holds, for at most Patience.
func Eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	Within(t, Patience, what, holds)
}

// Within polls until a condition holds, for at most the given time.
func Within(t *testing.T, patience time.Duration, what string, holds func() bool) {
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

// Suspend sends a process SIGSTOP and waits until each of its threads has stopped. On a busy machine some of them run
// for a while after the signal, and answer.
func Suspend(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	Eventually(t, "all threads have stopped", func() bool {
		threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid)) // none where there is no /proc
		return !slices.ContainsFunc(threads, func(stat string) bool {
			text, err := os.ReadFile(stat)
			_, state, _ := bytes.Cut(text, []byte(") "))
			return err == nil && !bytes.HasPrefix(state, []byte("T"))
		})
	})
}

// RemoveAll is os.RemoveAll for a directory in which a server may still create files.
func RemoveAll(dir string) error {
	for {
		if err := os.RemoveAll(dir); !errors.Is(err, syscall.ENOTEMPTY) {
			return err
		}
	}
}

// Output collects the output of a process. Any goroutine.
type Output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// Herd is a herd of real processes. It belongs to the test's goroutine.
type Herd struct {
	T       *testing.T
	Dir     string // contains herd.toml and the logs
	Servers []config.Server
	Running map[string]*Process // by server
	Flags   []string            // additional flags of serve
	Env     []string            // additional environment variables
	Program string              // the binary of servers that are started from now on; "": Binary
	// CA is the file with the authority of the consoles' certificates, if they require TLS; "": they are asked without.
	CA    string
	extra string // beginning of herd.toml

	credential *syscall.Credential // of the servers; nil: the test's
}

// Process is the process of a server.
type Process struct {
	Cmd    *exec.Cmd
	Stderr *Output
	Done   chan struct{} // closed when it has ended
}

// Ring is the paper's topology: the neighbors of each server.
var Ring = map[string][]string{
	"Alford": {"Hamilton", "Welsh"}, "Ball": {"Holiday", "Welsh"}, "Hamilton": {"Holiday", "Alford"},
	"Holiday": {"Ball", "Hamilton"}, "Welsh": {"Alford", "Ball"},
}

// Names are the names of the paper's five servers.
var Names = []string{"Alford", "Ball", "Hamilton", "Holiday", "Welsh"}

// hosts counts the addresses returned by Host.
var hosts atomic.Uint32

// Host returns a loopback address for the caller only, so that no other test gets the port of a server that is down:
// outgoing connections use 127.0.0.1. On systems other than Linux it always returns 127.0.0.1.
func Host() string {
	if runtime.GOOS != "linux" {
		return "127.0.0.1"
	}
	n := hosts.Add(1)
	return fmt.Sprintf("127.%d.%d.%d", 1+os.Getpid()%250, n/250, 1+n%250)
}

// NewHerd writes a herd.toml whose ports are those of listeners created here. extra is put at the beginning.
func NewHerd(t *testing.T, extra string, names ...string) (*Herd, map[string][]net.Listener) {
	listeners := map[string][]net.Listener{}
	host := Host()
	var servers []config.Server
	for _, name := range names {
		s := config.Server{Name: name}
		for range 2 {
			l, err := net.Listen("tcp", host+":0")
			if err != nil {
				t.Fatal(err)
			}
			listeners[name] = append(listeners[name], l)
		}
		s.Address, s.Console = listeners[name][0].Addr().String(), listeners[name][1].Addr().String()
		s.Listen = s.Address
		for _, n := range Ring[name] {
			if slices.Contains(names, n) {
				s.Neighbors = append(s.Neighbors, n)
			}
		}
		servers = append(servers, s)
	}
	return New(t, extra, servers...), listeners
}

// fewPlaces is the default [places] table: with the race detector a server needs two seconds of CPU to load the embedded
// data, and almost none for this file.
const fewPlaces = "\n[places]\nprovider = \"file\"\npath = \"places.csv\"\n"

// Embedded is the [places] table of a herd that uses the embedded data.
const Embedded = "[places]\nprovider = \"embedded\"\n"

// New writes a herd.toml with these servers, none of which is started. extra is put at the beginning. If it has no
// [places], the provider is a file with one place instead of the embedded data.
func New(t *testing.T, extra string, servers ...config.Server) *Herd {
	h := &Herd{T: t, Dir: t.TempDir(), Servers: servers, Running: map[string]*Process{}}
	if !strings.Contains(extra, "[places]") {
		if err := os.WriteFile(filepath.Join(h.Dir, "places.csv"), []byte("name,lat,lng\nWell,1,2\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	h.Change(extra)
	t.Cleanup(h.killAll)
	return h
}

// Change rewrites herd.toml with another beginning, for processes that are started from now on.
func (h *Herd) Change(extra string) {
	h.T.Helper()
	if h.extra = extra; !strings.Contains(extra, "[places]") {
		h.extra += fewPlaces
	}
	h.Write(h.Servers...)
}

// Write rewrites herd.toml with these servers, for processes that are started from now on. Clients beyond loopback need
// no token, unless extra has [clients].
func (h *Herd) Write(servers ...config.Server) {
	h.T.Helper()
	var text strings.Builder
	text.WriteString(h.extra)
	beyond := slices.ContainsFunc(servers, func(s config.Server) bool { return !config.IsLoopback(s.Listen) })
	if beyond && !strings.Contains(h.extra, "[clients]") {
		text.WriteString("\n[clients]\nopen = true\n\n[console]\nopen = true\n")
	}
	for _, s := range servers {
		fmt.Fprintf(&text, "\n[[server]]\nname = %q\naddress = %q\nlisten = %q\nconsole = %q\nneighbors = [",
			s.Name, s.Address, s.Listen, s.Console)
		for _, n := range s.Neighbors {
			fmt.Fprintf(&text, "%q, ", n)
		}
		text.WriteString("]\n")
		if s.Bridge {
			text.WriteString("bridge = true\n")
		}
	}
	if err := os.WriteFile(h.Config(), []byte(text.String()), 0o600); err != nil {
		h.T.Fatal(err)
	}
}

// StartHerd starts a herd and waits until all links are live.
func StartHerd(t *testing.T, extra string, names ...string) *Herd {
	t.Helper()
	h, listeners := NewHerd(t, extra, names...)
	for _, s := range h.Servers {
		h.Start(s.Name, listeners[s.Name]...)
	}
	h.UntilLive()
	return h
}

// Config returns the path of the herd's herd.toml.
func (h *Herd) Config() string { return filepath.Join(h.Dir, "herd.toml") }

// Server returns the configuration of a server.
func (h *Herd) Server(name string) config.Server {
	for _, s := range h.Servers {
		if s.Name == name {
			return s
		}
	}
	h.T.Fatalf("no server %s", name)
	return config.Server{}
}

// note makes go test's cache depend on the whole program, although the test is not linked with it: everything that a test
// has read is part of the key of its cached result, for a directory the sizes and times of its files. Tests run in their
// package's directory, somewhere below the module's root.
var note = sync.OnceFunc(func() {
	module := ".."
	for !exists(filepath.Join(module, "go.mod")) {
		module = filepath.Join(module, "..")
	}
	_ = filepath.WalkDir(module, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() && (d.Name() == "bin" || d.Name() == "logs" || d.Name() == ".git") {
			return filepath.SkipDir
		}
		return nil
	})
})

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// Start starts a server as a process and passes the listeners to it. Without listeners the server binds its addresses
// itself, as after a crash.
func (h *Herd) Start(name string, listeners ...net.Listener) *Process {
	h.T.Helper()
	note()
	end, err := parent.End() // processes end with the tests, however these end
	if err != nil {
		h.T.Fatal(err)
	}
	r := &Process{Stderr: &Output{}, Done: make(chan struct{})}
	r.Cmd = exec.Command(cmp.Or(h.Program, Binary), append([]string{"serve", name, "--config", h.Config()}, h.Flags...)...)
	r.Cmd.Dir = h.Dir
	r.Cmd.SysProcAttr = &syscall.SysProcAttr{Credential: h.credential}
	r.Cmd.Stderr = r.Stderr
	for _, l := range listeners {
		f, err := l.(*net.TCPListener).File()
		if err != nil {
			h.T.Fatal(err)
		}
		defer f.Close()
		defer l.Close()
		r.Cmd.ExtraFiles = append(r.Cmd.ExtraFiles, f)
	}
	r.Cmd.Env = append(os.Environ(), h.Env...)
	r.Cmd.Env = append(r.Cmd.Env, fmt.Sprintf("%s=%d", parent.Variable, 3+len(listeners)))
	if len(listeners) > 0 {
		r.Cmd.Env = append(r.Cmd.Env, fmt.Sprintf("LISTEN_FDS=%d", len(listeners)))
	}
	r.Cmd.ExtraFiles = append(r.Cmd.ExtraFiles, end)
	if err := r.Cmd.Start(); err != nil {
		h.T.Fatal(err)
	}
	go func() {
		_ = r.Cmd.Wait()
		close(r.Done)
	}()
	h.Running[name] = r
	return r
}

// Nobody is an unprivileged user and its group.
const Nobody = 65534

// Unprivileged runs the servers as nobody if the test runs as root, for whom permissions do not apply. Call it before
// the first server is started.
func (h *Herd) Unprivileged() {
	h.T.Helper()
	if os.Geteuid() != 0 {
		return
	}
	h.credential = &syscall.Credential{Uid: Nobody, Gid: Nobody}
	for _, dir := range []string{filepath.Dir(Binary), filepath.Dir(h.Dir)} { // made by MkdirTemp
		if err := os.Chmod(dir, 0o755); err != nil {
			h.T.Fatal(err)
		}
	}
	for _, path := range []string{h.Dir, h.Config()} {
		if err := os.Chown(path, Nobody, Nobody); err != nil {
			h.T.Fatal(err)
		}
	}
}

// Kill kills a process.
func (h *Herd) Kill(name string) {
	r := h.Running[name]
	_ = r.Cmd.Process.Kill()
	<-r.Done
	h.gone(name)
}

// gone checks the output of a process that has ended.
func (h *Herd) gone(name string) {
	h.T.Helper()
	said := h.Running[name].Stderr.String()
	if strings.Contains(said, "DATA RACE") || strings.Contains(said, "panic: ") {
		h.T.Errorf("%s: %s", name, said)
	}
	delete(h.Running, name)
}

func (h *Herd) killAll() {
	for name := range h.Running {
		h.Kill(name)
	}
}

// Stop stops a process with SIGTERM and returns its exit code.
func (h *Herd) Stop(name string) int {
	h.T.Helper()
	r := h.Running[name]
	_ = r.Cmd.Process.Signal(syscall.SIGTERM)
	h.Wait(r)
	h.gone(name)
	return r.Cmd.ProcessState.ExitCode()
}

// Wait waits until a process has ended.
func (h *Herd) Wait(r *Process) {
	h.T.Helper()
	select {
	case <-r.Done:
	case <-time.After(Patience):
		h.T.Fatalf("the process does not exit; its standard error: %s", r.Stderr)
	}
}

// console uses a new connection for each request, and a timeout, as a process may be stopped.
var console = http.Client{
	Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second,
}

// Console returns a client for the console of a server, and its URL.
func (h *Herd) Console(name string) (client *http.Client, url string) {
	h.T.Helper()
	url = h.Server(name).Console
	if h.CA == "" {
		return &console, "http://" + url
	}
	roots, err := certs.Roots(h.CA)
	if err != nil {
		h.T.Fatal(err)
	}
	secure := console
	secure.Transport = &http.Transport{DisableKeepAlives: true, TLSClientConfig: certs.Client(roots, name)}
	return &secure, "https://" + url
}

// Status returns the status of a server, or nil if it does not answer.
func (h *Herd) Status(name string) *herd.Status {
	client, url := h.Console(name)
	r, err := client.Get(url + "/status.json")
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

// UntilLive waits until all links between the running servers are live.
func (h *Herd) UntilLive() {
	h.T.Helper()
	Eventually(h.T, "all links live", func() bool {
		for name, r := range h.Running {
			select {
			case <-r.Done:
				h.T.Fatalf("%s has ended: %s", name, r.Stderr)
			default:
			}
			s := h.Status(name)
			if s == nil || live(s) < len(s.Links) {
				return false
			}
		}
		return true
	})
}

// UntilEqual waits until all running servers have the same n records.
func (h *Herd) UntilEqual(n int) {
	h.T.Helper()
	var last []string
	Eventually(h.T, fmt.Sprintf("%d records everywhere; last: %v", n, last), func() bool {
		digest := ""
		for name := range h.Running {
			s := h.Status(name)
			if s == nil || s.Records != uint64(n) || digest != "" && s.Digest != digest {
				return false
			}
			digest = s.Digest
		}
		return true
	})
}

// ATSent returns the number of AT lines that all servers have sent each other.
func (h *Herd) ATSent() (n uint64) {
	for name := range h.Running {
		s := h.Status(name)
		if s == nil {
			h.T.Fatalf("%s does not answer", name)
		}
		for _, l := range s.Links {
			n += l.ATSent
		}
	}
	return n
}

// Ask sends lines to a server, closes its side, and returns everything received.
func (h *Herd) Ask(name, lines string) string {
	h.T.Helper()
	c, err := net.Dial("tcp", h.Server(name).Listen)
	if err != nil {
		h.T.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(Patience))
	if _, err := io.WriteString(c, lines); err != nil {
		h.T.Fatal(err)
	}
	_ = c.(*net.TCPConn).CloseWrite()
	reply, err := io.ReadAll(c)
	if err != nil {
		h.T.Fatal(err)
	}
	return string(reply)
}

// Command runs the herd binary with --config and returns its output and exit code.
func (h *Herd) Command(in string, args ...string) (out, errOut string, code int) {
	h.T.Helper()
	return Command(h.T, h.Dir, in, append(args, "--config", h.Config())...)
}

// Command runs the herd binary in dir and returns its output and exit code.
func Command(t *testing.T, dir, in string, args ...string) (out, errOut string, code int) {
	t.Helper()
	return Run(t, dir, in, append([]string{Binary}, args...)...)
}

// Run runs a program in dir and returns its output and exit code.
func Run(t *testing.T, dir, in string, argv ...string) (out, errOut string, code int) {
	t.Helper()
	note()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	c := exec.CommandContext(ctx, argv[0], argv[1:]...)
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

// live returns the number of a server's neighbors that are fully connected, in both directions. A legacy neighbor connects
// only when it has something to send.
func live(s *herd.Status) (n int) {
	for _, l := range s.Links {
		if l.State == "live" && l.Receiving || l.State == "plain" {
			n++
		}
	}
	return n
}
