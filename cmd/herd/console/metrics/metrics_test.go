package metrics

import (
	"bytes"
	"flag"
	"fmt"
	"math"
	"net/http/httptest"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	dto "github.com/prometheus/client_model/go"

	"serverherd/herd"
	"serverherd/places"
)

var update = flag.Bool("update", false, "rewrite testdata")

// full is a status in which every part is present.
func full() *herd.Status {
	at := time.Unix(1e9, 0)
	return &herd.Status{
		Herd: "paper", Server: "Alford", Version: "v1", Engine: "gnet", Started: at, Digest: "0123456789abcdef",
		Links: []herd.LinkStatus{{
			Neighbor: "Hamilton", State: "live", Since: at, Agreement: "in sync", Checked: &at, DivergedSince: &at,
			Clock: &herd.ClockStatus{},
		}},
		Journal: &herd.JournalStatus{}, Bridge: &herd.BridgeStatus{State: herd.BridgeLive}, Asks: &herd.AskStatus{},
		TLS: &herd.TLSStatus{Expires: at}, Tokens: &herd.TokensStatus{Loaded: at}, Console: &herd.ConsoleStatus{}, OpenBeyondLoopback: []string{"clients"},
		Places: &places.Report{
			Network: &places.NetworkReport{Breaker: "closed"}, File: &places.FileReport{Read: at},
		},
	}
}

// page is what is served for a status.
func page(t testing.TB, s *herd.Status) string {
	t.Helper()
	w := httptest.NewRecorder()
	if err := NewPage().Serve(w, httptest.NewRequest("GET", "/metrics", nil), s); err != nil {
		t.Fatal(err)
	}
	return w.Body.String()
}

