package logging

import (
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// maxLine is the maximum number of bytes of a line in an entry.
const maxLine = 1024

// Lines writes an entry for each line in and out, unless the level is above info. The loop stores lines
// unencoded, and the goroutine that writes them encodes them. But lines with escapes are encoded on the
// loop: encoding takes longer than receiving them, so clients that send binary data would fill the buffer
// and entries would be dropped. Loop only; it allocates nothing.
type Lines struct {
	out     *Buffer
	now     func() time.Time
	level   zap.AtomicLevel // info: lines are logged; debug: with complete replies to WHATSATs
	encoder lineEncoder
}

func newLines(out *Buffer, now func() time.Time, level zap.AtomicLevel) *Lines {
	return &Lines{out: out, now: now, level: level, encoder: lineEncoder{text: out.entries.text}}
}

// LineReceived implements herd.LineLog.
func (l *Lines) LineReceived(conn uint64, line []byte) { l.line(lineReceived, conn, line) }

// LineSent implements herd.LineLog.
func (l *Lines) LineSent(conn uint64, line []byte) { l.line(lineSent, conn, line) }

func (l *Lines) line(k kind, conn uint64, line []byte) {
	if !l.level.Enabled(zapcore.InfoLevel) {
		return
	}
	text := line[:min(len(line), maxLine)]
	if unescapedPrefix(text) == len(text) {
		l.out.add(k, conn, l.now(), text, len(line))
		return
	}
	l.encoder.buf = l.encoder.buf[:0]
	l.encoder.entry(k, conn, l.now(), text, len(line))
	_, _ = l.out.Write(l.encoder.buf) // never fails
}

// LookupSent implements herd.LineLog.
func (l *Lines) LookupSent(conn uint64, at []byte, status string, results int, reply []byte) {
	if !l.level.Enabled(zapcore.InfoLevel) {
		return
	}
	e := &l.encoder
	e.buf = e.buf[:0]
	e.begin("lookup sent", conn, l.now())
	e.line(at[:min(len(at), maxLine)], len(at))
	e.field("status")
	e.quote([]byte(status))
	e.field("results")
	e.number(results)
	e.field("bytes")
	e.number(len(reply))
	if l.level.Enabled(zapcore.DebugLevel) {
		e.field("reply")
		e.quote(reply)
	}
	e.end()
	_, _ = l.out.Write(e.buf) // never fails
}
