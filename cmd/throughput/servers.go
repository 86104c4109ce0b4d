package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// server is a subject's process.
type server struct {
	addr    string
	console string // of a herd server
	process *exec.Cmd
}

// start runs a command with a listener of ours as its descriptor 3.
func start(dir string, argv ...string) (*server, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	defer l.Close()
	// LISTEN_PID must be the server's own, which only the shell that becomes it knows.
	c := exec.Command("sh", append([]string{"-c", `LISTEN_PID=$$ exec "$@"`, "sh"}, argv...)...)
	c.Dir = dir
	c.Env = append(os.Environ(), "LISTEN_FDS=1")
	c.ExtraFiles = []*os.File{f}
	log, err := os.Create(filepath.Join(os.TempDir(), "throughput-server.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	c.Stdout, c.Stderr = log, log
	if err := c.Start(); err != nil {
		return nil, err
	}
	return &server{addr: l.Addr().String(), process: c}, nil
}

func startBaseline(kind string) (*server, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return start("", self, "-serve", kind)
}

// startHerd runs a herd of one server.
func startHerd(herd, dir string, lines bool) (*server, error) {
	herd, err := filepath.Abs(herd)
	if err != nil {
		return nil, err
	}
	console, err := net.Listen("tcp", "127.0.0.1:0") // free a moment from now
	if err != nil {
		return nil, err
	}
	address := console.Addr().String()
	console.Close()
	config := fmt.Sprintf("[herd]\nname = \"bench\"\n[log]\nlines = %v\n[[server]]\nname = \"Alford\"\n"+
		"address = \"127.0.0.1:11500\"\nconsole = %q\nneighbors = []\n", lines, address)
	if err := os.WriteFile(filepath.Join(dir, "herd.toml"), []byte(config), 0o600); err != nil {
		return nil, err
	}
	s, err := start(dir, herd, "serve", "Alford", "--config", filepath.Join(dir, "herd.toml"))
	if err != nil {
		return nil, err
	}
	s.console = address
	return s, nil
}

func (s *server) stop() {
	s.process.Process.Signal(syscall.SIGTERM)
	timer := time.AfterFunc(10*time.Second, func() { s.process.Process.Kill() })
	s.process.Wait()
	timer.Stop()
}

// cpu is the user and system time that the process has used, from /proc/PID/stat.
func (s *server) cpu() (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.process.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	user, err1 := strconv.Atoi(fields[11])
	system, err2 := strconv.Atoi(fields[12])
	if err1 != nil || err2 != nil {
		return 0, fmt.Errorf("/proc stat: %v %v", err1, err2)
	}
	const tick = 10 * time.Millisecond // USER_HZ is 100 on every Linux that Go runs on
	return time.Duration(user+system) * tick, nil
}

// dropped is how many log entries a herd server had no room for.
func (s *server) dropped() (int, error) {
	if s.console == "" {
		return 0, nil
	}
	r, err := http.Get("http://" + s.console + "/status.json")
	if err != nil {
		return 0, err
	}
	defer r.Body.Close()
	var status struct {
		Counters struct {
			LogDropped int `json:"log_dropped"`
		} `json:"counters"`
	}
	return status.Counters.LogDropped, json.NewDecoder(r.Body).Decode(&status)
}
