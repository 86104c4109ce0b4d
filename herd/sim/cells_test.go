package sim

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// Two herds that share a bucket have the same records once faults have ended.
func TestCells(t *testing.T) {
	if *seed >= 0 {
		r, err := runCells(uint64(*seed))
		t.Logf("seed %d: %s\n%s", r.Seed, r.Topology, strings.Join(r.Events, "\n"))
		if err != nil {
			t.Error(err)
		}
		return
	}
	var traces strings.Builder
	faults := map[string]bool{}
	published, failures := 0, 0
	for n := range uint64(*seeds) {
		r, err := runCells(*first + n)
		if err != nil {
			t.Error(err)
			if failures++; failures >= *most {
				return
			}
		}
		fmt.Fprintf(&traces, "%d %016x\n", r.Seed, r.Trace)
		published += r.Published
		for _, line := range r.Events {
			for _, f := range bucketFaults {
				if strings.Contains(line, "s  "+f.name+" ") {
					faults[f.name] = true
				}
			}
		}
	}
	if *hashes != "" {
		if err := os.WriteFile(*hashes, []byte(traces.String()), 0o644); err != nil {
			t.Error(err)
		}
	}
	t.Logf("%d records checked in the bucket", published)
	if published == 0 {
		t.Error("the bucket was never checked")
	}
	if *seeds < 40 || failures > 0 {
		return
	}
	for _, f := range bucketFaults {
		if !faults[f.name] {
			t.Errorf("no %s in %d seeds", f.name, *seeds)
		}
	}
}

// runCells runs a seed twice and compares the traces.
func runCells(seed uint64) (Result, error) {
	r, err := RunCells(seed)
	if err != nil || *once {
		return r, err
	}
	if again, _ := RunCells(seed); again.Trace != r.Trace {
		return r, &Failure{seed, r.Simulated, "trace", "the same seed ran differently", "TestCells"}
	}
	return r, nil
}
