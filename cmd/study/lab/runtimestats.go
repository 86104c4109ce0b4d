package lab

import (
	"bufio"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// runtimeStats are statistics of a herd server's Go runtime, from a console with --pprof.
type runtimeStats struct {
	heap, stacks float64   // bytes in use
	cycles       int       // of the garbage collector
	pauses       []float64 // in ms, of the last 256 cycles at most, latest first
	goroutines   float64
}

// runtimeStats triggers a garbage collection and reads the statistics. The collection is one of the cycles.
func (p *process) runtimeStats() (s runtimeStats, err error) {
	r, err := p.fetch("/debug/pprof/heap?gc=1&debug=1")
	if err != nil {
		return s, err
	}
	defer r.Body.Close()
	var ring []float64
	lines := bufio.NewScanner(r.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		name, value, ok := strings.Cut(strings.TrimPrefix(lines.Text(), "# "), " = ")
		if !ok {
			continue
		}
		first, _, _ := strings.Cut(value, " ")
		switch name {
		case "HeapInuse":
			s.heap, err = strconv.ParseFloat(first, 64)
		case "Stack":
			s.stacks, err = strconv.ParseFloat(first, 64)
		case "NumGC":
			s.cycles, err = strconv.Atoi(first)
		case "PauseNs":
			for _, word := range strings.Fields(strings.Trim(value, "[]")) {
				ns, err := strconv.ParseFloat(word, 64)
				if err != nil {
					return s, fmt.Errorf("PauseNs of %s: %w", p.name, err)
				}
				ring = append(ring, ns/float64(time.Millisecond))
			}
		}
		if err != nil {
			return s, fmt.Errorf("%s of %s: %w", name, p.name, err)
		}
	}
	if s.cycles == 0 || len(ring) == 0 {
		return s, fmt.Errorf("no memory statistics of %s", p.name)
	}
	for i := range min(s.cycles, len(ring)) { // see runtime.MemStats for the position of the latest
		s.pauses = append(s.pauses, ring[(s.cycles-1-i)%len(ring)])
	}
	s.goroutines, err = p.goroutines()
	return s, err
}

// goroutines is the number of goroutines.
func (p *process) goroutines() (n float64, err error) {
	r, err := p.fetch("/debug/pprof/goroutine?debug=1")
	if err != nil {
		return 0, err
	}
	defer r.Body.Close()
	_, err = fmt.Fscanf(r.Body, "goroutine profile: total %g", &n)
	return n, err
}

// quantile returns the smallest value that at least the share q of values does not exceed. Values may be in
// any order.
func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return 0
	}
	v := slices.Sorted(slices.Values(values))
	return v[min(int(q*float64(len(v))), len(v)-1)]
}
