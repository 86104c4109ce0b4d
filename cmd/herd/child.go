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

	"serverherd/cmd/herd/parent"
	"serverherd/cmd/herd/service"
	"serverherd/herd/config"
)

// childDescriptors is how many descriptors up needs for each server: its output, its notify pipe, its
// process, and those open only while it is started.
const childDescriptors = 8

// keep runs a server and restarts it until the herd stops. A server that cannot start stops the herd,
// unless it has run before: then somebody may be editing its configuration.
func (s *supervisor) keep(server config.Server) {
	started, reported := false, ""
	for pause := minRestart; ; pause = min(2*pause, maxRestart) {
		begun := time.Now()
		o := s.child(server)
		if s.isStopping() {
			s.ended(server, o)
			return
		}
		started = started || o.ready
		if !started && o.permanent() {
			s.fail(fmt.Errorf("%s cannot start: %s", server.Name, o.String()))
			return
		}
		if time.Since(begun) > stable {
			pause = minRestart
		}
		switch {
		case o.ready:
			how := "died"
			if o.err == nil { // by SIGTERM
				how = "stopped"
			}
			s.out.say(fmt.Sprintf("%s %s: %s; restarting it in %v", server.Name, how, o.String(), pause))
			reported = ""
		case reported != o.String(): // repeated failures of a start are reported once
			reported = o.String()
			s.out.say(fmt.Sprintf("%s failed to start: %s; retrying with back-off up to %v",
				server.Name, reported, maxRestart))
		}
		if s.stopped(pause) {
			return
		}
		if o.ready {
			s.noteRestart()
		}
	}
}

// ended records a server that did not stop gracefully.
func (s *supervisor) ended(server config.Server, o *outcome) {
	if o.err == nil || o.signal() == syscall.SIGTERM { // it was still starting
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unclean = append(s.unclean, fmt.Sprintf("%s did not stop cleanly: %s", server.Name, o.String()))
}

// child runs a server's process once and waits for its end.
func (s *supervisor) child(server config.Server) *outcome {
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
	// #nosec G204 -- it starts itself, without a shell, with names that herd.toml permits
	c := exec.Command(self, serveName, server.Name, "--config", s.file, "--engine", s.engine)
	out := s.out.writer(server.Name, func(e logEntry) bool { return s.printed(server, e) })
	defer out.Close()
	c.Stdout, c.Stderr = out, out
	c.WaitDelay = grace
	c.ExtraFiles = []*os.File{s.parent, w}
	c.Env = append(slices.DeleteFunc(os.Environ(), notInherited), parent.Variable+"=3", notifyVariable+"=4")
	// Its own process group: the terminal sends Ctrl-C to up alone.
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
	o.readNotifications(r, func() { s.ready(server, time.Since(begun)) })
	// Another process may hold its output open.
	if o.err = c.Wait(); errors.Is(o.err, exec.ErrWaitDelay) {
		o.err = nil
	}
	s.mu.Lock()
	delete(s.running, server.Name)
	s.mu.Unlock()
	return o
}

// ready records and prints that a server listens.
func (s *supervisor) ready(server config.Server, took time.Duration) {
	now := time.Now()
	s.mu.Lock()
	s.running[server.Name].ready = now
	s.mu.Unlock()
	s.out.add(server.Name, fmt.Sprintf("ready at %s in %.1f s", server.Address, took.Seconds()), now)
}

// notInherited reports whether children do not inherit an environment variable: one of socket activation or of
// a service manager's notifications, the token, which is for clients, and the server of this process.
func notInherited(variable string) bool {
	name, _, _ := strings.Cut(variable, "=")
	return strings.HasPrefix(name, "LISTEN_") || name == tokenVariable || name == serverVariable || slices.Contains(service.Variables, name)
}
