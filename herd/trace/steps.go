package trace

import (
	"math"
	"slices"
	"time"

	"serverherd/herd/config"
	"serverherd/herd/recorder"
	"serverherd/protocol"
)

// Replay is the same as a Tree in the order of time: what happened, step by step.
type Replay struct {
	Start time.Time `json:"start"` // of the first step, on that server's clock
	Steps []Step    `json:"steps"`
	// Took is when the last server had it, of those for which that is known, in nanoseconds since Start.
	Took            int64 `json:"took_ns"`
	TookUncertainty int64 `json:"took_uncertainty_ns,omitempty"`
}

// Step is something that happened on one server while an update spread.
type Step struct {
	Kind     string `json:"kind"` // of the event: stored, sent, applied, duplicate, read or copied
	Server   string `json:"server"`
	Neighbor string `json:"neighbor,omitempty"` // it was sent to, or came from; "" if it is not in herd.toml
	// NS is when it happened, in nanoseconds since Replay.Start. It is at least that of what it follows from: times are
	// those of turns, and clocks differ. Unknown: nothing else is known about it. Uncertainty is that of the difference
	// between the server's clock and the first one's, 0 on one machine.
	NS          int64 `json:"ns"`
	Unknown     bool  `json:"unknown,omitempty"`
	Uncertainty int64 `json:"uncertainty_ns,omitempty"`
	// Hop is the time since Neighbor had it, if it came from there and that is known.
	Hop            *int64 `json:"hop_ns,omitempty"`
	HopUncertainty int64  `json:"hop_uncertainty_ns,omitempty"`
	Number         int    `json:"number,omitempty"` // of a duplicate, from 1
}

// maxDuplicates is the number of duplicates from one neighbor that are shown: it sends an update once on a connection.
const maxDuplicates = 3

// Steps returns the steps of the update with a hash. Answers must be about it; a record in them may be missing. It is nil
// if there is none.
func Steps(servers []config.Server, answers []Answer, hash string) *Replay {
	b := newBuilder(servers, answers, hash)
	for _, p := range b.order {
		p.node.Restarted = b.restarted(p)
	}
	first := b.first()
	if first == nil {
		return nil
	}
	b.delays()
	o := ordering{builder: b, clocks: b.clocks(first), lanes: make([][]moment, len(b.order))}
	for i, p := range b.order {
		p.node.Restarted = b.restarted(p) // delays guesses from times; here what was sent still comes first
		o.lanes[i] = o.lane(p, first)
	}
	for i := range o.lanes {
		o.lanes[i] = slices.DeleteFunc(o.lanes[i], o.again)
	}
	return o.replay()
}

// first returns the server whose clock is that of the replay: where the update came from, or the first one to have it.
func (b *builder) first() (first *part) {
	for _, p := range b.order {
		n := &p.node
		switch {
		case n.At == nil:
		case first == nil, n.Outcome == FromClient && first.node.Outcome != FromClient,
			(n.Outcome == FromClient) == (first.node.Outcome == FromClient) && n.At.Before(*first.node.At):
			first = p
		}
	}
	return first
}

// clocks returns by how much the first server's clock is ahead of each other's, if that is known: by the way that the
// update took, as in the tree, or else by any other.
func (b *builder) clocks(first *part) map[string]Delay {
	known := map[string]Delay{first.server.Name: {}}
	learn := func(p, from *part) bool {
		if _, has := known[p.server.Name]; has || p.flood == nil || from == nil || from.flood == nil {
			return false
		}
		base, has := known[from.server.Name]
		d := ahead(from, p)
		if !has || d == nil {
			return false
		}
		known[p.server.Name] = Delay{base.Seconds + d.Seconds, base.Uncertainty + d.Uncertainty}
		return true
	}
	for more := true; more; {
		more = false
		for _, p := range b.order {
			more = learn(p, b.parts[p.node.From]) || more
		}
		for i := 0; i < len(b.order) && !more; i++ {
			for _, from := range b.order {
				more = more || learn(b.order[i], from)
			}
		}
	}
	return known
}

// moment is a step that has no place among all steps yet.
type moment struct {
	Step
	at   time.Duration // since first had it; if the clock is known
	wall time.Time
}

// ordering puts the steps of all servers in one order.
type ordering struct {
	*builder
	clocks map[string]Delay
	lanes  [][]moment // of each server, in the order of its events
}

