package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"serverherd/herd"
)

// Pauses between two starts of a server that dies.
const (
	minRestart = 250 * time.Millisecond
	maxRestart = 10 * time.Second
	// stable is how long a server has to live to be restarted at once the next time.
	stable = 10 * time.Second
	// grace is how much longer than it may a server is let take to stop.
	grace = 3 * time.Second
)

func newUp(o *options) *cobra.Command {
	var engine string
	c := &cobra.Command{
		Use:   "up [NAME...]",
		Short: "Start the herd: one process per server",
		Long: "Start the servers of herd.toml, or those that are named, each as a process of its own. A\n" +
			"server that dies is restarted. Ctrl-C stops all in good order, a second one at once. Without\n" +
			"a terminal SIGHUP is passed on to the servers.",
		Example:           "  herd up\n  herd up Alford Welsh",
		Args:              arguments(0, -1),
		ValidArgsFunction: o.completeServers,
		RunE: func(c *cobra.Command, names []string) error {
			if err := checkEngine(engine); err != nil {
				return err
			}
			cfg, err := o.load()
			if err != nil {
				return err
			}
			return up(cfg, o.file(), engine, names, c.OutOrStdout())
		},
	}
	engineFlag(c, &engine)
	return c
}

// supervisor runs one process for each server and shares their output's terminal.
type supervisor struct {
	cfg     *herd.Config
	file    string
	engine  string
	servers []herd.ServerConfig
	out     *prefixed
	parent  *os.File // its other end tells the children that this process lives

	mu       sync.Mutex // children come and go in goroutines of their own
	running  map[string]*os.Process
	stopping bool
	stop     chan struct{} // closed when stopping
}

func up(cfg *herd.Config, file, engine string, names []string, out io.Writer) error {
	s := &supervisor{
		cfg: cfg, file: file, engine: engine, running: map[string]*os.Process{}, stop: make(chan struct{}),
	}
	if len(names) == 0 {
		s.servers = cfg.Servers
	}
	for i, name := range names {
		server, err := find(cfg, name)
		if err != nil {
			return err
		}
		if slices.Contains(names[:i], name) {
			return usage("%s is named twice", name)
		}
		s.servers = append(s.servers, server)
	}
	if err := s.portsFree(); err != nil {
		return err
	}
	// What would end each server at its start, again and again, is said once.
	if _, err := newProvider(&cfg.Places, s.servers[0].Name, nil); err != nil {
		return err
	}
	signal.Ignore(syscall.SIGPIPE)
	s.out = newPrefixed(out, s.servers)
	theirs, ours, err := os.Pipe()
	if err != nil {
		return err
	}
	s.parent = theirs
	defer ours.Close()
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	if hangupStops() {
		signal.Notify(signals, syscall.SIGHUP)
	} else {
		s.passHangupsOn()
	}
	var children sync.WaitGroup
	for _, server := range s.servers {
		children.Go(func() { s.keep(server) })
	}
	go s.welcome()
	go func() {
		<-signals
		s.out.say("stopping; once more to stop at once")
		s.signalAll(syscall.SIGTERM)
		select {
		case <-signals:
		case <-time.After(hardStop(cfg) + grace):
			s.out.say("some servers do not stop; they are killed")
		}
		s.signalAll(syscall.SIGKILL)
	}()
	children.Wait()
	s.out.say("all servers have stopped")
	return nil
}

// hangupStops says whether a hang-up means that the terminal is gone, and the herd goes with it. For
// a herd without a terminal, or one that nohup started, it is a word from the operator.
func hangupStops() bool {
	terminal, err := os.Open("/dev/tty")
	if err != nil {
		return false
	}
	terminal.Close()
	return !signal.Ignored(syscall.SIGHUP)
}

// passHangupsOn tells the servers of each hang-up.
func (s *supervisor) passHangupsOn() {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	go func() {
		for range hangups {
			s.mu.Lock()
			for _, p := range s.running {
				_ = p.Signal(syscall.SIGHUP)
			}
			s.mu.Unlock()
		}
	}()
}

// portsFree finds a port that is in use before anything is started.
func (s *supervisor) portsFree() error {
	for _, server := range s.servers {
		for _, a := range []string{server.Listen, server.Console} {
			if a == "" {
				continue
			}
			l, err := net.Listen("tcp", a)
			if err != nil {
				return fmt.Errorf("%s cannot listen: %w; is a herd running already?", server.Name, err)
			}
			l.Close()
		}
	}
	return nil
}

