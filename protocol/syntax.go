package protocol

import (
	"encoding/hex"
	"errors"
	"slices"
	"strconv"
)

// ValidName reports whether s is a valid name of a herd or a server: a letter, then up to 31 letters, digits,
// underscores and hyphens.
func ValidName(s string) bool { return validName([]byte(s)) }

func validName(s []byte) bool {
	if len(s) == 0 || len(s) > 32 || !isLetter(s[0]) {
		return false
	}
	for _, b := range s {
		if !isLetter(b) && !isDigit(b) && b != '_' && b != '-' {
			return false
		}
	}
	return true
}

// CheckClientID returns why an id cannot be a client's: 1 to MaxClientID bytes of any value but white space.
func CheckClientID(id []byte) error {
	switch {
	case len(id) == 0:
		return errors.New("empty")
	case len(id) > MaxClientID:
		return errors.New(tooLong(MaxClientID))
	case slices.ContainsFunc(id, isSpace):
		return errors.New("contains white space")
	}
	return nil
}

func isLetter(b byte) bool { return b|0x20 >= 'a' && b|0x20 <= 'z' }

// maxDiffText is the maximum length of a diff on the wire, in bytes.
const maxDiffText = 32

// validDiff accepts any finite decimal of up to 32 bytes: an optional sign, digits with an optional point
// anywhere among them, and an optional exponent, as in +0.263873386, -5, .5, 5. and 9.5e-07. Servers of the herd
// write a sign and nine places; Python's str(float) may produce any of the others. Finite means that a float64
// can hold it: 1e400 is refused.
func validDiff(s []byte) bool {
	if len(s) > maxDiffText {
		return false
	}
	d, ok := cutDiff(s)
	if !ok {
		return false
	}
	if len(d.exponent) == 0 {
		return true
	}
	_, err := strconv.ParseFloat(string(s), 64)
	return err == nil
}

// diffParts are the parts of a diff. They alias it.
type diffParts struct {
	negative        bool
	whole, fraction []byte // digits before and after the point; one of them may be empty
	exponent        []byte // with its sign; empty: none
}

// cutDiff splits a diff of any length and value into its parts.
func cutDiff(s []byte) (d diffParts, ok bool) {
	s, d.negative = cutSign(s)
	d.whole, s = cutDigits(s)
	if len(s) > 0 && s[0] == '.' {
		d.fraction, s = cutDigits(s[1:])
	}
	if len(d.whole)+len(d.fraction) == 0 {
		return d, false
	}
	if len(s) == 0 {
		return d, true
	}
	if s[0]|0x20 != 'e' {
		return d, false
	}
	d.exponent = s[1:]
	unsigned, _ := cutSign(d.exponent)
	digits, rest := cutDigits(unsigned)
	return d, len(digits) > 0 && len(rest) == 0
}

func cutSign(s []byte) (rest []byte, negative bool) {
	if len(s) > 0 && (s[0] == '+' || s[0] == '-') {
		return s[1:], s[0] == '-'
	}
	return s, false
}

func cutDigits(s []byte) (digits, rest []byte) {
	i := 0
	for i < len(s) && isDigit(s[i]) {
		i++
	}
	return s[:i], s[i:]
}

// parseDiff converts a valid diff to seconds and nanoseconds of the same sign, truncated to nine places. ok is
// false for more than twelve digits of seconds.
func parseDiff(s []byte) (seconds, nanos int64, ok bool) {
	d, ok := cutDiff(s)
	if !ok {
		return 0, 0, false
	}
	power := len(d.whole)
	if len(d.exponent) > 0 {
		e, err := strconv.Atoi(string(d.exponent))
		if err != nil {
			return 0, 0, false
		}
		power += e
	}
	for _, digits := range [][]byte{d.whole, d.fraction} {
		for _, b := range digits {
			power--
			digit := int64(b - '0')
			switch {
			case digit == 0 || power < -9:
			case power >= 12:
				return 0, 0, false
			case power >= 0:
				seconds += digit * int64(powersOfTen[power])
			default:
				nanos += digit * int64(powersOfTen[9+power])
			}
		}
	}
	if d.negative {
		seconds, nanos = -seconds, -nanos
	}
	return seconds, nanos, true
}

// validMAC accepts 64 hex digits, or a hyphen if there is no secret.
func validMAC(s []byte) bool {
	if len(s) == 1 {
		return s[0] == '-'
	}
	for _, b := range s {
		if _, ok := hexDigit(b); !ok {
			return false
		}
	}
	return len(s) == 64
}

// parseUint parses a decimal number below 2^64.
func parseUint(s []byte) (v uint64, ok bool) {
	if len(s) == 0 || len(s) > 20 {
		return 0, false
	}
	for _, b := range s {
		if !isDigit(b) {
			return 0, false
		}
		d := uint64(b - '0')
		if v > (1<<64-1-d)/10 {
			return 0, false
		}
		v = v*10 + d
	}
	return v, true
}

// hexDigit accepts lower case only, so that each value has one form on the wire.
func hexDigit(b byte) (v byte, ok bool) {
	switch {
	case isDigit(b):
		return b - '0', true
	case b >= 'a' && b <= 'f':
		return b - 'a' + 10, true
	}
	return 0, false
}

// parseHex64 parses exactly 16 hex digits.
func parseHex64(s []byte) (v uint64, ok bool) {
	if len(s) != 16 {
		return 0, false
	}
	for _, b := range s {
		d, ok := hexDigit(b)
		if !ok {
			return 0, false
		}
		v = v<<4 | uint64(d)
	}
	return v, true
}

// parseEpoch refuses 0, which means no process.
func parseEpoch(s []byte) (Epoch, bool) {
	v, ok := parseHex64(s)
	return Epoch(v), ok && v != 0
}

func parseNonce(n *Nonce, s []byte) bool {
	if len(s) != hex.EncodedLen(len(n)) {
		return false
	}
	for i := range n {
		hi, ok1 := hexDigit(s[2*i])
		lo, ok2 := hexDigit(s[2*i+1])
		if !ok1 || !ok2 {
			return false
		}
		n[i] = hi<<4 | lo
	}
	return true
}

func appendHex64(dst []byte, v uint64) []byte {
	for shift := 60; shift >= 0; shift -= 4 {
		dst = append(dst, "0123456789abcdef"[v>>shift&15])
	}
	return dst
}
