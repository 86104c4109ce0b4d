package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"serverherd/herd"
	"serverherd/herd/config"
)

// cell is one of the two herds.
type cell struct {
	cfg   *config.Config
	mode  herd.BucketMode
	hosts []*host
}

// takes reports whether the herd stores a record: of the other herd it does so in mode share only.
func (c *cell) takes(r *record) bool {
	return c.mode == herd.BucketShare || c.hosts[0].w.byName[r.origin].cell == c
}

// RunCells runs the two herds that seed determines, cells that share a bucket. Its error is a *Failure.
func RunCells(seed uint64) (Result, error) { return newWorld(seed, drawCells).run() }

// cellsEqualWithin is within what time cells have the same records once all faults have ended. A record that was
// refused is published a minute later.
const cellsEqualWithin = 90 * time.Second

// drawCells draws two small herds. No server of one has a name in the other.
func drawCells(r *rand.Rand) topology {
	draw := func() topology {
		if n := 2 + r.IntN(3); n < 3 || r.IntN(2) == 0 {
			return line(n)
		} else {
			return ring(n)
		}
	}
	all, second := draw(), draw()
	all.cells = len(all.servers)
	all.name = fmt.Sprintf("cells: %s, %s", all.name, second.name)
	for i := range second.servers {
		s := &second.servers[i]
		for _, name := range []*string{&s.Name, &s.Address} {
			*name = "T" + strings.TrimPrefix(*name, "S")
		}
		for k, n := range s.Neighbors {
			s.Neighbors[k] = "T" + strings.TrimPrefix(n, "S")
		}
	}
	all.servers = append(all.servers, second.servers...)
	all.edges += second.edges
	return all
}

// shareBucket makes two herds of the hosts, with one or two bridges each.
func (w *world) shareBucket() {
	w.bucket = &bucket{w: w, entries: map[string]*entry{}, sent: map[string]int{}}
	w.bucket.batch = 64 << w.rand.IntN(3)
	if w.rand.IntN(3) > 0 {
		w.bucket.pass = w.span(15*time.Second, 40*time.Second)
	}
	n := w.topology.cells
	modes := []herd.BucketMode{herd.BucketShare, herd.BucketShare}
	if w.rand.IntN(2) == 0 {
		for i := range modes {
			modes[i] = herd.BucketMode(w.rand.IntN(3))
		}
	}
	w.result.Topology += fmt.Sprintf(", modes %v and %v", modes[0], modes[1])
	for i, hosts := range [][]*host{w.hosts[:n], w.hosts[n:]} {
		cfg := *w.cfg
		cfg.Herd.Name = fmt.Sprintf("cell%d", i)
		cfg.Servers = w.topology.servers[:n]
		if i == 1 {
			cfg.Servers = w.topology.servers[n:]
		}
		c := &cell{&cfg, modes[i], hosts}
		w.cells = append(w.cells, c)
		for _, h := range hosts {
			h.cell = c
		}
		first := w.rand.IntN(len(hosts))
		hosts[first].bridge = true
		if w.rand.IntN(2) == 0 {
			second := hosts[(first+1)%len(hosts)]
			second.bridge, second.rank = true, 1
		}
	}
}

// faultKinds returns the kinds of faults that may happen.
func (w *world) faultKinds() []faultKind {
	var more []faultKind
	if w.tokens != nil {
		more = tokenFaults
	}
	if w.bucket != nil {
		more = slices.Concat(more, bucketFaults)
	}
	return slices.Concat(more, faultKinds)
}

// bucketFaults are the kinds of faults that only cells have.
var bucketFaults = []faultKind{
	{"bucket absent", 10, (*world).bucketAbsent},
	{"bucket restart", 16, (*world).bucketRestart},
	{"bucket full", 8, (*world).bucketFull},
	{"bucket slow", 8, (*world).bucketSlow},
	{"bucket session", 12, (*world).bucketSessionLost},
	{"stranger", 12, (*world).stranger},
	{"cell", 6, (*world).crashCell},
}

// faulty records that there is a fault of the bucket, for a while.
func (b *bucket) faulty(d time.Duration) {
	b.lastFault = max(b.lastFault, b.w.net.Elapsed()+d)
}

func (w *world) bucketAbsent() string {
	b, d := w.bucket, w.duration()
	b.absent++
	b.restart(b.revision)
	b.faulty(d)
	w.after(d, func() { b.absent = max(0, b.absent-1) })
	return fmt.Sprintf("for %v", d)
}

