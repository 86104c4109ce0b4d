package herd

import (
	"bytes"

	"go.uber.org/zap"
)

var (
	crlf    = []byte("\r\n")
	newline = []byte{'\n'}
)

// traffic counts what a connection has carried. Loop only.
type traffic struct{ linesIn, linesOut, bytesIn, bytesOut uint64 }

// fields appends the counts to those of a log entry.
func (t traffic) fields(to []zap.Field) []zap.Field {
	return append(to, zap.Uint64("lines_in", t.linesIn), zap.Uint64("lines_out", t.linesOut),
		zap.Uint64("bytes_in", t.bytesIn), zap.Uint64("bytes_out", t.bytesOut))
}

// sent counts and logs lines that end in CRLF.
func (t *traffic) sent(id uint64, lines []byte, log LineLog) {
	t.bytesOut += uint64(len(lines))
	t.linesOut += uint64(bytes.Count(lines, newline))
	if log == nil {
		return
	}
	for len(lines) > 0 {
		line, rest, _ := bytes.Cut(lines, crlf)
		log.LineSent(id, line)
		lines = rest
	}
}
