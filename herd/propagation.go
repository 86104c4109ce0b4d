package herd

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"serverherd/reactor"
)

// propagation measures how long updates take from the server that received them to this one. An AT line
// contains its origin's clock at receipt (time plus diff). The result includes the difference between the two
// clocks. Loop only.
type propagation struct {
	delays *hdrhistogram.Histogram // microseconds
	coarse reactor.Histogram       // of the same delays
	skewed uint64                  // received before they were sent, by these clocks
}

// maxPropagation is the longest delay that is measured; longer ones count as this long.
const maxPropagation = 10 * time.Minute

func newPropagation() propagation {
	return propagation{delays: hdrhistogram.New(1, maxPropagation.Microseconds(), 2)}
}

// observe records an update that the origin received at sent and this server at now.
func (pr *propagation) observe(sent, now time.Time) {
	d := now.Sub(sent)
	if d < 0 {
		pr.skewed++
		return
	}
	pr.coarse.Record(d)
	// It fails only for values outside the histogram's range.
	_ = pr.delays.RecordValue(min(max(d, time.Microsecond), maxPropagation).Microseconds())
}

func (pr *propagation) status() PropagationStatus {
	seconds := func(us int64) float64 { return time.Duration(us * 1000).Seconds() }
	return PropagationStatus{
		// #nosec G115 -- a count is not negative
		Count: uint64(pr.delays.TotalCount()), Skewed: pr.skewed,
		P50: seconds(pr.delays.ValueAtQuantile(50)), P90: seconds(pr.delays.ValueAtQuantile(90)),
		P99: seconds(pr.delays.ValueAtQuantile(99)), Max: seconds(pr.delays.Max()),
		Delays: newHistogram(pr.coarse),
	}
}
