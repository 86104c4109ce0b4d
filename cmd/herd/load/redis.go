package load

import "bytes"

// Redis gets GEOADDs into one sorted set in place of IAMATs, with the same ids and positions. Positions
// have a fixed width, so that their lengths are constant.
const (
	geoadd    = "*5\r\n$6\r\nGEOADD\r\n$4\r\nherd\r\n$11\r\n"
	geoMember = "\r\n$11\r\n"

	// maxMercator is the maximum latitude that Redis supports, in whole degrees.
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

// appendFixed is appendDegrees with a fixed number of digits before the point.
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

// compareRedis checks the reply to a GEOADD.
func (u *user) compareRedis(reply []byte) {
	switch {
	case bytes.Equal(reply, added), bytes.Equal(reply, moved):
	case reply[0] == '-':
		u.worker.refused(u, append([]byte("> "), reply...))
	default:
		u.worker.wrong(u, "unexpected reply to GEOADD", shown(reply))
	}
}
