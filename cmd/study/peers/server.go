package peers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// stopTimeout is how long a server may take to stop.
const stopTimeout = 10 * time.Second

// Options configure the servers of a herd.
type Options struct {
	Dir       string              // for their logs and standard error
	Names     []string            // of the servers; default Alford
	Neighbors map[string][]string // by server
	Lines     bool                // log every line in and out, to NAME.log
}

// Server is a peer's process. One goroutine.
type Server struct {
	Name string
	Addr string // host:port that takes clients
	Cmd  *exec.Cmd
	Log  string          // the log file; "" without Options.Lines
	Done <-chan struct{} // closed when the process has ended

	stderr string // file with its standard error
	ready  chan struct{}
	stdin  io.Closer // the server exits at end of file
	killed bool
}

// Start starts a herd and returns its servers, in the order of Options.Names, when all accept clients. They
// end when ctx is done, when Stop is called, and with the calling process.
func (p *Peer) Start(ctx context.Context, o Options) (servers []*Server, err error) {
	if why := p.Missing(); why != "" {
		return nil, errors.New(why)
	}
	if len(o.Names) == 0 {
		o.Names = []string{"Alford"}
	}
	defer func() {
		if err != nil {
			for _, s := range servers {
				s.kill()
			}
			servers = nil
		}
	}()
	sockets, addrs, err := listen(o.Names)
	defer func() {
		for _, f := range sockets {
			f.Close()
		}
	}()
	if err != nil {
		return nil, err
	}
	for i := range o.Names {
		s, err := p.spawn(ctx, o, i, sockets[i], addrs)
		if err != nil {
			return servers, err
		}
		servers = append(servers, s)
	}
	for _, s := range servers {
		if err := s.untilReady(ctx); err != nil {
			return servers, err
		}
	}
	return servers, nil
}

// listen creates a listening socket on a free port of 127.0.0.1 for each server to inherit, so that the
// ports of neighbors are known before they run.
func listen(names []string) (sockets []*os.File, addrs []string, err error) {
	for range names {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return sockets, nil, err
		}
		f, err := l.(*net.TCPListener).File()
		addrs = append(addrs, l.Addr().String())
		l.Close()
		if err != nil {
			return sockets, nil, err
		}
		sockets = append(sockets, f)
	}
	return sockets, addrs, nil
}

// spawn starts the i-th server without waiting for it, see untilReady.
func (p *Peer) spawn(ctx context.Context, o Options, i int, socket *os.File, addrs []string) (
	*Server, error) {
	s := &Server{Name: o.Names[i], Addr: addrs[i], ready: make(chan struct{}),
		stderr: filepath.Join(o.Dir, o.Names[i]+".stderr")}
	args := append(slices.Clone(p.argv[1:]),
		"--name", s.Name, "--fd", "3", "--until-eof", "--herd", strings.Join(o.Names, ","))
	for _, n := range o.Neighbors[s.Name] {
		k := slices.Index(o.Names, n)
		if k < 0 {
			return nil, fmt.Errorf("unknown neighbor %s of %s", n, s.Name)
		}
		args = append(args, "--neighbor", n+"="+addrs[k])
	}
	if o.Lines {
		s.Log = filepath.Join(o.Dir, s.Name+".log")
		args = append(args, "--log", s.Log)
	}
	dir, err := findPrograms()
	if err != nil {
		return nil, err
	}
	stderr, err := os.Create(s.stderr)
	if err != nil {
		return nil, err
	}
	defer stderr.Close()
	s.Cmd = exec.CommandContext(ctx, p.argv[0], args...)
	s.Cmd.Dir, s.Cmd.ExtraFiles = dir, []*os.File{socket}
	s.Cmd.Stdout, s.Cmd.Stderr = &announcement{ready: s.ready}, stderr
	if s.stdin, err = s.Cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := s.Cmd.Start(); err != nil {
		return nil, err
	}
	done := make(chan struct{})
	s.Done = done
	go func() {
		_ = s.Cmd.Wait() // see ProcessState
		close(done)
	}()
	return s, nil
}

// announcement is a server's standard output: one line when it accepts clients.
type announcement struct {
	line  []byte
	ready chan struct{} // closed after that line
}

func (a *announcement) Write(p []byte) (int, error) {
	if a.ready == nil {
		return len(p), nil
	}
	a.line = append(a.line, p...)
	if bytes.HasPrefix(a.line, []byte("listening ")) && bytes.HasSuffix(a.line, []byte("\n")) {
		close(a.ready)
		a.ready = nil
	}
	return len(p), nil
}

// untilReady waits until the server accepts clients or has ended.
func (s *Server) untilReady(ctx context.Context) error {
	select {
	case <-s.ready:
		return nil
	case <-s.Done:
		return fmt.Errorf("%s ended before it was ready: %s", s.Name, s.Stderr())
	case <-ctx.Done():
		return fmt.Errorf("%s is not ready: %w", s.Name, ctx.Err())
	}
}

// Stderr is what it has written to standard error: nothing, unless it or a neighbor has an error.
func (s *Server) Stderr() string {
	text, _ := os.ReadFile(s.stderr) // created by Start
	return strings.TrimSpace(string(text))
}

// Stop stops the server and waits; its log is then complete. It returns an error if the server crashed or
// did not stop in time. It may be called again.
func (s *Server) Stop() error {
	_ = s.Cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-s.Done:
	case <-time.After(stopTimeout):
		s.kill()
		return fmt.Errorf("%s did not stop within %v: %s", s.Name, stopTimeout, s.Stderr())
	}
	s.stdin.Close()
	if !s.Cmd.ProcessState.Success() {
		return fmt.Errorf("%s: %s: %s", s.Name, s.Cmd.ProcessState, s.Stderr())
	}
	return nil
}

// kill kills the server.
func (s *Server) kill() {
	s.killed = true
	_ = s.Cmd.Process.Kill() // it may have ended
	<-s.Done
	s.stdin.Close()
}
