package follow

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"time"

	"serverherd/herd"
)

// Page gets the positions of all clients, see dots. What it has not taken is a bit for each slot, so it needs no more
// memory if it is slow. One goroutine.
type Page struct {
	follower *Follower
	ready    chan<- struct{}

	// Guarded by the Follower's mutex.
	generation uint32   // that it knows; 0: none
	dirty      []uint64 // a bit for each slot that has changed since it was taken
	changed    bool     // there are bits of which the frame in progress may know nothing
	framing    bool     // a frame is in progress: the bits of words from word to end are to be taken
	word, end  int
	whole      bool      // the frame began when all that were there were in the array
	done       bool      // that has been taken
	frames     time.Time // when the last frame began
}

// News is what Page.Next returns. Reset: forget all dots, there are about Clients/OneOf of them. Done: what was there has
// been taken, what follows are changes. Dots: a binary message, see package viewer. Or nothing.
type News struct {
	Reset, Done bool
	Dots        []byte
	Generation  uint32
	Clients     uint64 // that the server has
	OneOf       uint64 // clients for each that has a dot: 1, 2, 4...
}

// Page returns a Page that gets something on ready, which should have room for it, when there may be something to take.
// There is nothing if the Follower is closed.
func (f *Follower) Page(ready chan<- struct{}) *Page {
	p := &Page{follower: f, ready: ready}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.closed {
		f.begin()
		f.pages[p] = struct{}{}
		if f.dots == nil {
			f.dots = f.newDots()
			f.walkOn()
		}
	}
	return p
}

// Close ends what Page began. It may be called more than once.
func (p *Page) Close() {
	f := p.follower
	f.mu.Lock()
	defer f.mu.Unlock()
	if delete(f.pages, p); len(f.pages) == 0 {
		f.dots = nil
		f.stopIfAlone()
	}
}

// Name returns the id of a slot; nil if the generation is another one, or there is no such slot.
func (p *Page) Name(generation, slot uint32) []byte {
	p.follower.mu.Lock()
	defer p.follower.mu.Unlock()
	d := p.follower.dots
	if d == nil || d.generation != generation || int(slot) >= len(d.slots) {
		return nil
	}
	return slices.Clone(d.ids.of(slot))
}

// Next returns what to send at now, with dots in buffer, whose capacity is the most that they take. If there is nothing,
// again is when to call it again; zero: when there is something on ready.
func (p *Page) Next(buffer []byte, now time.Time) (n News, again time.Time) {
	p.follower.mu.Lock()
	defer p.follower.mu.Unlock()
	d := p.follower.dots
	if _, ok := p.follower.pages[p]; !ok || d == nil || !d.begun {
		return n, again
	}
	n = News{Generation: d.generation, Clients: d.clients, OneOf: 1 << d.n}
	if p.generation != d.generation {
		p.reset(d)
		n.Reset = true
		return n, again
	}
	if !p.framing {
		if !p.changed && p.done == d.whole {
			return n, again
		}
		if next := p.frames.Add(herd.DotsPause); now.Before(next) {
			return n, next
		}
		p.framing, p.word, p.end, p.whole, p.frames = true, 0, len(p.dirty), d.whole, now
		p.changed = false
	}
	if n.Dots = p.take(d, buffer, tenths(now)); n.Dots != nil {
		return n, again
	}
	p.framing = false
	if p.whole && !p.done {
		p.done, n.Done = true, true
	} else if p.changed || d.whole && !p.done {
		again = p.frames.Add(herd.DotsPause)
	}
	return n, again
}

// reset begins with all slots of an array.
func (p *Page) reset(d *dots) {
	*p = Page{follower: p.follower, ready: p.ready, generation: d.generation, changed: true}
	p.dirty = make([]uint64, (len(d.slots)+63)/64)
	for i := range p.dirty {
		p.dirty[i] = 1<<64 - 1
	}
	if rest := len(d.slots) % 64; rest > 0 {
		p.dirty[len(p.dirty)-1] = 1<<rest - 1
	}
}

// take appends dots of the frame in progress to an empty buffer; nil if there are no more.
func (p *Page) take(d *dots, buffer []byte, now int64) []byte {
	b := binary.LittleEndian.AppendUint32(append(buffer[:0], 1, 0, 0, 0), d.generation)
	for ; p.word < p.end; p.word++ {
		for p.dirty[p.word] != 0 {
			if len(b)+dotBytes > cap(buffer) {
				return b
			}
			bit := bits.TrailingZeros64(p.dirty[p.word])
			p.dirty[p.word] &^= 1 << bit
			// #nosec G115 -- it is an index of d.slots
			slot := uint32(p.word*64 + bit)
			b = d.slots[slot].appendTo(b, slot, now)
		}
	}
	if len(b) == dotsHead {
		return nil
	}
	return b
}

// mark says that slots of a generation have changed.
func (p *Page) mark(generation uint32, slots []uint32) {
	if p.generation != generation {
		return // it begins with all
	}
	for _, slot := range slots {
		for word := int(slot / 64); word >= len(p.dirty); {
			p.dirty = append(p.dirty, 0)
		}
		p.dirty[slot/64] |= 1 << (slot % 64)
	}
	if !p.changed && len(slots) > 0 {
		p.changed = true
		p.signal()
	}
}

func (p *Page) signal() {
	select {
	case p.ready <- struct{}{}:
	default:
	}
}
