package e2e

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"serverherd/cmd/herd/e2e/processtest"
	"serverherd/places/google/googletest"
)

var realSize = flag.Bool("e2e.real", false,
	"scenarios in real size, one after another, without the race detector")

var engine = flag.String("e2e.engine", "loop", "what runs the servers: loop, goroutines or owner")

func TestMain(m *testing.M) {
	flag.Parse()
	os.Setenv("GOOGLE_PLACES_API_KEY", googletest.Key)
	if *realSize {
		processtest.Main(reported{m}, "-race=false")
		return
	}
	processtest.Main(m)
}

// scenario begins a test. Scaled down, it runs in parallel with others; in real size alone, so that its figures are
// meaningful.
func scenario(t *testing.T) {
	t.Helper()
	if !*realSize {
		t.Parallel()
	}
}

// sized returns one value under go test and another one in real size.
func sized[T any](scaled, inReal T) T {
	if *realSize {
		return inReal
	}
	return scaled
}

// row is a row of the table of figures.
type row struct{ scenario, required, measured, verdict string }

var table struct {
	mu   sync.Mutex
	rows []row
}

// figure adds a row to the table: what is required of the scenario, what was measured, and whether that is enough. It
// fails the test only in real size: scaled down, with the race detector and beside other tests, a machine may be
// arbitrarily slow.
func figure(t *testing.T, enough bool, required, measured string, args ...any) {
	t.Helper()
	r := row{t.Name(), required, fmt.Sprintf(measured, args...), "met"}
	switch {
	case enough:
	case *realSize:
		r.verdict = "MISSED"
		t.Errorf("%s: %s, required is %s", r.scenario, r.measured, r.required)
	default:
		r.verdict = "slower, scaled down"
	}
	table.mu.Lock()
	defer table.mu.Unlock()
	table.rows = append(table.rows, r)
	t.Logf("%s: %s", r.required, r.measured)
}

// notRun skips a scenario that this machine cannot run, and adds that to the table.
func notRun(t *testing.T, required, why string) {
	t.Helper()
	fmt.Fprintf(os.Stderr, "NOT RUN: %s: %s\n", t.Name(), why)
	table.mu.Lock()
	table.rows = append(table.rows, row{t.Name(), required, why, "NOT RUN"})
	table.mu.Unlock()
	t.Skip(why)
}

// reported runs the tests and then prints the table.
type reported struct{ m *testing.M }

// Run implements processtest.Runner.
func (r reported) Run() int {
	begun := time.Now()
	code := r.m.Run()
	fmt.Printf("\n| scenario | required | measured | |\n|---|---|---|---|\n")
	for _, r := range table.rows {
		fmt.Printf("| %s | %s | %s | %s |\n", strings.TrimPrefix(r.scenario, "Test"), r.required,
			r.measured, r.verdict)
	}
	fmt.Fprintf(os.Stderr, "%d figures in %v\n", len(table.rows), time.Since(begun).Round(time.Second))
	return code
}
