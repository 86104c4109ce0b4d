package load

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestThresholds(t *testing.T) {
	r := &Report{PerSecond: 100, Latency: Latency{Count: 1, P99: 0.005, Max: 1}, All: Counts{Errors: 1}}
	none := &Report{PerSecond: 100}
	for text, want := range map[string]bool{"p99<5ms": false, "max>1s": false, "rate>5": true, "errors>0": true} {
		if th, err := ParseThreshold(text); err != nil || th.Decidable(none) != want {
			t.Errorf("%s without a latency: decidable %v, %v", text, th.Decidable(none), err)
		}
	}
	for text, want := range map[string]bool{
		"p99<5ms": false, "p99<=5ms": true, "p99>=5ms": true, "p99 > 4999us": true, "max<1s": false,
		"rate>99.5": true, "errors>0": true, "errors<1": false, "skipped>0": false, "p50<1ns": true,
	} {
		th, err := ParseThreshold(text)
		if err != nil || th.Holds(r) != want {
			t.Errorf("%s: %v, %v", text, th.Holds(r), err)
		}
	}
	for _, text := range []string{"", "p99", "p99=5ms", "p98<5ms", "p99<5", "rate<5ms", "p99<-5ms", "errors>"} {
		if _, err := ParseThreshold(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

// Invalid options are errors before anything is sent.
func TestImpossible(t *testing.T) {
	for want, change := range map[string]func(o *Options){
		"no target server":                            func(o *Options) { o.Targets = nil },
		"no connections":                              func(o *Options) { o.Connections = 0 },
		"invalid request rate -1 per second":          func(o *Options) { o.Rate = -1 },
		"invalid number of threads 5: ":               func(o *Options) { o.Threads = 5 },
		"invalid pipeline -1":                         func(o *Options) { o.Pipeline = -1 },
		"invalid duration 0s: expected above 0":       func(o *Options) { o.Duration = 0 },
		"invalid warm-up -1s":                         func(o *Options) { o.Warmup = -time.Second },
		"invalid request rate NaN per second":         func(o *Options) { o.Rate = math.NaN() },
		"invalid request rate +Inf per second":        func(o *Options) { o.Rate = math.Inf(1) },
		"invalid churn rate 1e+09 per second":         func(o *Options) { o.Churn = 1e9 },
		"invalid request rate 1e-10 per second":       func(o *Options) { o.Rate = 1e-10 },
		"invalid connect rate 1e-10 per second":       func(o *Options) { o.ConnectRate = 1e-10 },
		"invalid churn rate 1e-10 per second":         func(o *Options) { o.Churn = 1e-10 },
		"invalid Zipf skew NaN":                       func(o *Options) { o.Zipf = math.NaN() },
		"too many requests in flight: 100":            func(o *Options) { o.Connections, o.Pipeline = 100, 65536 },
		"negative number of connections":              func(o *Options) { o.Idle = -1 },
		"invalid number of client ids -1":             func(o *Options) { o.Clients = -1 },
		"invalid Zipf skew 0.5: expected above 1":     func(o *Options) { o.Zipf = 0.5 },
		"expected from 0 to 50 km":                    func(o *Options) { o.RadiusKM = 51 },
		"at most 1,000,000 are preloaded":             func(o *Options) { o.WHATSAT, o.Clients = 1, 2_000_000 },
		"connections need 100000064 file descriptors": func(o *Options) { o.Idle, o.Connections = 99_999_996, 4 },
	} {
		o := small(Target{Name: "Alford", Addr: "127.0.0.1:1"})
		change(&o)
		if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
