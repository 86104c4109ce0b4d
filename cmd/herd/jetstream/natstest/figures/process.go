package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"serverherd/cmd/herd/ask"
	"serverherd/cmd/herd/parent"
	"serverherd/herd"
	"serverherd/herd/config"
)

// patience is how long the slowest step may take.
const patience = 5 * time.Minute

// process is a child. It ends with this process, however that ends.
type process struct{ cmd *exec.Cmd }

func (p *process) end() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	_ = p.cmd.Wait()
}

// stat returns fields of /proc/PID/stat from the third one on.
func (p *process) stat() []string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	return strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
}

// cpu returns the seconds of CPU that the process has used.
func (p *process) cpu() float64 {
	var user, system float64
	if f := p.stat(); len(f) > 12 {
		_, _ = fmt.Sscan(f[11], &user)
		_, _ = fmt.Sscan(f[12], &system)
	}
	return (user + system) / 100 // Linux counts hundredths
}

// resident returns the resident set size in bytes.
func (p *process) resident() int {
	pages := 0
	if f := p.stat(); len(f) > 21 {
		_, _ = fmt.Sscan(f[21], &pages)
	}
	return pages * os.Getpagesize()
}

// natsServer is a NATS server.
type natsServer struct {
	process
	url string
}

func startNATS(dir string) (*natsServer, error) {
	s := &natsServer{process: process{cmd: exec.Command(os.Args[0], "nats", dir)}}
	s.cmd.Stderr = os.Stderr
	if _, err := s.cmd.StdinPipe(); err != nil { // closed by the end of this process
		return nil, err
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		s.end()
		return nil, errors.New("the NATS server did not start")
	}
	s.url = strings.TrimSpace(line)
	return s, nil
}

// server is a herd of one server.
type herdServer struct {
	process
	name, addr, console string
}

// start starts a herd of one server and waits until it is ready. Without a url it has no bucket.
func (f *figures) start(name, self, url, mode string) (*herdServer, error) {
	s := &herdServer{name: self, addr: freePort(), console: freePort()}
	text := fmt.Sprintf("[herd]\nname = %q\n[log]\nlevel = \"warn\"\ndir = %q\n[places]\nprovider = \"file\"\npath = \"places.csv\"\n"+
		"[limits]\nmax_clients = 10000000\nmax_future = \"24h\"\n", name, name+"-logs")
	if url != "" {
		text += fmt.Sprintf("[jetstream]\nurl = %q\nmode = %q\n", url, mode)
	}
	text += fmt.Sprintf("[[server]]\nname = %q\naddress = %q\nconsole = %q\nneighbors = []\nbridge = %v\n", self, s.addr, s.console, url != "")
	file := filepath.Join(f.dir, name+".toml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(f.dir, "places.csv"), []byte("name,lat,lng\nWell,1,2\n"), 0o600); err != nil {
		return nil, err
	}
	end, err := parent.End()
	if err != nil {
		return nil, err
	}
	s.cmd = exec.Command(f.binary, "serve", self, "--config", file)
	s.cmd.Stderr, s.cmd.ExtraFiles = os.Stderr, []*os.File{end}
	s.cmd.Env = append(os.Environ(), parent.Variable+"=3")
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	if err := s.until("the server is ready", func(s *herd.Status) bool { return s.Ready }); err != nil {
		s.end()
		return nil, err
	}
	return s, nil
}

// consoles asks for the status of servers.
var consoles = ask.New(ask.Options{Timeout: 5 * time.Second})

// status is the server's status; nil if it does not answer.
func (s *herdServer) status() *herd.Status {
	server := config.Server{Name: s.name, Console: s.console}
	return ask.One[herd.Status](context.Background(), consoles, server, "/status.json").Value
}

// until polls until the status is as wanted.
func (s *herdServer) until(what string, holds func(*herd.Status) bool) error {
	tick, end := time.NewTicker(20*time.Millisecond), time.After(patience)
	defer tick.Stop()
	for {
		if st := s.status(); st != nil && holds(st) {
			return nil
		}
		select {
		case <-tick.C:
		case <-end:
			return fmt.Errorf("not within %v: %s", patience, what)
		}
	}
}

// freePort returns a loopback address whose port was free a moment ago.
func freePort() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// sizeOf returns the bytes of all files of a directory.
func sizeOf(dir string) (n int) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if info, err := d.Info(); err == nil {
				n += int(info.Size())
			}
		}
		return nil
	})
	return n
}
