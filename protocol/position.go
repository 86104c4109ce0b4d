package protocol

import (
	"bytes"
	"strconv"
)

// maxCoordsText is the maximum length of coordinates on the wire, in bytes.
const maxCoordsText = 96

// powersOfTen are exact as float64.
var powersOfTen = [...]float64{1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9,
	1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18}

// ParsePosition parses ISO 6709 decimal degrees in one field: sign, one or two digits and an optional fraction
// for the latitude, sign, one to three digits and an optional fraction for the longitude, and an optional final
// slash; 96 bytes at most. The results are degrees, north and east positive, correctly rounded.
func ParsePosition(coords []byte) (lat, lng float64, ok bool) {
	if len(coords) > maxCoordsText {
		return 0, 0, false
	}
	lat, rest, ok := parseDegrees(coords, 2, 90)
	if !ok {
		return 0, 0, false
	}
	lng, rest, ok = parseDegrees(rest, 3, 180)
	if !ok {
		return 0, 0, false
	}
	if len(rest) == 1 && rest[0] == '/' {
		rest = nil
	}
	return lat, lng, len(rest) == 0
}

// parseDegrees parses one signed decimal at the beginning of p, with at most whole digits before the point and
// an absolute value of at most limit.
func parseDegrees(p []byte, whole int, limit uint64) (degrees float64, rest []byte, ok bool) {
	if len(p) == 0 || p[0] != '+' && p[0] != '-' {
		return 0, nil, false
	}
	mantissa, digits, i := uint64(0), 0, 1
	for ; i < len(p) && isDigit(p[i]); i++ {
		mantissa = mantissa*10 + uint64(p[i]-'0') // may overflow; then digits > whole
		digits++
	}
	if digits == 0 || digits > whole || mantissa > limit {
		return 0, nil, false
	}
	atLimit, excess := mantissa == limit, byte(0)
	places := 0
	if i < len(p) && p[i] == '.' {
		for i++; i < len(p) && isDigit(p[i]); i++ {
			places++
			excess |= p[i] - '0'
			if digits+places <= 19 {
				mantissa = mantissa*10 + uint64(p[i]-'0')
			}
		}
		// The limit is exact: 90.00000000000000000001 is refused although it is 90 as a float64.
		if places == 0 || atLimit && excess != 0 {
			return 0, nil, false
		}
	}
	// Both operands are exact up to 2^53 and 10^22, so that the quotient is rounded once.
	if mantissa <= 1<<53 && digits+places <= 19 {
		degrees = float64(mantissa) / powersOfTen[places]
	} else if degrees, ok = parseLong(p[1:i]); !ok {
		return 0, nil, false
	}
	if p[0] == '-' {
		degrees = -degrees
	}
	return degrees, p[i:], true
}

// parseLong handles more digits than a float64 holds exactly. It allocates for more than 32 digits, which no
// receiver sends.
func parseLong(digits []byte) (float64, bool) {
	v, err := strconv.ParseFloat(string(digits), 64)
	return v, err == nil
}

// positionFault describes what is wrong with coordinates that ParsePosition refuses.
func positionFault(coords []byte) string {
	if len(coords) > maxCoordsText {
		return tooLong(maxCoordsText)
	}
	lat, rest := cutDegrees(coords)
	lng, rest := cutDegrees(rest)
	altitude := isAltitude(rest)
	if lat != nil && lng != nil && (altitude || len(rest) == 0 || string(rest) == "/") {
		if fault := beyond(lat, 90); fault != "" {
			return Printable(coords) + " has a latitude " + fault
		}
		if fault := beyond(lng, 180); fault != "" {
			return Printable(coords) + " has a longitude " + fault
		}
		if altitude {
			return Printable(coords) + " has an altitude, which is not accepted"
		}
	}
	return Printable(coords) + " is not a position in ISO 6709 decimal degrees"
}

// cutDegrees cuts a sign, one to three digits and an optional fraction off the beginning of p; nil if p does not
// begin with them.
func cutDegrees(p []byte) (degrees, rest []byte) {
	if len(p) == 0 || p[0] != '+' && p[0] != '-' {
		return nil, p
	}
	i := 1
	for i < len(p) && isDigit(p[i]) {
		i++
	}
	if i < 2 || i > 4 {
		return nil, p
	}
	if i < len(p) && p[i] == '.' {
		point := i
		for i++; i < len(p) && isDigit(p[i]); i++ {
		}
		if i == point+1 {
			return nil, p
		}
	}
	return p[:i], p[i:]
}

// isAltitude matches a sign, digits and an optional fraction, the name of a reference system, and a slash. The
// last two are optional in ISO 6709.
func isAltitude(p []byte) bool {
	if len(p) < 2 || p[0] != '+' && p[0] != '-' || !isDigit(p[1]) {
		return false
	}
	p = bytes.TrimLeft(p[1:], "0123456789")
	if len(p) > 1 && p[0] == '.' && isDigit(p[1]) {
		p = bytes.TrimLeft(p[1:], "0123456789")
	}
	return len(p) == 0 || string(p) == "/" || bytes.HasPrefix(p, []byte("CRS"))
}

// beyond describes by which limit degrees, as returned by cutDegrees, are out of range; "" if they are not.
func beyond(degrees []byte, limit int) string {
	whole, fraction, _ := bytes.Cut(degrees[1:], []byte{'.'})
	n, _ := strconv.Atoi(string(whole)) // up to three digits
	switch {
	case n < limit, n == limit && len(bytes.Trim(fraction, "0")) == 0:
		return ""
	case degrees[0] == '-':
		return "below -" + strconv.Itoa(limit)
	}
	return "above " + strconv.Itoa(limit)
}
