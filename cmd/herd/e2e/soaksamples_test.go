package e2e

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"serverherd/cmd/herd/e2e/soak"
	"serverherd/herd"
)

// sampler measures all servers and bystanders at intervals.
type sampler struct {
	mu        sync.Mutex
	series    []soak.Series // as names
	intervals []soak.Interval
	totals    map[string]uint64            // of counters, over all processes
	last      map[string]map[string]uint64 // counters by process
}

// run samples until the end, and once more.
func (m *sampler) run(s *soaked, done <-chan struct{}) {
	for _, name := range names {
		m.series = append(m.series, soak.Series{Server: name})
	}
	m.last, m.totals = map[string]map[string]uint64{}, map[string]uint64{}
	every := max(time.Second, *soakTime/300)
	tick := time.NewTicker(every)
	defer tick.Stop()
	replies, attacks, at := int64(0), int64(0), s.begun
	for ended := false; !ended; {
		select {
		case <-tick.C:
		case <-done:
			ended = true
		}
		var all sync.WaitGroup
		for i, name := range names {
			all.Go(func() { m.server(s, i, name) })
		}
		waits, now := soak.NewHistogram(), time.Now()
		n := s.load.replies.Load()
		for _, w := range s.by {
			w.mu.Lock()
			waits.Merge(w.waits)
			w.waits.Reset()
			w.mu.Unlock()
			n += w.replies.Load()
		}
		total, seconds := s.raids.total(), now.Sub(at).Seconds()
		i := soak.Interval{At: tenths(now.Sub(s.begun)), Waits: waits.TotalCount(),
			P50: millis(waits.ValueAtQuantile(50)),
			P99: millis(waits.ValueAtQuantile(99)), Max: millis(waits.Max()),
			Replies: float64(int(float64(n-replies) / seconds)),
			Attacks: float64(int(float64(total-attacks) / seconds))}
		replies, attacks, at = n, total, now
		if seconds > every.Seconds()/2 {
			m.mu.Lock()
			m.intervals = append(m.intervals, i)
			m.mu.Unlock()
		}
		all.Wait()
	}
}

func tenths(d time.Duration) float64 { return float64(d.Milliseconds()/100) / 10 }
func millis(us int64) float64        { return float64(us) / 1000 }

// server samples a server, unless it has a fault or does not answer.
func (m *sampler) server(s *soaked, i int, name string) {
	begun := time.Now()
	if s.faults.had(name, begun.Add(-time.Second)) {
		return
	}
	st := s.Status(name)
	goroutines, heap := runtimeOf(s, name)
	if st == nil || goroutines == 0 || s.faults.had(name, begun) {
		return
	}
	log, journal := s.size("logs/server-"+name+"*"), s.size("journal/"+name+"/*", "journal/"+name+"/*/*")
	m.mu.Lock()
	defer m.mu.Unlock()
	r := &m.series[i]
	r.At = append(r.At, tenths(begun.Sub(s.begun)))
	r.Resident = append(r.Resident, rounded(float64(st.Process.Resident)/mib))
	r.Heap = append(r.Heap, rounded(heap/mib))
	r.Descriptors = append(r.Descriptors, float64(st.Process.OpenFDs))
	r.Goroutines = append(r.Goroutines, goroutines)
	r.Journal, r.Log = append(r.Journal, rounded(journal)), append(r.Log, rounded(log))
	process := name + st.Epoch
	now := countersOf(st)
	for counter, n := range now {
		if before := m.last[process][counter]; n > before {
			m.totals[counter] += n - before
		}
	}
	m.last[process] = now
}

func rounded(v float64) float64 { return float64(int(v*10+0.5)) / 10 }

var runtimeMetrics = regexp.MustCompile(`(?m)^(go_goroutines|go_memstats_heap_inuse_bytes) (\S+)$`)

// runtimeOf returns a server's goroutines and the heap in use; zero if it does not answer.
func runtimeOf(s *soaked, name string) (goroutines, heap float64) {
	client, url := s.Console(name)
	r, err := client.Get(url + "/metrics")
	if err != nil {
		return 0, 0
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		return 0, 0
	}
	for _, m := range runtimeMetrics.FindAllSubmatch(text, -1) {
		v, _ := strconv.ParseFloat(string(m[2]), 64)
		if strings.HasSuffix(string(m[1]), "bytes") {
			heap = v
		} else {
			goroutines = v
		}
	}
	return goroutines, heap
}

// countersOf are all counters of a status, by the name in its JSON.
func countersOf(st *herd.Status) map[string]uint64 {
	all := map[string]uint64{}
	text, _ := json.Marshal(st.Counters)
	_ = json.Unmarshal(text, &all)
	if st.Console != nil {
		all["console.denied"], all["console.logins_refused"] = st.Console.Denied, st.Console.LoginsRefused
		all["console.signatures_refused"] = st.Console.SignaturesRefused
	}
	return all
}

// counted is how often all processes have counted something, as far as it was sampled.
func (m *sampler) counted(counter string) uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.totals[counter]
}

