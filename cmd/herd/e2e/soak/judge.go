package soak

import (
	"fmt"
	"slices"
	"strings"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Waits are the bystanders' waits of the whole run. A bystander whose own server has a fault counts in none of them.
type Waits struct {
	All    Spread `json:"all"`
	Calm   Spread `json:"without_fault"` // there was no fault anywhere
	Faulty Spread `json:"with_fault"`    // there was one elsewhere, or not all servers were equal again after it
}

// Spread is how long waits are, in milliseconds.
type Spread struct {
	Waits     int64   `json:"waits"`
	P50       float64 `json:"p50"`
	P90       float64 `json:"p90"`
	P99       float64 `json:"p99"`
	P999      float64 `json:"p99.9"`
	Max       float64 `json:"max"`
	Histogram string  `json:"histogram"` // of microseconds, in the compressed format (V2) of HdrHistogram
}

// NewHistogram is an empty histogram of waits in microseconds.
func NewHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, LongestWait, 3) }

// LongestWait is the longest wait in microseconds that a histogram takes.
const LongestWait = 60_000_000

// NewWaits returns the waits of two histograms of microseconds.
func NewWaits(calm, faulty *hdrhistogram.Histogram) (*Waits, error) {
	all := NewHistogram()
	all.Merge(calm)
	all.Merge(faulty)
	var w Waits
	for h, s := range map[*hdrhistogram.Histogram]*Spread{all: &w.All, calm: &w.Calm, faulty: &w.Faulty} {
		text, err := h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
		if err != nil {
			return nil, err
		}
		at := func(quantile float64) float64 { return float64(h.ValueAtQuantile(quantile)) / 1000 }
		*s = Spread{Waits: h.TotalCount(), P50: at(50), P90: at(90), P99: at(99), P999: at(99.9),
			Max: float64(h.Max()) / 1000, Histogram: string(text)}
	}
	return &w, nil
}

// tooLong is the p99 that bystanders may have, in milliseconds.
const tooLong = 50

// intervals are the p99 of bystanders in the median interval, how many intervals have a larger one than tooLong, and how
// many there are.
func (r *Run) intervals() (median float64, above, of int) {
	var all []float64
	for _, i := range r.Bystanders {
		if i.Waits == 0 {
			continue
		}
		all = append(all, i.P99)
		if i.P99 > tooLong {
			above++
		}
	}
	return Median(all), above, len(all)
}

// Judge adds the verdicts that follow from the measurements alone. They replace those that the run has, which may be of an
// earlier version.
func (r *Run) Judge() {
	r.Checks = slices.DeleteFunc(r.Checks, func(c Check) bool {
		return strings.HasPrefix(c.Wanted, "bystanders' p99") || strings.Contains(c.Wanted, " flat: ")
	})
	median, above, of := r.intervals()
	intervals := fmt.Sprintf("above in %s of %d intervals", percent(above, of), of)
	if r.Waits != nil {
		r.CheckTime(r.Waits.All.P99 <= tooLong && r.Waits.All.Waits > 0,
			fmt.Sprintf("bystanders' p99 of the whole run at most %d ms", tooLong), "%.1f ms; %s", r.Waits.All.P99,
			intervals)
	} else {
		r.CheckTime(median <= tooLong && of > 0,
			fmt.Sprintf("bystanders' p99 at most %d ms in the median interval", tooLong),
			"%.1f ms; %s; the p99 of all waits was not kept", median, intervals)
	}
	if r.Scaled || r.Seconds < 120 {
		return
	}
	for _, s := range r.Series {
		if !slices.Contains(r.Kept, s.Server) {
			continue
		}
		for _, m := range measures {
			spare, limited := m.spare(r)
			if !limited {
				continue
			}
			first, last, known := r.trend(s, m)
			r.Check(known && last-first <= spare, fmt.Sprintf("%s of %s flat: at most %.0f more in the last %s",
				m.name, s.Server, spare, r.part()), "%.1f to %.1f", first, last)
		}
	}
}

// full is how long memory may rise before it must stay, in seconds: half of a run that is long enough for it.
const full = 15 * 60

// long reports whether memory has been full for half of the run.
func (r *Run) long() bool { return r.Seconds >= 2*full }

// part is the part of the run that trend compares with an earlier one.
func (r *Run) part() string {
	if r.long() {
		return "quarter"
	}
	return "sixth"
}

// trend is how a measurement of a server has changed: the medians of the third and of the last quarter of a long run, or
// of the first and the last sixth of another. It is not known without samples of both.
func (r *Run) trend(s Series, m measure) (first, last float64, known bool) {
	values := m.of(s)
	begin, _ := slices.BinarySearch(s.At, r.Warm)
	sixth := (len(values) - begin) / 6
	before, after := values[begin:begin+sixth], values[len(values)-sixth:]
	if r.long() {
		third, _ := slices.BinarySearch(s.At, r.Seconds/2)
		fourth, _ := slices.BinarySearch(s.At, r.Seconds*3/4)
		before, after = values[third:fourth], values[fourth:]
	}
	return Median(before), Median(after), len(before) > 0 && len(after) > 0
}

// leak is how many bytes a server may keep of each attack, and of each attack of one kind, before its heap is not flat.
func (r *Run) leak() (each, one float64) {
	between := 0.25 // of the run, from the middle of one part to that of the other
	if !r.long() {
		between = (r.Seconds - r.Warm) / r.Seconds * 5 / 6
	}
	total := 0.0
	var kinds []float64
	for _, a := range r.Attacks {
		total += float64(a.Attempts)
		kinds = append(kinds, float64(a.Attempts))
	}
	spare, _ := measures[1].spare(r)
	server := spare * (1 << 20) * float64(max(1, len(r.Series)))
	return server / max(1, total*between), server / max(1, Median(kinds)*between)
}

// measure is one measurement of a server.
type measure struct {
	name        string
	of          func(Series) []float64
	inLong, any float64 // how much more a server may use at the end of a long run, and of any other; 0: not limited
}

func (m measure) spare(r *Run) (spare float64, limited bool) {
	if r.long() {
		return m.inLong, m.inLong > 0
	}
	return m.any, m.any > 0
}

// One goroutine or descriptor for each attack of one kind would be hundreds in the shortest run that is judged.
var measures = []measure{
	{"resident memory, MiB", func(s Series) []float64 { return s.Resident }, 8, 48},
	{"heap in use, MiB", func(s Series) []float64 { return s.Heap }, 4, 24},
	{"descriptors", func(s Series) []float64 { return s.Descriptors }, 8, 24},
	{"goroutines", func(s Series) []float64 { return s.Goroutines }, 8, 24},
	{"journal, MiB", func(s Series) []float64 { return s.Journal }, 0, 0},
	{"log files, MiB", func(s Series) []float64 { return s.Log }, 0, 0},
}

func percent(n, of int) string { return fmt.Sprintf("%.0f%%", 100*float64(n)/float64(max(1, of))) }
