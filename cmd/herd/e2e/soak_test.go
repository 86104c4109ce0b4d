package e2e

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/procfs"

	"serverherd/cmd/herd/e2e/processtest"
	"serverherd/cmd/herd/e2e/soak"
	"serverherd/herd/access"
)

var (
	soakTime = flag.Duration("e2e.soak", 20*time.Second, "how long the soak lasts")
	soakSeed = flag.Uint64("e2e.seed", 0, "the soak's load and faults; 0: others each time")
)

// kept are the servers that are never restarted: only they would show a leak. They are stopped and cut off as others.
var kept = []string{"Alford", "Holiday"}

// soaked is a herd under load, faults and attacks. Its methods are for the test's goroutine, but for those of its parts.
type soaked struct {
	*cluster
	g    *guarded // the same herd, for its files and tokens
	seed uint64
	// questions is how many WHATSATs a day an address may send: more than well-behaved clients do.
	questions int
	begun     time.Time
	faults    faults
	load      load
	raids     raids
	by        []*witness
	sample    sampler
	log       logWatch
	logs      sync.WaitGroup // the readers of logs
	ended     chan struct{}  // closed when all servers have been stopped

	mu     sync.Mutex
	errors []string
}

// records is the number of records in the herd.
func (s *soaked) records() int { return soakClients + len(names) + 1 }

// TestSoak applies load, faults and attacks together. After each fault what writes is quiet, the attacks go on, and all
// servers must agree; at the end none may use more resources than before, and nobody but the attackers noticed anything.
func TestSoak(t *testing.T) {
	scenario(t)
	if *soakTime <= 0 {
		t.Fatalf("a soak of %v: want a positive duration, such as 10m", *soakTime)
	}
	dir := os.Getenv("SOAK_DIR")
	if dir == "" {
		dir = t.TempDir()
	}
	if err := soak.Writable(dir); err != nil { // not after an hour
		t.Fatal(err)
	}
	s := newSoaked(t)
	t.Logf("the report will be in %s; again with -e2e.seed %d", dir, s.seed)
	before := s.cluster.usage()
	stop := s.start()
	chance := rand.New(rand.NewPCG(s.seed, 0))
	var all []soak.Fault
	minute := time.Now()
	ended := false
	t.Cleanup(func() { // after a fault that ends the test, what was measured until then
		if ended {
			return
		}
		stop()
		r := s.result(time.Since(s.begun), all)
		r.Check(false, "the soak went on to its end", "it ended during a fault")
		if err := r.Write(dir); err != nil {
			t.Error(err)
		}
		t.Logf("the report until then is in %s", dir)
	})
	for since := time.Duration(0); since < *soakTime || !s.raids.complete(s); since = time.Since(s.begun) {
		if since > *soakTime+2*processtest.Patience {
			t.Errorf("attacks that never succeeded: %v", s.raids.missing(s))
			break
		}
		f := s.fault(chance)
		all = append(all, f)
		t.Logf("%5.0f s  %-36s live after %4.1f s, equal %.1f s later", f.At, f.What, f.Live, f.Agreed)
		if time.Since(minute) >= time.Minute {
			minute = time.Now()
			p99, u := s.sample.latest()
			t.Logf("%v of %v: bystanders wait %.1f ms at p99, %.0f MiB at most, %d attacks, %d errors",
				time.Since(s.begun).Round(time.Second), *soakTime, p99, u, s.raids.total(), s.wrong())
		}
		pause := sized(500, 1000) + chance.IntN(sized(1000, 4000)) // between the faults
		time.Sleep(time.Duration(pause) * time.Millisecond)
	}
	lasted := time.Since(s.begun)
	ended = true
	stop()
	after, back := s.givenBack(before)
	right, of := s.raids.exact(s)
	s.shutDown()
	r := s.result(lasted, all)
	r.Check(right == of, "counters of the servers that were not restarted are the number of attempts", "%d of %d",
		right, of)
	r.Check(back, "after the end, descriptors and goroutines are given back", "%d to %d and %d to %d at most",
		before.descriptors, after.descriptors, before.goroutines, after.goroutines)
	s.verdicts(r)
	if err := r.Write(dir); err != nil {
		t.Error(err)
	}
	t.Logf("the report is in %s", dir)
}

// start begins load, bystanders, attacks and samples. The returned function ends them.
func (s *soaked) start() (stop func()) {
	s.T.Helper()
	s.begun = time.Now()
	done := make(chan struct{})
	var all sync.WaitGroup
	for i, name := range names {
		chance := rand.New(rand.NewPCG(s.seed, uint64(1+i)))
		all.Go(func() { s.load.run(s, name, chance, done) })
		w := newWitness(s, name, i)
		s.by = append(s.by, w)
		all.Go(func() { w.run(done) })
		all.Go(func() { w.health(done) })
	}
	s.raids.start(s, &all, done)
	all.Go(func() { s.sample.run(s, done) })
	s.ended = make(chan struct{})
	s.logs.Go(func() { s.log.run(s, s.ended) })
	return func() {
		close(done)
		all.Wait()
	}
}

