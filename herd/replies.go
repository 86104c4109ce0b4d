package herd

// slot is one reply, or several in a row, in the order of a session's replies.
type slot struct {
	text   []byte
	filled bool
	lookup *lookup // that fills it; nil for a slot that is filled when made
}

// slotBytes is about what a slot and its lookup use besides their texts.
const slotBytes = 512

// memory is what the slot takes, in bytes.
func (sl *slot) memory() int {
	n := slotBytes + cap(sl.text)
	if sl.lookup != nil {
		n += cap(sl.lookup.at) + cap(sl.lookup.line)
	}
	return n
}

// replies keeps a session's replies in the order of its requests while some of them are pending. Loop only.
// The session limits it: it stops reading at maxOpen or maxHeldReplies.
type replies struct {
	queue  []*slot
	open   int // slots not filled
	memory int // of all slots, in bytes
}

// add queues a reply. It reports false, and queues nothing, if no earlier reply is pending: then the reply
// can be sent at once.
func (rs *replies) add(text []byte) bool {
	if len(rs.queue) == 0 {
		return false
	}
	last := rs.queue[len(rs.queue)-1]
	if !last.filled || last.lookup != nil {
		last = &slot{filled: true}
		rs.queue = append(rs.queue, last)
		rs.memory += last.memory()
	}
	before := cap(last.text)
	last.text = append(last.text, text...)
	rs.memory += cap(last.text) - before
	return true
}

// reserve queues a slot that l will fill.
func (rs *replies) reserve(l *lookup) *slot {
	sl := &slot{lookup: l}
	rs.queue = append(rs.queue, sl)
	rs.open++
	rs.memory += sl.memory()
	return sl
}

// fill completes a reserved slot.
func (rs *replies) fill(sl *slot, text []byte) {
	sl.text, sl.filled = text, true
	rs.open--
	rs.memory += cap(text)
}

// next takes the first slot off the queue if it is filled.
func (rs *replies) next() *slot {
	if len(rs.queue) == 0 || !rs.queue[0].filled {
		return nil
	}
	sl := rs.queue[0]
	rs.queue[0] = nil
	if rs.queue = rs.queue[1:]; len(rs.queue) == 0 {
		rs.queue = nil
	}
	rs.memory -= sl.memory()
	return sl
}
