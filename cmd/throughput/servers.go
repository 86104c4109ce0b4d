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

// freeAddress is an address that is free a moment from now.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// start runs a server's command; the loader waits until it listens at addr.
func start(addr, dir string, argv ...string) (*server, error) {
	c := exec.Command(argv[0], argv[1:]...)
	c.Dir = dir
	log, err := os.Create(filepath.Join(os.TempDir(), "throughput-server.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	c.Stdout, c.Stderr = log, log
	if err := c.Start(); err != nil {
		return nil, err
	}
	return &server{addr: addr, process: c}, nil
}

func startBaseline(kind string) (*server, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	addr, err := freeAddress()
	if err != nil {
		return nil, err
	}
	return start(addr, "", self, "-serve", kind, "-at", addr)
}

// startHerd runs a herd of one server.
func startHerd(herd, dir, engine string, lines bool) (*server, error) {
	herd, err := filepath.Abs(herd)
	if err != nil {
		return nil, err
	}
	addr, err := freeAddress()
	if err != nil {
		return nil, err
	}
	console, err := freeAddress()
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "herd.toml")
	config := fmt.Sprintf("[herd]\nname = \"bench\"\n[log]\nlines = %v\n[[server]]\nname = \"Alford\"\n"+
		"address = %q\nconsole = %q\nneighbors = []\n", lines, addr, console)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, err
	}
	s, err := start(addr, dir, herd, "serve", "Alford", "--config", file, "--engine", engine)
	if err != nil {
		return nil, err
	}
	s.console = console
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