// shutDown stops all servers in good order, and waits until their logs have been read.
func (s *soaked) shutDown() {
	s.T.Helper()
	for _, name := range names {
		if code, took := s.terminate(name); code != 0 {
			s.fail("%s stopped at the end with exit code %d after %v", name, code, took)
		}
	}
	close(s.ended)
	s.logs.Wait()
}

// givenBack waits until no server has more descriptors and goroutines than before, and returns what they have. If that does
// not happen, the report says so.
func (s *soaked) givenBack(before usage) (after usage, all bool) {
	s.T.Helper()
	for since := time.Now(); !all && time.Since(since) < processtest.Patience; time.Sleep(100 * time.Millisecond) {
		after = s.usage()
		all = after.descriptors <= before.descriptors+spareDescriptors && after.goroutines <= before.goroutines+spareGoroutines
	}
	return after, all
}

// fail records an error, with the fault and the time. Any goroutine.
func (s *soaked) fail(format string, args ...any) {
	text := fmt.Sprintf("%.1f s, %s: ", time.Since(s.begun).Seconds(), s.faults.current()) + fmt.Sprintf(format,
		args...)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.errors = append(s.errors, text); len(s.errors) <= 20 {
		s.T.Error(text)
	}
}

// wrong is the number of errors. Any goroutine.
func (s *soaked) wrong() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.errors)
}

// result compares what was measured with what is wanted.
func (s *soaked) result(lasted time.Duration, all []soak.Fault) *soak.Run {
	s.T.Helper()
	attacks := s.raids.result(s)
	r := &soak.Run{
		Command: fmt.Sprintf("make soak SOAK=%v SEED=%d", *soakTime, s.seed), Seed: s.seed,
		Date: s.begun.UTC().Format(time.DateOnly), Machine: machine(),
		Seconds: lasted.Seconds(), Warm: min(60, lasted.Seconds()/6), Kept: kept, Series: s.sample.series,
		Note: os.Getenv("SOAK_NOTE"), Scaled: !*realSize, Bystanders: s.sample.intervals, Waits: s.waits(),
		Faults: all, Attacks: attacks, Errors: s.errors,
	}
	slowest := 0.0
	for _, f := range all {
		slowest = max(slowest, f.Live+f.Agreed)
	}
	r.CheckTime(slowest <= 11, "all servers equal within 11 s after each fault, while attacks go on",
		"%.1f s at most, %d faults", slowest, len(all))
	wrong, again := 0, s.log.violations()
	for _, a := range r.Attacks {
		wrong += a.Wrong
		if a.Entries == 0 && a.Log != "" || a.Counted == 0 && a.Counter != "" {
			s.T.Errorf("%s: %d entries %q, %d counted as %q", a.Name, a.Entries, a.Log, a.Counted, a.Counter)
			wrong++
		}
	}
	r.Check(wrong == 0, "each attack sees what it should, is logged and counted", "%d attacks of %d kinds, %d wrong",
		s.raids.total(), len(r.Attacks), wrong)
	changes := s.log.changes()
	r.Check(len(changes) == 0, "no attack reloads a server or changes the level of its log", "%d did", len(changes))
	for _, text := range changes {
		s.T.Errorf("changed by an attack: %s", text)
	}
	r.Check(len(again) == 0, "an event is logged once in 30 s for each kind and address",
		"%d of %d such entries came too soon", len(again), s.log.entries)
	for _, text := range again {
		s.T.Errorf("logged again within 30 s: %s", text)
	}
	replies, late := int64(0), int64(0)
	for _, w := range s.by {
		replies, late = replies+w.replies.Load(), late+w.failed.Load()
	}
	r.Check(late == 0 && replies > 0, "a bystander has every reply, in time, unless its own server has a fault",
		"%d of %d missing, late or wrong", late, replies+late)
	missing := s.load.failed.Load()
	r.Check(missing == 0, "load has every reply, likewise", "%d of %d missing", missing, missing+s.load.replies.Load())
	r.Check(len(s.errors) == 0, "nothing else goes wrong: each stop exits with 0 and loses nothing",
		"%d errors in all", len(s.errors))
	r.Judge()
	return r
}

