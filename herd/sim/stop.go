package sim

import (
	"fmt"
	"time"

	"serverherd/reactor/memreactor"
)

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

// stopBeside stops a server whose neighbor has just been started, empty or with its disk.
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

// stop lets the process leave in good order.
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

// hangUp closes a client's connection once the server has ended its side. Without that the server
// waits for a second, in which many links come up by themselves.
func (w *world) hangUp(c *memreactor.Client) {
	switch {
	case c == nil || c.Err() != nil:
	case c.EOF():
		c.Close()
	default:
		w.net.At(w.span(time.Millisecond, 5*time.Millisecond), func() { w.hangUp(c) })
	}
}

// trouble notes that something between a server and others is wrong, or may be, for a while.
func (w *world) trouble(d time.Duration, names ...string) {
	for _, name := range names {
		h := w.byName[name]
		h.troubled = max(h.troubled, w.net.Elapsed()+d)
	}
}

// lookAtStops is called after every event. A process that has just left in good order, in its time,
// must have handed over everything to each neighbor that was there since the stop began.
func (w *world) lookAtStops() {
	kept := w.stopping[:0]
	for _, h := range w.stopping {
		switch {
		case !h.stopping: // it has crashed meanwhile
		case h.reactor.Stopped():
			h.left()
		default:
			kept = append(kept, h)
		}
	}
	clear(w.stopping[len(kept):])
	w.stopping = kept
}

func (h *host) left() {
	w := h.w
	now := w.net.Elapsed()
	if h.server == nil || now-h.stopBegun >= w.cfg.Limits.Drain || h.troubled >= h.stopBegun {
		return
	}
	h.follow()
	for _, name := range h.self.Neighbors {
		heir := w.byName[name]
		if heir.server == nil || heir.stopping || !h.knows(name) || !heir.knows(h.self.Name) || max(heir.troubled, heir.started) >= h.stopBegun {
			continue
		}
		w.result.Handovers++
		if err := h.server.StopError(); err != nil && h.disk == nil {
			w.fail("handover", "%s has stopped in time: %v", h.self.Name, err)
		}
		heir.follow()
		for client, r := range h.newest {
			if r == nil || h.storedAt[client] >= now-lastTurns {
				continue
			}
			if got := heir.newestOf(client); got == nil || got.compare(r) < 0 {
				w.fail("handover", "%s has stopped with %q, and %s has %s", h.self.Name, r.text, name, got.words())
				return
			}
		}
	}
}

// lastTurns bounds the time between a server's decision to leave and its end. What still comes then
// it does not acknowledge.
const lastTurns = 10 * time.Microsecond
