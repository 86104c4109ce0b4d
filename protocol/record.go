package protocol

import (
	"bytes"
	"encoding/binary"
	"time"
)

// Record is a client's location as one server received it and all servers keep it: the five fields of an AT line
// from its origin to its time, joined by single spaces. The bytes belong to whoever made the Record, and are
// forwarded unchanged. The zero Record is empty.
type Record struct {
	text                         []byte
	seconds                      int64  // integer part of the time, so that most comparisons need not parse it
	origin, diff, client, coords uint16 // offsets at which the fields end
}

// MakeRecord returns the record of an accepted IAMAT that the server origin received at now. It is written into
// buf, which grows if needed.
//
// #nosec G115 -- no field is longer than MaxClientID: names, diffs, coordinates and times are shorter
func MakeRecord(buf []byte, origin string, now time.Time, c Command) (r Record) {
	b := append(buf[:0], origin...)
	r.origin = uint16(len(b))
	b = AppendDiff(append(b, ' '), now, c.Stamp)
	r.diff = uint16(len(b))
	b = append(append(b, ' '), c.Client...)
	r.client = uint16(len(b))
	b = append(append(b, ' '), c.Coords...)
	r.coords = uint16(len(b))
	r.text = append(append(b, ' '), c.Time...)
	r.seconds = c.Stamp.seconds
	return r
}

// CloneInto copies r into buf, which grows if needed.
func (r Record) CloneInto(buf []byte) Record {
	r.text = append(buf[:0], r.text...)
	return r
}

// packedHeader is the size of what Pack writes before the text.
const packedHeader = 18

// PackedLen is how many bytes Pack needs.
func (r Record) PackedLen() int { return packedHeader + len(r.text) }

// Pack writes r into p in a form of fixed layout, which Unpack reads without parsing. It is for memory, not for files
// or the wire.
//
// #nosec G115 -- a text is five fields of at most MaxClientID bytes; Unpack makes an int64 of the seconds again
func (r Record) Pack(p []byte) {
	binary.LittleEndian.PutUint64(p, uint64(r.seconds))
	binary.LittleEndian.PutUint16(p[8:], r.origin)
	binary.LittleEndian.PutUint16(p[10:], r.diff)
	binary.LittleEndian.PutUint16(p[12:], r.client)
	binary.LittleEndian.PutUint16(p[14:], r.coords)
	binary.LittleEndian.PutUint16(p[16:], uint16(len(r.text)))
	copy(p[packedHeader:], r.text)
}

// Unpack returns the record that Pack wrote. It aliases p.
//
// #nosec G115 -- 16 bits of each offset are wanted; Pack made the seconds of an int64
func Unpack(p []byte) Record {
	offsets := binary.LittleEndian.Uint64(p[8:])
	end := packedHeader + int(binary.LittleEndian.Uint16(p[16:]))
	return Record{
		text: p[packedHeader:end:end], seconds: int64(binary.LittleEndian.Uint64(p)),
		origin: uint16(offsets), diff: uint16(offsets >> 16), client: uint16(offsets >> 32), coords: uint16(offsets >> 48),
	}
}

// Text returns the fields joined by single spaces, which is what a digest hashes. It aliases the record, as do
// the results of the following methods.
func (r Record) Text() []byte { return r.text }

// Origin returns the name of the server that received the IAMAT.
func (r Record) Origin() []byte { return r.text[:r.origin] }

// Diff returns the origin's clock at receipt minus the time, in seconds, as the origin wrote it. Servers of the
// herd write a sign and nine decimal places; legacy servers may write an exponent.
func (r Record) Diff() []byte { return r.text[r.origin+1 : r.diff] }

// Client returns the client id.
func (r Record) Client() []byte { return r.text[r.diff+1 : r.client] }

// Coords returns the location as the client wrote it.
func (r Record) Coords() []byte { return r.text[r.client+1 : r.coords] }

// Time returns the stamp as the client wrote it.
func (r Record) Time() []byte { return r.text[r.coords+1:] }

