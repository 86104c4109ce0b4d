package sim

import (
	"fmt"
	"time"

	"github.com/cespare/xxhash/v2"
)

// good is the second phase: the herd must agree, must know it, and is then counted.
func (w *world) good() {
	if w.failure != nil {
		return
	}
	for _, h := range w.hosts {
		h.follow()
	}
	greatest := w.greatest()
	if !w.until(liveWithin, w.live) {
		w.fail("links", "not live %v after the heal:%s", liveWithin, w.describe())
		return
	}
	if !w.until(equalWithin, w.equal) {
		w.fail("agreement", "not equal %v after the last link was live:%s", equalWithin, w.describe())
		return
	}
	w.pass(time.Second) // whatever is still under way must change nothing
	w.same(greatest)
	w.pass(10 * time.Second) // for slow readers
	w.answered()
	if !w.until(time.Minute, w.written) {
		w.fail("journal", "not everything is on the disks:%s", w.describe())
	}
	begun := w.net.Elapsed()
	if !w.until(15*time.Second, func() bool { return w.measured(begun) }) {
		w.fail("agreement", "not measured:%s", w.describe())
	}
	if w.rand.IntN(3) == 0 {
		w.mend()
		w.same(greatest)
	}
	w.flood()
	w.inspectAll()
}

// greatest is, for each client, the greatest record that any server holds.
func (w *world) greatest() []*record {
	all := make([]*record, len(w.model.records))
	for _, h := range w.hosts {
		for client, r := range h.newest {
			if r != nil && (all[client] == nil || r.compare(all[client]) > 0) {
				all[client] = r
			}
		}
	}
	return all
}

// live says whether all links are, in both directions.
func (w *world) live() bool {
	for _, h := range w.hosts {
		for _, l := range h.server.Status().Links {
			if l.State != "live" || !l.Receiving {
				return false
			}
		}
	}
	return true
}

// equal says whether all servers have the same count and digest.
func (w *world) equal() bool {
	first := w.hosts[0].server.Store()
	for _, h := range w.hosts[1:] {
		if s := h.server.Store(); s.Len() != first.Len() || s.Digest() != first.Digest() {
			return false
		}
	}
	return true
}

// measured says whether each server has found since then to be in sync with each neighbor: so each
// link's MARKs count.
func (w *world) measured(since time.Duration) bool {
	for _, h := range w.hosts {
		for _, l := range h.server.Status().Links {
			if l.Agreement != "in sync" || h.reactor.Now().Sub(*l.Checked) > w.net.Elapsed()-since {
				return false
			}
		}
	}
	return true
}

// same checks that equal digests are equal records, that each store holds what was seen to go
// into it, and that nothing is older than it was.
func (w *world) same(greatest []*record) {
	for _, h := range w.hosts {
		count, digest := 0, uint64(0)
		for c := h.server.Store().Head(); ; {
			item, ok := c.Next()
			if !ok {
				c.Close()
				break
			}
			text := string(item.Record.Text())
			r := w.model.accepted[text]
			if r == nil || h.newestOf(r.client) != r {
				w.fail("agreement", "%s holds %q, which was not seen to be stored", h.self.Name, text)
				return
			}
			count++
			digest += xxhash.Sum64String(w.cfg.Herd.Name + "\n" + text)
		}
		if s := h.server.Store(); count != s.Len() || digest != uint64(s.Digest()) {
			w.fail("agreement", "%s says %d records and digest %s; it has %d and %016x", h.self.Name,
				s.Len(), s.Digest(), count, digest)
		}
		for client, want := range greatest {
			got := h.newestOf(client)
			switch {
			case got != w.hosts[0].newestOf(client):
				w.fail("agreement", "%s and %s differ, and their digests do not", h.self.Name, w.hosts[0].self.Name)
			case want != nil && (got == nil || got.compare(want) < 0):
				w.fail("greatest", "%s has %s; %q was somewhere when faults ended", h.self.Name,
					got.words(), want.text)
			}
		}
	}
}

func (r *record) words() string {
	if r == nil {
		return "nothing"
	}
	return fmt.Sprintf("%q", r.text)
}

// written checks that every disk has what its server has, a while after the heal.
func (w *world) written() bool {
	for _, h := range w.hosts {
		if h.disk == nil {
			continue
		}
		j := h.server.Status().Journal
		if !j.OK || j.Behind > 0 || len(h.disk.kept) != h.server.Store().Len() {
			return false
		}
		for _, r := range h.newest {
			if r != nil && h.disk.kept[r.clientID] != r.text {
				return false
			}
		}
	}
	return true
}

// answered checks that no client that is still connected waits for a reply.
func (w *world) answered() {
	for _, h := range w.hosts {
		for _, u := range h.users {
			u.check()
			if u.conn != nil && !u.conn.Closed() && len(u.pending) > 0 {
				w.fail("replies", "%s owes %d replies, the first %+v", h.self.Name, len(u.pending), u.pending[0])
			}
		}
	}
}

// floods is how many updates are counted, one by one.
const floods = 10

// flood checks what an update costs in a herd that is well: it reaches everyone, by no more lines
// than there are ways it does not come from.
func (w *world) flood() {
	most := 2*w.topology.edges - (len(w.hosts) - 1)
	for i := range floods {
		if w.failure != nil {
			return
		}
		h := w.anyHost()
		u := h.users[0]
		u.connect()
		before := w.result.ATLines
		id := fmt.Sprintf("flood%d", i)
		u.conn.SendString(fmt.Sprintf("IAMAT %s +1+1 1\n", id))
		h.sent[id+" +1+1 1"] = true
		u.expect(acknowledged, id+" +1+1 1")
		client := w.model.client(id)
		everywhere := func() bool {
			for _, h := range w.hosts {
				if h.newestOf(client) == nil {
					return false
				}
			}
			return true
		}
		if !w.until(10*time.Second, everywhere) {
			w.fail("flood", "%s is not everywhere 10 s later", id)
			return
		}
		w.pass(500 * time.Millisecond)
		if n := w.result.ATLines - before; n > most {
			w.fail("flood", "%d AT lines for one update at %s, at most %d are needed", n, h.self.Name, most)
		}
		u.check()
	}
}

// inspect looks at what a slow peer can make grow, and plans the next look.
func (w *world) inspect() {
	w.inspectAll()
	w.after(time.Second, w.inspect)
}

func (w *world) inspectAll() {
	for _, h := range w.hosts {
		if h.gone() {
			continue
		}
		s := h.server.Status()
		for _, l := range s.Links {
			if most := 1<<20 + 64<<10; l.Unacknowledged > most {
				w.fail("buffers", "%s has %d bytes unacknowledged to %s", s.Server, l.Unacknowledged, l.Neighbor)
			}
			if l.Repairs > 0 && !w.damaged {
				w.fail("false alarm", "%s repairs what %s has, and nothing is broken", s.Server, l.Neighbor)
			}
		}
		if most := 8 * (len(h.users) + len(s.Links)); s.Connections > most {
			w.fail("buffers", "%s has %d connections for %d neighbors and %d clients", s.Server,
				s.Connections, len(s.Links), len(h.users))
		}
	}
}
