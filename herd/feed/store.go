package feed

import (
	"bytes"
	"time"

	"github.com/cespare/xxhash/v2"

	"serverherd/protocol"
)

// Store is the whole state of a server: the newest record of each client, and the feed, which is the order in which
// this server applied them. Loop only.
//
// It is a last-writer-wins map: records may arrive in any order, any number of times, and the state is the same.
// A client that is updated moves to the tail of the feed, so the feed contains each client once, with its newest
// record, and a follower that lags costs nothing.
type Store struct {
	cells      slabs     // the entries of all clients
	clients    index     // by client
	feed       positions // by position
	digest     protocol.Digest
	offered    uint64 // hash of the record that was last offered
	same       uint64 // see Same
	recent     recent // the last applications
	maxClients int
	overflowed bool   // a record of another server was dropped because of maxClients
	hashed     []byte // scratch: the herd's name, LF, then a record's text
	prefix     int    // length of the name and LF in hashed
	now        int64  // the time of records that are stored, in Unix nanoseconds
	prefetched uint64 // of no meaning, see Prefetch and Cursor.readAhead
}

// Outcome is the result of offering a record to a Store.
type Outcome uint8

// The outcomes of Apply, ApplyLegacy and ApplyOwn.
const (
	Stored  Outcome = iota // it is the client's newest record now
	Dropped                // the store has a record of this client that is not older
	Full                   // the client is unknown and the store has its maximum of clients
)

// NewStore returns an empty store for at most maxClients clients. The herd's name goes into every hash, so that
// the digests of two herds differ.
func NewStore(herd string, maxClients int) *Store {
	s := &Store{
		clients:    newIndex(),
		maxClients: maxClients,
		hashed:     append([]byte(herd), '\n'),
	}
	s.prefix = len(s.hashed)
	return s
}

// SetTime sets the time at which records are stored from now on, see Item. The owner of the loop calls it once a turn,
// because reading a clock for each record would take as long as storing it.
func (s *Store) SetTime(now time.Time) { s.now = now.UnixNano() }

// known is what is known about a client before a record of it is put: the hash of its id in the index, its cell, or 0
// if there is none, and what is in that.
type known struct {
	id   uint32
	cell ref
	Item
}

func (s *Store) find(client []byte, k *known) {
	k.id = s.clients.hash(client)
	k.cell = s.clients.find(k.id, client, &s.cells, &k.Item)
}

// Apply offers a record that came from the process from. It is stored if it is greater than the client's current
// record.
func (s *Store) Apply(r protocol.Record, from protocol.Epoch) Outcome {
	var k known
	s.find(r.Client(), &k)
	if k.cell != 0 && r.Compare(k.Record) <= 0 {
		s.offered, s.same = k.Hash, k.Seq
		if !bytes.Equal(r.Text(), k.Record.Text()) {
			s.offered, s.same = s.hash(r.Text()), 0
		}
		return Dropped
	}
	outcome := s.put(&k, r, from)
	s.overflowed = s.overflowed || outcome == Full
	return outcome
}

// ApplyLegacy is Apply for a record that came from a neighbor without a handshake. One that differs from the
// current record only in origin and diff is dropped: the paper's server replaces them by its own name and clock
// when it forwards a record, and its copy could win the tie against the original.
//
// So the stored record may depend on which of the two comes first. All servers of the herd still end with the
// same one, as each stored record is sent to all of them and offered by Apply.
func (s *Store) ApplyLegacy(r protocol.Record, from protocol.Epoch) Outcome {
	var k known
	if s.find(r.Client(), &k); k.cell != 0 && r.SameUpdate(k.Record) {
		s.offered = k.Hash
		return Dropped
	}
	return s.Apply(r, from)
}

// ApplyOwn offers a record that this server made from a client's IAMAT. It is stored only if its time is strictly
// greater: a repeated IAMAT is not flooded again, whatever the clock says.
func (s *Store) ApplyOwn(r protocol.Record) Outcome {
	var k known
	s.find(r.Client(), &k)
	if k.cell != 0 && r.CompareTime(k.Record) <= 0 {
		return Dropped
	}
	return s.put(&k, r, 0)
}

// put makes r the newest record of its client.
func (s *Store) put(k *known, r protocol.Record, from protocol.Epoch) Outcome {
	if k.cell == 0 && s.clients.count >= s.maxClients {
		return Full
	}
	item := Item{Hash: s.hash(r.Text()), From: from, Applied: s.now, Record: r, Seq: s.feed.tail + 1}
	cell := s.cells.put(k.cell, &item)
	switch {
	case k.cell == 0:
		s.clients.add(k.id, cell)
	default:
		s.digest -= protocol.Digest(k.Hash)
		s.feed.remove(k.Seq)
		if cell != k.cell {
			s.clients.replace(k.id, k.cell, cell)
		}
	}
	s.feed.add(cell)
	s.recent.add(item.Seq, application{hash: item.Hash, replaced: k.Hash, first: k.cell == 0, from: from})
	s.digest += protocol.Digest(item.Hash)
	s.offered = item.Hash
	return Stored
}

// hash returns a record's summand of the digest: the 64-bit xxHash of the herd's name, LF, and the record's
// fields joined by single spaces.
func (s *Store) hash(text []byte) uint64 {
	s.hashed = append(s.hashed[:s.prefix], text...)
	return xxhash.Sum64(s.hashed)
}

// Lookup returns the newest record of a client. See Item for how long it is valid.
func (s *Store) Lookup(client []byte) (Item, bool) {
	var k known
	s.find(client, &k)
	if k.cell == 0 {
		return Item{}, false
	}
	return k.Item, true
}

// Offered returns the hash of the record that Apply or ApplyLegacy was last called with, unless the outcome was Full, or
// that ApplyOwn stored. A copy that ApplyLegacy dropped as the same update counts as the stored record.
func (s *Store) Offered() uint64 { return s.offered }

// Same returns the position of the record that Apply last dropped, if the Store has exactly that record; 0 if it has
// a greater one.
func (s *Store) Same() uint64 { return s.same }

// Len returns the number of clients.
func (s *Store) Len() int { return s.clients.count }

// Tail returns the position of the last applied record; 0 in an empty store.
func (s *Store) Tail() uint64 { return s.feed.tail }

// Digest returns the sum modulo 2^64 of the hashes of all records. Two stores hold the same records if their
// lengths and digests are equal and neither has Overflowed.
func (s *Store) Digest() protocol.Digest { return s.digest }

// Overflowed reports whether a record of another server was ever dropped because the store was full. Such a store
// is not compared with others. A refused IAMAT does not count: it never became a record.
func (s *Store) Overflowed() bool { return s.overflowed }

// Damage corrupts the Store, for tests of divergence and repair: it replaces the client's record by r, however
// old r is, or deletes the client if r is nil. The digest changes accordingly.
func (s *Store) Damage(client []byte, r *protocol.Record) {
	var k known
	s.find(client, &k)
	if k.cell == 0 {
		return
	}
	if r != nil {
		s.put(&k, *r, 0)
		return
	}
	s.digest -= protocol.Digest(k.Hash)
	s.feed.remove(k.Seq)
	s.clients.remove(k.id, k.cell)
	s.cells.remove(k.cell)
}
