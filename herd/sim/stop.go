package sim

import (
	"fmt"
	"time"

	"serverherd/reactor/memreactor"
)

// stop stops and restarts one server, as in a rolling restart.
func (w *world) stop() string {
	h := w.anyHost()
	if h.gone() || h.stopping {
		return ""
	}
	h.stop()
	w.after(w.span(time.Millisecond, time.Second), h.restart)
	return h.self.Name
}

// stopAll stops all servers, or some, at the same moment.
func (w *world) stopAll() string {
	names := ""
	few := w.rand.IntN(2) == 0
	for _, h := range w.hosts {
		if h.gone() || h.stopping || few && w.rand.IntN(2) == 0 {
			continue
		}
		h.stop()
		w.after(w.span(time.Millisecond, time.Second), h.restart)
		names += " " + h.self.Name
	}
	return "of" + names
}

// stopBeside stops a server whose neighbor was just started, empty or with its disk.
func (w *world) stopBeside() string {
	a, b := w.anyEdge()
	h, n := w.byName[a], w.byName[b]
	if h.gone() || h.stopping || n.gone() || n.stopping {
		return ""
	}
	n.crash()
	down := w.span(0, 3*time.Second)
	w.after(down, n.restart)
	after := w.span(0, 100*time.Millisecond)
	w.after(down+after, func() {
		if h.gone() || h.stopping {
			return
		}
		h.stop()
		w.after(w.span(time.Millisecond, time.Second), h.restart)
	})
	return fmt.Sprintf("%s crashes for %v, and %s stops %v later", b, down, a, after)
}

// stop stops the process in good order.
func (h *host) stop() {
	if h.server != nil && !h.stopping {
		h.stopping, h.stopBegun = true, h.w.net.Elapsed()
		h.w.stopping = append(h.w.stopping, h)
		h.reactor.Stop()
		if h.w.rand.IntN(4) > 0 {
			for _, u := range h.users {
				h.w.hangUp(u.conn)
			}
		}
	}
}

// hangUp closes a client's connection once the server has closed its side. Otherwise the server waits for a second, in
// which many links come up by themselves.
func (w *world) hangUp(c *memreactor.Client) {
	switch {
	case c == nil || c.Err() != nil:
	case c.EOF():
		c.Close()
	default:
		w.net.At(w.span(time.Millisecond, 5*time.Millisecond), func() { w.hangUp(c) })
	}
}

// markFaultFor records that there is, or may be, a fault between a server and others for a while.
func (w *world) markFaultFor(d time.Duration, names ...string) {
	for _, name := range names {
		h := w.byName[name]
		h.faultUntil = max(h.faultUntil, w.net.Elapsed()+d)
	}
}

// checkStops is called after every event. A process that has stopped in good order, within the drain time, must have
// handed over everything to each neighbor that was up since the stop began.
func (w *world) checkStops() {
	kept := w.stopping[:0]
	for _, h := range w.stopping {
		switch {
		case !h.stopping: // it has crashed meanwhile
		case h.reactor.Stopped():
			h.checkHandover()
		default:
			kept = append(kept, h)
		}
	}
	clear(w.stopping[len(kept):])
	w.stopping = kept
}

func (h *host) checkHandover() {
	w := h.w
	now := w.net.Elapsed()
	if h.server == nil || now-h.stopBegun >= w.cfg.Limits.Drain || h.faultUntil >= h.stopBegun {
		return
	}
	h.follow()
	for _, name := range h.self.Neighbors {
		neighbor := w.byName[name]
		if neighbor.server == nil || neighbor.stopping || !h.knows(name) || !neighbor.knows(h.self.Name) || max(neighbor.faultUntil, neighbor.started) >= h.stopBegun {
			continue
		}
		w.result.Handovers++
		if err := h.server.StopError(); err != nil && h.disk == nil {
			w.fail("handover", "%s has stopped within the drain time: %v", h.self.Name, err)
		}
		neighbor.follow()
		for client, r := range h.newest {
			if r == nil || h.storedAt[client] >= now-lastTurns {
				continue
			}
			if got := neighbor.newestOf(client); got == nil || got.compare(r) < 0 {
				w.fail("handover", "%s has stopped with %q, and %s has %s", h.self.Name, r.text, name, got)
				return
			}
		}
	}
}

// lastTurns is the maximum time between a server's decision to end and its end. What it receives then is not
// acknowledged.
const lastTurns = 10 * time.Microsecond
