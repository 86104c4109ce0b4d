package logging

import (
	"encoding/binary"
	"time"
)

// A chunk consists of records: a header, followed by an encoded entry or a line.
//
//	offset  bytes
//	0       4      length of the data after the header
//	4       1      kind
//	5       4      of a line: its length before truncation
//	9       8      of a line: its connection
//	17      8      of a line: its time, in microseconds since 1970
const header = 25

// kind is the kind of a record.
type kind byte

const (
	entry kind = iota
	lineReceived
	lineSent
)

// appendRecord appends a record to dst.
//
// #nosec G115 -- a line has at most limits.max_line, 1 MiB, an entry not much more; record makes the time an int64 again
func appendRecord(dst []byte, k kind, conn uint64, at time.Time, text []byte, length int) []byte {
	var h [header]byte
	binary.LittleEndian.PutUint32(h[0:], uint32(len(text)))
	h[4] = byte(k)
	if k != entry {
		binary.LittleEndian.PutUint32(h[5:], uint32(length))
		binary.LittleEndian.PutUint64(h[9:], conn)
		binary.LittleEndian.PutUint64(h[17:], uint64(at.UnixMicro()))
	}
	return append(append(dst, h[:]...), text...)
}

// record appends the entry of a record.
func (e *lineEncoder) record(r []byte) {
	text := r[header:]
	k := kind(r[4])
	if k == entry {
		e.buf = append(e.buf, text...)
		return
	}
	// #nosec G115 -- appendRecord made it of an int64
	at := time.UnixMicro(int64(binary.LittleEndian.Uint64(r[17:])))
	e.entry(k, binary.LittleEndian.Uint64(r[9:]), at, text, int(binary.LittleEndian.Uint32(r[5:])))
}
