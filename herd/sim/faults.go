package sim

import (
	"fmt"
	"strings"
	"time"
)

// faultKinds are what can befall a herd, each with how often it does. A fault that lasts undoes
// itself after a while, unless the heal comes first.
var faultKinds = []struct {
	name   string
	weight int
	strike func(w *world) string // what it did, for the story
}{
	{"cut", 8, (*world).cut},
	{"one-way cut", 6, (*world).cutOneWay},
	{"split", 3, (*world).split},
	{"slow", 5, (*world).slow},
	{"stall", 5, (*world).stall},
	{"reset", 12, (*world).reset},
	{"reset in a copy", 8, (*world).resetInCopy},
	{"refuse", 4, (*world).refuse},
	{"crash", 10, (*world).crash},
	{"stop", 4, (*world).stop},
	{"stop at once", 2, (*world).stopAll},
	{"stop beside a start", 4, (*world).stopBeside},
	{"pause", 6, (*world).pause},
	{"clock", 4, (*world).jump},
	{"disk", 6, (*world).spoil},
	{"ghost", 4, (*world).ghost},
	{"double", 8, (*world).double},
	{"crowd", 6, (*world).crowd},
}

// strike lets one fault happen and plans the next.
func (w *world) strike() {
	total := 0
	for _, f := range faultKinds {
		total += f.weight
	}
	n := w.rand.IntN(total)
	for _, f := range faultKinds {
		if n -= f.weight; n < 0 {
			if what := f.strike(w); what != "" {
				w.tell(f.name + " " + what)
				w.result.Faults++
			}
			break
		}
	}
	w.after(w.span(w.pace/4, w.pace*2), w.strike)
}

// tell adds to the story of the run.
func (w *world) tell(what string) {
	w.result.Story = append(w.result.Story, fmt.Sprintf("%9.3f s  %s", w.net.Elapsed().Seconds(), what))
}

func (w *world) anyHost() *host { return w.hosts[w.rand.IntN(len(w.hosts))] }

// anyEdge is two neighbors, in either order.
func (w *world) anyEdge() (a, b string) {
	h := w.anyHost()
	return h.self.Name, h.self.Neighbors[w.rand.IntN(len(h.self.Neighbors))]
}

// lasting is how long a fault lasts: mostly a moment, sometimes past every timeout.
func (w *world) lasting() time.Duration {
	if w.rand.IntN(2) == 0 {
		return w.span(10*time.Millisecond, time.Second)
	}
	return w.span(time.Second, 15*time.Second)
}

func (w *world) cut() string {
	a, b := w.anyEdge()
	d := w.lasting()
	w.net.Cut(a, b)
	w.healLater(a, b, d)
	return fmt.Sprintf("%s-%s for %v", a, b, d)
}

// healLater ends a cut, and sees to it that a long one is noticed by both sides.
func (w *world) healLater(a, b string, d time.Duration) {
	w.disturb(a, b)
	w.trouble(d, a, b)
	w.after(d, func() {
		w.net.Heal(a, b)
		w.disturb(a, b)
	})
	if d > silentAtMost {
		cut := w.net.Elapsed()
		w.after(silentAtMost, func() { w.silent(w.byName[a], w.byName[b], cut) })
	}
}

// disturb notes that something has happened between two servers.
func (w *world) disturb(a, b string) {
	for _, name := range []string{a, b} {
		h := w.byName[name]
		h.disturbed = max(h.disturbed, w.net.Elapsed())
	}
}

// silentAtMost is how long a link may live of which nothing arrives.
const silentAtMost = 8 * time.Second

// silent checks that two servers have dropped the links between them, which have been cut for
// long enough, unless something else has happened to one of them since.
func (w *world) silent(a, b *host, cut time.Duration) {
	if a.disturbed > cut || b.disturbed > cut || a.gone() || b.gone() || w.doubledNow(a, b) {
		return
	}
	for _, pair := range [][2]*host{{a, b}, {b, a}} {
		for _, l := range pair[0].server.Status().Links {
			if l.Neighbor == pair[1].self.Name && (l.State == "live" || l.State == "copying" || l.Receiving) {
				w.fail("silence", "%s is still connected with %s, %v after the cut", pair[0].self.Name,
					l.Neighbor, silentAtMost)
			}
		}
	}
}

func (w *world) cutOneWay() string {
	a, b := w.anyEdge()
	d := w.lasting()
	w.net.CutOneWay(a, b)
	w.healLater(a, b, d)
	return fmt.Sprintf("%s>%s for %v", a, b, d)
}

// split cuts the herd in two, somewhere.
func (w *world) split() string {
	side := make(map[string]bool)
	for _, h := range w.hosts {
		side[h.self.Name] = w.rand.IntN(2) == 0
	}
	d := w.lasting()
	names := ""
	for _, h := range w.hosts {
		if side[h.self.Name] {
			names += " " + h.self.Name
		}
		for _, n := range h.self.Neighbors {
			if side[n] != side[h.self.Name] {
				w.net.Cut(h.self.Name, n)
				w.healLater(h.self.Name, n, d)
			}
		}
	}
	return fmt.Sprintf("off%s for %v", names, d)
}

func (w *world) slow() string {
	a, b := w.anyEdge()
	d, by := w.lasting(), w.span(time.Millisecond, 700*time.Millisecond)
	w.net.Slow(a, b, by)
	w.disturb(a, b)
	w.trouble(d+by, a, b)
	w.after(d, func() { w.net.Slow(a, b, 0) })
	return fmt.Sprintf("%s-%s by %v for %v", a, b, by, d)
}

