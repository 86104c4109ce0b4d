package reactor

// buffers is a pool of out-buffers. Only connections with unsent output have one, so idle connections cost no buffer
// and a busy loop reuses a few buffers that are warm in the cache. Loop only.
type buffers struct {
	free [][]byte
}

// A new buffer has room for the replies to one read. Buffers larger than keepBuffer are left to the garbage
// collector, and at most keepBuffers are kept.
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

// put returns p to the pool. The caller must not use it any more.
func (b *buffers) put(p []byte) {
	if cap(p) > 0 && cap(p) <= keepBuffer && len(b.free) < keepBuffers {
		b.free = append(b.free, p[:0])
	}
}

// shrink moves p[sent:] to a smaller buffer if it is a small part of p, so that many slow readers with little
// pending output do not hold large buffers. The amortized cost per byte is constant: the buffer is at least halved
// each time.
func (b *buffers) shrink(p []byte, sent int) ([]byte, int) {
	rest := p[sent:]
	if 4*len(rest) > cap(p) {
		return p, sent
	}
	small := make([]byte, len(rest), 2*len(rest))
	copy(small, rest)
	b.put(p)
	return small, 0
}
