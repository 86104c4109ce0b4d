// Package metrics shows a server's status to Prometheus. It keeps no numbers of its own: a page is made from one
// herd.Status, and from what the Go runtime reports. No label has a client's id.
package metrics

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"

	"serverherd/herd"
)

// Page makes the pages of one process. Any goroutine.
type Page struct {
	registry *prometheus.Registry

	mu     sync.Mutex   // of status
	status *herd.Status // that is being shown
}

// NewPage returns a new Page.
func NewPage() *Page {
	p := &Page{registry: prometheus.NewRegistry()}
	// The CPU time of garbage collection, which is not among the defaults.
	gc := collectors.GoRuntimeMetricsRule{Matcher: regexp.MustCompile(`^/cpu/classes/gc/total:cpu-seconds$`)}
	p.registry.MustRegister(collectors.NewGoCollector(collectors.WithGoCollectorRuntimeMetrics(gc)), collector{p})
	return p
}

// Serve answers a request with the metrics of s. An error comes before anything is written. The answer is not
// compressed: whoever asks is on this machine.
func (p *Page) Serve(w http.ResponseWriter, r *http.Request, s *herd.Status) error {
	all, err := p.gather(s)
	if err != nil {
		return err
	}
	gathered := prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) { return all, nil })
	promhttp.HandlerFor(gathered, promhttp.HandlerOpts{DisableCompression: true}).ServeHTTP(w, r)
	return nil
}

func (p *Page) gather(s *herd.Status) ([]*dto.MetricFamily, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status = s
	return p.registry.Gather()
}

// collector collects the metrics of a page's status.
type collector struct{ page *Page }

// Describe implements prometheus.Collector.
func (collector) Describe(all chan<- *prometheus.Desc) {
	for _, m := range everything() {
		all <- m
	}
}

// Collect implements prometheus.Collector.
func (c collector) Collect(all chan<- prometheus.Metric) {
	s := c.page.status
	constant(all, buildInfo, s.Version, s.Engine, s.Go, s.Commit)
	constant(all, serverInfo, s.Herd, s.Server, s.ConfigHash)
	ofServer.collect(all, s)
	ofProcess.collect(all, s)
	ofCounters.collect(all, &s.Counters)
	lag := herd.Histogram{Counts: s.Loop.Lags, Sum: s.Loop.LagSum}
	loopLag.collect(all, &lag)
	loopWork.collect(all, &s.Loop.Work)
	propagation.collect(all, &s.Propagation.Delays)
	lookups.collect(all, &s.Lookups.Answered, "answered")
	lookups.collect(all, &s.Lookups.Failed, "failed")
	lookups.collect(all, &s.Lookups.Busy, "busy")
	for i := range s.Links {
		l := &s.Links[i]
		ofLink.collect(all, l, l.Neighbor)
		linkState.collect(all, l.State, l.Neighbor)
		linkAgreement.collect(all, l.Agreement, l.Neighbor)
		if l.Clock != nil {
			ofClock.collect(all, l.Clock, l.Neighbor)
		}
	}
	if s.Journal != nil {
		ofJournal.collect(all, s.Journal)
	}
	if s.Bridge != nil {
		ofBridge.collect(all, s.Bridge)
		bridgeState.collect(all, s.Bridge.State)
	}
	if s.Asks != nil {
		ofAsks.collect(all, s.Asks)
	}
	if s.TLS != nil {
		ofTLS.collect(all, s.TLS)
	}
	if s.Tokens != nil {
		ofTokens.collect(all, s.Tokens)
	}
	if s.Console != nil {
		ofConsole.collect(all, s.Console)
	}
	if s.Places != nil && s.Places.Network != nil {
		ofNetwork.collect(all, s.Places.Network)
		placesBreaker.collect(all, s.Places.Network.Breaker)
	}
	if s.Places != nil && s.Places.File != nil {
		ofFile.collect(all, s.Places.File)
	}
}

// everything is what Collect may collect.
func everything() []*prometheus.Desc {
	return slices.Concat([]*prometheus.Desc{
		buildInfo, serverInfo, loopLag.desc, loopWork.desc, propagation.desc, lookups.desc,
		linkState.desc, linkAgreement.desc, placesBreaker.desc, bridgeState.desc,
	}, ofServer.descs(), ofProcess.descs(), ofCounters.descs(), ofLink.descs(), ofClock.descs(), ofJournal.descs(),
		ofBridge.descs(), ofAsks.descs(), ofTokens.descs(), ofTLS.descs(), ofConsole.descs(), ofNetwork.descs(), ofFile.descs())
}

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

// constant collects a metric that is 1 and tells by its labels.
func constant(all chan<- prometheus.Metric, desc *prometheus.Desc, labels ...string) {
	all <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, 1, labels...)
}

// number is a metric with one value of a T.
type number[T any] struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(*T) float64 // NaN: unknown, and left out
}

// numbers are all metrics of a T.
type numbers[T any] []number[T]

func (all numbers[T]) descs() (descs []*prometheus.Desc) {
	for _, n := range all {
		descs = append(descs, n.desc)
	}
	return descs
}

func (all numbers[T]) collect(to chan<- prometheus.Metric, of *T, labels ...string) {
	for _, n := range all {
		if v := n.value(of); v == v {
			to <- prometheus.MustNewConstMetric(n.desc, n.kind, v, labels...)
		}
	}
}

// table makes the metrics of a T. All of them have the same prefix and labels.
type table[T any] struct {
	prefix string
	labels []string
}

func (t table[T]) gauge(name, help string, value func(*T) float64) number[T] {
	return number[T]{describe(t.prefix+name, help, t.labels...), prometheus.GaugeValue, value}
}

func (t table[T]) flag(name, help string, value func(*T) bool) number[T] {
	return t.gauge(name, help, func(of *T) float64 {
		if value(of) {
			return 1
		}
		return 0
	})
}

// counter is a metric whose name has _total behind it.
func (t table[T]) counter(name, help string, value func(*T) uint64) number[T] {
	desc := describe(t.prefix+name+"_total", help, t.labels...)
	return number[T]{desc, prometheus.CounterValue, func(of *T) float64 { return float64(value(of)) }}
}

// histogram is a herd.Histogram, or the part of it between two limits: 1<<least and 1<<most microseconds.
type histogram struct {
	desc        *prometheus.Desc
	least, most int
}

func (h histogram) collect(to chan<- prometheus.Metric, of *herd.Histogram, labels ...string) {
	buckets, sum := make(map[float64]uint64, h.most-h.least+1), uint64(0)
	for i, n := range of.Counts {
		sum += n
		if i >= h.least && i <= h.most {
			buckets[float64(uint64(1)<<i)/1e6] = sum
		}
	}
	to <- prometheus.MustNewConstHistogram(h.desc, sum, of.Sum, buckets, labels...)
}

// states is a metric with a value for each of several states: 1 for the current one, 0 for the others. The state
// is the last label.
type states struct {
	desc *prometheus.Desc
	all  []string
}

func (s states) collect(to chan<- prometheus.Metric, current string, labels ...string) {
	for _, state := range s.all {
		value := 0.0
		if state == current {
			value = 1
		}
		to <- prometheus.MustNewConstMetric(s.desc, prometheus.GaugeValue, value, append(labels[:len(labels):len(labels)], state)...)
	}
}

// Names returns the names of all metrics but those of the Go runtime, sorted.
func Names() (names []string) {
	for _, desc := range everything() {
		_, name, _ := strings.Cut(desc.String(), `fqName: "`)
		name, _, _ = strings.Cut(name, `"`)
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