// keep runs a server again and again until the herd stops.
func (s *supervisor) keep(server herd.ServerConfig) {
	for pause := minRestart; ; pause = min(2*pause, maxRestart) {
		begun := time.Now()
		err := s.child(server)
		if time.Since(begun) > stable {
			pause = minRestart
		}
		select {
		case <-s.stop:
			return
		default:
		}
		how := "ended"
		if err != nil {
			how = "died: " + err.Error()
		}
		s.out.say(fmt.Sprintf("%s %s; starting it again in %v", server.Name, how, pause))
		if s.stopped(pause) {
			return
		}
	}
}

// child runs a server's process once, to its end.
func (s *supervisor) child(server herd.ServerConfig) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	c := exec.Command(self, "serve", server.Name, "--config", s.file, "--engine", s.engine)
	out := s.out.writer(server.Name)
	defer out.Close()
	c.Stdout, c.Stderr = out, out
	c.ExtraFiles = []*os.File{s.parent}
	c.Env = append(slices.DeleteFunc(os.Environ(), isActivation), parentVariable+"=3")
	// A group of its own, so that the terminal's Ctrl-C comes to us alone.
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	s.mu.Lock()
	if s.stopping {
		s.mu.Unlock()
		return nil
	}
	err = c.Start()
	if err == nil {
		s.running[server.Name] = c.Process
	}
	s.mu.Unlock()
	if err != nil {
		return err
	}
	err = c.Wait()
	s.mu.Lock()
	delete(s.running, server.Name)
	s.mu.Unlock()
	return err
}

// isActivation says whether an environment variable is about listeners handed to this process;
// its children have none.
func isActivation(variable string) bool { return strings.HasPrefix(variable, "LISTEN_") }

// signalAll tells all children to stop, and keeps them from being started again.
func (s *supervisor) signalAll(sig syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.stopping {
		s.stopping = true
		close(s.stop)
	}
	for _, p := range s.running {
		_ = p.Signal(sig)
	}
}

// readyTime is how long welcome waits for the servers, settle for their first log entries.
const (
	readyTime = 30 * time.Second
	settle    = 300 * time.Millisecond
)

// welcome says what to type next once all servers are linked.
func (s *supervisor) welcome() {
	client := newConsoleClient(time.Second)
	deadline := time.Now().Add(readyTime)
	for _, server := range s.servers {
		for server.Console != "" && !s.linked(client, server) {
			if time.Now().After(deadline) {
				s.out.say(server.Name + " is not linked to its neighbors yet; see its log")
				return
			}
			if s.stopped(50 * time.Millisecond) {
				return
			}
		}
	}
	if s.stopped(settle) { // so that this comes after what the servers had to say
		return
	}
	first, last := s.servers[0], s.servers[len(s.servers)-1]
	self := os.Args[0]
	if s.file != defaultConfig {
		self += " --config " + s.file
	}
	quit := ""
	if s.cfg.Herd.Dialect == "paper" {
		quit = `quit\n` // not every nc passes the end of its input on
	}
	host, port, _ := net.SplitHostPort(last.Address)
	s.out.say(fmt.Sprintf(`%d servers are ready. In another terminal:

  %s iamat kiwi.cs.ucla.edu +34.068930-118.445127 --at %s
  %s whatsat kiwi.cs.ucla.edu 10 3 --at %s
  %s status
  printf 'WHATSAT kiwi.cs.ucla.edu 10 3\n%s' | nc %s %s

Ctrl-C stops the herd.
`, len(s.servers), self, first.Name, self, last.Name, self, quit, host, port))
}

// stopped waits for d and says whether the herd is being stopped.
func (s *supervisor) stopped(d time.Duration) bool {
	select {
	case <-s.stop:
		return true
	case <-time.After(d):
		return false
	}
}

// linked says whether a server is ready and its links to those that were started are live.
func (s *supervisor) linked(client *http.Client, server herd.ServerConfig) bool {
	status, err := ask(client, server)
	if err != nil || !status.Ready {
		return false
	}
	for _, l := range status.Links {
		started := slices.ContainsFunc(s.servers, func(o herd.ServerConfig) bool { return o.Name == l.Neighbor })
		if started && !isLive(l) {
			return false
		}
	}
	return true
}
