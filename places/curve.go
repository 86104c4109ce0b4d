package places

// Curve returns the index of a position, in units of 1e-5 degree, on a Hilbert curve of order 16 over the
// map. Places sorted by it are near each other.
//
// #nosec G115 -- coordinates are within their ranges, so that x and y are from 0 to 65535
func Curve(lat, lng int32) (d uint32) {
	x := uint32(int64(lng+180_00000) * 65535 / 360_00000)
	y := uint32(int64(lat+90_00000) * 65535 / 180_00000)
	for s := uint32(1 << 15); s > 0; s /= 2 {
		rx, ry := x&s/s, y&s/s
		d += s * s * (3*rx ^ ry)
		if ry == 0 {
			if rx == 1 {
				x, y = 65535-x, 65535-y
			}
			x, y = y, x
		}
	}
	return d
}
