package sim

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"

	"serverherd/herd/config"
	"serverherd/herd/trace"
)

// traceOne traces an update as an observer would, while anything may be happening, and compares what the tree says about
// each server with what was seen there. It is a client's latest update or an earlier one.
func (w *world) traceOne() {
	if len(w.model.records) == 0 {
		return
	}
	hosts := w.hosts
	if w.bucket != nil {
		hosts = w.cells[w.observer.IntN(len(w.cells))].hosts
	}
	client := w.observer.IntN(len(w.model.records))
	all := w.model.records[client]
	if len(all) == 0 {
		return
	}
	var earlier *record
	if w.observer.IntN(2) == 0 {
		earlier = all[len(all)-1-w.observer.IntN(min(len(all), 5))]
	}
	tree := w.trace(hosts, all[0].clientID, earlier)
	if tree == nil {
		return
	}
	r := w.model.accepted[string(tree.AT[len("AT "):])]
	if r == nil {
		w.fail("trace", "the tree is about %q, which no server has made", tree.AT)
		return
	}
	depth := 0
	for i := range tree.Nodes {
		n := &tree.Nodes[i]
		h := w.byName[n.Server]
		w.result.Traced[string(n.Outcome)]++
		if said := w.checkNode(h, r, n); said != "" {
			w.fail("trace", "%s: %q: %+v, but %s", n.Server, r.text, *n, said)
		}
		if n.Depth > depth+1 || i == 0 && n.Depth > 0 {
			w.fail("trace", "%s is at depth %d behind one at depth %d", n.Server, n.Depth, depth)
		}
		depth = n.Depth
	}
}

// trace builds the tree of a client's latest update in a herd, or of an earlier one if that is not nil; nil if no server
// has any.
func (w *world) trace(hosts []*host, id string, earlier *record) *trace.Tree {
	var servers []config.Server
	var running []*host
	var answers []trace.Answer
	for _, h := range hosts {
		if h.absent {
			continue
		}
		a := trace.Answer{Server: h.self.Name, Error: "down"}
		if !h.gone() {
			h.follow()
			f := h.server.Flood([]byte(id), 0)
			a.Error, a.Flood = "", &f
		}
		running = append(running, h)
		self := h.self
		if !w.clocksDiffer() {
			self.Address = "127.0.0.1:1" // as on one machine
		}
		servers = append(servers, self)
		answers = append(answers, a)
	}
	hash, at, err := trace.Latest([]byte(id), answers)
	if err != nil {
		return nil
	}
	if earlier != nil {
		hash = fmt.Sprintf("%016x", xxhash.Sum64String(hosts[0].config().Herd.Name+"\n"+earlier.text))
		at = append([]byte("AT "), earlier.text...)
	}
	for i, h := range running {
		if answers[i].Flood != nil {
			f := h.server.Flood([]byte(id), trace.Number(hash))
			answers[i].Flood = &f
		}
	}
	tree, err := trace.Build(servers, answers, hash, at)
	if err != nil || len(tree.Nodes) != len(servers) {
		w.fail("trace", "%d servers: %+v, %v", len(servers), tree, err)
		return nil
	}
	w.checkSteps(tree, trace.Steps(servers, answers, hash))
	return tree
}

// checkSteps compares the steps of a replay with the tree of the same update: each server has it once, from the server
// that the tree says and after that one, and at the time that the tree says,
// or after it.
func (w *world) checkSteps(tree *trace.Tree, r *trace.Replay) {
	known := func(name string) bool {
		return slices.ContainsFunc(tree.Nodes, func(n trace.Node) bool { return n.Server == name })
	}
	if r == nil {
		if slices.ContainsFunc(tree.Nodes, func(n trace.Node) bool { return n.At != nil }) {
			w.fail("trace", "no steps:%s", describeTree(tree))
		}
		return
	}
	has := make(map[string]*trace.Step)
	duplicates := 0
	for i := range r.Steps {
		s := &r.Steps[i]
		switch s.Kind {
		case "sent":
			if has[s.Server] == nil {
				w.fail("trace", "%s sent it before it had it: %+v", s.Server, r.Steps)
			}
		case "duplicate":
			duplicates++
		default:
			if has[s.Server] != nil {
				w.fail("trace", "%s has it twice: %+v", s.Server, r.Steps)
			}
			has[s.Server] = s
		}
		if i > 0 && s.NS < r.Steps[i-1].NS {
			w.fail("trace", "steps are not in the order of time: %+v", r.Steps)
		}
	}
	if duplicates > tree.Duplicates || duplicates < min(tree.Duplicates, 3) { // the steps have three of each neighbor
		w.fail("trace", "%d duplicates in the steps, %d in the tree", duplicates, tree.Duplicates)
	}
	var root *trace.Node
	for i := range tree.Nodes {
		n := &tree.Nodes[i]
		s := has[n.Server]
		if (s != nil) != (n.At != nil) || s != nil && s.Neighbor != n.From && known(n.From) {
			w.fail("trace", "%s: %+v in the tree, %+v in the steps", n.Server, *n, s)
			continue
		}
		if n.Outcome == trace.FromClient && n.At != nil && r.Start.Equal(*n.At) {
			root = n
		}
		if root == nil || n.After == nil {
			continue
		}
		late := float64(s.NS)/1e9 - n.After.Seconds // a clock that was set may delay other servers' steps
		if late < -1e-6-n.After.Uncertainty || late > 1e-6+n.After.Uncertainty && !w.clocksDiffer() {
			w.fail("trace", "%s has it after %v in the tree, and after %d ns in the steps", n.Server, n.After, s.NS)
		}
	}
}

