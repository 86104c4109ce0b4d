package feed

import (
	"encoding/binary"
	"math/bits"

	"serverherd/protocol"
)

// Offsets in a cell. The record follows, as protocol.Record.Pack writes it.
const (
	atSeq     = 0
	atHash    = 8
	atFrom    = 16
	atApplied = 24
	atRecord  = 32
)

// ref names a cell: its class in the upper classBits, its number within the class below. No cell has the ref 0.
type ref uint32

const (
	classBits  = 6
	numberBits = 32 - classBits
)

// MaxItems is how many items there may be: if all of their cells are of the smallest class, the last slab still has
// numbers for its cells.
const MaxItems = 1<<numberBits - slabBytes/cellStep

// slabs is the memory of all items: cells, which contain no pointers, so that the garbage collector has nothing to
// look at in a million of them. Cells of one class have one size. A slab is a block of cells of one class; one without
// items is given back.
type slabs struct {
	classes [1 << classBits]class
}

// class is the cells of one size.
type class struct {
	size  int    // of a cell
	shift uint   // a slab has 1<<shift cells
	slabs []slab // by number
	room  []int  // numbers of slabs that have, or had, a free cell
	gone  []int  // numbers of slabs that were given back
}

// slab is a block of cells. A free cell begins with the number of the next free one in its slab, plus 1.
type slab struct {
	cells []byte // nil: given back
	free  uint32 // number of the first free cell, plus 1; 0: none
	used  int    // cells with an item
	never int    // cells from this one on were never used
	room  bool   // it is in class.room
}

// slabBytes is about the size of a slab.
const slabBytes = 128 << 10

// The sizes of cells: multiples of cellStep up to cellSteps of them, then four for each power of two.
const (
	cellStep  = 16
	cellSteps = 20
)

// classOf returns the class of cells for n bytes, and their size.
func classOf(n int) (class, size int) {
	if n <= cellStep*cellSteps {
		class = (n + cellStep - 1) / cellStep
		return class, class * cellStep
	}
	power := bits.Len(uint(n-1)) - 1 // 1<<power < n <= 2<<power
	quarter := 1 << (power - 2)
	k := (n - 1<<power + quarter - 1) / quarter // 1..4
	return cellSteps + 4*(power-8) + k, 1<<power + k*quarter
}

// cell returns the bytes of a cell.
func (s *slabs) cell(r ref) []byte {
	c := &s.classes[r>>numberBits]
	n := int(r & (1<<numberBits - 1))
	at := (n & (1<<c.shift - 1)) * c.size
	return c.slabs[n>>c.shift].cells[at : at+c.size : at+c.size]
}

// read reads what is in a cell. The record aliases it.
func (s *slabs) read(r ref, item *Item) {
	p := s.cell(r)
	item.Record = protocol.Unpack(p[atRecord:])
	item.Seq = binary.LittleEndian.Uint64(p[atSeq:])
	item.Hash = binary.LittleEndian.Uint64(p[atHash:])
	item.From = protocol.Epoch(binary.LittleEndian.Uint64(p[atFrom:]))
	// #nosec G115 -- put made it of an int64
	item.Applied = int64(binary.LittleEndian.Uint64(p[atApplied:]))
}

// put writes an item, and returns its cell: old if that is of the right size, else another one, and old is free
// then. old may be 0.
func (s *slabs) put(old ref, item *Item) ref {
	size := atRecord + item.Record.PackedLen()
	r := old
	if k, _ := classOf(size); old == 0 || int(old>>numberBits) != k {
		if old != 0 {
			s.remove(old)
		}
		r = s.add(size)
	}
	p := s.cell(r)
	binary.LittleEndian.PutUint64(p[atSeq:], item.Seq)
	binary.LittleEndian.PutUint64(p[atHash:], item.Hash)
	binary.LittleEndian.PutUint64(p[atFrom:], uint64(item.From))
	// #nosec G115 -- read makes an int64 of it again
	binary.LittleEndian.PutUint64(p[atApplied:], uint64(item.Applied))
	item.Record.Pack(p[atRecord:])
	return r
}

// add returns a free cell for n bytes.
//
// #nosec G115 -- a class has at most 1<<numberBits cells, see MaxItems
func (s *slabs) add(n int) ref {
	k, size := classOf(n)
	c := &s.classes[k]
	if c.size == 0 {
		c.size = size
		c.shift = uint(max(0, bits.Len(uint(slabBytes/size))-1))
	}
	number := c.withRoom()
	b := &c.slabs[number]
	b.used++
	i := b.free
	if i != 0 {
		b.free = binary.LittleEndian.Uint32(b.cells[int(i-1)*size:])
		i--
	} else {
		i = uint32(b.never)
		b.never++
	}
	return ref(k)<<numberBits | ref(number<<c.shift) | ref(i)
}

// withRoom returns the number of a slab that has a free cell.
func (c *class) withRoom() int {
	for len(c.room) > 0 {
		number := c.room[len(c.room)-1]
		b := &c.slabs[number]
		if b.cells != nil && b.used < 1<<c.shift {
			return number
		}
		b.room = false
		c.room = c.room[:len(c.room)-1]
	}
	number := len(c.slabs)
	if k := len(c.gone) - 1; k >= 0 {
		number, c.gone = c.gone[k], c.gone[:k]
	} else {
		c.slabs = append(c.slabs, slab{})
	}
	b := &c.slabs[number]
	b.cells = make([]byte, c.size<<c.shift)
	if !b.room {
		b.room = true
		c.room = append(c.room, number)
	}
	return number
}

// remove makes a cell free.
func (s *slabs) remove(r ref) {
	c := &s.classes[r>>numberBits]
	n := int(r & (1<<numberBits - 1))
	// #nosec G115 -- n has numberBits bits
	number, i := n>>c.shift, uint32(n&(1<<c.shift-1))
	b := &c.slabs[number]
	if b.used--; b.used == 0 {
		*b = slab{room: b.room}
		c.gone = append(c.gone, number)
		return
	}
	binary.LittleEndian.PutUint32(b.cells[int(i)*c.size:], b.free)
	b.free = i + 1
	if !b.room {
		b.room = true
		c.room = append(c.room, number)
	}
}
