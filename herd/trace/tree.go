package trace

import (
	"cmp"
	"math"
	"slices"

	"serverherd/herd/config"
)

// delays computes Hop and After.
func (b *builder) delays() {
	for _, p := range b.order {
		b.after(p, len(b.order))
	}
}

// after computes a server's After from that of the one before it. depth bounds circles, which only wrong answers have.
func (b *builder) after(p *part, depth int) *Delay {
	n := &p.node
	switch {
	case n.After != nil || depth == 0 || n.At == nil:
	case n.Outcome == FromClient:
		n.After = &Delay{}
	case n.From != "":
		from := b.parts[n.From]
		if from == nil || from.node.At == nil {
			break
		}
		n.Hop = b.hop(from, p)
		if before := b.after(from, depth-1); before != nil && n.Hop != nil {
			n.After = &Delay{before.Seconds + n.Hop.Seconds, before.Uncertainty + n.Hop.Uncertainty}
		}
	}
	return n.After
}

// hop returns the time from one server's event to another's, by the difference of their clocks. It is nil if that is
// unknown, or if the second one came first: then the process that sent it has been restarted since, or a clock was set.
func (b *builder) hop(from, to *part) *Delay {
	if to.node.Restarted {
		return nil
	}
	ahead := ahead(from, to)
	if ahead == nil {
		return nil
	}
	d := Delay{to.node.At.Sub(*from.node.At).Seconds() + ahead.Seconds, ahead.Uncertainty}
	if d.Seconds+d.Uncertainty < 0 {
		to.node.Restarted = oneMachine(from, to) && !to.knowsSender()
		return nil
	}
	return &d
}

// ahead returns by how much the clock of from is ahead of that of to; nil if that is unknown.
func ahead(from, to *part) *Delay {
	if oneMachine(from, to) {
		return &Delay{}
	}
	if l := to.flood.Link(from.server.Name); l != nil && l.Clock != nil {
		return &Delay{l.Clock.Ahead, math.Abs(l.Clock.Uncertainty)}
	}
	return nil
}

func oneMachine(a, b *part) bool {
	return config.Machine(a.server.Address) == config.Machine(b.server.Address)
}

// tree returns the servers in the order of the tree: those below a server follow it, the earliest first.
func (b *builder) tree() (all []Node) {
	var add func(p *part, depth int)
	add = func(p *part, depth int) {
		p.placed = true
		p.node.Depth = depth
		all = append(all, p.node)
		for _, child := range b.sorted(func(c *part) bool { return c.node.From == p.server.Name && !c.node.Restarted }) {
			if !child.placed {
				add(child, depth+1)
			}
		}
	}
	for _, root := range b.sorted(func(p *part) bool {
		from := b.parts[p.node.From]
		return from == nil || !from.node.Has() || p.node.Restarted
	}) {
		add(root, 0)
	}
	// Some name each other, without times.
	for _, p := range b.sorted(func(*part) bool { return true }) {
		if !p.placed {
			add(p, 0)
		}
	}
	for _, p := range b.order {
		if !p.node.Has() {
			all = append(all, p.node)
		}
	}
	return all
}

// sorted returns those of the servers that have the update for which f holds, the earliest first.
func (b *builder) sorted(f func(*part) bool) (some []*part) {
	for _, p := range b.order {
		if p.node.Has() && f(p) {
			some = append(some, p)
		}
	}
	slices.SortStableFunc(some, func(x, y *part) int { return earlier(&x.node, &y.node) })
	return some
}

// earlier compares two servers by After, then by At; those without come last.
func earlier(x, y *Node) int {
	if x.After != nil && y.After != nil {
		return cmp.Compare(x.After.Seconds, y.After.Seconds)
	}
	if c := cmp.Compare(known(y.After != nil), known(x.After != nil)); c != 0 {
		return c
	}
	if x.At != nil && y.At != nil {
		return x.At.Compare(*y.At)
	}
	return cmp.Compare(known(y.At != nil), known(x.At != nil))
}

func known(is bool) int {
	if is {
		return 1
	}
	return 0
}
