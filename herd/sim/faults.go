package sim

import (
	"fmt"
	"strings"
	"time"
)

// faultKind is a kind of faults.
type faultKind struct {
	name   string
	weight int
	inject func(w *world) string // returns what it did, for the event log; "" if nothing
}

// faultKinds are the kinds of faults, each with its frequency. A fault with a duration ends by itself, or at the heal.
var faultKinds = []faultKind{
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
	{"clock", 4, (*world).setClock},
	{"disk", 6, (*world).diskFault},
	{"late delivery", 4, (*world).lateDelivery},
	{"duplicate", 8, (*world).startDuplicate},
	{"crowd", 6, (*world).crowd},
}

// injectFault injects one fault and schedules the next.
func (w *world) injectFault() {
	total := 0
	kinds := w.faultKinds()
	for _, f := range kinds {
		total += f.weight
	}
	n := w.rand.IntN(total)
	for _, f := range kinds {
		if n -= f.weight; n < 0 {
			if what := f.inject(w); what != "" {
				w.log(f.name + " " + what)
				w.result.Faults++
			}
			break
		}
	}
	w.after(w.span(w.pace/4, w.pace*2), w.injectFault)
}

// log adds an entry to the event log of the run.
func (w *world) log(what string) {
	w.result.Events = append(w.result.Events, fmt.Sprintf("%9.3f s  %s", w.net.Elapsed().Seconds(), what))
}

func (w *world) anyHost() *host { return w.hosts[w.rand.IntN(len(w.hosts))] }

// anyEdge returns two neighbors, in either order.
func (w *world) anyEdge() (a, b string) {
	h := w.anyHost()
	return h.self.Name, h.self.Neighbors[w.rand.IntN(len(h.self.Neighbors))]
}

// duration draws how long a fault lasts: mostly a moment, sometimes longer than every timeout.
func (w *world) duration() time.Duration {
	if w.rand.IntN(2) == 0 {
		return w.span(10*time.Millisecond, time.Second)
	}
	return w.span(time.Second, 15*time.Second)
}

func (w *world) cut() string {
	a, b := w.anyEdge()
	d := w.duration()
	w.net.Cut(a, b)
	w.healLater(a, b, d)
	return fmt.Sprintf("%s-%s for %v", a, b, d)
}

// healLater ends a cut, and checks that a long one is detected by both sides.
func (w *world) healLater(a, b string, d time.Duration) {
	w.markFault(a, b)
	w.markFaultFor(d, a, b)
	w.after(d, func() {
		w.net.Heal(a, b)
		w.markFault(a, b)
	})
	if d > silentAtMost {
		cut := w.net.Elapsed()
		w.after(silentAtMost, func() { w.checkSilence(w.byName[a], w.byName[b], cut) })
	}
}

// markFault records that there is a fault between two servers now.
func (w *world) markFault(a, b string) {
	for _, name := range []string{a, b} {
		h := w.byName[name]
		h.lastFault = max(h.lastFault, w.net.Elapsed())
	}
}

// silentAtMost is how long a link on which nothing arrives may stay open.
const silentAtMost = 8 * time.Second

