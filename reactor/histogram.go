package reactor

import (
	"math/bits"
	"time"
)

// Histogram counts durations: Counts[0] those below 1 microsecond, Counts[1] those from there to 2, then to 4, 8, ...
// microseconds. The last one has no upper limit. A negative duration counts as zero.
type Histogram struct {
	Counts [32]uint64
	Sum    time.Duration // of all durations
}

// Record counts one duration.
func (h *Histogram) Record(d time.Duration) {
	d = max(d, 0)
	h.Counts[min(bits.Len64(uint64(d/time.Microsecond)), len(h.Counts)-1)]++
	h.Sum += d
}

// Quantile returns an upper bound, a power of two in microseconds, of the given part of all durations, for example
// Quantile(0.99). It is zero if there were none.
func (h *Histogram) Quantile(q float64) time.Duration {
	var all, seen uint64
	for _, n := range h.Counts {
		all += n
	}
	for i, n := range h.Counts {
		if seen += n; all > 0 && float64(seen) >= q*float64(all) {
			return time.Microsecond << i
		}
	}
	return 0
}
