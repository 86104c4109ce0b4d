// Package replay finds the floods of sampled updates in the events of all servers' flight recorders. It is pure: what
// the servers answered is its input.
//
// All servers are asked in rounds. An update is sampled by all of them or by none, if its hash begins with at least as
// many zero bits as the greatest K that any of them had at that time: other floods have gaps and are dropped. If there
// are still too many, more zero bits are asked for. A flood is ready when it has not changed for a round, or when its
// last event is Settled ago, so that all of its servers have been asked since. Answers that come later change it.
//
// What is answered may be anything: numbers of events and of floods, and times, are bounded, and neighbors are those of
// herd.toml.
package replay

import (
	"encoding/base64"
	"fmt"
	"math/bits"
	"slices"
	"time"

	"serverherd/herd"
	"serverherd/herd/config"
	"serverherd/herd/recorder"
	"serverherd/herd/trace"
	"serverherd/protocol"
)

const (
	// Kept is how long floods are kept.
	Kept = herd.ReplayKept
	// Settled is the age of a flood's last event from which on no more are expected.
	Settled = 250 * time.Millisecond

	// late is the age of an event that begins a flood, but in the first round. An older one is of a flood that was given.
	late = 3 * time.Second

	rounds  = 10   // after which a flood does not change any more
	maxOpen = 4096 // floods that may change
	maxLane = 128  // events of one flood on one server
	maxK    = 24   // a greater K is not believed: there would be a billion updates a second
	maxPast = 256  // latest positions of a server in which what was sent is looked for
)

// Answer is what one server has answered in a round.
type Answer struct {
	Error string           // why Pages is nil
	Pages []herd.EventPage // each continues the one before
	Links []herd.LinkStatus
}

// Flood is how one update spread. Strings are escaped, or from herd.toml, but for Why of those missing.
type Flood struct {
	Hash   string `json:"hash"`
	ID     string `json:"id"`               // the first bytes of the client's id, escaped
	Base64 string `json:"id_b64"`           // likewise
	Cut    bool   `json:"id_cut,omitempty"` // the id is longer
	OneOf  uint64 `json:"one_of"`           // this flood is one of so many
	*trace.Replay
	Missing []Missing `json:"missing"`
}

// Missing is a server that is not known to have received an update.
type Missing struct {
	Server string `json:"server"`
	Why    string `json:"why"`
	Silent bool   `json:"silent,omitempty"` // it did not answer
}

// Gatherer keeps what is not finished between rounds.
type Gatherer struct {
	servers   []config.Server
	processes []*process // of each server; nil: it has not answered yet
	open      map[uint64]*open
	round     int
	k         int // zero bits that are asked for, whatever the servers' K
	kBefore   int // likewise in the round before: a flood may have begun there
	ready     []ready
}

// process is one process of a server, whose clock events have.
type process struct {
	stamp     herd.FlightStamp
	links     []herd.LinkStatus
	positions []position // of open floods, as they came
}

type position struct {
	at   uint64
	hash uint64
}

// open is a flood that may change.
type open struct {
	hash    uint64
	began   int // round
	changed int // likewise
	given   bool
	k       int    // the greatest of all servers since it began
	lanes   []lane // of each server
}

type lane struct {
	process *process
	events  []recorder.Event
	settled bool // the last event was Settled before the server was asked
}

// ready is a flood that was given out, for the numbers of those in the last minute.
type ready struct {
	hash  uint64
	until time.Time
}

// New returns a Gatherer of servers.
func New(servers []config.Server) *Gatherer {
	return &Gatherer{servers: servers, processes: make([]*process, len(servers)), open: make(map[uint64]*open)}
}

