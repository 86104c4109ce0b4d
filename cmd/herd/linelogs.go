package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"serverherd/cmd/herd/ask"
	"serverherd/cmd/herd/load"
	"serverherd/cmd/herd/logging"
	"serverherd/cmd/herd/view"
	"serverherd/herd"
	"serverherd/herd/config"
)

// lineLogs watches the logs of servers with log.lines = true during a load, which can fill a disk within
// minutes. It reports where the logs are, how fast they grow and their size limit. The servers are asked
// concurrently with the load; a server that hangs delays nothing.
type lineLogs struct {
	cfg      *config.Config // nil if the servers are not in herd.toml
	client   *ask.Client    // asks them, see sampleTimeout
	say      func(text string)
	first    logSample      // at the start
	last     logSample      // the latest of the warm-up, or first
	asked    chan logSample // receives the sample under way; nil if there is none
	warm     bool           // the sample under way belongs to the warm-up
	reported bool           // the growth has been reported
}

// logSample is the status of the servers at one time.
type logSample struct {
	at      time.Time
	servers []*herd.Status
}

// sampleTimeout is the longest timeout of a sample for each server.
const sampleTimeout = time.Second

// sampleLogs takes a sample of all servers in cfg.
func sampleLogs(cfg *config.Config, client *ask.Client) logSample {
	s := logSample{at: time.Now()}
	for _, a := range ask.Statuses(context.Background(), client, cfg.Servers) {
		if a.Status != nil {
			s.servers = append(s.servers, a.Status)
		}
	}
	return s
}

// begin reports where the logs are and their size limit. Later samples ask only servers that answered this
// one.
func (l *lineLogs) begin() {
	if l.cfg != nil {
		l.first = sampleLogs(l.cfg, l.client)
		asked := *l.cfg
		asked.Servers = slices.DeleteFunc(slices.Clone(asked.Servers), func(c config.Server) bool {
			return l.first.of(c.Name) == nil
		})
		l.cfg = &asked
	}
	l.last = l.first
	if len(l.first.servers) == 0 {
		l.say("line logs: unknown, no console answered")
		return
	}
	if n, files := l.first.files(); n > 0 {
		l.say(fmt.Sprintf("line logs: %s of %s, %s", strings.Join(files, ", "), load.Plural(n, "server", "servers"), l.first.limit()))
	}
}

// second starts a sample in each second of the warm-up and in the first measured second, and then reports
// how fast the logs grow. For loads below 2 s only end reports that. It does not block.
func (l *lineLogs) second(s load.Second, duration time.Duration) {
	if n, _ := l.first.files(); n == 0 || l.reported || duration < 2*time.Second {
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
	if !l.reported {
		l.asked, l.warm = make(chan logSample, 1), s.Warmup
		go func(asked chan<- logSample, cfg *config.Config, client *ask.Client) {
			asked <- sampleLogs(cfg, client)
		}(l.asked, l.cfg, l.client)
	}
}

// taken handles a completed sample.
func (l *lineLogs) taken(now logSample) {
	l.asked = nil
	if l.warm {
		l.last = now
		return
	}
	l.reported = true
	if _, rate, missing := now.since(l.last); len(missing) == 0 {
		l.say(fmt.Sprintf("line logs: %s/s at this rate, %s", view.Bytes(rate), now.limit()))
	}
}

// end reports how much the logs grew. It returns the servers of the first sample that were restarted or do
// not answer, and whether these are all.
func (l *lineLogs) end() (missing []string, all bool) {
	if len(l.first.servers) == 0 {
		return nil, false
	}
	if l.asked != nil {
		l.taken(<-l.asked)
	}
	now := sampleLogs(l.cfg, l.client)
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
		l.say("line logs: growth unknown: " + unanswering(unknown))
	case len(unknown) > 0:
		l.say(fmt.Sprintf("line logs: %s in %.1f s, %s/s; growth unknown: %s", view.Bytes(bytes), took, view.Bytes(rate),
			unanswering(unknown)))
	default:
		l.say(fmt.Sprintf("line logs: %s in %.1f s, %s/s", view.Bytes(bytes), took, view.Bytes(rate)))
	}
	return missing, all
}

// unanswering lists servers that are missing in a later sample.
func unanswering(names []string) string {
	if len(names) == 1 {
		return names[0] + " does not answer or was restarted"
	}
	return strings.Join(names, ", ") + " do not answer or were restarted"
}

// of is the status of the server called name; nil if it did not answer.
func (s logSample) of(name string) *herd.Status {
	for _, status := range s.servers {
		if status.Server == name {
			return status
		}
	}
	return nil
}

// kept says where, besides its servers, the herd keeps records; "" if nowhere.
func (s logSample) kept() string {
	kept := ""
	if slices.ContainsFunc(s.servers, func(s *herd.Status) bool { return s.Journal != nil }) {
		kept += " and in its journals"
	}
	if slices.ContainsFunc(s.servers, func(s *herd.Status) bool { return s.Bridge != nil }) {
		kept += " and in the bucket"
	}
	return kept
}

// files returns how many servers log lines, and the names of their files with NAME in place of the server's
// name.
func (s logSample) files() (n int, names []string) {
	for _, server := range s.servers {
		if !server.Log.Lines {
			continue
		}
		n++
		name := strings.Replace(server.Log.File, "server-"+server.Server, "server-NAME", 1)
		if name = oneLine(name); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return n, names
}

// limit describes the size limit of all line logs together.
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

// noLogLimit replaces logLimit where there is no limit.
const noLogLimit = "no size limit (log.max_size = 0)"

// logLimit describes a size limit.
func logLimit(bytes uint64) string {
	return "at most " + view.Bytes(float64(bytes)) + " in total (log.max_size, log.max_files)"
}

// since returns how much the logs grew since an earlier sample, in bytes and bytes per second. Unknown are
// the servers that were restarted or do not answer.
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

// Typical lines of an update, to estimate the size of its log entries.
const (
	sampleIAMAT = "IAMAT kiwi.cs.ucla.edu +34.068930-118.445127 1520023934.918963997"
	sampleAT    = "AT Alford +0.000212064 kiwi.cs.ucla.edu +34.068930-118.445127 1520023934.918963997"
)

// bytesPerUpdate estimates the log bytes of one update at all servers together, with the given number of
// servers and one-way links: the IAMAT, its reply, and an AT line at both ends of each link that floods it.
// It does not include MARK, ACK and PING: they take about the same again for single updates, and hardly
// anything for batches.
func bytesPerUpdate(c *config.Log, servers, links int) int {
	size := func(line string) int { return logging.LineSize(c, len(line)) }
	floods := max(0, links-servers+1) // each server sends it to all its neighbors except the one that it came from
	return size(sampleIAMAT) + size(sampleAT) + floods*2*size(sampleAT+" Alford")
}

// logsOf says in one or two lines where servers with this configuration log, the size limit, and how fast
// the logs grow.
func logsOf(c *config.Log, servers, links int) (lines []string) {
	limit := noLogLimit
	if most := c.MaxBytes(); most > 0 {
		limit = "at most " + view.Bytes(float64(most*uint64(servers))) + " in total (log.max_size)"
	}
	lines = append(lines, "Logs: "+logging.FileName(c, "NAME")+", "+limit)
	if c.EveryLine() {
		rate := 1000 * float64(bytesPerUpdate(c, servers, links))
		lines = append(lines, fmt.Sprintf("  1,000 updates/s add %s/s to %s/s (log.lines = true)", view.Bytes(rate), view.Bytes(2*rate)))
	}
	return lines
}
