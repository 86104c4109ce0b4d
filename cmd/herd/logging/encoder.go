package logging

import (
	"bytes"
	"encoding/binary"
	"strconv"
	"time"
	"unicode"
	"unicode/utf8"

	"serverherd/herd/config"
)

// lineEncoder appends the entries of lines to buf, in exactly the form of zap's encoders. One goroutine.
type lineEncoder struct {
	text   bool // zap's console form instead of JSON
	buf    []byte
	second int64 // the Unix time that stamp is the text of
	stamp  []byte
}

// entry appends the entry of a line. The line may be truncated; length is its original length.
func (e *lineEncoder) entry(k kind, conn uint64, at time.Time, line []byte, length int) {
	message := "line received"
	if k == lineSent {
		message = "line sent"
	}
	e.begin(message, conn, at)
	e.line(line, length)
	e.end()
}

// LineSize is the size of the entry of a line with the given length and no escapes, in bytes.
func LineSize(c *config.Log, length int) int {
	e := lineEncoder{text: c.Format == "text"}
	e.entry(lineReceived, 1000, time.Now(), bytes.Repeat([]byte{'x'}, min(length, maxLine)), length)
	return len(e.buf)
}

// begin starts an entry: level, time, message and connection.
func (e *lineEncoder) begin(message string, conn uint64, at time.Time) {
	if e.text {
		e.time(at)
		e.buf = append(append(e.buf, "\tinfo\t"...), message...)
		e.buf = append(e.buf, "\t{\"conn\": "...)
	} else {
		e.buf = append(e.buf, `{"level":"info","time":"`...)
		e.time(at)
		e.buf = append(append(e.buf, `","msg":"`...), message...)
		e.buf = append(e.buf, `","conn":`...)
	}
	e.buf = strconv.AppendUint(e.buf, conn, 10)
}

// time appends a time in TimeLayout. It formats the seconds only once per second.
func (e *lineEncoder) time(at time.Time) {
	if s := at.Unix(); s != e.second || len(e.stamp) == 0 {
		e.second = s
		e.stamp = at.UTC().AppendFormat(e.stamp[:0], "2006-01-02T15:04:05.")
	}
	e.buf = append(append(e.buf, e.stamp...), "000000Z"...)
	micros := at.Nanosecond() / 1000
	for i := len(e.buf) - 2; micros > 0; i-- {
		e.buf[i] = byte('0' + micros%10)
		micros /= 10
	}
}

func (e *lineEncoder) field(key string) {
	if e.text {
		e.buf = append(append(append(e.buf, `, "`...), key...), `": `...)
	} else {
		e.buf = append(append(append(e.buf, `,"`...), key...), `":`...)
	}
}

// line appends a line, which may be truncated, and its original length.
func (e *lineEncoder) line(line []byte, length int) {
	e.field("line")
	e.quote(line)
	e.field("length")
	e.number(length)
}

func (e *lineEncoder) number(n int)   { e.buf = strconv.AppendInt(e.buf, int64(n), 10) }
func (e *lineEncoder) quote(p []byte) { e.buf = appendQuoted(e.buf, p) }
func (e *lineEncoder) end()           { e.buf = append(e.buf, '}', '\n') }

const hexDigits = "0123456789abcdef"

// appendQuoted appends p as a JSON string with all unprintable characters escaped, so that an entry is one
// line and is safe for a terminal. Invalid UTF-8 becomes \ufffd as in encoding/json.
func appendQuoted(dst, p []byte) []byte {
	dst = append(dst, '"')
	for i := 0; i < len(p); {
		n := unescapedPrefix(p[i:])
		dst = append(dst, p[i:i+n]...)
		i += n
		if i == len(p) {
			break
		}
		r, size := utf8.DecodeRune(p[i:])
		dst = appendRune(dst, r, p[i:i+size])
		i += size
	}
	return append(dst, '"')
}

// unescapedPrefix is the number of bytes at the beginning of p that need no escape in appendQuoted and are
// ASCII.
func unescapedPrefix(p []byte) (n int) {
	for n+8 <= len(p) && unescaped8(binary.LittleEndian.Uint64(p[n:])) {
		n += 8
	}
	for n < len(p) && p[n] >= ' ' && p[n] < 0x7f && p[n] != '"' && p[n] != '\\' {
		n++
	}
	return n
}

// unescaped8 reports whether none of the eight bytes of x needs an escape, by setting the highest bit of
// each byte that does: x itself for non-ASCII bytes; x+1 for 0x7f; x-' ' for control characters; and for
// quotes and backslashes, which are zero after the XOR, the borrow of a subtraction of one. A borrow into
// the next byte can only mark too many bytes; then they are checked one by one.
func unescaped8(x uint64) bool {
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
