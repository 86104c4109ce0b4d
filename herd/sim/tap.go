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
}

// wire is a connection between servers, as seen from one end.
type wire struct {
	peer    uint64 // the epoch of the process at its other end
	dialled bool   // it is the one on which this end sends its records
	proven  bool
}

var (
	space   = []byte{' '}
	at      = []byte("AT ")
	hello   = []byte("HELLO ")
	welcome = []byte("WELCOME ")
)

// LineReceived implements herd.LineLog.
func (t *tap) LineReceived(conn uint64, line []byte) {
	t.host.touch()
	c := t.wires[conn]
	switch {
	case c == nil:
		if bytes.HasPrefix(line, hello) {
			t.wires[conn] = &wire{peer: epoch(line, 5)}
		}
	case c.dialled && bytes.HasPrefix(line, welcome):
		c.peer, c.proven = epoch(line, 1), true
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
			t.wires[conn] = &wire{dialled: true}
		}
	case !c.dialled && bytes.HasPrefix(line, welcome):
		c.proven = true
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
	// A repair does send things back, and there is none without damage.
	if f := r.first[h.index]; f.generation == h.generation && f.from == c.peer && c.peer != 0 && !h.w.damaged {
		h.w.fail("returned", "%s sent %q to the process that it came from", h.self.Name, line)
	}
}

// epoch is a field of a line as a number; 0 if it is none.
func epoch(line []byte, field int) uint64 {
	fields := bytes.Split(line, space)
	if field >= len(fields) {
		return 0
	}
	n, _ := strconv.ParseUint(string(fields[field]), 16, 64)
	return n
}
