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

// Pauses before a server is restarted.
const (
	minRestart = 250 * time.Millisecond
	maxRestart = 10 * time.Second
	// stable is how long a server must run for its restart pause to go back to minRestart.
	stable = 10 * time.Second
	// grace is how long a server may exceed its stop time before it is killed.
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
		Long: "Start the servers of herd.toml, or the given ones, each as a process. A server\n" +
			"that dies is restarted. A permanent failure of its first start stops the herd.\n" +
			"Ctrl-C stops all servers gracefully, a second one kills them; the exit code is\n" +
			"then 1. Without a terminal, SIGHUP is forwarded to the servers.\n\n" +
			"It prints one line for each server that is ready, then how many links are live\n" +
			"and what to type next. After 5 s it prints which servers are not ready and which\n" +
			"links are not live. Log entries of level warn and above are printed, too; the\n" +
			"log files have all of them.",
		Example:           "  herd up\n  herd up Alford Welsh",
		Args:              arguments(0, -1),
		ValidArgsFunction: o.completeServers,
		RunE: func(c *cobra.Command, names []string) error {
			onlyOwner()
			if err := checkReadable(o.file()); err != nil {
				return err
			}
			cfg, err := o.loadForServer()
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
	c.Flags().BoolVarP(&verbose, "verbose", "v", false, "also print log entries of level info")
	return c
}

// checkReadable returns an error if the servers could not read the configuration file themselves.
func checkReadable(file string) error {
	path, err := filepath.Abs(file)
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil // loading it reports the error
	}
	if !info.Mode().IsRegular() || ownDescriptor(path) {
		return usage("--config %s: not a regular file, and each server must read it", file)
	}
	return nil
}

// ownDescriptor reports whether a path, or a symbolic link in it, names a descriptor of this process. In a
// child process that is another file or none.
func ownDescriptor(path string) bool {
	const maxLinks = 40 // as in the kernel
	for range maxLinks {
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
	parent  *os.File // the children's end of a pipe, by which they notice that this process has ended
	begun   time.Time
	// restarted receives a token when a server that was ready is started again.
	restarted chan struct{}

	mu             sync.Mutex // each child has a goroutine
	running        map[string]*child
	stopping       bool
	unclean        []string        // how servers ended that did not stop gracefully
	failure        error           // the first error that stops the herd
	failurePrinted <-chan struct{} // closed when failure has been written
	stop           chan struct{}   // closed when stopping
	failed         chan struct{}   // closed when there is a failure
}

// child is a server's process.
type child struct {
	process *os.Process
	ready   time.Time // when it began to listen; zero if it does not listen yet
}

// choose selects the servers with the given names, or all if there are none.
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
			return usage("duplicate server %s", name)
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
	for _, server := range s.servers { // otherwise its process would report it, in one line
		if err := s.cfg.CheckServer(server); err != nil {
			return err
		}
		if err := checkCerts(s.cfg, server); err != nil {
			return err
		}
	}
	if err := s.portsFree(); err != nil {
		return err
	}
	// Report an error that every server would report at its start once.
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
	hangups := hangup.Signals // may hold a signal already
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
				s.forwardHangup()
			}
		}
	}()
	go s.report()
	parent.Watch(func() { signals <- syscall.SIGTERM })
	go s.end(signals)
	children.Wait()
	if len(s.unclean) > 0 {
		s.fail(errors.New(strings.Join(s.unclean, "; ")))
	}
	s.out.say("all servers have stopped")
	if s.failure == nil {
		return nil
	}
	waitFor(s.failurePrinted, outputWait)
	return errFailed
}

// checkDescriptors returns an error if the limit on open files is too low for this process or for its
// servers, which inherit it.
func (s *supervisor) checkDescriptors(most int) error {
	if err := s.cfg.CheckDescriptors(most); err != nil {
		return err
	}
	const own = 32 // for the runtime, the output and requests to consoles
	if need := own + childDescriptors*len(s.servers); most < need {
		return fmt.Errorf("%d servers need %d file descriptors, but the limit is %d: raise ulimit -n",
			len(s.servers), need, most)
	}
	return nil
}

// end stops all servers on a signal or a failure. It signals before it prints, because the output may be
// blocked.
func (s *supervisor) end(signals <-chan os.Signal) {
	select {
	case <-signals:
	case <-s.failed:
	}
	s.signalAll(syscall.SIGTERM)
	s.out.say("stopping; press Ctrl-C again to kill")
	again := make(chan os.Signal)
	go func() { again <- anotherSignal(signals) }()
	select {
	case <-again:
	case <-time.After(hardStop(s.cfg) + grace):
		s.out.say("some servers did not stop in time; killing them")
	}
	s.signalAll(syscall.SIGKILL)
}

// fail stops the herd. It prints the first error immediately, before the messages of servers that stop, and
// run does not print it again.
func (s *supervisor) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failure == nil {
		s.failure = err
		s.failurePrinted = printError(s.errOut, err)
		close(s.failed)
	}
}

// forwardHangup sends SIGHUP to the servers.
func (s *supervisor) forwardHangup() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.running {
		if !c.ready.IsZero() { // before that it might kill the process
			_ = c.process.Signal(syscall.SIGHUP)
		}
	}
}

// hangupStops reports whether SIGHUP stops the herd, because its terminal is gone. Without a terminal, or
// under nohup, SIGHUP makes the servers reload.
func hangupStops() bool {
	terminal, err := os.Open("/dev/tty")
	if err != nil {
		return false
	}
	terminal.Close()
	return !signal.Ignored(syscall.SIGHUP)
}

// portsFree returns an error if a port is in use, before any server is started.
func (s *supervisor) portsFree() error {
	for _, server := range s.servers {
		for _, a := range []string{server.Listen, server.Console} {
			if a == "" {
				continue
			}
			l, err := net.Listen("tcp", a)
			if err != nil {
				return fmt.Errorf("%s cannot listen: %w; is the herd already running?", server.Name, err)
			}
			l.Close()
		}
	}
	return nil
}

// signalAll signals all servers and prevents restarts.
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

// started reports whether this process runs the server.
func (s *supervisor) started(name string) bool {
	return slices.ContainsFunc(s.servers, func(o config.Server) bool { return o.Name == name })
}

// isStopping reports whether the herd is stopping.
func (s *supervisor) isStopping() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopping
}

// stopped waits for d, or until the herd stops, and reports whether it stops.
func (s *supervisor) stopped(d time.Duration) bool {
	select {
	case <-s.stop:
		return true
	case <-time.After(d):
		return false
	}
}
