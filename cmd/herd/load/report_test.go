package load

import (
	"bytes"
	"context"
	"math"
	"regexp"
	"strings"
	"testing"
	"time"
)

// The report fits on terminals of 80 columns.
func TestTheReportFitsTheTerminal(t *testing.T) {
	l := Latency{Count: 1, Mean: 12.3456789, P50: 12.3456789, P90: 12.3456789, P99: 60, P999: 60, Max: 60}
	r := &Report{
		IAMAT: 999_999, WHATSAT: 999_999, Clients: 10_000_000, Zipf: 1.25, Idle: 10_000, SlowReaders: 10_000, ChurnRate: 100_000,
		Servers: []string{"Alford"}, Connections: 10_000, Pipeline: 64, Rate: 1_000_000, Seed: math.MaxUint32,
		Epoch: "1795435686.004168", Duration: 3600, PerSecond: 1_234_567, Latency: l, Raw: l, Lateness: l, Churn: l,
		Loader: Usage{User: 7200}, LoaderPerLine: 23.45e-6, ServerCPU: 2 * time.Hour, ServerPerLine: 23.45e-6,
		All: Counts{Sent: 3_600_000_000, Replies: 3_600_000_000, Unanswered: 1000, Errors: 1000, Late: 1e9, Skipped: 1e9},
	}
	var text bytes.Buffer
	if err := r.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(text.String()) {
		if len(line) > 81 {
			t.Errorf("%d columns: %s", len(line)-1, line)
		}
	}
}

// A run interrupted during the warm-up reports that nothing was measured, not that there were no replies.
func TestInterruptedInTheWarmUp(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	o := small(scripted(t, well))
	o.Warmup = time.Hour
	o.OnSecond = func(Second) { cancel() }
	r, err := Run(ctx, o)
	if err != nil || r.All.Replies == 0 || r.Latency.Count != 0 {
		t.Fatalf("%v, %+v", err, r)
	}
	var text bytes.Buffer
	if err := r.WriteText(&text); err != nil || !strings.Contains(text.String(), "nothing measured") ||
		strings.Contains(text.String(), "replies/s") {
		t.Errorf("%v, %s", err, &text)
	}
}

func TestPlural(t *testing.T) {
	for n, want := range map[int]string{0: "0 replies", 1: "1 reply", 2: "2 replies"} {
		if got := Plural(n, "reply", "replies"); got != want {
			t.Errorf("%d: %s", n, got)
		}
	}
	var text strings.Builder
	r := Report{Servers: []string{"Alford"}, Connections: 1, Clients: 1, Duration: 1, Length: 1e9,
		All: Counts{Sent: 1, Replies: 1, Errors: 1, Failures: []Failure{{Count: 1, What: "lost"}}}}
	if err := r.WriteText(&text); err != nil || regexp.MustCompile(`\b1 [a-z]+(s|ies)\b`).MatchString(text.String()) {
		t.Errorf("%v, %s", err, &text)
	}
}
