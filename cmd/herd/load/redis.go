package load

import "bytes"

// What Redis is asked in place of IAMATs: GEOADD of the same ids at the same positions into one
// sorted set. Positions are written at a fixed width, so that their lengths stand here.
const (
	geoadd    = "*5\r\n$6\r\nGEOADD\r\n$4\r\nherd\r\n$11\r\n"
	geoMember = "\r\n$11\r\n"

	// maxMercator is how far from the equator Redis knows places, in whole degrees.
	maxMercator = 85
)

// appendGEOADD appends a GEOADD without its last LF.
func appendGEOADD(dst []byte, id, chance uint64) []byte {
	dst = append(dst, geoadd...)
	dst = appendFixed(dst, chance&0xffffffff, 180, 3)
	dst = append(dst, "\r\n$10\r\n"...)
	dst = appendFixed(dst, chance>>32, maxMercator, 2)
	dst = append(dst, geoMember...)
	return append(appendID(dst, id), '\r')
}

// appendFixed appends degrees as appendDegrees does, with so many digits before the point.
func appendFixed(dst []byte, chance, most uint64, whole int) []byte {
	sign := byte('+')
	if chance&1 != 0 {
		sign = '-'
	}
	v := chance * most * 1e6 >> 32
	dst = appendDigits(append(dst, sign), v/1e6, whole)
	return appendDigits(append(dst, '.'), v%1e6, 6)
}

var (
	added = []byte(":1\r\n") // the id was new
	moved = []byte(":0\r\n") // it was not
)

// compareRedis counts a reply that is not a GEOADD's.
func (u *user) compareRedis(reply []byte) {
	switch {
	case bytes.Equal(reply, added), bytes.Equal(reply, moved):
	case reply[0] == '-':
		u.worker.refused(u, append([]byte("> "), reply...))
	default:
		u.worker.wrong(u, "a reply that is not a GEOADD's", shown(reply))
	}
}