// clocksDiffer reports whether any clock was ever set.
func (w *world) clocksDiffer() bool {
	return slices.ContainsFunc(w.hosts, func(h *host) bool { return h.clockSet != 0 || h.clock != 0 })
}

// checkNode returns what contradicts a tree's statement about a server, or "".
func (w *world) checkNode(h *host, r *record, n *trace.Node) string {
	if n.Outcome == trace.Unanswered {
		if h.server != nil {
			return "it answered"
		}
		return ""
	}
	first, newest := r.first[h.index], h.newestOf(r.client)
	arrived := first.generation == h.generation
	from := "" // the neighbor; "" if unknown or none
	if p := w.processes[first.from]; arrived && p != nil {
		from = p.self.Name
	}
	if n.Holds != (newest == r) {
		return fmt.Sprintf("it has %v", newest)
	}
	// A repair stores a damaged record again, perhaps from another neighbor. The tree has the first time and sender.
	if n.Holds && n.At != nil && n.Outcome != trace.Copied && h.storedAt[r.client] > h.clockSet && !w.damaged {
		if at := w.onClock(h, h.storedAt[r.client]); !n.At.Equal(at) {
			return fmt.Sprintf("it was stored at %v", at)
		}
	}
	if p := w.processes[first.from]; n.Holds && n.From != "" && arrived && p != nil && p.server != nil && !p.absent && !w.damaged {
		if gone := p.epoch != first.from; n.Restarted != gone {
			return fmt.Sprintf("the process of %s that sent it is gone: %v", n.From, gone)
		}
	}
	switch n.Outcome {
	case trace.FromClient:
		if !arrived || first.from != 0 || r.origin != h.self.Name {
			return fmt.Sprintf("it first arrived as %+v", first)
		}
	case trace.FromNeighbor, trace.Copied:
		if !arrived || first.from == 0 || from != "" && from != n.From {
			return fmt.Sprintf("it first arrived as %+v from %s", first, from)
		}
	case trace.Journal:
		if !arrived || first.from != 0 || h.disk == nil {
			return fmt.Sprintf("it first arrived as %+v", first)
		}
	case trace.Bucket:
		if !arrived || !h.bridge || w.processes[first.from] != nil || first.from == 0 {
			return fmt.Sprintf("it first arrived as %+v", first)
		}
	case trace.Old:
		if n.From != "" && from != "" && from != n.From {
			return fmt.Sprintf("it first arrived as %+v from %s", first, from)
		}
		if h.server.Events(false, 0).Missed == 0 {
			return "its flight recorder has all events"
		}
	case trace.Superseded:
		if newest == nil || newest.compare(r) <= 0 || r.held[h.index] == h.generation && n.Why == "a newer update was here first" {
			return fmt.Sprintf("it has %v; it stored the update, which first arrived as %+v", newest, first)
		}
	case trace.Behind:
		if newest != nil && newest.compare(r) >= 0 || n.Why == "" {
			return fmt.Sprintf("it has %v", newest)
		}
	default:
		return "there is no such outcome"
	}
	return ""
}

// onClock converts a virtual time to the time on a server's clock.
func (w *world) onClock(h *host, at time.Duration) time.Time {
	return w.net.Now().Add(at - w.net.Elapsed() + h.clock)
}

// checkFlood compares the tree of an update that has reached all servers without faults with what was seen on the
// links: each server has it from the neighbor that it came from first, after that time, and each AT line is counted.
func (w *world) checkFlood(id string, atLines int) {
	tree := w.trace(w.hosts, id, nil)
	if tree == nil {
		w.fail("trace", "no server knows %s", id)
		return
	}
	r := w.model.accepted[string(tree.AT[len("AT "):])]
	origin := w.byName[r.origin]
	if tree.Received != atLines || tree.Duplicates != atLines-(len(w.hosts)-1) {
		w.fail("trace", "%d AT lines and %d duplicates of %s, %d lines were sent:%s", tree.Received, tree.Duplicates, id, atLines,
			describeTree(tree))
	}
	if most := 2*w.topology.edges - (len(w.hosts) - 1); tree.Most != most || tree.Edges != w.topology.edges {
		w.fail("trace", "at most %d AT lines on %d edges, want %d", tree.Most, tree.Edges, most)
	}
	for i := range tree.Nodes {
		n := &tree.Nodes[i]
		h := w.byName[n.Server]
		want := trace.FromNeighbor
		if h == origin {
			want = trace.FromClient
		}
		if said := w.checkNode(h, r, n); said != "" || n.Outcome != want || n.At == nil {
			w.fail("trace", "%s: %+v, want %s; %s", n.Server, *n, want, said)
			return
		}
		if i == 0 || h == origin {
			if i != 0 || h != origin {
				w.fail("trace", "%s is at the root, the origin is %s", tree.Nodes[0].Server, r.origin)
			}
			continue
		}
		if !slices.ContainsFunc(tree.Nodes[:i], func(up trace.Node) bool {
			return up.Server == n.From && up.Depth == n.Depth-1
		}) {
			w.fail("trace", "%s is not below %s", n.Server, n.From)
		}
		took := (h.storedAt[r.client] - origin.storedAt[r.client]).Seconds()
		if n.After == nil {
			continue // its clock is not known yet
		}
		if d := math.Abs(n.After.Seconds - took); d > n.After.Uncertainty+1e-6 {
			w.fail("trace", "%s has it after %v, in truth after %v", n.Server, n.After, took)
		}
	}
}

// newObserver returns the randomness of what only observes: it must not change what happens in a run.
func newObserver(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 2)) }

func describeTree(t *trace.Tree) string {
	var b strings.Builder
	for _, row := range t.Rows() {
		fmt.Fprintf(&b, "\n\t%s%s  %s", row.Branch, row.Server, row.Text)
	}
	return b.String()
}
