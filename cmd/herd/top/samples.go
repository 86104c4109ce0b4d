package top

import (
	"slices"
	"time"

	"serverherd/cmd/herd/ask"
	"serverherd/cmd/herd/view"
	"serverherd/herd"
	"serverherd/reactor"
)

// window is how many answers of a server are kept: percentiles are of what happened between the first and the
// last of them. Rates are between the last two.
const window = 11

// server is what is known about one server.
type server struct {
	name      string
	now       ask.Status     // the last answer
	asked     bool           // an answer is awaited
	heard     bool           // a question was answered, or failed
	answered  time.Time      // when the last status came; zero: never
	epoch     string         // of the last status
	restarted bool           // another process answered before
	busy      time.Time      // when updates were last under way
	samples   []*herd.Status // statuses of one process without a gap, the oldest first
}

// add takes an answer.
func (s *server) add(a ask.Status, at time.Time) {
	s.now, s.asked, s.heard = a, false, true
	if a.Status == nil {
		s.samples = nil
		return
	}
	s.answered = at
	s.restarted = s.restarted || s.epoch != "" && s.epoch != a.Status.Epoch
	s.epoch = a.Status.Epoch
	if last := s.last(); last != nil && (last.Epoch != a.Status.Epoch || !a.Status.Now.After(last.Now)) {
		s.samples = nil
	}
	s.samples = append(s.samples, a.Status)
	if len(s.samples) > window {
		s.samples = s.samples[1:]
	}
}

// last is the latest status of the samples, or nil.
func (s *server) last() *herd.Status {
	if len(s.samples) == 0 {
		return nil
	}
	return s.samples[len(s.samples)-1]
}

// before is the latest status that is at least view.Settling older than the last one, or nil.
func (s *server) before() *herd.Status {
	n := len(s.samples) - 1
	if n < 1 {
		return nil
	}
	for _, b := range slices.Backward(s.samples[:n]) {
		if s.last().Now.Sub(b.Now) >= view.Settling {
			return b
		}
	}
	return nil
}

// value is a number that may be unknown.
type value struct {
	n     float64
	known bool
}

// rate is by how much a number has grown per second.
func (s *server) rate(of func(*herd.Status) float64) value {
	n := len(s.samples)
	if n < 2 {
		return value{}
	}
	before, now := s.samples[n-2], s.samples[n-1]
	grown, seconds := of(now)-of(before), now.Now.Sub(before.Now).Seconds()
	return value{grown / seconds, grown >= 0 && seconds > 0}
}

// count is rate of a counter.
func (s *server) count(of func(*herd.Counters) uint64) value {
	return s.rate(func(s *herd.Status) float64 { return float64(of(&s.Counters)) })
}

// linkCount is rate of a counter of the link to a neighbor.
func (s *server) linkCount(neighbor string, of func(*herd.LinkStatus) uint64) value {
	return s.rate(func(s *herd.Status) float64 {
		if l := s.Link(neighbor); l != nil {
			return float64(of(l))
		}
		return 0
	})
}

// p99 is the 99th percentile of the durations in a histogram that were added within the window, in seconds.
func (s *server) p99(of func(*herd.Status) [32]uint64) value {
	if len(s.samples) < 2 {
		return value{}
	}
	var h reactor.Histogram
	before, now := of(s.samples[0]), of(s.last())
	any := false
	for i := range h.Counts {
		if now[i] < before[i] {
			return value{}
		}
		h.Counts[i] = now[i] - before[i]
		any = any || h.Counts[i] > 0
	}
	return value{h.Quantile(0.99).Seconds(), any}
}

func (s *server) lag() value {
	return s.p99(func(s *herd.Status) [32]uint64 { return s.Loop.Lags })
}

func (s *server) propagation() value {
	return s.p99(func(s *herd.Status) [32]uint64 { return s.Propagation.Delays.Counts })
}

func (s *server) lines() value {
	return s.count(func(c *herd.Counters) uint64 { return c.LinesReceived })
}

// updates are records that were new to the server.
func (s *server) updates() value {
	return s.count(func(c *herd.Counters) uint64 { return c.Stored + c.Applied })
}

func (s *server) stored() value {
	return s.count(func(c *herd.Counters) uint64 { return c.Stored })
}

func (s *server) cpu() value {
	return s.rate(func(s *herd.Status) float64 { return s.Process.CPU })
}
