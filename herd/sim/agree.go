package sim

import (
	"fmt"
	"time"

	"github.com/cespare/xxhash/v2"

	"serverherd/herd"
)

// checkPhase is the second phase: the herd must agree, and each link must find that it is in sync.
func (w *world) checkPhase() {
	if w.failure != nil {
		return
	}
	for _, h := range w.hosts {
		h.follow()
	}
	equalWithin := equalWithin
	if w.bucket != nil {
		equalWithin = cellsEqualWithin
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
	w.pass(time.Second) // what is still in flight must change nothing
	w.checkEqual(greatest)
	w.pass(10 * time.Second) // for slow readers
	w.checkReplies()
	if !w.until(time.Minute, w.journalsComplete) {
		w.fail("journal", "not everything is on the disks:%s", w.describe())
	}
	begun := w.net.Elapsed()
	if !w.until(15*time.Second, func() bool { return w.inSync(begun) }) {
		w.fail("agreement", "not measured:%s", w.describe())
	}
	if w.bucket != nil {
		w.floodCells()
		w.checkAsks()
		w.restoreCell()
		w.inspectAll()
		return
	}
	if w.rand.IntN(3) == 0 {
		w.repair()
		w.checkEqual(greatest)
	}
	w.flood()
	w.inspectAll()
}

// greatest returns, for each client, the greatest record that any server has or, if both cells share, the bucket. Of a cell
// in another mode it is the greatest one that a server of that cell has.
func (w *world) greatest() map[*cell][]*record {
	all := w.greatestOf(w.hosts)
	by := map[*cell][]*record{nil: all}
	shared := true
	for _, c := range w.cells {
		by[c] = all
		if c.mode != herd.BucketShare {
			by[c], shared = w.greatestOf(c.hosts), false
		}
	}
	if w.bucket != nil && shared {
		w.bucket.raise(all)
	}
	return by
}

func (w *world) greatestOf(hosts []*host) []*record {
	all := make([]*record, len(w.model.records))
	for _, h := range hosts {
		for client, r := range h.newest {
			if r != nil && (all[client] == nil || r.compare(all[client]) > 0) {
				all[client] = r
			}
		}
	}
	return all
}

// live reports whether all links are live, in both directions.
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

// equal reports whether all servers of each herd have the same count and digest, and the herds and the bucket agree.
func (w *world) equal() bool {
	first := w.hosts[0].server.Store()
	for i, h := range w.hosts[1:] {
		if h.cell != w.hosts[i].cell {
			first = h.server.Store()
		}
		if s := h.server.Store(); s.Len() != first.Len() || s.Digest() != first.Digest() {
			return false
		}
	}
	return w.bucket == nil || w.cellsEqual()
}

// inSync reports whether each server has found since then to be in sync with each neighbor, for which the MARKs of each
// link must count.
func (w *world) inSync(since time.Duration) bool {
	for _, h := range w.hosts {
		for _, l := range h.server.Status().Links {
			if l.Agreement != "in sync" || h.reactor.Now().Sub(*l.Checked) > w.net.Elapsed()-since {
				return false
			}
		}
	}
	return true
}

// checkEqual checks that equal digests mean equal records, that each store contains what it was seen to store, and that
// no record is older than greatest.
func (w *world) checkEqual(greatest map[*cell][]*record) {
	for _, h := range w.hosts {
		count, digest := 0, uint64(0)
		for c := h.server.Store().Head(); ; {
			item, ok := c.Next()
			if !ok {
				break
			}
			text := string(item.Record.Text())
			r := w.model.accepted[text]
			if r == nil || h.newestOf(r.client) != r {
				w.fail("agreement", "%s has %q, which it was not seen to store", h.self.Name, text)
				return
			}
			count++
			digest += xxhash.Sum64String(h.cfg.Herd.Name + "\n" + text)
		}
		if s := h.server.Store(); count != s.Len() || digest != uint64(s.Digest()) {
			w.fail("agreement", "%s reports %d records and digest %s; it has %d and %016x", h.self.Name,
				s.Len(), s.Digest(), count, digest)
		}
		first := w.hosts[0]
		if h.cell != nil {
			first = h.cell.hosts[0]
		}
		for client, want := range greatest[h.cell] {
			got := h.newestOf(client)
			switch {
			case got != first.newestOf(client):
				w.fail("agreement", "%s and %s differ, but their digests are equal", h.self.Name, first.self.Name)
			case want != nil && (got == nil || got.compare(want) < 0) && !(h.cell != nil && w.bucket.replaced(want, h.cell)):
				w.fail("greatest", "%s has %s; %q existed when faults ended", h.self.Name,
					got, want.text)
			}
		}
	}
}

func (r *record) String() string {
	if r == nil {
		return "nothing"
	}
	return fmt.Sprintf("%q", r.text)
}

// journalsComplete reports whether every disk has what its server has.
func (w *world) journalsComplete() bool {
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

// checkReplies checks that no client that is still connected waits for a reply.
func (w *world) checkReplies() {
	for _, h := range w.hosts {
		for _, u := range h.users {
			u.check()
			if u.conn != nil && !u.conn.Closed() && len(u.pending) > 0 {
				w.fail("replies", "%s has not sent %d replies, the first %+v", h.self.Name, len(u.pending), u.pending[0])
			}
		}
	}
}

// floods is the number of updates whose AT lines are counted.
const floods = 10

// sendFlood tells any host where a new client is.
func (w *world) sendFlood(i int) (h *host, id string, client int) {
	h = w.anyHost()
	u := h.users[0]
	u.connect()
	id = fmt.Sprintf("flood%d", i)
	u.conn.SendString(fmt.Sprintf("IAMAT %s +1+1 1\n", id))
	h.sent[id+" +1+1 1"] = true
	u.expect(acknowledged, id+" +1+1 1")
	return h, id, w.model.client(id)
}

// flood checks the cost of an update without faults: it reaches all servers, with at most one AT line per directed edge
// that does not lead back to where the update came from.
func (w *world) flood() {
	most := 2*w.topology.edges - (len(w.hosts) - 1)
	for i := range floods {
		if w.failure != nil {
			return
		}
		before := w.result.ATLines
		h, id, client := w.sendFlood(i)
		everywhere := func() bool {
			for _, h := range w.hosts {
				if h.newestOf(client) == nil {
					return false
				}
			}
			return true
		}
		if !w.until(10*time.Second, everywhere) {
			w.fail("flood", "%s has not reached all servers after 10 s", id)
			return
		}
		w.pass(500 * time.Millisecond)
		if n := w.result.ATLines - before; n > most {
			w.fail("flood", "%d AT lines for one update at %s, at most %d are needed", n, h.self.Name, most)
		} else {
			w.checkFlood(id, n)
		}
		h.users[0].check()
	}
}

// inspect checks everything that a slow peer can make grow, and schedules the next check.
func (w *world) inspect() {
	w.inspectAll()
	w.after(time.Second, w.inspect)
}

func (w *world) inspectAll() {
	w.traceOne()
	for _, h := range w.hosts {
		if h.gone() {
			continue
		}
		s := h.server.Status()
		for _, l := range s.Links {
			if most := 1<<20 + 64<<10; l.Unacknowledged > most {
				w.fail("buffers", "%s has %d unacknowledged bytes to %s", s.Server, l.Unacknowledged, l.Neighbor)
			}
			if l.Repairs > 0 && !w.damaged {
				w.fail("false alarm", "%s repairs %s without damage", s.Server, l.Neighbor)
			}
		}
		if most := 8 * (len(h.users) + len(s.Links)); s.Connections > most {
			w.fail("buffers", "%s has %d connections for %d neighbors and %d clients", s.Server,
				s.Connections, len(s.Links), len(h.users))
		}
	}
}
