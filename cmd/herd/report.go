package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"serverherd/cmd/herd/ask"
	"serverherd/cmd/herd/load"
	"serverherd/cmd/herd/view"
	"serverherd/herd"
	"serverherd/herd/config"
)

// Timing of what up prints about a start. A server says itself when it is ready (notifyVariable). The state
// of its links comes from its console.
const (
	// quietStart is how long after a server's start links to it may be down, and its turns slow, without a
	// warning on the terminal.
	quietStart = 2 * time.Second
	// lateStart is when up prints which servers are not ready and which links are down.
	lateStart = 5 * time.Second
	// pollPause is the pause between two polls of the servers during a start; latePollPause is the pause
	// after lateStart, and for links to servers that were not started here.
	pollPause     = 50 * time.Millisecond
	latePollPause = time.Second
	// pollTimeout is how long a poll waits for each server.
	pollTimeout = 2 * time.Second
)

// printed reports whether a log entry of a server is printed: entries of level warn and above, or all with
// --verbose. A link that is down because its neighbor died, is starting, or stops with the herd is not
// printed: up has reported that about the neighbor. Nor are slow turns of a server that is starting, as five processes
// start at once, and records not handed over if all neighbors of the server stop with it.
func (s *supervisor) printed(server config.Server, e logEntry) bool {
	switch {
	case s.verbose:
		return true
	case e.level == "info" || e.level == "debug":
		return false
	case e.message == herd.LinkDownMessage:
		return !s.isStopping() && !s.starting(e.neighbor(), e.at)
	case e.message == slowTurnMessage:
		ready := s.readySince(server.Name)
		return ready.IsZero() || !e.at.Before(ready.Round(0).Add(quietStart))
	case e.message == herd.NotHandedOverMessage:
		return !s.isStopping() || slices.ContainsFunc(server.Neighbors, func(n string) bool { return !s.started(n) })
	}
	return true
}

// starting reports whether this process runs the server, and the server does not listen now or had listened
// for less than quietStart at the given time, a wall-clock time.
func (s *supervisor) starting(name string, at time.Time) bool {
	ready := s.readySince(name)
	return s.started(name) && (ready.IsZero() || at.Before(ready.Round(0).Add(quietStart)))
}

// readySince is when a running server began to listen; zero if it does not listen.
func (s *supervisor) readySince(name string) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.running[name]; c != nil {
		return c.ready
	}
	return time.Time{}
}

// noteRestart makes report poll the servers again.
func (s *supervisor) noteRestart() {
	select {
	case s.restarted <- struct{}{}:
	default: // it is going to
	}
}

// report prints when all servers are ready and linked, what to type next, and which links are not live in
// time. It does so again after each restart.
func (s *supervisor) report() {
	client := new(options).asker(s.cfg, pollTimeout) // up presents no token: whoever started it may not be who reads this
	begun, start := s.begun, startReport{welcome: s.welcome}
	for {
		all := s.poll(client)
		if s.isStopping() {
			return
		}
		lines, done := start.next(all, time.Since(begun))
		for _, line := range lines {
			s.out.say(line)
		}
		var again <-chan time.Time // nil if everything has been printed
		switch {
		case done:
		case start.late || start.complete:
			again = time.After(latePollPause)
		default:
			again = time.After(pollPause)
		}
		select {
		case <-again:
		case <-s.restarted:
			if start.complete {
				begun, start = time.Now(), start.restarted()
			}
		case <-s.stop:
			return
		}
	}
}

// seen is the state of one server in a poll.
type seen struct {
	server string
	// unready is why it is not ready; "" if it is ready.
	unready string
	// links are the neighbors started by this process whose link is not live in both directions; outside
	// are such neighbors that it did not start.
	links, outside []string
}

// poll returns the state of all servers.
func (s *supervisor) poll(client *ask.Client) []seen {
	all := make([]seen, len(s.servers))
	for i, server := range s.servers {
		if s.readySince(server.Name).IsZero() {
			all[i] = seen{server: server.Name, unready: "see its log"}
			continue
		}
		if server.Console == "" { // the state of its links is unknown
			all[i] = seen{server: server.Name}
			continue
		}
		all[i] = seenFrom(ask.StatusOf(context.Background(), client, server), s.started)
	}
	return all
}

// seenFrom is the state of a server from its console's answer.
func seenFrom(a ask.Status, started func(string) bool) seen {
	v, status := seen{server: a.Server}, a.Status
	if status == nil {
		v.unready = a.Error
		return v
	}
	if !status.Ready {
		v.unready = status.Waiting
	}
	for _, l := range status.Links {
		switch {
		case view.Live(&l):
		case started(l.Neighbor):
			v.links = append(v.links, l.Neighbor)
		default:
			v.outside = append(v.outside, l.Neighbor)
		}
	}
	return v
}

