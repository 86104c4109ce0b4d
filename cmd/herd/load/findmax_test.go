package load

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"time"
)

// capable simulates runs against a server that answers up to max requests per second, and 1.5 times that in
// a closed loop. It answers the rest late. Change modifies the report.
func capable(max float64, change func(r *Report)) func(context.Context, Options) (*Report, error) {
	return func(_ context.Context, o Options) (*Report, error) {
		r := &Report{Rate: o.Rate, Duration: o.Duration.Seconds(), PerSecond: min(max, o.Rate)}
		r.Latency = Latency{Count: 1, P50: 0.001, P99: 0.002}
		switch {
		case o.Rate == 0:
			r.PerSecond = 1.5 * max
		case o.Rate > max:
			r.Latency.P50, r.Latency.P99 = 1, 2
		}
		r.Measured.Replies = uint64(r.PerSecond * r.Duration)
		change(r)
		return r, nil
	}
}

func threshold(t *testing.T, text string) Threshold {
	t.Helper()
	holds, err := ParseThreshold(text)
	if err != nil {
		t.Fatal(err)
	}
	return holds
}

func TestFindMax(t *testing.T) {
	for _, c := range []struct {
		name, condition string
		change          func(r *Report)
		want            float64
	}{
		{"by the latency", "p99<5ms", func(*Report) {}, 1000},
		{"by the replies", "errors<1", func(*Report) {}, 1000 / findShare},
		{"a condition that never holds", "errors>5", func(*Report) {}, 0},
		{"no reply was timed", "p50<10s", func(r *Report) { r.Latency.Count = 0 }, 0},
		{"a line without an answer", "p50<10s", func(r *Report) { r.All.Unanswered = 1 }, 0},
		{"an error", "p50<10s", func(r *Report) { r.All.Errors = 1 }, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			steps := 0
			o := Options{Connections: 1, Duration: 10 * time.Second}
			r, err := findMax(t.Context(), capable(1000, c.change), o, threshold(t, c.condition),
				func(string) { steps++ })
			if err != nil || steps != 1+findSteps {
				t.Fatalf("%v, %d steps", err, steps)
			}
			if exact := 1500 / math.Exp2(findSteps); r.Rate > c.want+0.01 || r.Rate < c.want-exact {
				t.Errorf("%g lines/s, want %g", r.Rate, c.want)
			}
		})
	}
}

func TestFindMaxWithoutAPeak(t *testing.T) {
	r, err := findMax(t.Context(), capable(0, func(*Report) {}), Options{}, threshold(t, "p50<10s"), func(string) {})
	if err == nil || !strings.Contains(err.Error(), "no replies") {
		t.Errorf("%v, %+v", err, r)
	}
}

// An interrupted search returns the best rate so far, even if interrupted while connecting.
func TestFindMaxInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	runs, able := 0, capable(1000, func(*Report) {})
	r, err := findMax(ctx, func(ctx context.Context, o Options) (*Report, error) {
		if runs++; runs < 3 {
			return able(ctx, o)
		}
		cancel()
		return nil, errors.New("interrupted while connecting")
	}, Options{Duration: time.Second}, threshold(t, "p99<5ms"), func(string) {})
	if err != nil || r.Rate != 750 || runs != 3 {
		t.Errorf("%v, %+v, %d runs", err, r, runs)
	}
}

// A rate at which one connection in forty gets no reply does not count, however fast the others are.
func TestFindMaxWithoutAnAnswer(t *testing.T) {
	o := small(scripted(t, func(n int, line string) []byte {
		if strings.HasPrefix(line, "IAMAT load0000000 ") { // of the first connection
			return []byte{}
		}
		return well(n, line)
	}))
	o.Connections, o.Clients, o.Duration, o.drain = 40, 40, 50*time.Millisecond, 20*time.Millisecond
	if r, err := FindMax(t.Context(), o, threshold(t, "p50<10s"), func(string) {}); err != nil || r.Rate != 0 {
		t.Errorf("%v, %+v", err, r)
	}
}