// Stamp returns the parsed time.
func (r Record) Stamp() Stamp {
	s, _ := ParseStamp(r.Time())
	return s
}

// ReceivedAt returns when the origin received the record, by its own clock: time plus diff. ok is false for
// dates outside of 1901 to 2199.
func (r Record) ReceivedAt() (at time.Time, ok bool) {
	seconds, nanos, ok := parseDiff(r.Diff())
	if !ok {
		return time.Time{}, false
	}
	s := r.Stamp()
	at = time.Unix(s.seconds+seconds, s.nanoseconds()+nanos)
	return at, at.Year() > 1900 && at.Year() < 2200
}

// Position returns the location in degrees, north and east positive.
func (r Record) Position() (lat, lng float64) {
	lat, lng, _ = ParsePosition(r.Coords())
	return lat, lng
}

// CompareTime compares the times of two records, exactly.
func (r Record) CompareTime(o Record) int {
	switch {
	case r.seconds < o.seconds:
		return -1
	case r.seconds > o.seconds:
		return +1
	}
	if bytes.Equal(r.Time(), o.Time()) { // common: the same record over another path
		return 0
	}
	return bytes.Compare(fraction(r.Time()), fraction(o.Time()))
}

// Compare is a total order on the records of one client, the same on every server: by time; ties are broken by
// origin, time, coords and diff, compared as bytes. The greater record wins. 0 means that both are the same
// record.
func (r Record) Compare(o Record) int {
	if c := r.CompareTime(o); c != 0 {
		return c
	}
	if c := bytes.Compare(r.Origin(), o.Origin()); c != 0 {
		return c
	}
	if c := bytes.Compare(r.Time(), o.Time()); c != 0 {
		return c
	}
	if c := bytes.Compare(r.Coords(), o.Coords()); c != 0 {
		return c
	}
	return bytes.Compare(r.Diff(), o.Diff())
}

// SameUpdate reports whether two records come from the same IAMAT: client, coords and time are the same bytes,
// whichever server received it and when.
func (r Record) SameUpdate(o Record) bool { return bytes.Equal(r.text[r.diff:], o.text[o.diff:]) }

// AppendAT appends the AT line for clients, without a terminator.
func (r Record) AppendAT(dst []byte) []byte {
	return append(append(dst, "AT "...), r.text...)
}

// AppendLinkAT appends the AT line for links, with the name of the server that writes it and CRLF.
func (r Record) AppendLinkAT(dst []byte, sender string) []byte {
	dst = append(r.AppendAT(dst), ' ')
	return append(append(dst, sender...), '\r', '\n')
}

// parseRecord makes a record from the fields of an AT line. It aliases the line if the fields are joined by
// single spaces, as every server writes them; else it is a copy.
//
// #nosec G115 -- no field is longer than MaxClientID: names, diffs, coordinates and times are shorter
func parseRecord(line []byte, f *fields) (r Record, ok bool) {
	origin, diff, client, coords, stamp := f.at[1], f.at[2], f.at[3], f.at[4], f.at[5]
	s, timeOK := ParseStamp(stamp)
	_, _, coordsOK := ParsePosition(coords)
	if !timeOK || !coordsOK || len(client) > MaxClientID || !validDiff(diff) ||
		!validName(origin) {
		return Record{}, false
	}
	r.seconds = s.seconds
	r.origin = uint16(len(origin))
	r.diff = r.origin + 1 + uint16(len(diff))
	r.client = r.diff + 1 + uint16(len(client))
	r.coords = r.client + 1 + uint16(len(coords))
	start, end := f.start[1], f.start[5]+len(stamp)
	if end-start != int(r.coords)+1+len(stamp) {
		r.text = bytes.Join(f.at[1:6], []byte{' '})
		return r, true
	}
	// Exactly one byte separates the fields, but it may be a tab.
	for i := 2; i <= 5; i++ {
		if line[f.start[i]-1] != ' ' {
			r.text = bytes.Join(f.at[1:6], []byte{' '})
			return r, true
		}
	}
	r.text = line[start:end:end]
	return r, true
}
