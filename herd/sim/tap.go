package sim

import (
	"bytes"
	"strconv"
)

// tap listens to every line of one process. It is a herd.LineLog. Lines of clients only say that
// something happens; those of links are checked.
type tap struct {
	host  *host
	wires map[uint64]*wire // by connection
	known map[string]known // by neighbor
}

// known is the process of a neighbor that was welcomed last.
type known struct {
	epoch uint64
	acked bool // something of its feed
}

// wire is a connection between servers, as seen from one end.
type wire struct {
	to      string // the neighbor
	peer    uint64 // the epoch of the process at its other end
	dialled bool   // it is the one on which this end sends its records
	proven  bool
	copying bool // everything is sent on it, and it has not been broken
}

var (
	space   = []byte{' '}
	at      = []byte("AT ")
	hello   = []byte("HELLO ")
	welcome = []byte("WELCOME ")
	ack     = []byte("ACK ")
	nowhere = []byte(" - 0")
)

// LineReceived implements herd.LineLog.
func (t *tap) LineReceived(conn uint64, line []byte) {
	t.host.touch()
	c := t.wires[conn]
	switch {
	case c == nil:
		if bytes.HasPrefix(line, hello) {
			t.wires[conn] = &wire{to: string(bytes.Split(line, space)[3]), peer: number(line, 5)}
		}
	case c.dialled && bytes.HasPrefix(line, welcome):
		c.peer, c.proven = number(line, 1), true
		t.resumes(c, line)
		if bytes.HasSuffix(line, nowhere) {
			c.copying = true
			t.host.w.breakCopy(t.host, c)
		}
	case c.copying && bytes.HasPrefix(line, ack):
		t.host.w.breakCopy(t.host, c)
	case !c.dialled && c.proven && bytes.HasPrefix(line, at):
		t.arrived(c, line)
	}
}

// LineSent implements herd.LineLog.
func (t *tap) LineSent(conn uint64, line []byte) {
	c := t.wires[conn]
	switch {
	case c == nil:
		if bytes.HasPrefix(line, hello) {
			t.wires[conn] = &wire{dialled: true, to: string(bytes.Split(line, space)[4])}
		}
	case !c.dialled && bytes.HasPrefix(line, welcome):
		c.proven = true
		t.named(c, line)
	case !c.dialled && bytes.HasPrefix(line, ack):
		if k := t.known[c.to]; k.epoch == c.peer {
			t.known[c.to] = known{c.peer, true}
		}
	case c.dialled && c.proven && bytes.HasPrefix(line, at):
		t.departed(c, line)
	}
}

// LookupSent implements herd.LineLog.
func (t *tap) LookupSent(uint64, []byte, string, int, []byte) {}

// recordOf is the model's record of an AT line between servers.
func (t *tap) recordOf(line []byte, direction string) *record {
	text := line[len(at):max(len(at), bytes.LastIndex(line, space))]
	r := t.host.w.model.accepted[string(text)]
	if r == nil {
		t.host.follow() // stored in this very turn
		r = t.host.w.model.accepted[string(text)]
	}
	if r == nil {
		t.host.w.fail("accepted", "%s %s %q, which no server has made", t.host.self.Name, direction, line)
	}
	return r
}

func (t *tap) arrived(c *wire, line []byte) {
	h := t.host
	r := t.recordOf(line, "was sent")
	if r == nil {
		return
	}
	if r.first[h.index].generation != h.generation {
		r.first[h.index] = arrival{h.generation, c.peer}
	}
}

func (t *tap) departed(c *wire, line []byte) {
	h := t.host
	h.w.result.ATLines++
	r := t.recordOf(line, "sent")
	if r == nil {
		return
	}
	// A repair does send things back, and there is none without damage. So does the copy of a process
	// that was taken back, whichever process it was that a double came before or after: it knows only
	// that the neighbor has forgotten a position in its feed.
	f := r.first[h.index]
	if f.generation == h.generation && f.from == c.peer && c.peer != 0 && !h.w.damaged &&
		!(h.w.doubledAt(h, c.to) && h.link(c.to).State == "copying") {
		h.w.fail("returned", "%s sent %q to the process that it came from", h.self.Name, line)
	}
}

// named checks the place in a neighbor's feed that a WELCOME names: all that the neighbor's store
// has up to it must be here. Where something was acknowledged to this process, and no other process
// of its name has come since, there is a place.
func (t *tap) named(c *wire, line []byte) {
	h := t.host
	w := h.w
	before := t.known[c.to]
	if before.epoch != c.peer {
		before = known{epoch: c.peer}
		t.known[c.to] = before
	}
	fields := bytes.Split(line, space)
	if w.damaged || len(fields) != 5 {
		return
	}
	if string(fields[3]) == "-" {
		if before.acked {
			w.fail("positions", "%s asks for everything again", h.self.Name)
		}
		return
	}
	p := w.processes[number(line, 3)]
	if p == nil || p.server == nil || p.epoch != number(line, 3) {
		return
	}
	h.follow()
	since, _ := strconv.ParseUint(string(fields[4]), 10, 64)
	for feed := p.server.Store().Head(); ; {
		item, ok := feed.Next()
		if !ok || item.Seq > since {
			feed.Close()
			return
		}
		r := w.model.accepted[string(item.Record.Text())]
		if r == nil {
			continue // told of when it was stored
		}
		if mine := h.newestOf(r.client); mine == nil || mine.compare(r) < 0 {
			w.fail("positions", "%s says it has all of %s's feed up to %d; it has %s instead of %q",
				h.self.Name, p.self.Name, since, mine.words(), r.text)
		}
	}
}

// resumes notes that this process is about to be told where to go on. A place in its own feed must
// not make it begin anew.
func (t *tap) resumes(c *wire, line []byte) {
	h := t.host
	if number(line, 3) == h.epoch && !h.w.damaged {
		h.resuming = append(h.resuming, resuming{c.to, h.copies(c.to)})
	}
}

// number is a hexadecimal field of a line; 0 if it is none.
func number(line []byte, field int) uint64 {
	fields := bytes.Split(line, space)
	if field >= len(fields) {
		return 0
	}
	n, _ := strconv.ParseUint(string(fields[field]), 16, 64)
	return n
}