// checkSilence checks that two servers have dropped the links between them, which have been cut for long enough, unless
// there was another fault of one of them since.
func (w *world) checkSilence(a, b *host, cut time.Duration) {
	if a.lastFault > cut || b.lastFault > cut || a.gone() || b.gone() || w.hasDuplicate(a, b) {
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
	d := w.duration()
	w.net.CutOneWay(a, b)
	w.healLater(a, b, d)
	return fmt.Sprintf("%s>%s for %v", a, b, d)
}

// split cuts the herd into two random parts.
func (w *world) split() string {
	side := make(map[string]bool)
	for _, h := range w.hosts {
		side[h.self.Name] = w.rand.IntN(2) == 0
	}
	d := w.duration()
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
	d, by := w.duration(), w.span(time.Millisecond, 700*time.Millisecond)
	w.net.Slow(a, b, by)
	w.markFault(a, b)
	w.markFaultFor(d+by, a, b)
	w.after(d, func() { w.net.Slow(a, b, 0) })
	return fmt.Sprintf("%s-%s by %v for %v", a, b, by, d)
}

func (w *world) stall() string {
	a, b := w.anyEdge()
	d := w.duration()
	w.net.Stall(a, b, d)
	w.markFault(a, b)
	w.markFaultFor(d, a, b)
	return fmt.Sprintf("%s-%s for %v", a, b, d)
}

func (w *world) reset() string {
	a, b := w.anyEdge()
	w.markFaultFor(time.Second, a, b)
	return fmt.Sprintf("%s-%s, %d connections", a, b, w.net.Reset(a, b))
}

// resetInCopy makes breakCopy reset one of the next full copies.
func (w *world) resetInCopy() string {
	w.breaks++
	return "when there is one"
}

// breakCopy is called when a full copy begins, and when a part of it has been acknowledged.
func (w *world) breakCopy(h *host, c *wire) {
	if w.breaks == 0 || w.rand.IntN(2) == 0 {
		return
	}
	w.breaks--
	c.copying = false
	w.net.At(0, func() {
		w.log(fmt.Sprintf("reset of a copy %s>%s", h.self.Name, c.to))
		w.markFaultFor(time.Second, h.self.Name, c.to)
		w.net.Reset(h.self.Name, c.to)
	})
}

func (w *world) refuse() string {
	h := w.anyHost()
	d := w.duration()
	w.markFaultFor(d, h.self.Name)
	w.net.Refuse(h.self.Address, true)
	w.after(d, func() { w.net.Refuse(h.self.Address, false) })
	return fmt.Sprintf("%s for %v", h.self.Name, d)
}

// crash ends a process as kill -9 does; it is restarted, mostly soon.
func (w *world) crash() string {
	h := w.anyHost()
	if h.gone() || h.stopping {
		return ""
	}
	d := w.duration()
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

// restart starts a process, once the old one has ended.
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
	h.w.log("start " + h.self.Name)
	h.start()
}

func (w *world) pause() string {
	h := w.anyHost()
	if h.gone() {
		return ""
	}
	d := w.duration()
	r := h.reactor
	r.Pause()
	h.lastFault = max(h.lastFault, w.net.Elapsed()+d)
	w.markFaultFor(d, h.self.Name)
	w.after(d, func() {
		r.Resume()
		h.lastFault = max(h.lastFault, w.net.Elapsed())
	})
	return fmt.Sprintf("%s for %v", h.self.Name, d)
}

// setClock sets a clock wrong, by at most half an hour.
func (w *world) setClock() string {
	h := w.anyHost()
	h.clock = w.span(-30*time.Minute, 30*time.Minute)
	h.clockSet = w.net.Elapsed()
	if h.reactor != nil {
		h.reactor.SetClock(h.clock)
	}
	return fmt.Sprintf("of %s is off by %v", h.self.Name, h.clock)
}

// diskFault makes a disk slow, or full, or has it lose everything, as when its directory is removed.
func (w *world) diskFault() string {
	h := w.anyHost()
	if h.disk == nil {
		return ""
	}
	if w.rand.IntN(3) == 0 {
		h.disk.lose()
		return fmt.Sprintf("of %s loses everything", h.self.Name)
	}
	d := w.duration()
	w.net.At(d, func() {
		h.disk.lastFault = w.net.Elapsed() + h.disk.delay // a commit may be in progress
		h.disk.delay, h.disk.failing = 0, false
	})
	if w.rand.IntN(2) == 0 {
		h.disk.failing = true
		return fmt.Sprintf("of %s is full for %v", h.self.Name, d)
	}
	h.disk.delay = w.span(100*time.Millisecond, 30*time.Second)
	return fmt.Sprintf("of %s takes %v for %v", h.self.Name, h.disk.delay, d)
}

// lateDelivery delays what a process has sent until its successor runs.
func (w *world) lateDelivery() string {
	a, b := w.anyEdge()
	h := w.byName[a]
	if h.gone() || h.stopping {
		return ""
	}
	d := w.span(time.Second, 5*time.Second)
	w.net.Stall(a, b, d)
	w.markFault(a, b)
	w.markFaultFor(d+time.Second, a, b)
	w.after(w.span(0, 300*time.Millisecond), func() {
		h.crash()
		h.restart()
		w.after(max(0, d-w.span(0, time.Second)), func() { w.net.Reset(a, b) })
	})
	return fmt.Sprintf("of %s at %s for %v", a, b, d)
}

// crowd has many clients with long ids send at once: more than one turn can send, or one window can hold.
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