// lane returns the steps of one server.
func (o *ordering) lane(p, first *part) (all []moment) {
	if p.flood == nil {
		return nil
	}
	clock, known := o.clocks[p.server.Name]
	has, position, sent, duplicates := false, uint64(0), map[string]bool{}, map[string]int{}
	for i := range p.flood.Events {
		e := &p.flood.Events[i]
		m := moment{Step: Step{Kind: e.Kind.String(), Server: p.server.Name, Unknown: !known}, wall: p.flood.Wall(e.At)}
		if _, is := o.parts[e.Neighbor]; is && e.Neighbor != p.server.Name {
			m.Neighbor = e.Neighbor
		}
		mine := e.Kind < recorder.Sent && protocol.Digest(e.Hash).String() == o.hash
		switch {
		case !plausible(m.wall):
			continue
		case e.Kind == recorder.Sent:
			to := o.parts[m.Neighbor]
			if position == 0 || !e.Covers(position) || to == nil || sent[m.Neighbor] || p.node.From == m.Neighbor || !arrived(p, to) {
				continue
			}
			sent[m.Neighbor] = true
		case mine && e.Kind == recorder.Duplicate:
			if duplicates[m.Neighbor]++; duplicates[m.Neighbor] > maxDuplicates {
				continue
			}
		case mine && !has:
			has, position = true, e.Position
		case e.Kind == recorder.Copied && !has && p.node.Outcome == Copied && m.wall.Equal(*p.node.At):
			has, position = true, p.flood.Latest.Seq
		default:
			continue
		}
		if e.Kind == recorder.Applied || e.Kind == recorder.Copied {
			if h := p.node.Hop; h != nil && h.Seconds >= 0 && m.Neighbor == p.node.From {
				ns := nanoseconds(h.Seconds)
				m.Hop, m.HopUncertainty = &ns, nanoseconds(h.Uncertainty)
			}
		}
		if known {
			m.at = time.Duration(nanoseconds(m.wall.Sub(*first.node.At).Seconds() + clock.Seconds))
			m.Uncertainty = nanoseconds(clock.Uncertainty)
		}
		all = append(all, m)
	}
	return all
}

// arrived reports whether what one server sent to another is known to have come there, or may have. Otherwise it was not
// this update that was sent, but a newer one of the same client.
func arrived(p, to *part) bool {
	if to.flood == nil || to.node.From == p.server.Name {
		return true
	}
	return slices.ContainsFunc(to.node.Duplicates, func(d Duplicate) bool { return d.From == p.server.Name })
}

// turn is how much later than what follows from it a step may be, because times are those of turns.
const turn = 10 * time.Millisecond

// again reports whether what was sent is not that which arrived, but came later, when the link was made anew.
func (o *ordering) again(m moment) bool {
	to := o.parts[m.Neighbor]
	if m.Kind != "sent" || to == nil || m.Unknown {
		return false
	}
	lane := o.lanes[slices.Index(o.order, to)]
	i := slices.IndexFunc(lane, func(other moment) bool { return other.Kind != "sent" && other.Neighbor == m.Server })
	return i >= 0 && !lane[i].Unknown &&
		m.at > lane[i].at+turn+time.Duration(m.Uncertainty)+time.Duration(lane[i].Uncertainty)
}

// nanoseconds converts seconds of a delay, which may be anything.
func nanoseconds(seconds float64) int64 {
	const most = float64(100 * 365 * 24 * time.Hour)
	return int64(math.Round(min(max(seconds*1e9, -most), most)))
}

// replay takes the earliest of the servers' next steps, of those that may come next, until there is none.
func (o *ordering) replay() *Replay {
	r := &Replay{Steps: []Step{}}
	duplicates := 0
	var begun *time.Duration // when the first step was whose time is known
	at := int64(0)
	for {
		next := o.next()
		if next < 0 {
			return r
		}
		m := o.lanes[next][0]
		o.lanes[next] = o.lanes[next][1:]
		if len(r.Steps) == 0 {
			r.Start = m.wall
		}
		if !m.Unknown {
			if begun == nil {
				begun = &m.at
			}
			at = max(at, int64(m.at-*begun))
		}
		m.NS = at
		switch {
		case m.Kind == "duplicate":
			duplicates++
			m.Number = duplicates
		case m.Kind != "sent" && !m.Unknown:
			r.Took, r.TookUncertainty = at, m.Uncertainty
		}
		r.Steps = append(r.Steps, m.Step)
	}
}

// next returns the server whose next step comes next; -1 if there is none. A step does not come before what it follows
// from, unless all do, which only wrong answers say. One whose time is unknown comes when it may.
func (o *ordering) next() int {
	best, bestReady := -1, false
	for i, lane := range o.lanes {
		if len(lane) == 0 {
			continue
		}
		ready := o.ready(&lane[0])
		if best < 0 || ready && !bestReady || ready == bestReady && before(&lane[0], &o.lanes[best][0]) {
			best, bestReady = i, ready
		}
	}
	return best
}

func before(x, y *moment) bool {
	if x.Unknown != y.Unknown {
		return x.Unknown
	}
	return x.at < y.at
}

// ready reports whether what a step follows from has happened, or is not known to. Only the end of a copy is known, and
// what was copied may have been sent on before.
func (o *ordering) ready(m *moment) bool {
	from := o.parts[m.Neighbor]
	if m.Kind == "sent" || m.Kind == "stored" || from == nil {
		return true
	}
	return !slices.ContainsFunc(o.lanes[slices.Index(o.order, from)], func(other moment) bool {
		if other.Kind == "sent" {
			return other.Neighbor == m.Server
		}
		return (other.Kind == "stored" || other.Kind == "applied" || other.Kind == "read") && !o.parts[m.Server].node.Restarted
	})
}
