package protocol

import (
	"bytes"
	"strconv"
	"time"
)

// Limits of a time on the wire.
const (
	maxTimeText = 96           // bytes
	maxSeconds  = 253402300799 // 9999-12-31T23:59:59Z
)

// Stamp is a client's time: POSIX seconds as an exact decimal, never a float, because times that differ in the
// ninth decimal place must not compare as equal. The zero value is 1970-01-01. A Stamp aliases the text that it
// was parsed from.
type Stamp struct {
	seconds  int64
	fraction []byte // digits after the point, without trailing zeros
}

// ParseStamp parses digits with an optional fraction, up to the year 9999, 96 bytes at most. A sign or an
// exponent is refused; a point needs digits on both sides.
func ParseStamp(text []byte) (s Stamp, ok bool) {
	if len(text) > maxTimeText {
		return Stamp{}, false
	}
	i := 0
	for ; i < len(text) && isDigit(text[i]); i++ {
		if s.seconds = s.seconds*10 + int64(text[i]-'0'); s.seconds > maxSeconds {
			return Stamp{}, false
		}
	}
	if i == 0 || i < len(text) && !isFraction(text[i:]) {
		return Stamp{}, false
	}
	s.fraction = fraction(text)
	return s, true
}

// stampFault describes what is wrong with a time that ParseStamp refuses.
func stampFault(text []byte) string {
	if len(text) > maxTimeText {
		return tooLong(maxTimeText)
	}
	i := 0
	for i < len(text) && isDigit(text[i]) {
		i++
	}
	if i == 0 || i < len(text) && !isFraction(text[i:]) {
		return Printable(text) + " is not a POSIX time"
	}
	// From 2001 to 2286 a time has ten digits in seconds.
	switch len(bytes.TrimLeft(text[:i], "0")) {
	case 13:
		return Printable(text) + " looks like milliseconds; a POSIX time is in seconds"
	case 16:
		return Printable(text) + " looks like microseconds; a POSIX time is in seconds"
	case 19:
		return Printable(text) + " looks like nanoseconds; a POSIX time is in seconds"
	}
	return Printable(text) + " is after the year 9999"
}

// isFraction matches a point and at least one digit.
func isFraction(text []byte) bool {
	if len(text) < 2 || text[0] != '.' {
		return false
	}
	for _, b := range text[1:] {
		if !isDigit(b) {
			return false
		}
	}
	return true
}

// fraction returns the digits after the point of a well-formed stamp, without trailing zeros, so that comparing
// them as bytes compares their values.
func fraction(text []byte) []byte {
	point := bytes.IndexByte(text, '.')
	if point < 0 {
		return nil
	}
	digits := text[point+1:]
	for len(digits) > 0 && digits[len(digits)-1] == '0' {
		digits = digits[:len(digits)-1]
	}
	return digits
}

func isDigit(b byte) bool { return b >= '0' && b <= '9' }

// Compare returns -1, 0 or +1 if s is before, at or after t. It is exact.
func (s Stamp) Compare(t Stamp) int {
	switch {
	case s.seconds < t.seconds:
		return -1
	case s.seconds > t.seconds:
		return +1
	}
	return bytes.Compare(s.fraction, t.fraction)
}

// Time returns the time truncated to nine places, in UTC.
func (s Stamp) Time() time.Time { return time.Unix(s.seconds, s.nanoseconds()).UTC() }

// nanoseconds returns the fraction truncated to nine places.
func (s Stamp) nanoseconds() int64 {
	n := int64(0)
	for i := range 9 {
		n *= 10
		if i < len(s.fraction) {
			n += int64(s.fraction[i] - '0')
		}
	}
	return n
}

// Ahead reports whether s is more than max after now.
func (s Stamp) Ahead(now time.Time, max time.Duration) bool {
	limit := now.Add(max)
	if s.seconds != limit.Unix() {
		return s.seconds > limit.Unix()
	}
	n := s.nanoseconds() - int64(limit.Nanosecond())
	return n > 0 || n == 0 && len(s.fraction) > 9
}

// AppendDiff appends now minus s, with s truncated to nine places: a sign, seconds, and nine places, computed
// with integers. Zero is +0.000000000.
func AppendDiff(dst []byte, now time.Time, s Stamp) []byte {
	seconds := now.Unix() - s.seconds
	nanos := int64(now.Nanosecond()) - s.nanoseconds()
	if nanos < 0 {
		seconds, nanos = seconds-1, nanos+1e9
	}
	sign := byte('+')
	if seconds < 0 {
		sign, seconds = '-', -seconds
		if nanos > 0 {
			seconds, nanos = seconds-1, 1e9-nanos
		}
	}
	dst = append(dst, sign)
	dst = strconv.AppendInt(dst, seconds, 10)
	dst = append(dst, ".000000000"...)
	for i := len(dst) - 1; nanos > 0; i-- { // from the last digit: dividing by the constant 10 is fast
		dst[i] = byte('0' + nanos%10)
		nanos /= 10
	}
	return dst
}