// Round takes the answers of all servers and returns the floods that are ready, or have changed, the oldest first. OneOf
// is the number of floods of which one is given at present.
func (g *Gatherer) Round(now time.Time, answers []Answer) (floods []Flood, oneOf uint64) {
	g.round++
	k := 0
	for i := range answers {
		k = max(k, g.take(i, &answers[i]))
	}
	all := g.sorted()
	for _, f := range all {
		f.k = max(f.k, k, g.kBefore)
	}
	g.adapt(now, all)
	for _, f := range all {
		if g.due(f) && bits.LeadingZeros64(f.hash) >= max(f.k, g.k) {
			if flood, ok := g.flood(f, answers); ok {
				floods = append(floods, flood)
				if !f.given {
					g.ready = append(g.ready, ready{f.hash, now.Add(Kept)})
				}
				f.given = true
			}
		}
		if g.round-f.began >= rounds {
			g.forget(f)
		}
	}
	oneOf = 1 << max(k, g.k)
	if g.kBefore = g.k; g.k > 0 && len(g.ready) < herd.ReplayFloods/4 {
		g.k--
	}
	return floods, oneOf
}

// due reports whether a flood is to be given in this round.
func (g *Gatherer) due(f *open) bool {
	if f.changed == g.round {
		return f.settled() || g.round-f.began >= rounds
	}
	return !f.given
}

// take takes the answer of a server and returns its greatest K.
func (g *Gatherer) take(server int, a *Answer) (k int) {
	for _, page := range a.Pages {
		p := g.processes[server]
		if p == nil || p.stamp.Epoch != page.Epoch {
			p = &process{}
			g.processes[server] = p
		}
		p.stamp = page.FlightStamp
		if a.Links != nil { // else they are not known just now
			p.links = a.Links
		}
		k = max(k, page.K)
		for i := range page.Events {
			if e := &page.Events[i]; g.recent(p, e) {
				k = max(k, e.K)
				g.event(server, p, e)
			}
		}
	}
	return k
}

// Check returns an error if a page cannot be the answer of a server.
func Check(p *herd.EventPage) error {
	if len(p.Events) > herd.MaxEvents {
		return fmt.Errorf("bad answer: it has more than %d events", herd.MaxEvents)
	}
	if !plausibleK(p.K) {
		return fmt.Errorf("bad answer: it has K %d", p.K)
	}
	for i := range p.Events {
		if k := p.Events[i].K; !plausibleK(k) {
			return fmt.Errorf("bad answer: an event has K %d", k)
		}
	}
	return nil
}

func plausibleK(k int) bool { return k >= 0 && k <= maxK }

// recent reports whether an event is of the last minute.
func (g *Gatherer) recent(p *process, e *recorder.Event) bool {
	age := p.stamp.NowNS - e.At.Nanoseconds()
	return e.Kind != recorder.Copied && age >= 0 && age < Kept.Nanoseconds()
}

// event adds an event to its flood, or what was sent to all floods that it may be about.
func (g *Gatherer) event(server int, p *process, e *recorder.Event) {
	if e.Kind != recorder.Sent {
		g.add(e.Hash, server, p, e)
		return
	}
	for i := len(p.positions) - 1; i >= max(0, len(p.positions)-maxPast); i-- {
		if e.Covers(p.positions[i].at) {
			g.add(p.positions[i].hash, server, p, e)
		}
	}
}

func (g *Gatherer) add(hash uint64, server int, p *process, e *recorder.Event) {
	f := g.open[hash]
	if f == nil {
		age := p.stamp.NowNS - e.At.Nanoseconds()
		if len(g.open) >= maxOpen || bits.LeadingZeros64(hash) < g.k || g.round > 1 && age > late.Nanoseconds() || g.finished(hash) {
			return
		}
		f = &open{hash: hash, began: g.round, lanes: make([]lane, len(g.servers))}
		g.open[hash] = f
	}
	l := &f.lanes[server]
	if l.process != p { // the process before is gone, and so is what it did
		*l = lane{process: p}
	}
	if len(l.events) >= maxLane {
		return
	}
	if (e.Kind == recorder.Stored || e.Kind == recorder.Applied || e.Kind == recorder.Read) && e.Position != 0 {
		p.positions = append(p.positions, position{e.Position, hash})
		if len(p.positions) >= 2*maxPast {
			p.positions = slices.Delete(p.positions, 0, maxPast)
		}
	}
	l.events = append(l.events, *e)
	l.settled = p.stamp.NowNS-e.At.Nanoseconds() >= Settled.Nanoseconds()
	f.changed = g.round
}

