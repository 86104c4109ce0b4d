package herd

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// propagation is how long updates take to come here from where a client sent them. An AT line
// carries its origin's clock at receipt, time plus diff, so that is known for free, but for how far
// the two clocks are apart. Loop only.
type propagation struct {
	delays *hdrhistogram.Histogram // microseconds
	skewed uint64                  // came before they were sent
}

// maxPropagation is the longest delay that is told apart from longer ones.
const maxPropagation = 10 * time.Minute

func newPropagation() propagation {
	return propagation{delays: hdrhistogram.New(1, maxPropagation.Microseconds(), 2)}
}

// observe notes an update that the origin received at sent and this server at now.
func (pr *propagation) observe(sent, now time.Time) {
	d := now.Sub(sent)
	if d < 0 {
		pr.skewed++
		return
	}
	// It fails beyond the histogram's bounds only, which it is kept within.
	_ = pr.delays.RecordValue(min(max(d, time.Microsecond), maxPropagation).Microseconds())
}

func (pr *propagation) status() PropagationStatus {
	seconds := func(us int64) float64 { return time.Duration(us * 1000).Seconds() }
	return PropagationStatus{
		Count: uint64(pr.delays.TotalCount()), Skewed: pr.skewed,
		P50: seconds(pr.delays.ValueAtQuantile(50)), P90: seconds(pr.delays.ValueAtQuantile(90)),
		P99: seconds(pr.delays.ValueAtQuantile(99)), Max: seconds(pr.delays.Max()),
	}
}
