package places

// Curve is how far along a Hilbert curve of order 16 over the map a position is, given in units of
// 1e-5 degree: places in the order of the curve have their neighbors near them.
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