// bucketRestart restarts the engine. What it had not written is lost, or everything.
func (w *world) bucketRestart() string {
	b := w.bucket
	was, lost := b.revision, uint64(0)
	switch w.rand.IntN(4) {
	case 0:
	case 1:
		lost = was
	default:
		lost = min(was, w.rand.Uint64N(100))
	}
	b.restart(was - lost)
	b.faulty(0)
	return fmt.Sprintf("with %d of %d revisions", was-lost, was)
}

func (w *world) bucketFull() string {
	b, d := w.bucket, w.duration()
	b.full++
	b.faulty(d)
	w.after(d, func() { b.full = max(0, b.full-1) })
	return fmt.Sprintf("for %v", d)
}

func (w *world) bucketSlow() string {
	b, d := w.bucket, w.duration()
	b.slow = w.span(10*time.Millisecond, 10*time.Second)
	b.faulty(d + 4*b.slow) // what was published last may take that long
	w.after(d, func() { b.slow = 0 })
	return fmt.Sprintf("by %v for %v", b.slow, d)
}

func (w *world) bucketSessionLost() string {
	b := w.bucket
	if len(b.sessions) == 0 {
		return ""
	}
	s := b.sessions[w.rand.IntN(len(b.sessions))]
	s.end(errSession)
	return "of " + s.host.self.Name
}

// stranger has somebody else write what is no client's newest record.
func (w *world) stranger() string {
	b := w.bucket
	id := w.client()
	b.faulty(0)
	value, what := "", "deletes an entry"
	switch w.rand.IntN(5) {
	case 0:
	case 1:
		value, what = "garbage", "writes garbage"
	case 2:
		value, what = "AT S0 +0.1 other.client +1+1 1520024323", "writes another client's record"
	case 3:
		value, what = "AT S0 +0.1 "+id+" +1+1 9999999999", "writes a record from the future"
	case 4:
		last := w.last(w.model.client(id))
		if last == nil {
			return ""
		}
		value, what = "AT "+last.text, "repeats a record"
	}
	b.put(id, value, nil)
	return what
}

// crashCell ends all processes of a herd. They are restarted, and have only what is on their disks and in the bucket.
func (w *world) crashCell() string {
	names := ""
	for _, h := range w.anyHost().cell.hosts {
		if h.gone() || h.stopping {
			continue
		}
		h.crash()
		w.after(w.span(0, 2*time.Second), h.restart)
		names += " " + h.self.Name
	}
	return "of" + names
}

// heal ends all faults of the bucket.
func (b *bucket) heal() { b.absent, b.full, b.slow = 0, 0, 0 }

// raise replaces, in the greatest records that servers have, those to which the bucket has a greater one. That is
// certain to be kept only if no bridge puts a lesser one over it, as it may if its server does not have that one.
// No put of the client may be on its way, either.
func (b *bucket) raise(all []*record) {
	for _, e := range b.order {
		r := b.recordOf(e)
		if b.entries[e.client] == e && b.sent[e.client] == 0 && r != nil &&
			(all[r.client] == nil || r.compare(all[r.client]) > 0) {
			all[r.client] = r
		}
	}
}

// replaced reports whether a record that a cell has lost may have been replaced in the bucket before the cell read it: by a
// greater one of the other cell, or by an update there if that cell does not keep records of this one.
func (b *bucket) replaced(r *record, c *cell) bool {
	e := b.entries[r.clientID]
	if e == nil {
		return false
	}
	kept := b.recordOf(e)
	if kept == nil || b.w.byName[kept.origin].cell == c {
		return false
	}
	return kept.compare(r) > 0 || !b.w.byName[kept.origin].cell.takes(r)
}

// has reports whether an entry is a record that is at least r.
func (b *bucket) has(e *entry, r *record) bool {
	if e == nil {
		return false
	}
	kept := b.recordOf(e)
	return kept != nil && kept.compare(r) >= 0
}

// recordOf returns the record in an entry; nil if there is none.
func (b *bucket) recordOf(e *entry) *record {
	text, ok := strings.CutPrefix(e.value, "AT ")
	if r := b.w.model.accepted[text]; ok && r != nil && r.clientID == e.client {
		return r
	}
	return nil
}

// cellsEqual reports whether the bucket has the greatest record of each client, and each cell has it, too, if it takes
// it. All servers of a cell must have the same records.
func (w *world) cellsEqual() bool {
	for client := range w.model.records {
		var greatest *record
		for _, c := range w.cells {
			if r := c.hosts[0].newestOf(client); r != nil && (greatest == nil || r.compare(greatest) > 0) {
				greatest = r
			}
		}
		if greatest == nil {
			continue
		}
		if kept := w.bucket.entries[greatest.clientID]; kept == nil || w.bucket.recordOf(kept) != greatest {
			return false
		}
		for _, c := range w.cells {
			if c.takes(greatest) && c.hosts[0].newestOf(client) != greatest {
				return false
			}
		}
	}
	return true
}

