package follow

import (
	"encoding/binary"
	"hash/maphash"
)

// idTable numbers client ids from 0 on. It has few pointers and no allocation for each id, because it may have many:
// 12 to 17 bytes for an id beside its text.
type idTable struct {
	seed  maphash.Seed
	table []uint32 // number+1 by the upper half of the hash, then the next free place; 0: free. Its length is a power of 2
	at    []uint32 // by number: the index in chunks, and the offset there in the lower 16 bits
	// chunks have ids one after the other, each behind two bytes with its length.
	chunks [][]byte
	bytes  int // of chunks
}

// chunkBytes is the size of chunks. An offset has 16 bits.
const chunkBytes = 64 << 10

func (s *idTable) hash(id []byte) uint64 { return maphash.Bytes(s.seed, id) }

// of returns the id of a number.
func (s *idTable) of(number uint32) []byte {
	at := s.at[number]
	text := s.chunks[at>>16][at&0xffff:]
	return text[2 : 2+binary.LittleEndian.Uint16(text)]
}

// find returns the number of an id with a hash.
func (s *idTable) find(id []byte, hash uint64) (number uint32, ok bool) {
	if len(s.table) == 0 {
		return 0, false
	}
	for i := s.first(hash); s.table[i] != 0; i = s.next(i) {
		if number = s.table[i] - 1; string(s.of(number)) == string(id) {
			return number, true
		}
	}
	return 0, false
}

// add gives an id that has none a number.
//
// #nosec G115 -- an id has at most protocol.MaxClientID bytes, a chunk 64 KiB; herd.DotsIDs limits the number of chunks
func (s *idTable) add(id []byte, hash uint64) (number uint32) {
	if 4*(len(s.at)+1) > 3*len(s.table) {
		s.grow()
	}
	last := len(s.chunks) - 1
	if last < 0 || len(s.chunks[last])+2+len(id) > chunkBytes {
		s.chunks = append(s.chunks, make([]byte, 0, chunkBytes))
		s.bytes += chunkBytes
		last++
	}
	number = uint32(len(s.at))
	s.at = append(s.at, uint32(last)<<16|uint32(len(s.chunks[last])))
	s.chunks[last] = append(binary.LittleEndian.AppendUint16(s.chunks[last], uint16(len(id))), id...)
	s.put(number, hash)
	return number
}

// reserve makes room for n ids in an empty table.
func (s *idTable) reserve(n int) {
	size := 1024
	for 4*n > 3*size {
		size *= 2
	}
	s.table, s.at = make([]uint32, size), make([]uint32, 0, n)
}

// #nosec G115 -- there are at most as many ids as clients: see feed.MaxItems
func (s *idTable) grow() {
	s.table = make([]uint32, max(1024, 2*len(s.table)))
	for number := range uint32(len(s.at)) {
		s.put(number, s.hash(s.of(number)))
	}
}

func (s *idTable) put(number uint32, hash uint64) {
	i := s.first(hash)
	for s.table[i] != 0 {
		i = s.next(i)
	}
	s.table[i] = number + 1
}

func (s *idTable) first(hash uint64) int { return int(hash>>32) & (len(s.table) - 1) }

func (s *idTable) next(i int) int { return (i + 1) & (len(s.table) - 1) }
