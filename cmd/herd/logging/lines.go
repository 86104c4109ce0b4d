package logging

import (
	"encoding/binary"
	"io"
	"strconv"
	"time"
	"unicode"
	"unicode/utf8"
)

// maxLine bounds the bytes of a line that an entry repeats.
const maxLine = 1024

// Lines writes an entry for each line in and out. There are so many that they are encoded here,
// in the very form in which zap encodes all others. Loop only; it allocates nothing.
type Lines struct {
	out    io.Writer
	now    func() time.Time
	text   bool // zap's console form instead of JSON
	whole  bool // WHATSAT replies as a whole
	buf    []byte
	second int64 // of which stamp is the text
	stamp  []byte
}

// LineReceived implements herd.LineLog.
func (l *Lines) LineReceived(conn uint64, line []byte) { l.entry("line received", conn, line) }

// LineSent implements herd.LineLog.
func (l *Lines) LineSent(conn uint64, line []byte) { l.entry("line sent", conn, line) }

// LookupSent implements herd.LineLog.
func (l *Lines) LookupSent(conn uint64, at []byte, status string, results int, reply []byte) {
	l.begin("lookup sent", conn)
	l.line("line", at)
	l.field("status")
	l.quote([]byte(status))
	l.field("results")
	l.buf = strconv.AppendInt(l.buf, int64(results), 10)
	l.field("bytes")
	l.buf = strconv.AppendInt(l.buf, int64(len(reply)), 10)
	if l.whole {
		l.field("reply")
		l.quote(reply)
	}
	l.end()
}

func (l *Lines) entry(message string, conn uint64, line []byte) {
	l.begin(message, conn)
	l.line("line", line)
	l.end()
}

// begin starts an entry with what every entry has: level, time, message; and the connection.
func (l *Lines) begin(message string, conn uint64) {
	now := l.now()
	if l.text {
		l.time(l.buf[:0], now)
		l.buf = append(append(l.buf, "\tinfo\t"...), message...)
		l.buf = append(l.buf, "\t{\"conn\": "...)
	} else {
		l.time(append(l.buf[:0], `{"level":"info","time":"`...), now)
		l.buf = append(append(l.buf, `","msg":"`...), message...)
		l.buf = append(l.buf, `","conn":`...)
	}
	l.buf = strconv.AppendUint(l.buf, conn, 10)
}

// time appends now to dst as timeLayout has it. The seconds' text is made once a second.
func (l *Lines) time(dst []byte, now time.Time) {
	if s := now.Unix(); s != l.second || len(l.stamp) == 0 {
		l.second = s
		l.stamp = now.UTC().AppendFormat(l.stamp[:0], "2006-01-02T15:04:05.")
	}
	l.buf = append(dst, l.stamp...)
	micros := now.Nanosecond() / 1000
	for unit := 100_000; unit > 0; unit /= 10 {
		l.buf = append(l.buf, byte('0'+micros/unit%10))
	}
	l.buf = append(l.buf, 'Z')
}

func (l *Lines) field(key string) {
	if l.text {
		l.buf = append(append(append(l.buf, `, "`...), key...), `": `...)
	} else {
		l.buf = append(append(append(l.buf, `,"`...), key...), `":`...)
	}
}

// line appends a line, cut, with its length.
func (l *Lines) line(key string, line []byte) {
	l.field(key)
	l.quote(line[:min(len(line), maxLine)])
	l.field("length")
	l.buf = strconv.AppendInt(l.buf, int64(len(line)), 10)
}

func (l *Lines) quote(p []byte) { l.buf = appendQuoted(l.buf, p) }

func (l *Lines) end() {
	l.buf = append(l.buf, '}', '\n')
	_, _ = l.out.Write(l.buf)
}

const hexDigits = "0123456789abcdef"

// appendQuoted appends p as a JSON string in which every character that does not print is
// escaped, so that an entry is one line and no terminal obeys it. A byte that is no UTF-8 becomes
// \ufffd as in encoding/json.
func appendQuoted(dst, p []byte) []byte {
	dst = append(dst, '"')
	for i := 0; i < len(p); {
		start := i
		for i+8 <= len(p) && plain(binary.LittleEndian.Uint64(p[i:])) {
			i += 8
		}
		for i < len(p) && p[i] >= ' ' && p[i] < 0x7f && p[i] != '"' && p[i] != '\\' {
			i++
		}
		dst = append(dst, p[start:i]...)
		if i == len(p) {
			break
		}
		r, size := utf8.DecodeRune(p[i:])
		dst = appendRune(dst, r, p[i:i+size])
		i += size
	}
	return append(dst, '"')
}

// plain says whether all eight bytes print and stand for themselves in a JSON string. The highest bit
// of a byte says that it does not: those of x itself; of what is 0x7f, by adding one; of what is
// less than a space, by taking a space from it; and of a quote and a backslash, which are zero when
// compared and borrow when one is taken. A borrow can only mark more than it should, and then the
// bytes are looked at one by one.
func plain(x uint64) bool {
	const (
		each = 0x0101010101010101
		high = 0x80 * each
	)
	quote, slash := x^('"'*each), x^('\\'*each)
	return (x|(x+each)|(x-' '*each)|(quote-each)&^quote|(slash-each)&^slash)&high == 0
}

func appendRune(dst []byte, r rune, raw []byte) []byte {
	switch {
	case r == '"' || r == '\\':
		return append(dst, '\\', byte(r))
	case r == '\n':
		return append(dst, `\n`...)
	case r == '\r':
		return append(dst, `\r`...)
	case r == '\t':
		return append(dst, `\t`...)
	case r != utf8.RuneError && unicode.IsPrint(r):
		return append(dst, raw...)
	case r > 0xffff:
		r -= 0x10000
		dst = appendUnit(dst, 0xd800+r>>10)
		return appendUnit(dst, 0xdc00+r&0x3ff)
	}
	return appendUnit(dst, r)
}

func appendUnit(dst []byte, r rune) []byte {
	return append(dst, '\\', 'u', hexDigits[r>>12&15], hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15])
}
