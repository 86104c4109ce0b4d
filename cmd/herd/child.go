package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"serverherd/herd"
)

// keep runs a server again and again until the herd stops. A server that cannot start ends all,
// unless it has run before: then its configuration may be under repair.
func (s *supervisor) keep(server herd.ServerConfig) {
	started, said := false, ""
	for pause := minRestart; ; pause = min(2*pause, maxRestart) {
		begun := time.Now()
		o := s.child(server)
		if s.isStopping() {
			s.ended(server, o)
			return
		}
		started = started || o.ready
		if o.fatal && !started {
			s.fail(fmt.Errorf("%s cannot start: %s", server.Name, o.String()))
			return
		}
		if time.Since(begun) > stable {
			pause = minRestart
		}
		switch {
		case o.ready:
			s.out.say(fmt.Sprintf("%s died: %s; restarting it in %v", server.Name, o.String(), pause))
			said = ""
		case said != o.String(): // a start that fails again and again is told of once
			said = o.String()
			s.out.say(fmt.Sprintf("%s failed to start: %s; retrying, with pauses of up to %v",
				server.Name, said, maxRestart))
		}
		if s.stopped(pause) {
			return
		}
	}
}

// ended judges how a server ended that was told to stop.
func (s *supervisor) ended(server herd.ServerConfig, o *outcome) {
	s.mu.Lock()
	killed := s.killing
	s.mu.Unlock()
	var exit *exec.ExitError
	if o.err == nil || killed ||
		errors.As(o.err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGTERM { // it was just starting
		return
	}
	s.fail(fmt.Errorf("%s did not stop in good order: %s", server.Name, o.String()))
}

// child runs a server's process once, to its end.
func (s *supervisor) child(server herd.ServerConfig) *outcome {
	o := &outcome{}
	self, err := os.Executable()
	if err != nil {
		o.err = err
		return o
	}
	r, w, err := os.Pipe()
	if err != nil {
		o.err = err
		return o
	}
	defer r.Close()
	c := exec.Command(self, serveName, server.Name, "--config", s.file, "--engine", s.engine)
	out := s.out.writer(server.Name, s.verbose)
	defer out.Close()
	c.Stdout, c.Stderr = out, out
	c.WaitDelay = grace
	c.ExtraFiles = []*os.File{s.parent, w}
	c.Env = append(slices.DeleteFunc(os.Environ(), isActivation), parentVariable+"=3", notifyVariable+"=4")
	// A group of its own, so that the terminal's Ctrl-C comes to us alone.
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	begun := time.Now()
	s.mu.Lock()
	if s.stopping {
		s.mu.Unlock()
		w.Close()
		return o
	}
	o.err = c.Start()
	w.Close()
	if o.err == nil {
		s.running[server.Name] = &child{process: c.Process}
	}
	s.mu.Unlock()
	if o.err != nil {
		return o
	}
	o.hear(r, func() { s.ready(server, time.Since(begun)) })
	o.err = c.Wait()
	s.mu.Lock()
	delete(s.running, server.Name)
	s.mu.Unlock()
	return o
}

// ready notes that a server listens, and says so.
func (s *supervisor) ready(server herd.ServerConfig, took time.Duration) {
	s.mu.Lock()
	s.running[server.Name].ready = true
	s.mu.Unlock()
	console := ""
	if server.Console != "" {
		console = ", console http://" + server.Console
	}
	s.out.add(server.Name, fmt.Sprintf("ready in %.2f s on %s%s", took.Seconds(), server.Address, console), time.Now())
}

// isActivation says whether an environment variable is about listeners handed to this process;
// its children have none.
func isActivation(variable string) bool { return strings.HasPrefix(variable, "LISTEN_") }
