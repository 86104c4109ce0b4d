package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"serverherd/cmd/herd/hangup"
	"serverherd/cmd/herd/parent"
	"serverherd/herd/config"
)

// Pauses between two starts of a server.
const (
	minRestart = 250 * time.Millisecond
	maxRestart = 10 * time.Second
	// stable is how long a server has to live to be restarted at once the next time.
	stable = 10 * time.Second
	// grace is how much longer than it may a server is let take to stop.
	grace = 3 * time.Second
)

// upName is the command that starts all servers.
const upName = "up"

func newUp(o *options) *cobra.Command {
	var engine string
	var verbose bool
	c := &cobra.Command{
		Use:   upName + " [NAME...]",
		Short: "Start the herd: one process per server",
		Long: "Start the servers of herd.toml, or those that are named, each as a process of\n" +
			"its own. A server that dies is restarted; one that cannot start at first\n" +
			"ends all.\n" +
			"Ctrl-C stops all in good order, a second one at once, and the exit code is 1 if\n" +
			"one was killed. Without a terminal SIGHUP is passed on to the servers.\n\n" +
			"Each server that is ready is printed, and then how many links are live and what\n" +
			"to type next; or, after 5 s, what is not ready and which links are not live.\n" +
			"Log entries are printed from level warn on. The log files have all of them.",
		Example:           "  herd up\n  herd up Alford Welsh",
		Args:              arguments(0, -1),
		ValidArgsFunction: o.completeServers,
		RunE: func(c *cobra.Command, names []string) error {
			if err := checkReadable(o.file()); err != nil {
				return err
			}
			cfg, err := o.load()
			if err != nil {
				return err
			}
			s := &supervisor{
				cfg: cfg, file: o.file(), engine: engine, verbose: verbose,
				errOut: newOutput(direct(c.ErrOrStderr())), running: map[string]*child{},
				restarted: make(chan struct{}, 1), stop: make(chan struct{}), failed: make(chan struct{}),
			}
			if err := s.choose(names); err != nil {
				return err
			}
			return s.run(direct(c.OutOrStdout()))
		},
	}
	engineFlag(c, &engine)
	c.Flags().BoolVarP(&verbose, "verbose", "v", false, "print log entries of level info, too")
	return c
}

// checkReadable refuses a configuration that the servers could not read again.
func checkReadable(file string) error {
	path, err := filepath.Abs(file)
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil // whoever loads it says so
	}
	if !info.Mode().IsRegular() || ownDescriptor(path) {
		return usage("--config %s: up needs a regular file, because each server reads it for itself", file)
	}
	return nil
}

// ownDescriptor says whether a path, or a symbolic link on its way, names a descriptor of this process,
// which is another file, or none, in a process that it starts.
func ownDescriptor(path string) bool {
	const mostLinks = 40 // as the kernel has it
	for range mostLinks {
		dir, err := filepath.EvalSymlinks(filepath.Dir(path))
		if err != nil {
			return false
		}
		path = filepath.Join(dir, filepath.Base(path))
		if strings.HasPrefix(path, "/proc/") || strings.HasPrefix(path, "/dev/fd/") || strings.HasPrefix(path, "/dev/std") {
			return true
		}
		target, err := os.Readlink(path)
		if err != nil {
			return false
		}
		if path = target; !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
	}
	return false
}

// supervisor runs one process for each server and merges their output.
type supervisor struct {
	cfg     *config.Config
	file    string
	engine  string
	verbose bool
	servers []config.Server
	out     *prefixed
	errOut  io.Writer
	parent  *os.File // by which the children know that this process lives
	begun   time.Time
	// restarted has a token when a server that was ready is started again.
	restarted chan struct{}

	mu       sync.Mutex // children come and go in goroutines of their own
	running  map[string]*child
	stopping bool
	undone   []string        // how servers ended that did not stop in good order
	failure  error           // the first that ends all
	said     <-chan struct{} // closed when failure has been written
	stop     chan struct{}   // closed when stopping
	failed   chan struct{}   // closed when there is a failure
}

// child is a server's process.
type child struct {
	process *os.Process
	ready   time.Time // when it began to listen; zero: not yet
}

