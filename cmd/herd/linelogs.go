package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"serverherd/cmd/herd/load"
	"serverherd/cmd/herd/logging"
	"serverherd/herd"
)

// lineLogs are the logs of a herd's servers, as far as they hold every line in and out. It tells where
// they are, how fast they grow and what limits them: a load fills a disk within minutes.
type lineLogs struct {
	cfg     *herd.Config  // nil: whom to ask is unknown
	timeout time.Duration // of asking one
	say     func(text string)
	first   logSample // at the start
	last    logSample // when the latest second of warm-up ended
	told    bool      // how fast they grow
}

// logSample is what the servers say of their logs at one time.
type logSample struct {
	at      time.Time
	servers []*herd.Status
}

// sample asks all servers.
func (l *lineLogs) sample() logSample {
	s := logSample{at: time.Now()}
	if l.cfg == nil {
		return s
	}
	for _, a := range askAll(l.cfg, l.timeout) {
		if a.Status != nil {
			s.servers = append(s.servers, a.Status)
		}
	}
	return s
}

// begin tells where the logs are and what limits them.
func (l *lineLogs) begin() {
	l.first = l.sample()
	l.last = l.first
	if len(l.first.servers) == 0 {
		l.say("line logs: unknown, because no console answers")
		return
	}
	if n, files := l.first.files(); n > 0 {
		l.say(fmt.Sprintf("line logs: %s of %d servers, %s", strings.Join(files, ", "), n, l.first.limit()))
	}
}

// second tells how fast they grow, when a second has been measured, unless the end tells it at once.
func (l *lineLogs) second(s load.Second, duration time.Duration) {
	if n, _ := l.first.files(); n == 0 || l.told || duration < 2*time.Second {
		return
	}
	now := l.sample()
	if s.Warmup {
		l.last = now
		return
	}
	l.told = true
	_, rate := now.since(l.last)
	l.say(fmt.Sprintf("line logs: %s/s at this rate, %s", byteCount(rate), now.limit()))
}

// end tells how much they grew.
func (l *lineLogs) end() {
	if n, _ := l.first.files(); n == 0 {
		return
	}
	now := l.sample()
	bytes, rate := now.since(l.first)
	l.say(fmt.Sprintf("line logs: %s in %.1f s, %s/s", byteCount(bytes), now.at.Sub(l.first.at).Seconds(), byteCount(rate)))
}

// journaled says whether a server keeps its records on its disk.
func (s logSample) journaled() bool {
	return slices.ContainsFunc(s.servers, func(s *herd.Status) bool { return s.Journal != nil })
}

// files are the names of logs with every line, NAME in place of a server's, and how many there are.
func (s logSample) files() (n int, names []string) {
	for _, server := range s.servers {
		if !server.Log.Lines {
			continue
		}
		n++
		name := strings.Replace(server.Log.File, "server-"+server.Server, "server-NAME", 1)
		if name = oneLine(forTerminal(name)); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return n, names
}

// limit is how much all logs with every line may take.
func (s logSample) limit() string {
	all := uint64(0)
	for _, server := range s.servers {
		switch {
		case !server.Log.Lines:
		case server.Log.MaxBytes == 0:
			return noLogLimit
		default:
			all += server.Log.MaxBytes
		}
	}
	return logLimit(all)
}

// noLogLimit stands in place of logLimit.
const noLogLimit = "without a limit (log.max_size = 0)"

// logLimit tells how many bytes logs may take in all.
func logLimit(bytes uint64) string {
	return byteCount(float64(bytes)) + " in all at most (log.max_size, log.max_files)"
}

// since is how many bytes the logs of servers that have run since an earlier sample grew, and how many
// a second.
func (s logSample) since(earlier logSample) (bytes, rate float64) {
	for _, server := range s.servers {
		for _, before := range earlier.servers {
			if before.Epoch == server.Epoch && server.Log.Lines {
				bytes += float64(server.Log.Written - before.Log.Written)
			}
		}
	}
	return bytes, bytes / max(s.at.Sub(earlier.at).Seconds(), 1e-3)
}

// byteCount writes a number of bytes with a unit and three digits.
func byteCount(n float64) string {
	for _, unit := range []string{"bytes", "kB", "MB"} {
		if n < 999.5 {
			return fmt.Sprintf("%.3g %s", n, unit)
		}
		n /= 1000
	}
	return fmt.Sprintf("%.1f GB", n)
}

// Lines of an update as clients and servers write them, to tell how much of the log it takes.
const (
	sampleIAMAT = "IAMAT kiwi.cs.ucla.edu +34.068930-118.445127 1520023934.918963997"
	sampleAT    = "AT Alford +0.000212064 kiwi.cs.ucla.edu +34.068930-118.445127 1520023934.918963997"
)

// bytesPerUpdate is how many bytes of entries the lines of one update are, at all of so many servers
// with so many one-way links: the line and its reply, and an AT line at both ends of each link that it
// takes. MARK, ACK and PING are not in it: they take as much again when updates come one by one, and
// hardly anything when they come in batches.
func bytesPerUpdate(c *herd.Log, servers, links int) int {
	size := func(line string) int { return logging.LineSize(c, len(line)) }
	floods := max(0, links-servers+1) // each server sends it to all its neighbors but the one it is from
	return size(sampleIAMAT) + size(sampleAT) + floods*2*size(sampleAT+" Alford")
}

// logsOf tells where servers with this configuration log, what limits it, and how fast it grows.
func logsOf(c *herd.Log, servers, links int) string {
	limit := noLogLimit
	if most := c.MaxBytes(); most > 0 {
		limit = logLimit(most * uint64(servers))
	}
	text := "Logs: " + logging.FileName(c, "NAME") + "\n  " + limit + "\n"
	if c.EveryLine() {
		rate := 1000 * float64(bytesPerUpdate(c, servers, links))
		text += fmt.Sprintf("  log.lines = true: 1,000 updates/s make %s/s to %s/s\n",
			byteCount(rate), byteCount(2*rate))
	}
	return text
}