// startReport decides what is printed about one start, from a series of polls. It does no I/O and reads no
// clock.
type startReport struct {
	welcome     func(after time.Duration, again bool) []string // returns what is printed when the herd is complete
	again       bool                                           // a server of a complete herd was restarted
	late        bool                                           // what was missing after lateStart has been printed
	complete    bool                                           // all are ready and linked to each other, and that has been printed
	completeAt  time.Duration                                  // after the start
	outsideDone bool                                           // links to servers not started here are live, or printed as missing
}

// restarted returns the report of a restart after this start.
func (r startReport) restarted() startReport {
	return startReport{welcome: r.welcome, again: true, outsideDone: r.outsideDone}
}

// next returns what is printed after a poll, at a time after the start, and whether that was the last.
// Links to servers not started here have lateStart from when the herd is complete.
func (r *startReport) next(all []seen, after time.Duration) (lines []string, done bool) {
	if !r.complete {
		missing := missingHere(all)
		switch {
		case len(missing) == 0:
			r.complete, r.completeAt = true, after
			lines = r.welcome(after, r.again)
		case !r.late && after >= lateStart:
			r.late = true
			lines = missing
		}
	}
	if r.complete && !r.outsideDone {
		missing := missingOutside(all)
		if r.outsideDone = len(missing) == 0 || after-r.completeAt >= lateStart; r.outsideDone {
			lines = append(lines, missing...)
		}
	}
	return lines, r.complete && r.outsideDone
}

// missingHere lists the servers that are not ready, and the links between ready servers that are not live.
func missingHere(all []seen) (lines []string) {
	var unready []string
	for _, v := range all {
		if v.unready != "" {
			unready = append(unready, v.server)
			lines = append(lines, fmt.Sprintf("%s is not ready after %.0f s: %s", v.server, lateStart.Seconds(), v.unready))
		}
	}
	for _, v := range all {
		down := slices.DeleteFunc(slices.Clone(v.links), func(n string) bool { return slices.Contains(unready, n) })
		if len(down) > 0 {
			lines = append(lines, noLink(v.server, down))
		}
	}
	return lines
}

// missingOutside lists the links to servers not started here that are not live.
func missingOutside(all []seen) (lines []string) {
	var names []string
	for _, v := range all {
		if len(v.outside) > 0 {
			lines = append(lines, noLink(v.server, v.outside))
			names = append(names, v.outside...)
		}
	}
	if len(names) > 0 {
		slices.Sort(names)
		lines = append(lines, strings.Join(slices.Compact(names), ", ")+": not started by this command")
	}
	return lines
}

func noLink(from string, to []string) string {
	return fmt.Sprintf("no link from %s to %s after %.0f s", from, strings.Join(to, ", "), lateStart.Seconds())
}

// welcome says that all servers are ready and linked and, unless it is a restart, what to type next.
func (s *supervisor) welcome(after time.Duration, again bool) []string {
	text := load.Plural(len(s.servers), "server", "servers")
	noConsole := func(server config.Server) bool { return server.Console == "" }
	if n := s.links(); n > 0 && !slices.ContainsFunc(s.servers, noConsole) { // the state of all links is known
		text += fmt.Sprintf(", %d links live", n)
	} else {
		text += " ready"
	}
	if again {
		return []string{text + " again"}
	}
	first, last := s.servers[0], s.servers[len(s.servers)-1]
	if s.links() == 0 {
		last = first // servers without links do not know each other's clients
	}
	self := os.Args[0]
	if s.file != defaultConfig {
		self += " --config " + s.file
	}
	lines := []string{fmt.Sprintf("%s in %.1f s. In another terminal:", text, after.Seconds())}
	if s.cfg.Clients.Required() {
		lines = append(lines, fmt.Sprintf("  export HERD_TOKEN=...    # %s token --help", self))
	}
	lines = append(lines,
		fmt.Sprintf("  %s iamat kiwi.cs.ucla.edu +34.068930-118.445127 --at %s", self, first.Name),
		fmt.Sprintf("  %s whatsat kiwi.cs.ucla.edu 10 3 --at %s", self, last.Name),
		fmt.Sprintf("  %s trace kiwi.cs.ucla.edu", self),
		fmt.Sprintf("  %s status", self),
		fmt.Sprintf("  %s top", self),
		fmt.Sprintf("  %s demo", self),
	)
	if i := slices.IndexFunc(s.servers, func(server config.Server) bool { return server.Console != "" }); i >= 0 {
		lines = append(lines, "The page: "+pageURL(s.cfg.Console.TLS != "off", s.servers[i].Console))
	}
	lines = append(lines, logsOf(&s.cfg.Log, len(s.servers), s.links())...)
	return append(lines, "Ctrl-C stops the herd.")
}

// links counts the one-way links between the servers that were started.
func (s *supervisor) links() (n int) {
	for _, server := range s.servers {
		for _, name := range server.Neighbors {
			if s.started(name) {
				n++
			}
		}
	}
	return n
}
