package protocol

import (
	"bytes"
	"time"
)

// Record is a client's location as one server received it and all servers keep it: the five
// fields of an AT line from its origin to its time, joined by single spaces, in one byte string
// that whoever made the Record owns. Nobody who passes it on changes a byte. The zero Record is
// empty.
type Record struct {
	text                         []byte
	seconds                      int64  // of the time; saves most comparisons from parsing it
	origin, diff, client, coords uint16 // where the fields end
}

// MakeRecord is the record of an accepted IAMAT: received by the server origin when its clock
// said now. It is written into buf, which grows if it must.
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

// CloneInto copies r into buf, which grows if it must.
func (r Record) CloneInto(buf []byte) Record {
	r.text = append(buf[:0], r.text...)
	return r
}

// Text is the fields joined by single spaces: what a digest hashes. It aliases the record, as do
// the fields.
func (r Record) Text() []byte { return r.text }

// Origin is the name of the server that received the IAMAT.
func (r Record) Origin() []byte { return r.text[:r.origin] }

// Diff is the origin's clock at receipt minus the time, in seconds: a decimal as the origin wrote it, of
// servers of the herd with a sign and nine places, of others perhaps with an exponent.
func (r Record) Diff() []byte { return r.text[r.origin+1 : r.diff] }

// Client is whose location this is.
func (r Record) Client() []byte { return r.text[r.diff+1 : r.client] }

// Coords is the location as the client wrote it.
func (r Record) Coords() []byte { return r.text[r.client+1 : r.coords] }

// Time is the stamp as the client wrote it.
func (r Record) Time() []byte { return r.text[r.coords+1:] }

// Stamp is the time, parsed.
func (r Record) Stamp() Stamp {
	s, _ := ParseStamp(r.Time())
	return s
}

// ReceivedAt is when the origin received the record, by its own clock: its time plus its diff. False
// if that is beyond what a time.Time in nanoseconds can say, which no honest origin's is.
func (r Record) ReceivedAt() (at time.Time, ok bool) {
	seconds, nanos, ok := parseDiff(r.Diff())
	if !ok {
		return time.Time{}, false
	}
	s := r.Stamp()
	at = time.Unix(s.seconds+seconds, s.nanoseconds()+nanos)
	return at, at.Year() > 1900 && at.Year() < 2200
}

// Position is the location in degrees, north and east positive.
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
	if bytes.Equal(r.Time(), o.Time()) { // a record that comes again, by another way
		return 0
	}
	return bytes.Compare(fraction(r.Time()), fraction(o.Time()))
}

// Compare is the one total order on the records of a client, the same on every server: by time;
// then, only to break ties, by origin, time, coords and diff as bytes. The greater record wins. 0
// means the same record.
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

// SameUpdate says whether two records are of one update: client, coords and time are the same bytes, whoever
// received it and when.
func (r Record) SameUpdate(o Record) bool { return bytes.Equal(r.text[r.diff:], o.text[o.diff:]) }

// AppendAT appends the AT line that clients get, without a terminator.
func (r Record) AppendAT(dst []byte) []byte {
	return append(append(dst, "AT "...), r.text...)
}

// AppendLinkAT appends the AT line that the server called sender writes on a link, with CRLF.
func (r Record) AppendLinkAT(dst []byte, sender string) []byte {
	dst = append(r.AppendAT(dst), ' ')
	return append(append(dst, sender...), '\r', '\n')
}

// parseRecord takes the fields of an AT line. If they are joined by single spaces, as every
// server writes them, the record aliases the line; else it is a copy that is.
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
	// One byte between any two fields. It may be another one than a space.
	for i := 2; i <= 5; i++ {
		if line[f.start[i]-1] != ' ' {
			r.text = bytes.Join(f.at[1:6], []byte{' '})
			return r, true
		}
	}
	r.text = line[start:end:end]
	return r, true
}
