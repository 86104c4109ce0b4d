package main

import (
	"regexp"
	"strings"

	"serverherd/protocol"
)

// positionForms describes the accepted forms of a position, for errors and help.
const positionForms = "LAT,LNG as 34.06,-118.44 or -33.9,18.4, or ISO 6709 as +34.06-118.44"

var decimalDegrees = regexp.MustCompile(`^([+-]?)(\d*)(\.?)(\d*)$`)

// parsePosition parses a position in either form. Coords is the position as IAMAT takes it; a text in that
// form is returned unchanged.
func parsePosition(text string) (coords string, lat, lng float64, ok bool) {
	coords = text
	if north, east, pair := strings.Cut(text, ","); pair {
		north, ok1 := isoDegrees(north)
		east, ok2 := isoDegrees(east)
		if !ok1 || !ok2 {
			return "", 0, 0, false
		}
		coords = north + east
	}
	lat, lng, ok = protocol.ParsePosition([]byte(coords))
	return coords, lat, lng, ok
}

// isoDegrees formats a decimal number as in ISO 6709: with a sign and with digits on both sides of the
// point.
func isoDegrees(text string) (string, bool) {
	m := decimalDegrees.FindStringSubmatch(strings.TrimSpace(text))
	if m == nil || m[2]+m[4] == "" {
		return "", false
	}
	sign, whole, fraction := m[1], strings.TrimLeft(m[2], "0"), m[4]
	if sign == "" {
		sign = "+"
	}
	if whole == "" {
		whole = "0"
	}
	if fraction != "" {
		fraction = "." + fraction
	}
	return sign + whole + fraction, true
}