func parse(t testing.TB, text string) map[string]*dto.MetricFamily {
	t.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	all, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// ours are the samples of a page that are made from the status.
func ours(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "go_") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// Names, types and labels are stable. What dashboards and alert rules are made of is not renamed.
func TestNamesAreStable(t *testing.T) {
	var got []string
	for name, family := range parse(t, page(t, full())) {
		if strings.HasPrefix(name, "go_") {
			continue
		}
		var labels []string
		for _, l := range family.Metric[0].Label {
			labels = append(labels, l.GetName())
		}
		got = append(got, strings.TrimSpace(fmt.Sprintln(name, strings.ToLower(family.GetType().String()), strings.Join(labels, ","))))
	}
	slices.Sort(got)
	text := strings.Join(got, "\n") + "\n"
	const golden = "testdata/metrics.txt"
	if *update {
		if err := os.WriteFile(golden, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Errorf("names, types or labels have changed; if that is intended, go test -update and tell users. Now:\n%s", text)
	}
	var names []string
	for _, line := range got {
		name, _, _ := strings.Cut(line, " ")
		names = append(names, name)
	}
	if !slices.Equal(names, Names()) {
		t.Errorf("Names is %v, want %v", Names(), names)
	}
}

// What Prometheus's own linter says about names, units and help.
func TestLint(t *testing.T) {
	problems, err := promlint.New(strings.NewReader(page(t, full()))).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// omitted are the fields of a status that are no metric, and why.
var omitted = map[string]string{
	"Address": "the target's address is a label of Prometheus", "PID": "says nothing over time",
	"Epoch": "process_start_time_seconds", "Now": "Prometheus has its own clock",
	"Waiting": "text", "Loop.LagP99": "from herd_loop_lag_seconds",
	"Propagation.Count": "from herd_propagation_seconds", "Propagation.P50": "likewise", "Propagation.P90": "likewise",
	"Propagation.P99": "likewise", "Propagation.Max": "not over time",
	"Links.Address": "configuration", "Links.Error": "text", "Links.DuplicateSince": "herd_link_duplicate over time",
	"Links.Sent": "a position, see herd_link_behind_records", "Links.Acknowledged": "likewise", "Links.Heard": "likewise",
	"Journal.Error": "text", "Bridge.Error": "text", "Asks.Error": "text", "Bridge.Mode": "configuration", "Places.Provider": "configuration", "Places.File.Path": "configuration",
	"Places.File.Refused": "herd_places_file_ok", "Places.Network.Budget.Day": "text",
	"TLS.Links": "configuration", "TLS.Clients": "configuration", "TLS.Console": "configuration",
	"OpenBeyondLoopback": "herd_open_beyond_loopback", "Log.File": "configuration", "Log.Lines": "configuration", "Log.Level": "configuration", "Log.ConfiguredLevel": "configuration",
	"Limits.MaxLine": "configuration", "Limits.MaxClientID": "configuration", "Limits.MaxFuture": "configuration",
	"Limits.IdleTimeout": "configuration", "Limits.PartialLineTimeout": "configuration",
	"Limits.OutputHard": "configuration", "Limits.OutputSoft": "configuration",
	"Limits.PlacesInFlight": "configuration", "Limits.Drain": "configuration",
	"Limits.ConnectionsPerAddress": "configuration", "Limits.ConnectionsPerToken": "configuration",
	"Limits.LinesPerAddress": "configuration", "Limits.LinesPerToken": "configuration",
	"Limits.UpdatesPerClient": "configuration", "Limits.WhatsatsPerAddress": "configuration",
	"Limits.WhatsatsPerToken": "configuration",
}

// Every field of a status changes the page when it changes, or is omitted for a reason: a new counter cannot be
// forgotten.
func TestEveryFieldIsShown(t *testing.T) {
	before := ours(page(t, full()))
	seen := map[string]bool{}
	n := 0
	var walk func(path string, of func(*herd.Status) reflect.Value)
	walk = func(path string, of func(*herd.Status) reflect.Value) {
		v := of(full())
		switch {
		case v.Type() == reflect.TypeFor[time.Time]() || v.Kind() != reflect.Struct && v.Kind() != reflect.Pointer && v.Kind() != reflect.Slice && v.Kind() != reflect.Array:
			n++
			s := full()
			change(t, path, of(s))
			shown := ours(page(t, s)) != before
			if why, ok := omitted[path]; ok == shown {
				t.Errorf("%s: shown %v, omitted because: %q", path, shown, why)
			}
			seen[path] = true
		case v.Kind() == reflect.Pointer && v.IsNil(): // of an omitted time
			seen[path] = true
			if omitted[path] == "" {
				t.Errorf("%s is nil", path)
			}
		case v.Kind() == reflect.Pointer:
			walk(path, func(s *herd.Status) reflect.Value { return of(s).Elem() })
		case v.Kind() == reflect.Slice:
			walk(path, func(s *herd.Status) reflect.Value { return of(s).Index(0) })
		case v.Kind() == reflect.Array: // a histogram
			for _, i := range []int{0, v.Len() - 1} {
				walk(path, func(s *herd.Status) reflect.Value { return of(s).Index(i) })
			}
		default:
			for i := range v.NumField() {
				name := v.Type().Field(i).Name
				walk(strings.TrimPrefix(path+"."+name, "."), func(s *herd.Status) reflect.Value { return of(s).Field(i) })
			}
		}
	}
	walk("", func(s *herd.Status) reflect.Value { return reflect.ValueOf(s).Elem() })
	for path := range omitted {
		if !seen[path] {
			t.Errorf("there is no field %s", path)
		}
	}
	if n < 150 {
		t.Errorf("%d fields found", n)
	}
}

// change changes a field.
func change(t *testing.T, path string, v reflect.Value) {
	t.Helper()
	texts := map[string]string{
		"Digest": "full", "Bridge.State": "down", "Links.State": "down", "Links.Agreement": "full", "Places.Network.Breaker": "half-open",
	}
	switch v.Kind() {
	case reflect.String:
		text := texts[path]
		if text == "" {
			text = "other"
		}
		v.SetString(text)
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Uint64, reflect.Uint:
		v.SetUint(v.Uint() + 7)
	case reflect.Int, reflect.Int64:
		v.SetInt(v.Int() + 7)
	case reflect.Float64:
		v.SetFloat(v.Float() + 7)
	case reflect.Struct:
		v.Set(reflect.ValueOf(v.Interface().(time.Time).Add(time.Second)))
	default:
		t.Fatalf("%s: what is a %v?", path, v.Type())
	}
}

// The counter x of /status.json is herd_x_total, and that of a link herd_link_x_total.
func TestCountersHaveTheirNames(t *testing.T) {
	s := full()
	want := map[string]float64{}
	fill := func(of reflect.Value, prefix string, except ...string) {
		for i := range of.NumField() {
			name := of.Type().Field(i).Tag.Get("json")
			if of.Field(i).Kind() != reflect.Uint64 || slices.Contains(except, name) {
				continue
			}
			value := uint64(1000 + len(want))
			of.Field(i).SetUint(value)
			want[prefix+name+"_total"] = float64(value)
		}
	}
	fill(reflect.ValueOf(&s.Counters).Elem(), "herd_")
	fill(reflect.ValueOf(&s.Links[0]).Elem(), "herd_link_", "sent", "acknowledged", "behind", "heard")
	fill(reflect.ValueOf(s.Places.Network).Elem(), "herd_places_")
	if len(want) < 60 {
		t.Fatalf("%d counters found", len(want))
	}
	all := parse(t, page(t, s))
	for name, value := range want {
		family := all[name]
		if family == nil || family.GetType() != dto.MetricType_COUNTER || family.Metric[0].Counter.GetValue() != value {
			t.Errorf("%s: %v, want %v", name, family, value)
		}
	}
}

func TestHistograms(t *testing.T) {
	s := full()
	s.Lookups.Failed = herd.Histogram{Counts: [32]uint64{0: 1, 5: 2, 25: 3, 26: 4, 31: 5}, Sum: 1.5}
	var h *dto.Histogram
	for _, m := range parse(t, page(t, s))["herd_lookup_duration_seconds"].Metric {
		if m.Label[0].GetValue() == "failed" {
			h = m.Histogram
		}
	}
	at := map[float64]uint64{}
	for _, b := range h.Bucket {
		at[b.GetUpperBound()] = b.GetCumulativeCount()
	}
	want := map[float64]uint64{32e-6: 3, 64e-6: 3, 16.777216: 3, 33.554432: 6, math.Inf(1): 15}
	for bound, n := range want {
		if at[bound] != n {
			t.Errorf("%d up to %v, want %d", at[bound], bound, n)
		}
	}
	if h.GetSampleCount() != 15 || h.GetSampleSum() != 1.5 || len(at) != 22 {
		t.Errorf("%v", h)
	}
}

// States that are unknown to the tables would be lost.
func TestStates(t *testing.T) {
	for _, state := range herd.LinkStates() {
		s := full()
		s.Links[0].State = state
		if text, want := page(t, s), fmt.Sprintf("herd_link_state{neighbor=\"Hamilton\",state=%q} 1\n", state); !strings.Contains(text, want) {
			t.Errorf("no %s", want)
		}
	}
}

// What is absent or unknown has no metric: not zero.
func TestWhatIsUnknown(t *testing.T) {
	text := ours(page(t, &herd.Status{Links: []herd.LinkStatus{{Neighbor: "Hamilton"}}}))
	for _, part := range []string{"herd_journal_", "herd_bridge_", "herd_asks_", "herd_places_", "_clock_", "compared_timestamp", "diverged_timestamp"} {
		if strings.Contains(text, part) {
			t.Errorf("%s without a value", part)
		}
	}
}

// The page has what the Go runtime reports.
func TestRuntime(t *testing.T) {
	all := parse(t, page(t, full()))
	for _, name := range []string{
		"go_goroutines", "go_gc_duration_seconds", "go_memstats_heap_alloc_bytes",
		"go_cpu_classes_gc_total_cpu_seconds_total",
	} {
		if all[name] == nil {
			t.Errorf("no %s", name)
		}
	}
}

// BenchmarkPage is one scrape of a server with two neighbors, a journal and a provider on the network, off the loop.
func BenchmarkPage(b *testing.B) {
	s := full()
	other := s.Links[0]
	other.Neighbor = "Welsh"
	s.Links = append(s.Links, other)
	p := NewPage()
	r := httptest.NewRequest("GET", "/metrics", nil)
	w := httptest.NewRecorder()
	w.Body = &bytes.Buffer{}
	b.ReportAllocs()
	for b.Loop() {
		w.Body.Reset()
		if err := p.Serve(w, r, s); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(w.Body.Len()), "B/page")
}
