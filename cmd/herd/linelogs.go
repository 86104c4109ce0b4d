package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"serverherd/cmd/herd/load"
	"serverherd/cmd/herd/logging"
	"serverherd/herd"
	"serverherd/herd/config"
)

// lineLogs are the logs of a herd's servers, as far as they hold every line in and out. It tells where
// they are, how fast they grow and what limits them: a load fills a disk within minutes. While the load
// runs the servers are asked beside it, and a server that hangs delays nothing.
type lineLogs struct {
	cfg     *config.Config // nil: whom to ask is unknown
	timeout time.Duration  // of asking one
	say     func(text string)
	first   logSample      // at the start
	last    logSample      // the latest that was taken in the warm-up, or first
	asked   chan logSample // has the sample that is being taken; nil: none is
	warm    bool           // that one belongs to the warm-up
	told    bool           // how fast they grow
}

// logSample is what the servers say of their logs at one time.
type logSample struct {
	at      time.Time
	servers []*herd.Status
}

// sampleTimeout is how long a sample waits for a server at most.
const sampleTimeout = time.Second

// sampleLogs asks all servers of cfg.
func sampleLogs(cfg *config.Config, timeout time.Duration) logSample {
	s := logSample{at: time.Now()}
	for _, a := range askAll(cfg, min(timeout, sampleTimeout)) {
		if a.Status != nil {
			s.servers = append(s.servers, a.Status)
		}
	}
	return s
}

// begin tells where the logs are and what limits them. From then on only the servers that have answered
// are asked.
func (l *lineLogs) begin() {
	if l.cfg != nil {
		l.first = sampleLogs(l.cfg, l.timeout)
		asked := *l.cfg
		asked.Servers = slices.DeleteFunc(slices.Clone(asked.Servers), func(c config.Server) bool {
			return l.first.of(c.Name) == nil
		})
		l.cfg = &asked
	}
	l.last = l.first
	if len(l.first.servers) == 0 {
		l.say("line logs: unknown, because no console answers")
		return
	}
	if n, files := l.first.files(); n > 0 {
		l.say(fmt.Sprintf("line logs: %s of %s, %s", strings.Join(files, ", "), load.Plural(n, "server", "servers"), l.first.limit()))
	}
}

// second has a sample taken for each second of the warm-up and the first one that is measured, and tells how
// fast the logs grow when that has come, unless the end tells it at once. It does not wait.
func (l *lineLogs) second(s load.Second, duration time.Duration) {
	if n, _ := l.first.files(); n == 0 || l.told || duration < 2*time.Second {
		return
	}
	if l.asked != nil {
		select {
		case now := <-l.asked:
			l.taken(now)
		default:
			return
		}
	}
	if !l.told {
		l.asked, l.warm = make(chan logSample, 1), s.Warmup
		go func(asked chan<- logSample, cfg *config.Config, timeout time.Duration) {
			asked <- sampleLogs(cfg, timeout)
		}(l.asked, l.cfg, l.timeout)
	}
}

// taken takes the sample that was being taken.
func (l *lineLogs) taken(now logSample) {
	l.asked = nil
	if l.warm {
		l.last = now
		return
	}
	l.told = true
	if _, rate, missing := now.since(l.last); len(missing) == 0 {
		l.say(fmt.Sprintf("line logs: %s/s at this rate, %s", byteCount(rate), now.limit()))
	}
}

// end tells how much they grew, and returns the servers of the first sample that run no more or do not
// answer, and whether these are all.
func (l *lineLogs) end() (missing []string, all bool) {
	if len(l.first.servers) == 0 {
		return nil, false
	}
	if l.asked != nil {
		l.taken(<-l.asked)
	}
	now := sampleLogs(l.cfg, l.timeout)
	for _, s := range l.first.servers {
		if again := now.of(s.Server); again == nil || again.Epoch != s.Epoch {
			missing = append(missing, s.Server)
		}
	}
	all = len(missing) == len(l.first.servers)
	if n, _ := l.first.files(); n == 0 {
		return missing, all
	}
	bytes, rate, unknown := now.since(l.first)
	took := now.at.Sub(l.first.at).Seconds()
	switch n, _ := l.first.files(); {
	case len(unknown) == n:
		l.say("line logs: how much they grew is unknown, because of " + unanswering(unknown))
	case len(unknown) > 0:
		l.say(fmt.Sprintf("line logs: %s in %.1f s, %s/s, and unknown of %s", byteCount(bytes), took, byteCount(rate),
			unanswering(unknown)))
	default:
		l.say(fmt.Sprintf("line logs: %s in %.1f s, %s/s", byteCount(bytes), took, byteCount(rate)))
	}
	return missing, all
}

// unanswering names servers that are not there any more.
func unanswering(names []string) string {
	if len(names) == 1 {
		return names[0] + ", which does not answer or was restarted"
	}
	return strings.Join(names, ", ") + ", which do not answer or were restarted"
}

// of is what the server of that name says; nil if it does not.
func (s logSample) of(name string) *herd.Status {
	for _, status := range s.servers {
		if status.Server == name {
			return status
		}
	}
	return nil
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

// since is how many bytes the logs grew since an earlier sample, and how many a second, of the servers that
// have run since; unknown are the others.
func (s logSample) since(earlier logSample) (bytes, rate float64, unknown []string) {
	for _, before := range earlier.servers {
		switch now := s.of(before.Server); {
		case !before.Log.Lines:
		case now == nil || now.Epoch != before.Epoch:
			unknown = append(unknown, before.Server)
		default:
			bytes += float64(now.Log.Written - before.Log.Written)
		}
	}
	return bytes, bytes / max(s.at.Sub(earlier.at).Seconds(), 1e-3), unknown
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
func bytesPerUpdate(c *config.Log, servers, links int) int {
	size := func(line string) int { return logging.LineSize(c, len(line)) }
	floods := max(0, links-servers+1) // each server sends it to all its neighbors but the one it is from
	return size(sampleIAMAT) + size(sampleAT) + floods*2*size(sampleAT+" Alford")
}

// logsOf tells in one or two lines where servers with this configuration log, what limits it, and how
// fast it grows.
func logsOf(c *config.Log, servers, links int) (lines []string) {
	limit := noLogLimit
	if most := c.MaxBytes(); most > 0 {
		limit = byteCount(float64(most*uint64(servers))) + " in all at most (log.max_size)"
	}
	lines = append(lines, "Logs: "+logging.FileName(c, "NAME")+", "+limit)
	if c.EveryLine() {
		rate := 1000 * float64(bytesPerUpdate(c, servers, links))
		lines = append(lines, fmt.Sprintf("  1,000 updates/s add %s/s to %s/s (log.lines = true)", byteCount(rate), byteCount(2*rate)))
	}
	return lines
}