// choose takes the servers that are named, or all.
func (s *supervisor) choose(names []string) error {
	if len(names) == 0 {
		s.servers = s.cfg.Servers
	}
	for i, name := range names {
		server, err := find(s.cfg, name)
		if err != nil {
			return err
		}
		if slices.Contains(names[:i], name) {
			return usage("%s is named twice", name)
		}
		s.servers = append(s.servers, server)
	}
	return nil
}

// run starts the servers and returns when all have stopped.
func (s *supervisor) run(out io.Writer) error {
	if err := s.checkDescriptors(descriptors()); err != nil {
		return err
	}
	if err := s.portsFree(); err != nil {
		return err
	}
	// What would end each server at its start is said once.
	if _, err := newProvider(&s.cfg.Places, s.servers[0].Name, nil); err != nil {
		return err
	}
	signal.Ignore(syscall.SIGPIPE)
	var err error
	if s.parent, err = parent.End(); err != nil {
		return err
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	hangups := hangup.Signals // one may have come already
	stops := hangupStops()
	signal.Notify(hangups, syscall.SIGHUP) // also where it was ignored
	s.out = newPrefixed(out, s.servers)
	defer s.out.close()
	s.begun = time.Now()
	var children sync.WaitGroup
	for _, server := range s.servers {
		children.Go(func() { s.keep(server) })
	}
	go func() {
		for h := range hangups {
			if stops {
				signals <- h
			} else {
				s.passHangupOn()
			}
		}
	}()
	go s.report()
	go s.end(signals)
	children.Wait()
	if len(s.undone) > 0 {
		s.fail(errors.New(strings.Join(s.undone, "; ")))
	}
	s.out.say("all servers have stopped")
	if s.failure == nil {
		return nil
	}
	waitFor(s.said, outputWait)
	return errFailed
}

// checkDescriptors says whether this process, and the servers, which have the same limit, may open as
// many descriptors as they need.
func (s *supervisor) checkDescriptors(most int) error {
	if err := s.cfg.CheckDescriptors(most); err != nil {
		return err
	}
	const own = 32 // the runtime, the output, the console that is asked
	if need := own + childDescriptors*len(s.servers); most < need {
		return fmt.Errorf("this process may open %d descriptors; to run %d servers it needs %d: raise ulimit -n",
			most, len(s.servers), need)
	}
	return nil
}

// end stops all servers at a signal or a failure. It signals before it prints: the output may be
// blocked.
func (s *supervisor) end(signals <-chan os.Signal) {
	select {
	case <-signals:
	case <-s.failed:
	}
	s.signalAll(syscall.SIGTERM)
	s.out.say("stopping; Ctrl-C again stops at once")
	again := make(chan os.Signal)
	go func() { again <- anotherSignal(signals) }()
	select {
	case <-again:
	case <-time.After(hardStop(s.cfg) + grace):
		s.out.say("some servers do not stop; they are killed")
	}
	s.signalAll(syscall.SIGKILL)
}

// fail ends all. The first error is written at once, before what it leads to, and by nobody else.
func (s *supervisor) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failure == nil {
		s.failure = err
		s.said = sayError(s.errOut, err.Error())
		close(s.failed)
	}
}

// passHangupOn tells the servers of a hang-up.
func (s *supervisor) passHangupOn() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.running {
		if !c.ready.IsZero() { // before that it might end the process
			_ = c.process.Signal(syscall.SIGHUP)
		}
	}
}

// hangupStops says whether a hang-up means that the terminal is gone, and the herd goes with it. For
// a herd without a terminal, or one that nohup started, it asks the servers to reload.
func hangupStops() bool {
	terminal, err := os.Open("/dev/tty")
	if err != nil {
		return false
	}
	terminal.Close()
	return !signal.Ignored(syscall.SIGHUP)
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

// signalAll tells all children to stop, and keeps them from being started again.
func (s *supervisor) signalAll(sig syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.stopping {
		s.stopping = true
		close(s.stop)
	}
	for _, c := range s.running {
		_ = c.process.Signal(sig)
	}
}

// started says whether a server is one of those that this process runs.
func (s *supervisor) started(name string) bool {
	return slices.ContainsFunc(s.servers, func(o config.Server) bool { return o.Name == name })
}

// isStopping says whether the herd is being stopped.
func (s *supervisor) isStopping() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopping
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
