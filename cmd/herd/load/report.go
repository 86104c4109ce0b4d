package load

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Latency is a summary of latencies, in seconds.
type Latency struct {
	Count int64   `json:"count"`
	Mean  float64 `json:"mean"`
	P50   float64 `json:"p50"`
	P90   float64 `json:"p90"`
	P99   float64 `json:"p99"`
	P999  float64 `json:"p999"`
	Max   float64 `json:"max"`
}

func latencyOf(h *hdrhistogram.Histogram) Latency {
	at := func(q float64) float64 { return float64(h.ValueAtQuantile(q)) / 1e6 }
	l := Latency{Count: h.TotalCount()}
	if l.Count > 0 {
		l.Mean = h.Mean() / 1e6
		l.P50, l.P90, l.P99, l.P999, l.Max = at(50), at(90), at(99), at(99.9), float64(h.Max())/1e6
	}
	return l
}

// Usage is CPU time, in seconds.
type Usage struct {
	User     float64 `json:"user"`
	System   float64 `json:"system"`
	Switches int64   `json:"context_switches"`
}

// Total is user and system time.
func (u Usage) Total() float64 { return u.User + u.System }

// Report is the result of a run. Its JSON names are stable; durations are in seconds.
type Report struct {
	Servers     []string      `json:"servers"`
	Connections int           `json:"connections"` // that send, not counting the others
	Idle        int           `json:"idle"`
	SlowReaders int           `json:"slow_readers"`
	ChurnRate   float64       `json:"churn_rate"` // short connections per second
	Threads     int           `json:"threads"`
	Pipeline    int           `json:"pipeline"`
	Rate        float64       `json:"rate"`    // requests per second; 0 for a closed loop
	IAMAT       int           `json:"iamat"`   // share in the mix
	WHATSAT     int           `json:"whatsat"` // likewise
	Clients     int           `json:"clients"` // number of ids
	Zipf        float64       `json:"zipf"`    // 0 for no skew
	Warmup      float64       `json:"warmup"`
	Seed        uint64        `json:"seed"`
	Epoch       string        `json:"epoch"` // seconds since 1970
	Began       time.Time     `json:"began"` // of the measured time
	Length      time.Duration `json:"-"`
	Seconds     []Second      `json:"-"`

	Duration  float64 `json:"duration"` // of the measured time
	Measured  Counts  `json:"measured"` // in the measured time
	All       Counts  `json:"all"`      // including warm-up and replies after the end
	PerSecond float64 `json:"replies_per_second"`

	// Latency is from when a request was due; in a closed loop, from when it was sent.
	Latency  Latency `json:"latency"`
	Raw      Latency `json:"latency_raw"` // from when it was sent
	Lateness Latency `json:"lateness"`    // from due to sent
	Churn    Latency `json:"churn"`       // short connections: connect, one request, its reply
	// Token is how long it took to present Options.Token, of all connections, also before the measured time.
	Token Latency `json:"token,omitzero"`

	Loader        Usage         `json:"loader"` // this process, in the measured time
	LoaderPerLine float64       `json:"loader_per_reply"`
	ServerCPU     time.Duration `json:"-"`
	ServerPerLine float64       `json:"server_per_reply"` // 0 if unknown

	histogram  *hdrhistogram.Histogram
	replicated bool // made by Replication
}

// fill completes the report.
func (r *Report) fill(from *run, measured Counts) *Report {
	o := from.o
	for _, t := range o.Targets {
		r.Servers = append(r.Servers, t.Name)
	}
	r.Connections, r.Pipeline, r.Rate, r.Seed = o.Connections, o.Pipeline, o.Rate, o.Seed
	r.Idle, r.SlowReaders, r.ChurnRate, r.Threads = o.Idle, o.SlowReaders, o.Churn, o.Threads
	r.IAMAT, r.WHATSAT, r.Clients, r.Zipf = o.IAMAT, o.WHATSAT, o.Clients, o.Zipf
	r.Warmup = o.Warmup.Seconds()
	r.Epoch = fmt.Sprintf("%d.%06d", o.Epoch.Unix(), o.Epoch.Nanosecond()/1000)
	r.Duration, r.Measured, r.All = r.Length.Seconds(), measured, from.all
	r.Latency, r.Lateness = latencyOf(from.total.latency), latencyOf(from.total.lateness)
	r.Raw, r.Churn = latencyOf(from.total.raw), latencyOf(from.total.churn)
	if o.Rate == 0 {
		r.Raw = r.Latency
	}
	if from.tokens != nil {
		r.Token = latencyOf(from.tokens)
	}
	r.histogram = from.total.latency
	if n := float64(measured.Replies); n > 0 && r.Duration > 0 {
		r.PerSecond = n / r.Duration
		r.LoaderPerLine = r.Loader.Total() / n
		r.ServerPerLine = r.ServerCPU.Seconds() / n
	}
	return r
}

// WriteHDR writes the latency distribution in milliseconds, in the format of HdrHistogram's tools.
func (r *Report) WriteHDR(w io.Writer) error {
	_, err := r.histogram.PercentilesPrint(w, 5, 1000)
	return err
}

