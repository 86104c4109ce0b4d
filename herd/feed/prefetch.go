package feed

import "encoding/binary"

// PrefetchMax is how many clients Prefetch takes at a time. With fewer than PrefetchClients in the Store, reading ahead
// takes more time than it saves, because most of the Store is in the processor's cache.
const (
	PrefetchMax     = 128
	PrefetchClients = 16_384
)

// Prefetch reads what Apply, ApplyLegacy and ApplyOwn will need for up to PrefetchMax clients, so that it is in the
// processor's cache by then. It changes nothing else, and an id may be anything: that of an unknown client, or not an
// id at all.
//
// A client that has not moved for a while is in none of the caches: neither its slot of the index, nor its cell, nor
// its place in the feed. One Apply after another waits for each of them. Here the loops have a body that is short and
// does not depend on the iteration before, so that the processor waits for many of them at once. Do not merge loops: a
// hash, or a branch that it predicts wrong, keeps it from running far enough ahead.
func (s *Store) Prefetch(clients [][]byte) {
	clients = clients[:min(len(clients), PrefetchMax)]
	var hashes [PrefetchMax]uint32
	for i, c := range clients {
		hashes[i] = s.clients.hash(c)
	}
	read := uint64(0) // the sum of all that is read, so that the compiler does not remove it
	for _, h := range hashes[:len(clients)] {
		read += uint64(s.clients.table(h).slots[home(h)])
	}
	var cells [PrefetchMax]ref
	n := 0
	for _, h := range hashes[:len(clients)] {
		if r := s.clients.first(h); r != 0 {
			cells[n] = r
			n++
		}
	}
	var places [PrefetchMax]uint64
	for i, r := range cells[:n] {
		p := s.cells.cell(r) // two or three lines of the cache, with usual ids
		places[i] = binary.LittleEndian.Uint64(p[atSeq:])
		read += uint64(p[len(p)/2]) + uint64(p[len(p)-1])
	}
	for _, seq := range places[:n] {
		if in, place := s.feed.segment(seq); in.dense != nil {
			read += uint64(in.dense[place])
		}
	}
	s.prefetched = read
}
