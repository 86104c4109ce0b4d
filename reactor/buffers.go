package reactor

// buffers lends out-buffers to connections that have something to send, so that an idle
// connection holds none and a busy loop uses the same few, warm in the cache, for all. Loop only.
type buffers struct {
	free [][]byte
}

// A buffer begins with room for the replies to one read; larger ones than keepBuffer are left to
// the garbage collector, and at most keepBuffers are kept.
const (
	newBuffer   = 16 << 10
	keepBuffer  = 64 << 10
	keepBuffers = 64
)

// take returns an empty buffer for at least n bytes.
func (b *buffers) take(n int) []byte {
	last := len(b.free) - 1
	if last < 0 || n > keepBuffer {
		return make([]byte, 0, max(n, newBuffer))
	}
	p := b.free[last]
	b.free[last] = nil
	b.free = b.free[:last]
	return p
}

// giveBack takes p, which nobody uses any more.
func (b *buffers) giveBack(p []byte) {
	if cap(p) > 0 && cap(p) <= keepBuffer && len(b.free) < keepBuffers {
		b.free = append(b.free, p[:0])
	}
}

// shrink moves p[sent:] to a buffer of its size when that is a small part of p, so that many slow
// readers who are owed little do not keep much. Each byte is moved rarely: the buffer is at
// least halved every time.
func (b *buffers) shrink(p []byte, sent int) ([]byte, int) {
	rest := p[sent:]
	if 4*len(rest) > cap(p) {
		return p, sent
	}
	small := make([]byte, len(rest), 2*len(rest))
	copy(small, rest)
	b.giveBack(p)
	return small, 0
}