// WriteText writes the report as text.
func (r *Report) WriteText(w io.Writer) error {
	if r.replicated {
		return r.writeReplication(w)
	}
	r.writeLoad(w)
	fmt.Fprintf(w, "repeat with --seed %d --epoch %s\n\n", r.Seed, r.Epoch)
	if r.Duration == 0 {
		fmt.Fprintln(w, "ended during the warm-up: nothing measured")
	} else {
		fmt.Fprintf(w, "%.0f replies/s, %.2f MB/s\n", r.PerSecond, float64(r.Measured.BytesIn)/1e6/r.Duration)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "latency, ms\tmean\tp50\tp90\tp99\tp99.9\tmax\t")
	rows := []struct {
		name string
		l    Latency
	}{{"from due time", r.Latency}, {"from send time", r.Raw}, {"send delay", r.Lateness},
		{"connect, request, reply", r.Churn}, {"token", r.Token}}
	if r.Rate == 0 {
		rows = []struct {
			name string
			l    Latency
		}{{"replies", r.Latency}, rows[3], rows[4]}
	}
	for _, row := range rows {
		if l := row.l; l.Count > 0 {
			l.writeRow(t, row.name)
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	a := r.All
	fmt.Fprintf(w, "\n%s in total, %s, %d unanswered, %s\n", Plural(a.Sent, "request", "requests"),
		Plural(a.Replies, "reply", "replies"), a.Unanswered, Plural(a.Errors, "error", "errors"))
	if r.Rate > 0 {
		fmt.Fprintf(w, "%d delayed by an earlier reply, %d skipped\n", a.Late, a.Skipped)
	}
	if r.Duration == 0 {
		r.writeFailures(w)
		return nil
	}
	fmt.Fprintf(w, "loader: %.2f us CPU per reply, %.0f %% of a core", r.LoaderPerLine*1e6,
		100*r.Loader.Total()/max(r.Duration, 1e-9))
	if r.ServerPerLine > 0 {
		fmt.Fprintf(w, "; servers: %.2f us, %.0f %%", r.ServerPerLine*1e6,
			100*r.ServerCPU.Seconds()/max(r.Duration, 1e-9))
	}
	fmt.Fprintln(w)
	r.writeFailures(w)
	return nil
}

// writeLoad describes the load.
func (r *Report) writeLoad(w io.Writer) {
	kind := "closed loop"
	if r.Rate > 0 {
		kind = "open loop, " + number(r.Rate) + "/s"
	}
	fmt.Fprintf(w, "%s to %s, pipeline %d, %s, %.1f s\n", Plural(r.Connections, "connection", "connections"),
		strings.Join(r.Servers, ", "), r.Pipeline, kind, r.Duration)
	fmt.Fprintf(w, "iamat:whatsat=%d:%d of %s", r.IAMAT, r.WHATSAT, Plural(r.Clients, "client", "clients"))
	if r.Zipf > 0 {
		fmt.Fprintf(w, ", zipf %s", number(r.Zipf))
	}
	if r.Idle > 0 || r.SlowReaders > 0 || r.ChurnRate > 0 {
		fmt.Fprintf(w, "\nplus %s, %s, %s/s short connections", Plural(r.Idle, "idle connection", "idle connections"),
			Plural(r.SlowReaders, "slow reader", "slow readers"), number(r.ChurnRate))
	}
	fmt.Fprintln(w)
}

// Plural formats a number and a noun.
func Plural[N int | uint64](n N, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// number formats f with the digits that it needs.
func number(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

func (r *Report) writeFailures(w io.Writer) {
	for _, f := range r.All.Failures {
		fmt.Fprintf(w, "error: %s %s\n", Plural(f.Count, "time", "times"), f.What)
		if f.Example != "" {
			fmt.Fprintf(w, " e.g. %s\n", f.Example)
		}
	}
}

// writeRow writes a table row with latencies in milliseconds, with at most five digits, so that the table
// fits in 80 columns.
func (l Latency) writeRow(w io.Writer, name string) {
	fmt.Fprint(w, name)
	for _, seconds := range []float64{l.Mean, l.P50, l.P90, l.P99, l.P999, l.Max} {
		decimals := 3
		switch ms := seconds * 1e3; {
		case ms >= 1000:
			decimals = 0
		case ms >= 100:
			decimals = 1
		}
		fmt.Fprintf(w, "\t%.*f", decimals, seconds*1e3)
	}
	fmt.Fprint(w, "\t\n")
}

// writeReplication writes a report of Replication.
func (r *Report) writeReplication(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "%s at %s, each until visible at %s, one at a time, %.1f s; --seed %d --epoch %s\n\n",
		Plural(r.All.Replies, "update", "updates"), r.Servers[0], r.Servers[1], r.Duration, r.Seed, r.Epoch)
	fmt.Fprintln(t, "update until visible, ms\tmean\tp50\tp90\tp99\tp99.9\tmax\t")
	r.Latency.writeRow(t, "including one WHATSAT")
	if err := t.Flush(); err != nil {
		return err
	}
	r.writeFailures(w)
	return nil
}
