package sim

import (
	"fmt"
	"time"

	"serverherd/protocol"
)

// faults are what can befall a herd, each with how often it does. A fault that lasts undoes
// itself after a while, unless the heal comes first.
var faults = []struct {
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
	{"pause", 6, (*world).pause},
	{"clock", 4, (*world).jump},
	{"damage", 6, (*world).damage},
}

// strike lets one fault happen and plans the next.
func (w *world) strike() {
	total := 0
	for _, f := range faults {
		total += f.weight
	}
	n := w.rand.IntN(total)
	for _, f := range faults {
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
	w.after(d, func() { w.net.Heal(a, b) })
	return fmt.Sprintf("%s-%s for %v", a, b, d)
}

func (w *world) cutOneWay() string {
	a, b := w.anyEdge()
	d := w.lasting()
	w.net.CutOneWay(a, b)
	w.after(d, func() { w.net.Heal(a, b) })
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
				w.after(d, func() { w.net.Heal(h.self.Name, n) })
			}
		}
	}
	return fmt.Sprintf("off%s for %v", names, d)
}

func (w *world) slow() string {
	a, b := w.anyEdge()
	d, by := w.lasting(), w.span(time.Millisecond, 700*time.Millisecond)
	w.net.Slow(a, b, by)
	w.after(d, func() { w.net.Slow(a, b, 0) })
	return fmt.Sprintf("%s-%s by %v for %v", a, b, by, d)
}

func (w *world) stall() string {
	a, b := w.anyEdge()
	d := w.lasting()
	w.net.Stall(a, b, d)
	return fmt.Sprintf("%s-%s for %v", a, b, d)
}

func (w *world) reset() string {
	a, b := w.anyEdge()
	return fmt.Sprintf("%s-%s, %d connections", a, b, w.net.Reset(a, b))
}

// resetInCopy waits for a link that copies, a few seconds at most, and breaks it.
func (w *world) resetInCopy() string {
	tries := 0
	var look func()
	look = func() {
		for _, h := range w.hosts {
			if h.gone() {
				continue
			}
			for _, l := range h.server.Status().Links {
				if l.State == "copying" {
					w.tell(fmt.Sprintf("reset of a copy %s>%s", h.self.Name, l.Neighbor))
					w.net.Reset(h.self.Name, l.Neighbor)
					return
				}
			}
		}
		if tries++; tries < 500 {
			w.after(w.span(time.Millisecond, 10*time.Millisecond), look)
		}
	}
	look()
	return "when there is one"
}

func (w *world) refuse() string {
	h := w.anyHost()
	d := w.lasting()
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
	w.after(d, h.restart)
	return fmt.Sprintf("%s for %v", h.self.Name, d)
}

// stop is one server's part of a rolling restart.
func (w *world) stop() string {
	h := w.anyHost()
	if h.gone() || h.stopping {
		return ""
	}
	h.stop()
	w.after(w.span(time.Millisecond, time.Second), h.restart)
	return h.self.Name
}

// restart starts a process where there is none, once the old one has gone.
func (h *host) restart() {
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
	w.after(d, r.Resume)
	return fmt.Sprintf("%s for %v", h.self.Name, d)
}

// jump sets a clock wrong, by at most half an hour.
func (w *world) jump() string {
	h := w.anyHost()
	h.clock = w.span(-30*time.Minute, 30*time.Minute)
	h.reactor.SetClock(h.clock)
	return fmt.Sprintf("of %s is off by %v", h.self.Name, h.clock)
}

// damage makes one record of one server older than it was, or removes it: what only a comparison
// of states can find. A run has one such fault at most, and none where clocks jump, because the
// pause between two repairs would decide how long the herd takes to agree.
func (w *world) damage() string {
	h := w.anyHost()
	if !w.mayDamage || w.damaged || h.gone() || h.stopping {
		return ""
	}
	h.follow()
	var held []*record
	for _, r := range h.newest {
		if r != nil {
			held = append(held, r)
		}
	}
	if len(held) == 0 {
		return ""
	}
	w.damaged = true
	r := held[w.rand.IntN(len(held))]
	h.setNewest(r.client, nil)
	for _, older := range w.model.records[r.client] {
		if w.rand.IntN(2) == 0 && older.compare(r) < 0 {
			line, err := protocol.ParseLink([]byte("AT " + older.text + " Nobody"))
			if err != nil {
				panic(err)
			}
			h.server.Store().Damage([]byte(r.clientID), &line.Record)
			h.follow()
			return fmt.Sprintf("%s has %q instead of %q", h.self.Name, older.text, r.text)
		}
	}
	h.server.Store().Damage([]byte(r.clientID), nil)
	return fmt.Sprintf("%s has lost %q", h.self.Name, r.text)
}
