package load

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestFindMax(t *testing.T) {
	o := small(scripted(t, well))
	o.Duration = 100 * time.Millisecond
	holds, err := ParseThreshold("p50<10s")
	if err != nil {
		t.Fatal(err)
	}
	steps := 0
	r, err := FindMax(t.Context(), o, holds, func(string) { steps++ })
	if err != nil || r.Rate == 0 || steps != 1+findSteps {
		t.Errorf("%v, %+v, %d steps", err, r, steps)
	}
	never, err := ParseThreshold("errors>5")
	if err != nil {
		t.Fatal(err)
	}
	if r, err := FindMax(t.Context(), o, never, func(string) {}); err != nil || r.Rate != 0 {
		t.Errorf("%v, %+v", err, r)
	}
}

// Whoever ends the search for a rate, even before the next run has its connections, gets what was found.
func TestFindMaxInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var found atomic.Bool
	o := small(scripted(t, func(n int, line string) []byte {
		if found.Load() { // the next run makes its clients known
			cancel()
		}
		return well(n, line)
	}))
	o.Duration, o.WHATSAT = 100*time.Millisecond, 1
	holds, err := ParseThreshold("p50<10s")
	if err != nil {
		t.Fatal(err)
	}
	r, err := FindMax(ctx, o, holds, func(step string) {
		if strings.HasSuffix(step, ": yes") {
			found.Store(true)
		}
	})
	if err != nil || r.Rate == 0 {
		t.Errorf("%v, %+v", err, r)
	}
}

// A rate at which one connection in forty gets no answer is none, however fast the others are served.
func TestFindMaxWithoutAnAnswer(t *testing.T) {
	o := small(scripted(t, func(n int, line string) []byte {
		if strings.HasPrefix(line, "IAMAT load0000000 ") { // of the connection that sends first
			return []byte{}
		}
		return well(n, line)
	}))
	o.Connections, o.Clients, o.Duration, o.drain = 40, 40, 50*time.Millisecond, 20*time.Millisecond
	holds, err := ParseThreshold("p50<10s")
	if err != nil {
		t.Fatal(err)
	}
	if r, err := FindMax(t.Context(), o, holds, func(string) {}); err != nil || r.Rate != 0 {
		t.Errorf("%v, %+v", err, r)
	}
}
