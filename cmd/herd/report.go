package main

import (
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"serverherd/cmd/herd/load"
	"serverherd/herd"
	"serverherd/herd/config"
)

// What up prints of a start. Servers are ready when they say so (notifyVariable); whether their links
// are live their consoles know.
const (
	// quietStart is how long after a server's start links to it may be down without a warning on the
	// terminal.
	quietStart = 2 * time.Second
	// lateStart is when what is not ready or not linked after a start is printed.
	lateStart = 5 * time.Second
	// lookPause is the pause between two looks at a herd that starts; lateLookPause is that for what is
	// late, or not started here.
	lookPause     = 50 * time.Millisecond
	lateLookPause = time.Second
	// lookTimeout is how long a look waits for each server.
	lookTimeout = 2 * time.Second
)

// printed says whether an entry of a server's log is printed: of level warn and above, unless all are
// wanted. A link that is down because its neighbor has died, is starting or stops with all others is
// no news: up has said that of the neighbor.
func (s *supervisor) printed(e logEntry) bool {
	switch {
	case s.verbose:
		return true
	case e.level == "info" || e.level == "debug":
		return false
	case e.message == herd.LinkDownMessage:
		return !s.isStopping() && !s.starting(e.neighbor(), e.at)
	}
	return true
}

// starting says whether a server is one of those that this process runs, and does not listen now or, at
// the given time, had not listened for quietStart. That time is a wall clock's.
func (s *supervisor) starting(name string, at time.Time) bool {
	ready := s.readySince(name)
	return s.started(name) && (ready.IsZero() || at.Before(ready.Round(0).Add(quietStart)))
}

// readySince is when a server that runs began to listen; zero if it does not.
func (s *supervisor) readySince(name string) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.running[name]; c != nil {
		return c.ready
	}
	return time.Time{}
}

// noteRestart has report look at the herd again.
func (s *supervisor) noteRestart() {
	select {
	case s.restarted <- struct{}{}:
	default: // it will, anyway
	}
}

// report prints when all servers are ready and linked, what to type next, and which links are not
// live in time; after each restart likewise.
func (s *supervisor) report() {
	client := newConsoleClient(lookTimeout)
	begun, start := s.begun, startReport{welcome: s.welcome}
	for {
		all := s.look(client)
		if s.isStopping() {
			return
		}
		lines, done := start.next(all, time.Since(begun))
		for _, line := range lines {
			s.out.say(line)
		}
		var again <-chan time.Time // nil if all has been said
		switch {
		case done:
		case start.late || start.whole:
			again = time.After(lateLookPause)
		default:
			again = time.After(lookPause)
		}
		select {
		case <-again:
		case <-s.restarted:
			if start.whole {
				begun, start = time.Now(), start.restarted()
			}
		case <-s.stop:
			return
		}
	}
}

// seen is what a look shows of one server.
type seen struct {
	server string
	// unready is why it is not ready; "" if it is.
	unready string
	// links are the neighbors among the servers that were started to which its link is not live in both
	// directions, outside those among the others.
	links, outside []string
}

// look looks at all servers.
func (s *supervisor) look(client *http.Client) []seen {
	all := make([]seen, len(s.servers))
	for i, server := range s.servers {
		if s.readySince(server.Name).IsZero() {
			all[i] = seen{server: server.Name, unready: "see its log"}
			continue
		}
		if server.Console == "" { // nobody knows about its links
			all[i] = seen{server: server.Name}
			continue
		}
		status, err := ask(client, server)
		all[i] = seeing(server.Name, status, err, s.started)
	}
	return all
}

// seeing is what a server's console says of it.
func seeing(name string, status *herd.Status, err error, started func(string) bool) seen {
	v := seen{server: name}
	if err != nil {
		v.unready = err.Error()
		return v
	}
	if !status.Ready {
		v.unready = status.Waiting
	}
	for _, l := range status.Links {
		switch {
		case isLive(l):
		case started(l.Neighbor):
			v.links = append(v.links, l.Neighbor)
		default:
			v.outside = append(v.outside, l.Neighbor)
		}
	}
	return v
}

// startReport decides what is printed of one start, from one look after the other. Pure.
type startReport struct {
	welcome   func(after time.Duration, again bool) []string // what is printed when the herd is whole
	again     bool                                           // a server was started again in a whole herd
	late      bool                                           // what was missing after lateStart is printed
	whole     bool                                           // all are ready and linked to each other: printed
	wholeAt   time.Duration                                  // after the start
	elsewhere bool                                           // links to servers elsewhere are live, or printed as missing
}

// restarted is the report of a start that follows this one.
func (r startReport) restarted() startReport {
	return startReport{welcome: r.welcome, again: true, elsewhere: r.elsewhere}
}

// next is what is printed after a look, so long after the start, and whether nothing is to come any
// more. Links to servers elsewhere have lateStart from when the herd is whole.
func (r *startReport) next(all []seen, after time.Duration) (lines []string, done bool) {
	if !r.whole {
		missing := missingHere(all)
		switch {
		case len(missing) == 0:
			r.whole, r.wholeAt = true, after
			lines = r.welcome(after, r.again)
		case !r.late && after >= lateStart:
			r.late = true
			lines = missing
		}
	}
	if r.whole && !r.elsewhere {
		missing := missingElsewhere(all)
		if r.elsewhere = len(missing) == 0 || after-r.wholeAt >= lateStart; r.elsewhere {
			lines = append(lines, missing...)
		}
	}
	return lines, r.whole && r.elsewhere
}

// missingHere tells which servers are not ready, and which links between them are not live. A link to a
// server that is not ready is not worth a word if another line names that server.
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

// missingElsewhere tells which links to servers that were not started are not live.
func missingElsewhere(all []seen) (lines []string) {
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

// welcome says that all servers are ready and linked and, at first, what to type next.
func (s *supervisor) welcome(after time.Duration, again bool) []string {
	text := load.Plural(len(s.servers), "server", "servers")
	noConsole := func(server config.Server) bool { return server.Console == "" }
	if n := s.links(); n > 0 && !slices.ContainsFunc(s.servers, noConsole) { // all have been looked at
		text += fmt.Sprintf(", %d links live", n)
	} else {
		text += " ready"
	}
	if again {
		return []string{text + " again"}
	}
	first, last := s.servers[0], s.servers[len(s.servers)-1]
	if s.links() == 0 {
		last = first // which knows nothing of the others' clients
	}
	self := os.Args[0]
	if s.file != defaultConfig {
		self += " --config " + s.file
	}
	lines := []string{
		fmt.Sprintf("%s in %.1f s. In another terminal:", text, after.Seconds()),
		fmt.Sprintf("  %s iamat kiwi.cs.ucla.edu +34.068930-118.445127 --at %s", self, first.Name),
		fmt.Sprintf("  %s whatsat kiwi.cs.ucla.edu 10 3 --at %s", self, last.Name),
		fmt.Sprintf("  %s status", self),
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