// latest are the last p99 of bystanders in milliseconds and the most memory of a server in MiB.
func (m *sampler) latest() (p99, memory float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := len(m.intervals); n > 0 {
		p99 = m.intervals[n-1].P99
	}
	for _, s := range m.series {
		if n := len(s.Resident); n > 0 {
			memory = max(memory, s.Resident[n-1])
		}
	}
	return p99, memory
}

// limited are the messages that are written once in 30 s for each kind and address.
var limited = map[string]bool{
	"TLS handshake failed": true, "client refused": true, "token refused": true,
	"connection closed, no valid token": true, "line refused": true,
	"limit exceeded": true, "console request refused": true, "other protocol refused": true, "client cut off": true,
	"neighbor refused": true,
}

// logWatch reads the log files of all servers while they are written and rotated.
type logWatch struct {
	mu      sync.Mutex
	entries int               // that are limited
	counts  map[[3]string]int // by message, kind and address
	last    map[[4]string]time.Time
	again   []string
	changed []string // what an attack must not do
}

// entry is a log entry.
type entry struct {
	Msg, Reason, Kind, Protocol, Token, Peer, From, By string
	Time                                               time.Time
}

// kind is what the entry is limited by, besides its address.
func (e *entry) kind() string {
	switch e.Msg {
	case "TLS handshake failed":
		return strings.TrimRight(digits.Split(e.Reason, 2)[0], " ")
	case "neighbor refused":
		kind, _, _ := strings.Cut(e.Reason, ":")
		return kind
	}
	return cmp.Or(e.Kind, e.Protocol, e.Reason)
}

var digits = regexp.MustCompile(`["\[]|\b\d`)

// address is the address of who caused the entry.
func (e *entry) address() string {
	peer := e.Peer + e.From
	if i := strings.LastIndexByte(peer, ':'); i >= 0 {
		peer = peer[:i]
	}
	return peer
}

// run reads until the servers have been stopped, and what they have written until then.
func (l *logWatch) run(s *soaked, done <-chan struct{}) {
	l.counts, l.last = map[[3]string]int{}, map[[4]string]time.Time{}
	var all sync.WaitGroup
	for _, name := range names {
		all.Go(func() { l.follow(filepath.Join(s.Dir, "logs", "server-"+name+".log"), name, done) })
	}
	all.Wait()
}

// follow reads one server's log, whatever file has its name.
func (l *logWatch) follow(path, server string, done <-chan struct{}) {
	var file *os.File
	var in *bufio.Reader
	var line []byte
	for ended := false; ; {
		if file == nil {
			if f, err := os.Open(path); err == nil {
				file, in, line = f, bufio.NewReader(f), nil
			}
		}
		moved := file != nil && isMoved(file, path) // before the last read: it is not written after that
		for file != nil {
			part, err := in.ReadSlice('\n')
			line = append(line, part...)
			if err == nil {
				l.note(server, line)
				line = line[:0]
			} else if err != bufio.ErrBufferFull {
				break
			}
		}
		if moved {
			file.Close()
			file = nil
			continue
		}
		if ended {
			return
		}
		select {
		case <-time.After(500 * time.Millisecond):
		case <-done:
			ended = true
		}
	}
}

func isMoved(file *os.File, path string) bool {
	now, err := os.Stat(path)
	is, err2 := file.Stat()
	return err == nil && err2 == nil && !os.SameFile(now, is)
}

// note records one entry.
func (l *logWatch) note(server string, line []byte) {
	var e entry
	if json.Unmarshal(line, &e) != nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.Msg == "started" { // another process has its own memory
		for k := range l.last {
			if k[0] == server {
				delete(l.last, k)
			}
		}
	}
	if (e.Msg == "reloading" && e.By != "SIGHUP" || e.Msg == "log level changed") && len(l.changed) < 20 {
		l.changed = append(l.changed, fmt.Sprintf("%s: %s", server, line))
	}
	if !limited[e.Msg] {
		return
	}
	l.entries++
	l.counts[[3]string{e.Msg, e.kind(), e.address()}]++
	// An entry may be written later than the server has noted it: arbitrarily late if the run is scaled down.
	k := [4]string{server, e.Msg, e.kind() + " " + e.Token, e.address()}
	if before := l.last[k]; e.Time.Sub(before) < sized(25*time.Second, 29900*time.Millisecond) && len(l.again) < 20 {
		l.again = append(l.again, fmt.Sprintf("%s after %.1f s: %s", server, e.Time.Sub(before).Seconds(), line))
	}
	l.last[k] = e.Time
}

// count is the number of entries with a message and a part of a kind, from an attacker's address or without one.
func (l *logWatch) count(message, kind, address string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for k, times := range l.counts {
		if k[0] == message && strings.Contains(k[1], kind) && (k[2] == address || !strings.HasPrefix(k[2], "10.66.")) {
			n += times
		}
	}
	return n
}

// violations are entries that were written again too soon.
func (l *logWatch) violations() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.again
}

// changes are reloads that nobody has asked for with SIGHUP, and changed levels of the log.
func (l *logWatch) changes() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.changed
}
