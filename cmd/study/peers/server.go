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

// stopPatience is how long a server may take to end when it is asked to.
const stopPatience = 10 * time.Second

// Options are what the servers of a herd are like.
type Options struct {
	Dir       string              // theirs: it gets their logs and what they say
	Names     []string            // of the servers; none: one, Alford
	Neighbors map[string][]string // of each
	Lines     bool                // log every line in and out, to NAME.log
}

// Server is a peer's process. One goroutine.
type Server struct {
	Name string
	Addr string // host:port that takes clients
	Cmd  *exec.Cmd
	Log  string          // the file of its lines, or ""
	Done <-chan struct{} // closed when the process has ended

	said   string // the file of its standard error
	ready  chan struct{}
	leash  io.Closer // its standard input, at whose end it goes
	killed bool
}

// Start starts a herd and returns its servers, in the order of their names, when all take
// clients. They end when ctx is done, when Stop is called, and with the calling process.
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

// listen makes a socket on a free port of 127.0.0.1 for each name, for the servers to inherit, so
// that each knows its neighbors' ports before they run.
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

// spawn starts the i-th server. Whether it comes up is for untilReady to say.
func (p *Peer) spawn(ctx context.Context, o Options, i int, socket *os.File, addrs []string) (
	*Server, error) {
	s := &Server{Name: o.Names[i], Addr: addrs[i], ready: make(chan struct{}),
		said: filepath.Join(o.Dir, o.Names[i]+".said")}
	args := append(slices.Clone(p.argv[1:]),
		"--name", s.Name, "--fd", "3", "--until-eof", "--herd", strings.Join(o.Names, ","))
	for _, n := range o.Neighbors[s.Name] {
		k := slices.Index(o.Names, n)
		if k < 0 {
			return nil, fmt.Errorf("%s has a neighbor %s, which is not in the herd", s.Name, n)
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
	said, err := os.Create(s.said)
	if err != nil {
		return nil, err
	}
	defer said.Close()
	s.Cmd = exec.CommandContext(ctx, p.argv[0], args...)
	s.Cmd.Dir, s.Cmd.ExtraFiles = dir, []*os.File{socket}
	s.Cmd.Stdout, s.Cmd.Stderr = &announcement{ready: s.ready}, said
	if s.leash, err = s.Cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := s.Cmd.Start(); err != nil {
		return nil, err
	}
	done := make(chan struct{})
	s.Done = done
	go func() {
		_ = s.Cmd.Wait() // how it ended is in its ProcessState
		close(done)
	}()
	return s, nil
}

// announcement is a server's standard output: one line, when it takes clients.
type announcement struct {
	line  []byte
	ready chan struct{} // closed then
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

// untilReady waits until the server takes clients, or has ended.
func (s *Server) untilReady(ctx context.Context) error {
	select {
	case <-s.ready:
		return nil
	case <-s.Done:
		return fmt.Errorf("%s ended before it took clients: %s", s.Name, s.Said())
	case <-ctx.Done():
		return fmt.Errorf("%s does not take clients: %w", s.Name, ctx.Err())
	}
}

// Said is what it has written to standard error: nothing, unless something is wrong with it or
// with a neighbor.
func (s *Server) Said() string {
	text, _ := os.ReadFile(s.said) // it is there, Start made it
	return strings.TrimSpace(string(text))
}

// Stop asks the server to end and waits; its log is complete then. The error says that it did not
// end well, as one that has crashed did not. It may be called again.
func (s *Server) Stop() error {
	_ = s.Cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-s.Done:
	case <-time.After(stopPatience):
		s.kill()
		return fmt.Errorf("%s did not end within %v: %s", s.Name, stopPatience, s.Said())
	}
	s.leash.Close()
	if !s.Cmd.ProcessState.Success() {
		return fmt.Errorf("%s: %s: %s", s.Name, s.Cmd.ProcessState, s.Said())
	}
	return nil
}

// kill ends it as a crash would.
func (s *Server) kill() {
	s.killed = true
	_ = s.Cmd.Process.Kill() // it may have ended
	<-s.Done
	s.leash.Close()
}
