package sim

import (
	"bytes"
	"strconv"
)

// tap is a herd.LineLog that sees every line of one process. Lines of clients only mark the host as touched; those of
// links are checked.
type tap struct {
	host  *host
	wires map[uint64]*wire // by connection
	known map[string]known // by neighbor
}

// known is the neighbor's process that was welcomed last.
type known struct {
	epoch uint64
	acked bool // a part of its feed was acknowledged
}

// wire is a connection between servers, as seen from one end.
type wire struct {
	to      string // the neighbor
	peer    uint64 // the epoch of the process at the other end
	dialed  bool   // by this end, which sends its records on it
	proven  bool
	copying bool // a full copy is sent on it, and was not reset yet
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
	case c.dialed && bytes.HasPrefix(line, welcome):
		c.peer, c.proven = number(line, 1), true
		t.noteResume(c, line)
		if bytes.HasSuffix(line, nowhere) {
			c.copying = true
			t.host.w.breakCopy(t.host, c)
		}
	case c.copying && bytes.HasPrefix(line, ack):
		t.host.w.breakCopy(t.host, c)
	case !c.dialed && c.proven && bytes.HasPrefix(line, at):
		t.noteReceived(c, line)
	}
}

// LineSent implements herd.LineLog.
func (t *tap) LineSent(conn uint64, line []byte) {
	c := t.wires[conn]
	switch {
	case c == nil:
		if bytes.HasPrefix(line, hello) {
			t.wires[conn] = &wire{dialed: true, to: string(bytes.Split(line, space)[4])}
		}
	case !c.dialed && bytes.HasPrefix(line, welcome):
		c.proven = true
		t.checkWelcome(c, line)
	case !c.dialed && bytes.HasPrefix(line, ack):
		if k := t.known[c.to]; k.epoch == c.peer {
			t.known[c.to] = known{c.peer, true}
		}
	case c.dialed && c.proven && bytes.HasPrefix(line, at):
		t.checkSent(c, line)
	}
}

// LookupSent implements herd.LineLog.
func (t *tap) LookupSent(uint64, []byte, string, int, []byte) {}

// recordOf returns the model's record of an AT line between servers.
func (t *tap) recordOf(line []byte, direction string) *record {
	text := line[len(at):max(len(at), bytes.LastIndex(line, space))]
	r := t.host.w.model.accepted[string(text)]
	if r == nil {
		t.host.follow() // stored in this turn
		r = t.host.w.model.accepted[string(text)]
	}
	if r == nil {
		t.host.w.fail("accepted", "%s %s %q, which no server has made", t.host.self.Name, direction, line)
	}
	return r
}

func (t *tap) noteReceived(c *wire, line []byte) {
	h := t.host
	r := t.recordOf(line, "received")
	if r == nil {
		return
	}
	if r.first[h.index].generation != h.generation {
		r.first[h.index] = arrival{h.generation, c.peer}
	}
}

func (t *tap) checkSent(c *wire, line []byte) {
	h := t.host
	h.w.result.ATLines++
	r := t.recordOf(line, "sent")
	if r == nil {
		return
	}
	// A repair does send records back, but there is none without damage. So does the full copy of a process that was
	// taken back after a duplicate, whichever of the two was there first: it only knows that the neighbor has forgotten a
	// position in its feed.
	f := r.first[h.index]
	if f.generation == h.generation && f.from == c.peer && c.peer != 0 && !h.w.damaged &&
		!(h.w.duplicateDialed(h, c.to) && h.link(c.to).State == "copying") {
		h.w.fail("returned", "%s sent %q to the process that it came from", h.self.Name, line)
	}
}

// checkWelcome checks the position in a neighbor's feed that a WELCOME names: all that the neighbor's store has up to it
// must be here. If something was acknowledged to this process, and no other process with its name has connected since,
// there must be a position.
func (t *tap) checkWelcome(c *wire, line []byte) {
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
			w.fail("positions", "%s requests everything again", h.self.Name)
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
			return
		}
		r := w.model.accepted[string(item.Record.Text())]
		if r == nil {
			continue // reported when it was stored
		}
		if mine := h.newestOf(r.client); mine == nil || mine.compare(r) < 0 {
			w.fail("positions", "%s says that it has all of %s's feed up to %d; it has %s instead of %q",
				h.self.Name, p.self.Name, since, mine, r.text)
		}
	}
}

// noteResume records that this process is about to receive a position to resume from. With a position in its own feed it
// must not begin a full copy.
func (t *tap) noteResume(c *wire, line []byte) {
	h := t.host
	if number(line, 3) == h.epoch && !h.w.damaged {
		h.resuming = append(h.resuming, resuming{c.to, h.copies(c.to)})
	}
}

// number parses a hexadecimal field of a line; 0 if it is invalid.
func number(line []byte, field int) uint64 {
	fields := bytes.Split(line, space)
	if field >= len(fields) {
		return 0
	}
	n, _ := strconv.ParseUint(string(fields[field]), 16, 64)
	return n
}
