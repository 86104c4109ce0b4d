package sim

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// Two herds that share a bucket agree once faults have ended.
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
	faults, modes := map[string]bool{}, map[string]bool{}
	unanswered, restored, ahead, asked, traced := 0, 0, 0, 0, 0
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
		unanswered += r.Unanswered
		restored += r.Restored
		asked += r.Asked
		ahead += r.Ahead
		traced += r.Traced["bucket"]
		_, modesOf, _ := strings.Cut(r.Topology, "modes ")
		modes[modesOf] = true
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
	t.Logf("%d records checked in the bucket, %d restored, %d published during a pass, %d WHATSATs answered from it, "+
		"%d crashes with an unknown result", published, restored, ahead, asked, unanswered)
	if published == 0 || restored == 0 {
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
	for _, name := range []string{"share and share", "publish and publish", "share and publish", "ask and share"} {
		if *seeds >= 200 && !modes[name] {
			t.Errorf("no herds in modes %s in %d seeds", name, *seeds)
		}
	}
	if traced == 0 {
		t.Error("no traced update came from the bucket")
	}
	if asked == 0 {
		t.Error("no WHATSAT was answered from the bucket")
	}
	if *seeds < 200 {
		return
	}
	if ahead == 0 {
		t.Error("nothing was published while a pass was reading")
	}
	if unanswered == 0 {
		t.Error("no server crashed between a put and its result, while the other bridge of its herd ran")
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