// published is within what time a record is in the bucket, without faults: two turns of the second bridge, and a while.
// A record of another cell takes longer.
const (
	published        = 4 * time.Second
	publishedForeign = 14 * time.Second
)

// crash ends the session of a process that crashes.
func (s *bucketSession) crash() {
	if !s.closed {
		other := func(o *bucketSession) bool { return o != s && o.host.cell == s.host.cell }
		if s.busy && s.landed > 0 && slices.ContainsFunc(s.bucket.sessions, other) {
			s.bucket.w.result.Unanswered++
		}
		s.checkPublished()
		s.drop()
	}
}

// checkPublished checks that the bucket has what the process stored a while ago.
func (s *bucketSession) checkPublished() {
	b, h := s.bucket, s.host
	now, fault := b.w.net.Elapsed(), max(b.lastFault, h.lastFault)
	if s.refused || h.server.Status().Bridge.State != herd.BridgeLive {
		return
	}
	h.follow()
	for client, r := range h.newest {
		if r == nil {
			continue
		}
		within, quiet := published, max(fault, s.since)
		if b.w.byName[r.origin].cell != h.cell {
			within, quiet = publishedForeign, max(fault, s.opened)
		}
		if now-max(quiet, h.storedAt[client]) < within {
			continue
		}
		b.w.result.Published++
		kept := b.entries[r.clientID]
		overwritten := kept != nil && now-kept.at < published && b.has(kept.before, r) // and not cured yet
		if !b.has(kept, r) && !overwritten {
			b.w.fail("published", "%s has stored %q %v ago; the bucket has %+v:%s", h.self.Name, r.text,
				now-h.storedAt[client], kept, b.w.describe())
			return
		}
	}
}

// floodCells checks the cost of an update without faults: all servers of the cell have it, those of the
// other cell, too, if that shares, and it is put in the bucket once.
func (w *world) floodCells() {
	b := w.bucket
	w.pass(2 * publishedForeign)
	for _, s := range b.sessions {
		s.checkPublished()
	}
	for i := range floods {
		if w.failure != nil {
			return
		}
		puts, rejected, lines := b.puts, b.rejected, w.result.ATLines
		h, id, client := w.sendFlood(i)
		everywhere := func() bool {
			for _, o := range w.hosts {
				if o.newestOf(client) == nil && (o.cell == h.cell || o.cell.mode == herd.BucketShare) {
					return false
				}
			}
			return true
		}
		if !w.until(published, everywhere) {
			w.fail("flood", "%s has not reached all servers after %v:%s", id, published, w.describe())
			return
		}
		w.pass(publishedForeign)
		if b.puts != puts+1 || b.rejected != rejected {
			w.fail("echo", "%d puts and %d rejected ones for one update at %s", b.puts-puts, b.rejected-rejected, h.self.Name)
		}
		if n := w.result.ATLines - lines; n > 2*w.topology.edges {
			w.fail("flood", "%d AT lines for one update at %s, on %d edges", n, h.self.Name, w.topology.edges)
		}
		h.users[0].check()
	}
}

// restoredWithin is within what time a herd has its records back from the bucket.
const restoredWithin = 20 * time.Second

// restoreCell ends all processes of a herd that has no disks, and starts them again. They get back what the bucket has.
func (w *world) restoreCell() {
	c := w.anyHost().cell
	if w.failure != nil || c.hosts[0].disk != nil {
		return
	}
	w.log("restore of " + c.cfg.Herd.Name)
	var want []*record
	for _, e := range w.bucket.order {
		if r := w.bucket.recordOf(e); w.bucket.entries[e.client] == e && r != nil && c.takes(r) {
			want = append(want, r)
		}
	}
	for _, h := range c.hosts {
		h.crash()
		w.net.At(w.span(0, 2*time.Second), h.restart)
	}
	restored := w.until(restoredWithin, func() bool {
		for _, h := range c.hosts {
			if h.gone() || !h.server.Status().Ready || h.bridge && !h.server.Status().Bridge.Restored {
				return false
			}
			for _, r := range want {
				if h.newestOf(r.client) != r {
					return false
				}
			}
		}
		return true
	})
	w.result.Restored += len(want)
	if !restored {
		w.fail("restored", "%s does not have all %d records of the bucket after %v:%s", c.cfg.Herd.Name, len(want),
			restoredWithin, w.describe())
	}
}
