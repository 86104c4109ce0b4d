package feed

import (
	"bytes"
	"hash/maphash"
)

// index finds the cell of a client: a hash table that grows by splitting one of its tables at a time, so that no call
// takes long (extendible hashing). Its seed is random, so that nobody can choose clients that collide. The order of
// tables and slots, which depends on the seed, is never seen from outside.
type index struct {
	seed   maphash.Seed
	tables []*table // by the first depth bits of the hash; neighbors may be the same table
	depth  uint
	count  int
}

// table is a part of the index with linear probing. It contains no pointers.
type table struct {
	depth uint // all of its hashes have this many first bits in common
	count int
	slots [tableSlots]slot
}

// slot is the upper half of a client's hash, and the ref of its cell. 0 is an empty one.
type slot uint64

const (
	tableBits  = 10
	tableSlots = 1 << tableBits
	tableFull  = tableSlots * 7 / 8
)

func newSlot(hash uint32, r ref) slot { return slot(hash)<<32 | slot(r) }

func (s slot) hash() uint32 { return uint32(s >> 32) }

// #nosec G115 -- the lower half is wanted
func (s slot) ref() ref { return ref(s) }

func newIndex() index {
	return index{seed: maphash.MakeSeed(), tables: []*table{{}}}
}

func (x *index) hash(client []byte) uint32 { return uint32(maphash.Bytes(x.seed, client) >> 32) }

// table returns the table for a hash. A shift by 32 is 0 in Go.
func (x *index) table(hash uint32) *table { return x.tables[hash>>(32-x.depth)] }

// find returns the cell of a client with a hash, and reads it; 0: none.
func (x *index) find(hash uint32, client []byte, cells *slabs, item *Item) ref {
	t := x.table(hash)
	for i := home(hash); ; i = next(i) {
		s := t.slots[i]
		if s == 0 {
			return 0
		}
		if s.hash() == hash {
			if cells.read(s.ref(), item); bytes.Equal(item.Record.Client(), client) {
				return s.ref()
			}
		}
	}
}

// first returns the cell of the first client with a hash, which is not always the one that is looked for; 0: none.
func (x *index) first(hash uint32) ref {
	t := x.table(hash)
	for i := home(hash); t.slots[i] != 0; i = next(i) {
		if t.slots[i].hash() == hash {
			return t.slots[i].ref()
		}
	}
	return 0
}

// home is where the search for a hash begins.
func home(hash uint32) uint32 { return hash % tableSlots }

func next(i uint32) uint32 { return (i + 1) % tableSlots }

// add adds a client that is not in the index.
func (x *index) add(hash uint32, r ref) {
	for x.table(hash).count >= tableFull && x.split(hash) {
	}
	x.table(hash).add(newSlot(hash, r))
	x.count++
}

func (t *table) add(s slot) {
	i := home(s.hash())
	for t.slots[i] != 0 {
		i = next(i)
	}
	t.slots[i] = s
	t.count++
}

// at returns where a client's slot is. The client must be in the table.
func (t *table) at(hash uint32, r ref) uint32 {
	i := home(hash)
	for t.slots[i] != newSlot(hash, r) {
		i = next(i)
	}
	return i
}

// replace changes the cell of a client.
func (x *index) replace(hash uint32, old, r ref) {
	t := x.table(hash)
	t.slots[t.at(hash, old)] = newSlot(hash, r)
}

// remove removes a client. Slots behind it move up, as far as they may.
func (x *index) remove(hash uint32, r ref) {
	t := x.table(hash)
	hole := t.at(hash, r)
	for i := next(hole); t.slots[i] != 0; i = next(i) {
		from := home(t.slots[i].hash())
		if (i-from)%tableSlots >= (i-hole)%tableSlots {
			t.slots[hole], hole = t.slots[i], i
		}
	}
	t.slots[hole] = 0
	t.count--
	x.count--
}

// split splits the table of a hash in two. It is false if the hashes have no more bits: never, with a random seed.
func (x *index) split(hash uint32) bool {
	old := x.table(hash)
	if old.depth == 32-tableBits {
		return false
	}
	if old.depth == x.depth {
		tables := make([]*table, 2*len(x.tables))
		for i := range tables {
			tables[i] = x.tables[i/2]
		}
		x.tables = tables
		x.depth++
	}
	depth := old.depth + 1
	halves := [2]*table{{depth: depth}, {depth: depth}}
	for _, s := range old.slots {
		if s != 0 {
			halves[s.hash()>>(32-depth)&1].add(s)
		}
	}
	share := 1 << (x.depth - depth) // entries of tables for each half
	first := int(hash>>(32-old.depth)) * 2 * share
	for i := range share {
		x.tables[first+i], x.tables[first+share+i] = halves[0], halves[1]
	}
	return true
}
