package herd

// slot is the place of one reply, or of several in a row, in a session's order.
type slot struct {
	text   []byte
	filled bool
	lookup *lookup // what is going to fill it; nil for a slot filled at birth
}

// slotBytes is about what a slot and its lookup take besides their texts.
const slotBytes = 512

// memory is what the slot takes, in bytes.
func (p *slot) memory() int {
	n := slotBytes + cap(p.text)
	if p.lookup != nil {
		n += cap(p.lookup.at) + cap(p.lookup.line)
	}
	return n
}

// replies keeps a session's replies in the order of its requests while some of them are not known
// yet. Loop only; bounded by the session, which stops reading at maxOpen or maxHeldReplies.
type replies struct {
	queue  []*slot
	open   int // slots not filled
	memory int // of all slots, in bytes
}

// add queues a reply that is known. It reports false, and keeps nothing, when no earlier one is
// open: then the reply can leave at once.
func (r *replies) add(text []byte) bool {
	if len(r.queue) == 0 {
		return false
	}
	last := r.queue[len(r.queue)-1]
	if !last.filled || last.lookup != nil {
		last = &slot{filled: true}
		r.queue = append(r.queue, last)
		r.memory += last.memory()
	}
	before := cap(last.text)
	last.text = append(last.text, text...)
	r.memory += cap(last.text) - before
	return true
}

// reserve queues a slot that l will fill.
func (r *replies) reserve(l *lookup) *slot {
	p := &slot{lookup: l}
	r.queue = append(r.queue, p)
	r.open++
	r.memory += p.memory()
	return p
}

// fill completes a reserved slot.
func (r *replies) fill(p *slot, text []byte) {
	p.text, p.filled = text, true
	r.open--
	r.memory += cap(text)
}

// next takes the first slot off the queue if it is filled.
func (r *replies) next() *slot {
	if len(r.queue) == 0 || !r.queue[0].filled {
		return nil
	}
	p := r.queue[0]
	r.queue[0] = nil
	if r.queue = r.queue[1:]; len(r.queue) == 0 {
		r.queue = nil
	}
	r.memory -= p.memory()
	return p
}
