package load

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Threshold is a condition on a report, such as p99<5ms or errors>0.
type Threshold struct {
	text   string
	metric func(r *Report) float64
	timed  bool // the metric is a latency
	less   bool
	equal  bool
	value  float64
}

// metrics are the values that a threshold may compare. Latencies are in seconds.
var metrics = map[string]func(r *Report) float64{
	"mean":       func(r *Report) float64 { return r.Latency.Mean },
	"p50":        func(r *Report) float64 { return r.Latency.P50 },
	"p90":        func(r *Report) float64 { return r.Latency.P90 },
	"p99":        func(r *Report) float64 { return r.Latency.P99 },
	"p99.9":      func(r *Report) float64 { return r.Latency.P999 },
	"max":        func(r *Report) float64 { return r.Latency.Max },
	"rate":       func(r *Report) float64 { return r.PerSecond },
	"errors":     func(r *Report) float64 { return float64(r.All.Errors) },
	"unanswered": func(r *Report) float64 { return float64(r.All.Unanswered) },
	"skipped":    func(r *Report) float64 { return float64(r.All.Skipped) },
}

// Metrics lists the names of metrics.
const Metrics = "mean, p50, p90, p99, p99.9, max, rate, errors, unanswered, skipped"

// ParseThreshold parses a condition. Latencies are compared with durations such as 5ms, others with
// numbers.
func ParseThreshold(text string) (t Threshold, err error) {
	i := strings.IndexAny(text, "<>")
	if i < 0 {
		return t, fmt.Errorf("invalid condition %q: expected for example p99<5ms", text)
	}
	name, value := strings.TrimSpace(text[:i]), text[i+1:]
	value, t.equal = strings.CutPrefix(value, "=")
	value = strings.TrimSpace(value)
	t.text, t.less = strings.TrimSpace(text), text[i] == '<'
	if t.metric = metrics[name]; t.metric == nil {
		return t, fmt.Errorf("unknown metric %q: expected one of %s", name, Metrics)
	}
	switch name {
	case "rate", "errors", "unanswered", "skipped":
		t.value, err = strconv.ParseFloat(value, 64)
	default:
		t.timed = true
		var d time.Duration
		d, err = time.ParseDuration(value)
		t.value = d.Seconds()
	}
	if err != nil || !(t.value >= 0) {
		return t, fmt.Errorf("invalid condition %q: %q is not a value of %s", text, value, name)
	}
	return t, nil
}

// String is the original text of the condition.
func (t Threshold) String() string { return t.text }

// Decidable reports whether the report has a value for the condition: without replies there is no latency.
func (t Threshold) Decidable(r *Report) bool { return !t.timed || r.Latency.Count > 0 }

// Holds reports whether the report meets the condition, which must be decidable.
func (t Threshold) Holds(r *Report) bool {
	switch c := cmp.Compare(t.metric(r), t.value); {
	case c == 0:
		return t.equal
	case t.less:
		return c < 0
	default:
		return c > 0
	}
}

// Value is what the report has for the condition's metric, such as "12.3 ms" for a latency.
func (t Threshold) Value(r *Report) string {
	if t.timed {
		return fmt.Sprintf("%.3g ms", t.metric(r)*1e3)
	}
	return number(t.metric(r))
}
