package lab

import (
	"maps"
	"math"
	"slices"
	"testing"
	"time"

	"serverherd/herd"
	"serverherd/reactor"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// after returns the state of a server some time after noon.
func after(d time.Duration, stored, applied uint64, cpu time.Duration, links ...herd.LinkStatus) seen {
	s := seen{usage: usage{user: cpu / 4, system: cpu - cpu/4, switches: 10 * cpu.Seconds()}}
	s.status.Now, s.status.Links = noon.Add(d), links
	s.status.Counters.Stored, s.status.Counters.Applied = stored, applied
	return s
}

// checked is a link that was last checked some time after noon.
func checked(d time.Duration, behind, repairs uint64) herd.LinkStatus {
	at := noon.Add(d)
	return herd.LinkStatus{Checked: &at, Behind: behind, Repairs: repairs}
}

// with adds counts of agreement checks to the state of a server.
func with(s seen, checks ...uint64) seen {
	s.checks = checks
	return s
}

// delayed adds propagation delays and loop lags to the state of a server: numbers by step of the histograms.
func delayed(s seen, delays, lags map[int]uint64) seen {
	for i, n := range delays {
		s.status.Propagation.Delays.Counts[i] = n
	}
	for i, n := range lags {
		s.status.Loop.Lags[i] = n
	}
	return s
}

func TestCostOfUpdates(t *testing.T) {
	const second = time.Second
	steady := Values{
		"CPU per application": 100, "CPU per accepted update": 200, "accepted": 3000,
		"applications per accepted": 2, "loop lag p99": 0, "repairs": 0,
		"context switches per application": 0.001, "servers busy": 60, "behind": 0, "longest without a check": 0,
	}
	for _, c := range []struct {
		name  string
		looks []look
		want  Values // that differ from steady
	}{
		{"what was before does not count", []look{
			{after(0, 500, 900, 7*second), after(0, 0, 100, second)},
			{after(2*second, 2500, 3900, 7400*time.Millisecond), after(2*second, 4000, 3100, 1800*time.Millisecond)},
		}, nil},
		{"an application is stored or applied", []look{
			{after(0, 0, 0, 0)}, {after(second, 100, 300, second/2)},
		}, Values{"CPU per application": 1250, "CPU per accepted update": 5000, "accepted": 100,
			"applications per accepted": 4, "servers busy": 50, "context switches per application": 5.0 / 400}},
		{"the worst link, at any look", []look{
			{after(0, 0, 0, 0, checked(-9*second, 3, 0), checked(-second, 2, 1))},
			{after(second, 1500, 1500, 300*time.Millisecond, checked(second/2, 90, 0), checked(-second, 2, 1))},
			{after(2*second, 6000, 6000, 1200*time.Millisecond, checked(2*second, 4, 0), checked(3*second/2, 5, 2))},
		}, Values{"behind": 90, "longest without a check": 1, "repairs": 2}},
		{"a link that was never checked", []look{
			{after(0, 0, 0, 0, herd.LinkStatus{})}, {after(2*second, 6000, 6000, 1200*time.Millisecond, herd.LinkStatus{})},
		}, Values{"longest without a check": 2}},
		{"checks are counted", []look{
			{with(after(0, 0, 0, 0), 5, 7), with(after(0, 0, 0, 0), 0)},
			{with(after(2*second, 3000, 3000, 600*time.Millisecond), 25, 9), with(after(2*second, 3000, 3000, 600*time.Millisecond), 8)},
		}, Values{"agreement checks": 5, "agreement checks of one link": 1}},
		{"one server does not count checks", []look{
			{with(after(0, 0, 0, 0), 5, 7), after(0, 0, 0, 0)},
			{with(after(2*second, 3000, 3000, 600*time.Millisecond), 25, 9), after(2*second, 3000, 3000, 600*time.Millisecond)},
		}, nil},
		{"the slowest server's delays and lags meanwhile", []look{
			{delayed(after(0, 0, 0, 0), map[int]uint64{20: 1e6}, map[int]uint64{20: 1e6}), after(0, 0, 0, 0)},
			{delayed(after(2*second, 3000, 3000, 600*time.Millisecond), map[int]uint64{5: 100, 20: 1e6}, map[int]uint64{5: 100, 20: 1e6}),
				delayed(after(2*second, 3000, 3000, 600*time.Millisecond), map[int]uint64{4: 98, 11: 2}, map[int]uint64{4: 98, 11: 2})},
		}, Values{"propagation p50": math.Exp2(4.5) / 1000, "propagation p99": math.Exp2(10.5) / 1000, "loop lag p99": 2.048}},
	} {
		want := maps.Clone(steady)
		maps.Copy(want, c.want)
		got := costOfUpdates(c.looks)
		if !maps.EqualFunc(got, want, func(a, b float64) bool { return math.Abs(a-b) < 1e-9*max(1, b) }) {
			t.Errorf("%s: %v, want %v", c.name, got, want)
		}
	}
}

func TestEstimate(t *testing.T) {
	for _, c := range []struct {
		counts map[int]uint64
		q      float64
		want   float64 // in us
	}{
		{nil, 0.5, 0},
		{map[int]uint64{0: 10}, 0.5, math.Exp2(-0.5)},
		{map[int]uint64{10: 10}, 1, 1024},
		{map[int]uint64{10: 100}, 0.5, math.Exp2(9.5)},
		{map[int]uint64{3: 50, 10: 50}, 0.5, 8},
		{map[int]uint64{3: 50, 10: 50}, 0.75, math.Exp2(9.5)},
	} {
		var h reactor.Histogram
		for i, n := range c.counts {
			h.Counts[i] = n
		}
		if got := 1000 * estimate(h, c.q); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("the %v quantile of %v is %v us, want %v", c.q, c.counts, got, c.want)
		}
	}
}

// A status of a binary that does not count agreement checks is read, and the checks are known to be missing.
func TestReadSeen(t *testing.T) {
	for _, c := range []struct {
		text   string
		checks []uint64
	}{
		{`{"records": 7, "links": [{"neighbor": "Ball"}, {"neighbor": "Welsh"}]}`, nil},
		{`{"records": 7, "links": [{"checks": 0}, {"checks": 12}], "later": {"field": 1}}`, []uint64{0, 12}},
		{`{"records": 7, "links": [{"checks": 3}, {}]}`, nil},
		{`{"records": 7}`, nil},
	} {
		s, err := readSeen([]byte(c.text))
		if err != nil || s.status.Records != 7 || !slices.Equal(s.checks, c.checks) || (s.checks == nil) != (c.checks == nil) {
			t.Errorf("%s: checks %v, %d records, %v", c.text, s.checks, s.status.Records, err)
		}
	}
	if _, err := readSeen([]byte("not found")); err == nil {
		t.Error("no status was read")
	}
}
