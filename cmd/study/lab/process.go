package lab

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"serverherd/herd"
)

// process is a server started by the study: a herd's server, a peer, or a yardstick. One goroutine.
type process struct {
	name    string
	addr    string
	console string      // address, of a herd's server
	tls     *tls.Config // of clients; nil without TLS
	cmd     *exec.Cmd
	output  func() string   // its output, or standard error
	ended   <-chan struct{} // closed when it has ended
}

// spawn starts a program in a directory, with files as descriptors from 3 on.
func spawn(name, dir string, env []string, files []*os.File, argv ...string) (*process, error) {
	file := filepath.Join(dir, name+".out")
	out, err := os.Create(file)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	ended := make(chan struct{})
	p := &process{name: name, cmd: exec.Command(argv[0], argv[1:]...), ended: ended, output: func() string {
		text, _ := os.ReadFile(file) // it is there
		return string(text)
	}}
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = dir, out, out
	p.cmd.Env, p.cmd.ExtraFiles = append(os.Environ(), env...), files
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = p.cmd.Wait() // the result does not matter: stop kills it
		close(ended)
	}()
	return p, nil
}

// stop kills the process. The measurement is over, so there is no need to stop it gracefully.
func (p *process) stop() {
	_ = p.cmd.Process.Kill() // it may be gone already
	<-p.ended
}

// alive returns an error if the process has ended.
func (p *process) alive() error {
	select {
	case <-p.ended:
		return fmt.Errorf("%s has ended: %s", p.name, lastLine(p.output()))
	default:
		return nil
	}
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

// until polls until the condition holds, as long as the process runs.
func (p *process) until(ctx context.Context, what string, holds func() bool) error {
	for tick := time.NewTicker(5 * time.Millisecond); ; {
		if holds() {
			tick.Stop()
			return nil
		}
		if err := p.alive(); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%s: timeout waiting until %s: %w", p.name, what, ctx.Err())
		}
	}
}

// listening waits until the server accepts connections.
func (p *process) listening(ctx context.Context) error {
	return p.until(ctx, "listening", func() bool {
		c, err := net.Dial("tcp", p.addr)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

var consoles = http.Client{
	Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second,
}

// fetch sends a request to the console.
func (p *process) fetch(path string) (*http.Response, error) {
	r, err := consoles.Get("http://" + p.console + path)
	if err != nil {
		return nil, err
	}
	if r.StatusCode != http.StatusOK {
		r.Body.Close()
		return nil, fmt.Errorf("%s%s: %s", p.console, path, r.Status)
	}
	return r, nil
}

// status returns the /status.json of a herd's server.
func (p *process) status() (s herd.Status, err error) {
	r, err := p.fetch("/status.json")
	if err != nil {
		return s, err
	}
	defer r.Body.Close()
	return s, json.NewDecoder(r.Body).Decode(&s)
}

// usage is the CPU usage of a process so far.
type usage struct {
	user, system time.Duration
	switches     float64 // context switches of all threads, voluntary and involuntary
}

// usage reads the process's usage, see proc(5).
func (p *process) usage() (u usage, err error) {
	proc := fmt.Sprintf("/proc/%d/", p.cmd.Process.Pid)
	text, err := os.ReadFile(proc + "stat")
	if err != nil {
		return u, err
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return u, fmt.Errorf("%sstat: %q", proc, text)
	}
	user, err1 := strconv.Atoi(fields[11])
	system, err2 := strconv.Atoi(fields[12])
	const tick = 10 * time.Millisecond // USER_HZ is 100 on every Linux that Go runs on
	u.user, u.system = time.Duration(user)*tick, time.Duration(system)*tick
	threads, err3 := filepath.Glob(proc + "task/*/status")
	for _, thread := range threads {
		u.switches += lineValue(thread, "voluntary_ctxt_switches:", "nonvoluntary_ctxt_switches:")
	}
	return u, errors.Join(err1, err2, err3)
}

// resident is the resident set size of the process, in bytes.
func (p *process) resident() float64 {
	return 1024 * lineValue(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid), "VmRSS:")
}

// lineValue sums the numbers in those lines of a file that begin with one of the words.
func lineValue(file string, words ...string) (sum float64) {
	text, _ := os.ReadFile(file)
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		for _, w := range words {
			if len(f) > 1 && f[0] == w {
				v, _ := strconv.ParseFloat(f[1], 64)
				sum += v
			}
		}
	}
	return sum
}

// listener creates a listening socket on a free loopback port, as a file for a child.
func listener() (addr string, file *os.File, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	defer l.Close()
	file, err = l.(*net.TCPListener).File()
	return l.Addr().String(), file, err
}

// freeAddress returns a free address, for programs that do not accept a listener.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}