func (w *world) stall() string {
	a, b := w.anyEdge()
	d := w.lasting()
	w.net.Stall(a, b, d)
	w.disturb(a, b)
	w.trouble(d, a, b)
	return fmt.Sprintf("%s-%s for %v", a, b, d)
}

func (w *world) reset() string {
	a, b := w.anyEdge()
	w.trouble(time.Second, a, b)
	return fmt.Sprintf("%s-%s, %d connections", a, b, w.net.Reset(a, b))
}

// resetInCopy will break one of the next copies, once a part of it is acknowledged.
func (w *world) resetInCopy() string {
	w.breaks++
	return "when there is one"
}

// breakCopy is called when something of a copy has been acknowledged, or it has only begun.
func (w *world) breakCopy(h *host, c *wire) {
	if w.breaks == 0 || w.rand.IntN(2) == 0 {
		return
	}
	w.breaks--
	c.copying = false
	w.net.At(0, func() {
		w.tell(fmt.Sprintf("reset of a copy %s>%s", h.self.Name, c.to))
		w.trouble(time.Second, h.self.Name, c.to)
		w.net.Reset(h.self.Name, c.to)
	})
}

func (w *world) refuse() string {
	h := w.anyHost()
	d := w.lasting()
	w.trouble(d, h.self.Name)
	w.net.Refuse(h.self.Address, true)
	w.after(d, func() { w.net.Refuse(h.self.Address, false) })
	return fmt.Sprintf("%s for %v", h.self.Name, d)
}

// crash ends a process as kill -9 does; it comes back, mostly soon.
func (w *world) crash() string {
	h := w.anyHost()
	if h.gone() || h.stopping {
		return ""
	}
	d := w.lasting()
	h.crash()
	how := "empty"
	switch {
	case h.disk == nil:
	case w.rand.IntN(4) == 0:
		h.disk.kept = map[string]string{}
	default:
		how = "with its disk"
	}
	w.after(d, h.restart)
	return fmt.Sprintf("%s for %v, %s", h.self.Name, d, how)
}

// restart starts a process where there is none, once the old one has gone.
func (h *host) restart() {
	if h.absent {
		return
	}
	if !h.gone() {
		if h.stopping {
			h.w.after(10*time.Millisecond, h.restart)
		}
		return
	}
	h.w.tell("start " + h.self.Name)
	h.start()
}

func (w *world) pause() string {
	h := w.anyHost()
	if h.gone() {
		return ""
	}
	d := w.lasting()
	r := h.reactor
	r.Pause()
	h.disturbed = max(h.disturbed, w.net.Elapsed()+d)
	w.trouble(d, h.self.Name)
	w.after(d, func() {
		r.Resume()
		h.disturbed = max(h.disturbed, w.net.Elapsed())
	})
	return fmt.Sprintf("%s for %v", h.self.Name, d)
}

// jump sets a clock wrong, by at most half an hour.
func (w *world) jump() string {
	h := w.anyHost()
	h.clock = w.span(-30*time.Minute, 30*time.Minute)
	if h.reactor != nil {
		h.reactor.SetClock(h.clock)
	}
	return fmt.Sprintf("of %s is off by %v", h.self.Name, h.clock)
}

// spoil makes a disk slow, or full, or has it lose everything, as when somebody removes the directory.
func (w *world) spoil() string {
	h := w.anyHost()
	if h.disk == nil {
		return ""
	}
	if w.rand.IntN(3) == 0 {
		h.disk.lose()
		return fmt.Sprintf("of %s loses everything", h.self.Name)
	}
	d := w.lasting()
	w.net.At(d, func() {
		h.disk.disturbed = w.net.Elapsed() + h.disk.delay // a commit may be under way
		h.disk.delay, h.disk.failing = 0, false
	})
	if w.rand.IntN(2) == 0 {
		h.disk.failing = true
		return fmt.Sprintf("of %s is full for %v", h.self.Name, d)
	}
	h.disk.delay = w.span(100*time.Millisecond, 30*time.Second)
	return fmt.Sprintf("of %s takes %v for %v", h.self.Name, h.disk.delay, d)
}

// ghost makes what a process has sent arrive when its successor is already there.
func (w *world) ghost() string {
	a, b := w.anyEdge()
	h := w.byName[a]
	if h.gone() || h.stopping {
		return ""
	}
	d := w.span(time.Second, 5*time.Second)
	w.net.Stall(a, b, d)
	w.disturb(a, b)
	w.trouble(d+time.Second, a, b)
	w.after(w.span(0, 300*time.Millisecond), func() {
		h.crash()
		h.restart()
		w.after(max(0, d-w.span(0, time.Second)), func() { w.net.Reset(a, b) })
	})
	return fmt.Sprintf("of %s at %s for %v", a, b, d)
}

// crowd is many clients with long names that come at once: more than one turn can send, or one
// window can hold.
func (w *world) crowd() string {
	if w.crowds == 0 {
		return ""
	}
	w.crowds--
	h := w.anyHost()
	u := h.users[0]
	if h.gone() || u.conn == nil || u.conn.Closed() || u.leaving {
		return ""
	}
	return u.crowd(100 + w.rand.IntN(1100))
}

func (u *user) crowd(n int) string {
	w := u.host.w
	stamp := w.stamp(0)
	w.result.Crowds++
	for i := range n {
		rest := fmt.Sprintf("crowd%d.%d%s +1+1 %s", w.result.Crowds, i, strings.Repeat("-", 900), stamp)
		u.host.sent[rest] = true
		u.expect(acknowledged, rest)
		u.conn.SendString("IAMAT " + rest + "\n")
	}
	return fmt.Sprintf("of %d at %s", n, u.host.self.Name)
}
