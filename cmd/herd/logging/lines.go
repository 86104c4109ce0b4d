package logging

import "time"

// maxLine bounds the bytes of a line that an entry repeats.
const maxLine = 1024

// Lines writes an entry for each line in and out. There are so many that the loop hands them over as
// they are, and the goroutine that writes them makes the entries. Those that need escapes take that
// goroutine longer than the loop needs for the next: the loop makes their entries itself, so that
// whoever sends noise waits, and no entry is lost. Loop only; it allocates nothing.
type Lines struct {
	out   *Buffer
	now   func() time.Time
	whole bool // WHATSAT replies as a whole
	own   lineEncoder
}

func newLines(out *Buffer, now func() time.Time, whole bool) *Lines {
	return &Lines{out: out, now: now, whole: whole, own: lineEncoder{text: out.entries.text}}
}

// LineReceived implements herd.LineLog.
func (l *Lines) LineReceived(conn uint64, line []byte) { l.line(lineReceived, conn, line) }

// LineSent implements herd.LineLog.
func (l *Lines) LineSent(conn uint64, line []byte) { l.line(lineSent, conn, line) }

func (l *Lines) line(k kind, conn uint64, line []byte) {
	text := line[:min(len(line), maxLine)]
	if plainPrefix(text) == len(text) {
		l.out.add(k, conn, l.now(), text, len(line))
		return
	}
	l.own.buf = l.own.buf[:0]
	l.own.entry(k, conn, l.now(), text, len(line))
	_, _ = l.out.Write(l.own.buf) // it never fails
}

// LookupSent implements herd.LineLog.
func (l *Lines) LookupSent(conn uint64, at []byte, status string, results int, reply []byte) {
	e := &l.own
	e.buf = e.buf[:0]
	e.begin("lookup sent", conn, l.now())
	e.line(at[:min(len(at), maxLine)], len(at))
	e.field("status")
	e.quote([]byte(status))
	e.field("results")
	e.number(results)
	e.field("bytes")
	e.number(len(reply))
	if l.whole {
		e.field("reply")
		e.quote(reply)
	}
	e.end()
	_, _ = l.out.Write(e.buf) // it never fails
}
