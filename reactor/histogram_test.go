package reactor

import (
	"math"
	"testing"
	"time"
)

func TestHistogram(t *testing.T) {
	for _, test := range []struct {
		d    time.Duration
		slot int
	}{
		{-time.Second, 0}, {0, 0}, {999, 0}, {time.Microsecond, 1}, {1999, 1}, {2 * time.Microsecond, 2},
		{time.Millisecond, 10}, {1024 * time.Microsecond, 11}, {time.Second, 20}, {time.Hour, 31}, {math.MaxInt64, 31},
	} {
		var h Histogram
		h.Record(test.d)
		if h.Counts[test.slot] != 1 || h.Sum != max(test.d, 0) {
			t.Errorf("%v: %v, want 1 in %d", test.d, h, test.slot)
		}
	}
	var h Histogram
	if q := h.Quantile(0.5); q != 0 {
		t.Errorf("of nothing %v", q)
	}
	for range 99 {
		h.Record(3 * time.Microsecond)
	}
	h.Record(time.Millisecond)
	for q, want := range map[float64]time.Duration{0.5: 4 * time.Microsecond, 0.99: 4 * time.Microsecond, 1: 1024 * time.Microsecond} {
		if got := h.Quantile(q); got != want {
			t.Errorf("quantile %v: %v, want %v", q, got, want)
		}
	}
}

// Work has every event and call, from its beginning to its end.
func TestWorkIsMeasured(t *testing.T) {
	e := newFake()
	c, _, p := connect(e)
	e.Turn()
	before := e.Stats().Work
	p.data = func([]byte) { e.now += 5 * time.Microsecond }
	c.Input([]byte("x"))
	e.now += time.Second // waiting is no work
	e.CallSoon(func() { e.now += 100 * time.Microsecond })
	e.Turn()
	after := e.Stats().Work
	if after.Counts[3] != before.Counts[3]+1 || after.Counts[7] != before.Counts[7]+1 || after.Sum != before.Sum+105*time.Microsecond {
		t.Errorf("from %v to %v", before, after)
	}
}

func BenchmarkHistogram(b *testing.B) {
	var h Histogram
	for i := range b.N {
		h.Record(time.Duration(i&0xfffff) * 16)
	}
}
