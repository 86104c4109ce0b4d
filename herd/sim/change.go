package sim

import (
	"fmt"
	"slices"
	"time"

	"serverherd/herd/config"
)

// change is a rolling change of herd.toml: one server joins or leaves the herd. A process uses the herd.toml that is
// current when it starts.
type change struct {
	host          *host
	joins         bool
	with, without *config.Config
	begun         bool
}

// planChange draws a change for some of the smaller herds.
func (w *world) planChange() {
	n := len(w.hosts)
	if n < 4 || n > 8 || w.rand.IntN(4) > 0 {
		return
	}
	h := w.anyHost()
	without := *w.cfg
	without.Servers = slices.Clone(w.cfg.Servers)
	without.Servers = slices.Delete(without.Servers, h.index, h.index+1)
	for i, s := range without.Servers {
		without.Servers[i].Neighbors = slices.DeleteFunc(slices.Clone(s.Neighbors),
			func(name string) bool { return name == h.self.Name })
	}
	if !connected(without.Servers) {
		return
	}
	w.change = &change{host: h, joins: w.rand.IntN(2) == 0, with: w.cfg, without: &without}
	if w.change.joins {
		w.cfg, h.absent = &without, true
	}
}

// connected reports whether each server can be reached from each other.
func connected(servers []config.Server) bool {
	neighbors := map[string][]string{}
	for _, s := range servers {
		neighbors[s.Name] = s.Neighbors
	}
	reached := map[string]bool{servers[0].Name: true}
	for next := []string{servers[0].Name}; len(next) > 0; next = next[1:] {
		for _, name := range neighbors[next[0]] {
			if !reached[name] {
				reached[name] = true
				next = append(next, name)
			}
		}
	}
	return len(reached) == len(servers)
}

// beginChange starts or stops the server. The others use the new herd.toml when they are restarted.
func (w *world) beginChange() {
	c := w.change
	if c == nil || c.begun {
		return
	}
	c.begun = true
	if c.joins {
		w.log(c.host.self.Name + " joins")
		w.cfg, c.host.absent = c.with, false
		c.host.start()
	} else {
		w.log(c.host.self.Name + " leaves")
		w.cfg, c.host.absent = c.without, true
		c.host.stop()
	}
	w.after(w.span(0, 2*time.Second), w.roll)
}

// roll restarts one server that has an old herd.toml, and schedules the next restart.
func (w *world) roll() {
	if h := w.outdated(); h != nil {
		w.log("stop for the new herd.toml " + h.self.Name)
		h.stop()
		w.after(w.span(time.Millisecond, 100*time.Millisecond), h.restart)
	}
	w.after(w.span(100*time.Millisecond, 4*time.Second), w.roll)
}

// outdated returns a server that should be restarted now, when all others are ready; nil if there is none.
func (w *world) outdated() (old *host) {
	for _, h := range w.hosts {
		switch {
		case h.absent && h.gone():
		case h.gone() || h.stopping || !h.server.Status().Ready:
			return nil
		case h.cfg != w.cfg:
			old = h
		}
	}
	return old
}

// endChange is called repeatedly during the heal, until all servers use the new herd.toml. Then a server that has left
// is removed.
func (w *world) endChange() (done bool) {
	c := w.change
	if c == nil {
		return true
	}
	if c.joins {
		w.beginChange()
	}
	if h := w.outdated(); h != nil {
		h.stop()
	}
	for _, h := range w.hosts {
		if h.stopping || !h.absent && h.cfg != w.cfg {
			return false
		}
	}
	if c.host.absent {
		w.hosts = slices.DeleteFunc(slices.Clone(w.hosts), func(h *host) bool { return h == c.host })
		w.topology.edges -= len(c.host.self.Neighbors)
	}
	return true
}

// knows reports whether a process of h has another server as its neighbor.
func (h *host) knows(name string) bool {
	for _, s := range h.cfg.Servers {
		if s.Name == h.self.Name {
			return slices.Contains(s.Neighbors, name)
		}
	}
	return false
}

func (c *change) String() string {
	what := "leaves"
	if c.joins {
		what = "joins"
	}
	return fmt.Sprintf(", %s %s", c.host.self.Name, what)
}