// waits are those of all bystanders, which have ended.
func (s *soaked) waits() *soak.Waits {
	s.T.Helper()
	calm, faulty := soak.NewHistogram(), soak.NewHistogram()
	for _, w := range s.by {
		calm.Merge(w.calm)
		faulty.Merge(w.faulty)
	}
	all, err := soak.NewWaits(calm, faulty)
	if err != nil {
		s.T.Error(err)
	}
	return all
}

// verdicts adds the checks to the table of figures, and fails the test for those that are not met.
func (s *soaked) verdicts(r *soak.Run) {
	s.T.Helper()
	for _, c := range r.Checks {
		if figure(s.T, c.Met, c.Wanted, "%s", c.Measured); !c.Met && !*realSize {
			s.T.Errorf("%s: %s", c.Wanted, c.Measured)
		}
	}
}

const (
	spareDescriptors = 16 // files of the journal come and go
	spareGoroutines  = 8
)

func isKept(name string) bool { return name == kept[0] || name == kept[1] }

// machine says what the run was on.
func machine() string {
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return "an unknown machine"
	}
	cpus, err := fs.CPUInfo()
	if err != nil || len(cpus) == 0 {
		return "an unknown machine"
	}
	return fmt.Sprintf("a machine with %d cores (%s), shared by servers, load and attackers", len(cpus),
		strings.TrimSpace(cpus[0].ModelName))
}

// newSoaked starts the herd: links over TLS, through the test's network; clients with and without TLS, with tokens, and
// with PROXY headers, so that each has an address of its own; a journal; small log files.
func newSoaked(t *testing.T) *soaked {
	t.Helper()
	s := &soaked{seed: *soakSeed}
	if s.seed == 0 {
		s.seed = uint64(time.Now().UnixNano())
	}
	s.questions = 10*int(soakTime.Seconds()) + sized(100, 500) // of well-behaved clients, and more
	s.cluster = newCluster(t, fmt.Sprintf(`[herd]
secret_file = "secret"
[tls]
links = "required"
[clients]
tokens = "tokens.toml"
tls = "optional"
proxy_protocol = ["127.0.0.0/8"]
[console]
tls = "optional"
hosts = ["herd.example.org"]
[log]
lines = false
max_size = 1048576
max_files = 3
[storage]
dir = "journal"
[limits]
partial_line_timeout = "4s"
output_soft = 65536
connections_per_address = 40
lines_per_address = 400
lines_per_token = 300
updates_per_client = 50
whatsats_per_address = %d
`, s.questions), names...)
	s.g = &guarded{Herd: s.Herd}
	s.g.file("secret", doorSecret+"\n")
	more := ""
	for _, name := range []string{"mute", "forger", "writer", "asker"} { // of attackers
		token := access.Token{Name: name, Rights: access.Read | access.Write,
			Hash: access.Hash([]byte(tokenText(name)))}
		more += token.Line()
	}
	s.g.tokens(more)
	makeCerts(s.Herd)
	for _, server := range s.Servers {
		s.Start(server.Name)
	}
	s.UntilLive()
	s.begun = time.Now()
	s.raids.init(s)
	s.populate()
	s.UntilEqual(s.records())
	return s
}

// populate updates each client once, so that the number of records is the same from now on.
func (s *soaked) populate() {
	s.T.Helper()
	lines := func(name, token string, lines ...string) {
		r := raider{s: s, server: name, address: "10.1.0.1"}
		conn, err := r.welcome(token)
		if err != nil {
			s.T.Fatal(err)
		}
		defer conn.Close()
		buf := make([]byte, 64<<10)
		for _, line := range lines {
			for { // lines_per_token
				reply, err := ask(conn, line, buf)
				if err != nil || !strings.HasPrefix(reply, "> LIMIT") && !strings.HasPrefix(reply, "AT ") {
					s.T.Fatalf("%q, %v", reply, err)
				}
				if strings.HasPrefix(reply, "AT ") {
					break
				}
				time.Sleep(50 * time.Millisecond)
			}
		}
	}
	var all []string
	for i := range soakClients {
		all = append(all, fmt.Sprintf("IAMAT fleet7/client%07d +34.068930-118.445127 1\n", i))
	}
	lines("Alford", "fleet", all...)
	lines("Alford", "noisy", "IAMAT noisy +1+1 1\n")
	for _, name := range names {
		lines("Alford", "bystander", "IAMAT bystander-"+name+" +1+1 1\n")
	}
}

// size is the bytes of all files that match a pattern below the herd's directory. Any goroutine.
func (s *soaked) size(patterns ...string) (n float64) {
	for _, pattern := range patterns {
		files, _ := filepath.Glob(filepath.Join(s.Dir, pattern))
		for _, file := range files {
			if info, err := os.Stat(file); err == nil {
				n += float64(info.Size()) / mib
			}
		}
	}
	return n
}
