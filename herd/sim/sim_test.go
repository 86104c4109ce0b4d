package sim

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"serverherd/herd/trace"
)

var (
	seeds  = flag.Int("seeds", 40, "how many seeds TestSeeds runs")
	first  = flag.Uint64("first", 1, "the first seed")
	most   = flag.Int("failures", 5, "after how many failures TestSeeds stops")
	once   = flag.Bool("once", false, "run each seed once, without comparing traces")
	seed   = flag.Int64("seed", -1, "the only seed that TestSeeds runs, with its events")
	hashes = flag.String("traces", "", "file to which TestSeeds writes the hash of each seed's trace")
)

// TestMain makes garbage collection rarer: a world is small, and garbage after a tenth of a second.
func TestMain(m *testing.M) {
	debug.SetGCPercent(800)
	os.Exit(m.Run())
}

// run runs a seed twice and compares the traces.
func run(seed uint64) (Result, error) {
	r, err := Run(seed)
	if err != nil || *once {
		return r, err
	}
	if again, _ := Run(seed); again.Trace != r.Trace {
		return r, &Failure{seed, r.Simulated, "trace", "the same seed ran differently", "TestSeeds"}
	}
	return r, nil
}

func TestSeeds(t *testing.T) {
	if *seed >= 0 {
		r, err := run(uint64(*seed))
		t.Logf("seed %d: %s\n%s", r.Seed, r.Topology, strings.Join(r.Events, "\n"))
		t.Logf("%d lines, %d replies checked, %d updates, %d AT lines, %v", r.Lines, r.Replies,
			r.Updates, r.ATLines, r.Simulated)
		if err != nil {
			t.Error(err)
		}
		return
	}
	var next, failed atomic.Int64
	var wait sync.WaitGroup
	var sum sync.Mutex
	var total Result
	all := met{map[string]bool{}, map[string]bool{}, map[string]bool{}}
	traces := make([]string, max(*seeds, 0))
	begun := time.Now()
	for range runtime.GOMAXPROCS(0) {
		wait.Add(1)
		go func() {
			defer wait.Done()
			for failed.Load() < int64(*most) {
				n := next.Add(1) - 1
				if n >= int64(*seeds) {
					return
				}
				r, err := run(*first + uint64(n))
				if err != nil {
					failed.Add(1)
					t.Error(err)
				}
				traces[n] = fmt.Sprintf("%d %016x\n", r.Seed, r.Trace)
				sum.Lock()
				all.note(r)
				total.Simulated += r.Simulated
				total.Lines += r.Lines
				total.Replies += r.Replies
				total.Updates += r.Updates
				total.ATLines += r.ATLines
				total.Faults += r.Faults
				total.Handovers += r.Handovers
				sum.Unlock()
			}
		}()
	}
	wait.Wait()
	if *hashes != "" {
		if err := os.WriteFile(*hashes, []byte(strings.Join(traces, "")), 0o644); err != nil {
			t.Error(err)
		}
	}
	if *seeds >= 40 && failed.Load() == 0 {
		all.check(t)
	}
	took := time.Since(begun)
	how := "once"
	if !*once {
		total.Simulated *= 2
		how = "twice"
	}
	t.Logf("%d seeds, each %s: %.0f simulated minutes in %.1f s on %d cores, %.0f a minute and core",
		*seeds, how, total.Simulated.Minutes(), took.Seconds(), runtime.GOMAXPROCS(0),
		total.Simulated.Minutes()/took.Minutes()/float64(runtime.GOMAXPROCS(0)))
	t.Logf("%d faults, %d handovers at a stop, %d lines, %d replies checked, %d updates, %d AT lines",
		total.Faults, total.Handovers, total.Lines, total.Replies, total.Updates, total.ATLines)
}

// Each of these seeds found a bug, which is kept as a mutant of that name: herd/sim/mutants checks that the simulation
// still finds it.
func TestSeedsThatFoundBugs(t *testing.T) {
	for _, found := range []struct {
		seed   uint64
		mutant string
	}{
		{1, "late-line-early"},
		{11, "address-ignored"},
		{3, "former-never-back"},
		{5, "marks-never-count"},
		{23, "stop-leaves-at-once"},
	} {
		t.Run(found.mutant, func(t *testing.T) {
			if _, err := run(found.seed); err != nil {
				t.Error(err)
			}
		})
	}
}

// met collects which topologies and faults occurred in a number of runs.
type met struct{ kinds, faults, outcomes map[string]bool }

func (m *met) note(r Result) {
	words := strings.Fields(r.Topology)
	m.kinds[words[0]] = true
	if last := words[len(words)-1]; last == "joins" || last == "leaves" {
		m.kinds["a herd that a server "+last] = true
	}
	for outcome := range r.Traced {
		m.outcomes[outcome] = true
	}
	for _, line := range r.Events {
		for _, f := range slices.Concat(faultKinds, tokenFaults) {
			if strings.Contains(line, "s  "+f.name+" ") {
				m.faults[f.name] = true
			}
		}
	}
}

// check checks that each kind of topology and of fault occurred.
func (m *met) check(t *testing.T) {
	for _, kind := range []string{"ring", "line", "star", "mesh", "random", "a herd that a server joins", "a herd that a server leaves"} {
		if !m.kinds[kind] {
			t.Errorf("no %s in %d seeds", kind, *seeds)
		}
	}
	for _, outcome := range []trace.Outcome{ // trace.Old is rare: see TestOldUpdate
		trace.FromClient, trace.FromNeighbor, trace.Copied, trace.Journal,
		trace.Superseded, trace.Behind, trace.Unanswered} {
		if !m.outcomes[string(outcome)] {
			t.Errorf("no traced update was %q on any server in %d seeds", outcome, *seeds)
		}
	}
	for _, f := range slices.Concat(faultKinds, tokenFaults) {
		if !m.faults[f.name] {
			t.Errorf("no %s in %d seeds", f.name, *seeds)
		}
	}
}
