package protocol

import "encoding/hex"

// ValidName says whether s can name a herd or a server: a letter, then up to 31 letters, digits,
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

func isLetter(b byte) bool { return b|0x20 >= 'a' && b|0x20 <= 'z' }

// validDiff: a sign, up to twelve digits, and a fraction of up to nine.
func validDiff(s []byte) bool {
	if len(s) == 0 || s[0] != '+' && s[0] != '-' {
		return false
	}
	i := 1
	for i < len(s) && isDigit(s[i]) {
		i++
	}
	if i == 1 || i > 13 {
		return false
	}
	return i == len(s) || len(s)-i <= 1+9 && isFraction(s[i:])
}

// validMAC: 64 hex digits, or a hyphen where there is no secret.
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

// parseUint parses decimal digits of a number below 2^64.
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

// hexDigit is for lower case only: each value has one form on the wire.
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

// parseEpoch refuses 0, which stands for no process.
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