// finished reports whether a flood that does not change any more was given. Of events that come still, such as those of a
// neighbor that hung, only a part of the flood could be built, and the page would show that instead of the whole.
func (g *Gatherer) finished(hash uint64) bool {
	return slices.ContainsFunc(g.ready, func(r ready) bool { return r.hash == hash })
}

func (f *open) settled() bool {
	return !slices.ContainsFunc(f.lanes, func(l lane) bool { return l.process != nil && !l.settled })
}

// sorted returns the open floods: those of a round in the order of hashes, so that the order is not by chance.
func (g *Gatherer) sorted() []*open {
	all := make([]*open, 0, len(g.open))
	for _, f := range g.open {
		all = append(all, f)
	}
	slices.SortFunc(all, func(a, b *open) int {
		if a.began != b.began {
			return a.began - b.began
		}
		return bits.LeadingZeros64(b.hash) - bits.LeadingZeros64(a.hash)
	})
	return all
}

// flood builds a flood.
func (g *Gatherer) flood(f *open, answers []Answer) (Flood, bool) {
	hash := protocol.Digest(f.hash).String()
	parts := make([]trace.Answer, len(g.servers))
	for i, s := range g.servers {
		parts[i] = trace.Answer{Server: s.Name, Error: answers[i].Error}
		p := f.lanes[i].process
		if p == nil && answers[i].Error == "" {
			p = g.processes[i]
		}
		if p != nil {
			parts[i].Flood = &herd.Flood{FlightStamp: p.stamp, Hash: hash, Events: f.lanes[i].events, Links: p.links}
		}
	}
	r := trace.Steps(g.servers, parts, hash)
	if r == nil {
		return Flood{}, false
	}
	flood := Flood{Hash: hash, OneOf: 1 << max(f.k, g.k), Replay: r, Missing: []Missing{}}
	has := make(map[string]bool)
	for _, s := range r.Steps {
		has[s.Server] = has[s.Server] || s.Kind == "stored" || s.Kind == "applied" || s.Kind == "read"
	}
	for i, s := range g.servers {
		switch {
		case has[s.Name]:
			f.name(&flood, f.lanes[i].events)
		case parts[i].Flood == nil:
			flood.Missing = append(flood.Missing, Missing{s.Name, parts[i].Error, true})
		default:
			flood.Missing = append(flood.Missing, Missing{s.Name, "has no event of it", false})
		}
	}
	return flood, flood.ID != ""
}

// name sets the client's id, unless it is set.
func (f *open) name(flood *Flood, events []recorder.Event) {
	for i := range events {
		if e := &events[i]; e.Hash == f.hash && len(e.ID) > 0 && flood.ID == "" {
			id := e.ID[:min(len(e.ID), recorder.IDBytes)]
			flood.ID, flood.Base64, flood.Cut = protocol.Escape(id), base64.StdEncoding.EncodeToString(id), e.IDLength > len(id)
		}
	}
}

func (g *Gatherer) forget(f *open) {
	delete(g.open, f.hash)
	for i := range f.lanes {
		if p := f.lanes[i].process; p != nil {
			p.positions = slices.DeleteFunc(p.positions, func(one position) bool { return one.hash == f.hash })
		}
	}
}

// adapt asks for more zero bits if there would be too many floods in the last minute.
func (g *Gatherer) adapt(now time.Time, all []*open) {
	g.ready = slices.DeleteFunc(g.ready, func(r ready) bool { return !r.until.After(now) })
	for {
		g.ready = slices.DeleteFunc(g.ready, func(r ready) bool { return bits.LeadingZeros64(r.hash) < g.k })
		n := len(g.ready)
		for _, f := range all {
			if !f.given && g.due(f) && bits.LeadingZeros64(f.hash) >= max(f.k, g.k) {
				n++
			}
		}
		if n <= herd.ReplayFloods {
			return
		}
		g.k++
	}
}
