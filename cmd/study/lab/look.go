package lab

import (
	"cmp"
	"encoding/json"
	"io"
	"math"
	"sync"
	"time"

	"serverherd/herd"
	"serverherd/reactor"
)

// look is the state of all servers of a herd at one time.
type look []seen

// seen is the state of one server.
type seen struct {
	status herd.Status
	usage  usage
	// checks are the agreement checks of each link since the process started; nil if the binary does not
	// count them.
	checks []uint64
}

// look reads the state of all servers at the same time.
func (all servers) look() (look, error) {
	l, errs := make(look, len(all)), make([]error, len(all))
	var group sync.WaitGroup
	for i, p := range all {
		group.Go(func() { l[i], errs[i] = p.look() })
	}
	group.Wait()
	return l, cmp.Or(errs...)
}

func (p *process) look() (s seen, err error) {
	r, err := p.fetch("/status.json")
	if err != nil {
		return s, err
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return s, err
	}
	if s, err = readSeen(text); err != nil {
		return s, err
	}
	s.usage, err = p.usage()
	return s, err
}

// equal reports whether all servers have the same records.
func (l look) equal() bool {
	for _, s := range l {
		if s.status.Digest != l[0].status.Digest {
			return false
		}
	}
	return true
}

// readSeen decodes a /status.json, which may be that of an older version.
func readSeen(text []byte) (s seen, err error) {
	if err := json.Unmarshal(text, &s.status); err != nil {
		return s, err
	}
	var counted struct {
		Links []struct {
			Checks *uint64 `json:"checks"`
		} `json:"links"`
	}
	if err := json.Unmarshal(text, &counted); err != nil {
		return s, err
	}
	for _, l := range counted.Links {
		if l.Checks == nil {
			return seen{status: s.status}, nil
		}
		s.checks = append(s.checks, *l.Checks)
	}
	return s, nil
}

// costOfUpdates returns the figures of updateFigures, without the loader's, between the first and the last of
// at least two looks at the same servers.
func costOfUpdates(looks []look) Values {
	first, last := looks[0], looks[len(looks)-1]
	var accepted, perSecond, applications, cpu, switches, busy, repairs, p50, p99, lag float64
	for i := range last {
		a, z := &first[i], &last[i]
		length := z.status.Now.Sub(a.status.Now).Seconds()
		stored := float64(z.status.Counters.Stored - a.status.Counters.Stored)
		used := z.usage.user + z.usage.system - a.usage.user - a.usage.system
		accepted += stored
		perSecond += stored / length
		applications += stored + float64(z.status.Counters.Applied-a.status.Counters.Applied)
		cpu += microseconds(used)
		busy += 100 * used.Seconds() / length
		switches += z.usage.switches - a.usage.switches
		delays := between(a.status.Propagation.Delays.Counts, z.status.Propagation.Delays.Counts)
		p50, p99 = max(p50, estimate(delays, 0.5)), max(p99, estimate(delays, 0.99))
		lags := between(a.status.Loop.Lags, z.status.Loop.Lags)
		lag = max(lag, milliseconds(lags.Quantile(0.99)))
		for _, l := range z.status.Links {
			repairs += float64(l.Repairs)
		}
	}
	v := Values{
		"CPU per application": cpu / applications, "CPU per accepted update": cpu / accepted,
		"accepted": perSecond, "applications per accepted": applications / accepted,
		"loop lag p99": lag, "repairs": repairs,
		"context switches per application": switches / applications, "servers busy": busy,
	}
	if p99 > 0 {
		v["propagation p50"], v["propagation p99"] = p50, p99
	}
	for _, l := range looks {
		behind, unchecked := l.worstLink(first)
		v["behind"] = max(v["behind"], behind)
		v["longest without a check"] = max(v["longest without a check"], unchecked.Seconds())
	}
	if mean, least, ok := checksBetween(first, last); ok {
		v["agreement checks"], v["agreement checks of one link"] = mean, least
	}
	return v
}

// between is the part of a histogram that was counted between two times.
func between(a, z [32]uint64) (h reactor.Histogram) {
	for i := range h.Counts {
		h.Counts[i] = z[i] - a[i]
	}
	return h
}

// estimate is a quantile of a histogram, in ms. Within a step of the histogram, which goes from a power of two
// to the next, durations are taken to be evenly spread on a logarithmic scale. It is 0 without durations.
func estimate(h reactor.Histogram, q float64) float64 {
	var all, below float64
	for _, n := range h.Counts {
		all += float64(n)
	}
	for i, n := range h.Counts {
		count := float64(n)
		if count > 0 && below+count >= q*all {
			return math.Exp2(float64(i-1)+(q*all-below)/count) / 1000
		}
		below += count
	}
	return 0
}

// worstLink returns the most records that a neighbor lacks, and the longest time that a link has been without
// an agreement check since the first look.
func (l look) worstLink(first look) (behind float64, unchecked time.Duration) {
	for i, s := range l {
		for _, link := range s.status.Links {
			checked := first[i].status.Now
			if link.Checked != nil && link.Checked.After(checked) {
				checked = *link.Checked
			}
			behind = max(behind, float64(link.Behind))
			unchecked = max(unchecked, s.status.Now.Sub(checked))
		}
	}
	return behind, unchecked
}

// checksBetween returns the agreement checks per second, of all links on average and of the one with the
// fewest; ok is false if they are not counted.
func checksBetween(first, last look) (mean, least float64, ok bool) {
	links := 0.0
	for i := range last {
		a, z := &first[i], &last[i]
		if a.checks == nil || len(a.checks) != len(z.checks) {
			return 0, 0, false
		}
		for k := range z.checks {
			rate := float64(z.checks[k]-a.checks[k]) / z.status.Now.Sub(a.status.Now).Seconds()
			if links == 0 || rate < least {
				least = rate
			}
			mean += rate
			links++
		}
	}
	return mean / links, least, links > 0
}
