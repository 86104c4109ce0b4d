package feed

import (
	"github.com/cespare/xxhash/v2"

	"serverherd/protocol"
)

// Store is the whole state of a server: for each client its newest record, linked into the feed
// in the order in which this server applied them. Loop only.
//
// It is a last-writer-wins map: records may come in any order, any number of times, and the state
// is the same. A client that moves again moves to the feed's tail, so the feed holds each client
// once, always with its newest record, and a follower that lags for hours costs nothing.
type Store struct {
	entries     map[string]*node
	root        node   // the ring's fixed point: root.next is the head, root.prev the tail
	tail        uint64 // position of the record applied last
	digest      protocol.Digest
	maxClients  int
	overflowed  bool   // a record of the herd's was dropped for maxClients
	hashed      []byte // scratch: the herd's name, LF, then a record's text
	prefix      int    // the bytes of it that stay
	freeMarkers []*node
}

// Outcome is what became of a record.
type Outcome uint8

// The outcomes of Apply, ApplyLegacy and ApplyOwn.
const (
	Stored  Outcome = iota // it is the client's newest record now
	Dropped                // a record that is not older is here already
	Full                   // its client is unknown and the store holds its maximum
)

// NewStore returns an empty store for at most maxClients clients. The herd's name goes into every
// hash, so that two herds never agree by accident.
func NewStore(herd string, maxClients int) *Store {
	s := &Store{
		entries:    make(map[string]*node),
		maxClients: maxClients,
		hashed:     append([]byte(herd), '\n'),
	}
	s.prefix = len(s.hashed)
	s.root.prev, s.root.next = &s.root, &s.root
	return s
}

// Apply offers a record that came from the process named by from. It is stored if it is greater
// than what is here in the total order on records, the same on every server.
func (s *Store) Apply(r protocol.Record, from protocol.Epoch) Outcome {
	n := s.entries[string(r.Client())]
	if n != nil && r.Compare(n.record) <= 0 {
		return Dropped
	}
	outcome := s.put(n, r, from)
	s.overflowed = s.overflowed || outcome == Full
	return outcome
}

// ApplyLegacy is Apply for a record that came from a neighbor without a handshake. One that differs from
// what is here in origin and diff only is dropped: the paper's server puts its own name and clock there
// when it passes a record on, and its copy could win the tie against the record.
//
// So what is stored may depend on which of the two comes first. All servers of the herd still end with the
// same one, as a record that was stored anywhere is offered to everyone by Apply.
func (s *Store) ApplyLegacy(r protocol.Record, from protocol.Epoch) Outcome {
	if n := s.entries[string(r.Client())]; n != nil && r.SameUpdate(n.record) {
		return Dropped
	}
	return s.Apply(r, from)
}

// ApplyOwn offers a record that this server made of a client's IAMAT. It is stored only if its
// time is strictly greater: the same IAMAT twice is flooded once, whatever the clock says.
func (s *Store) ApplyOwn(r protocol.Record) Outcome {
	n := s.entries[string(r.Client())]
	if n != nil && r.CompareTime(n.record) <= 0 {
		return Dropped
	}
	return s.put(n, r, 0)
}

// put makes r the newest record of its client, whose node is n if it is known.
func (s *Store) put(n *node, r protocol.Record, from protocol.Epoch) Outcome {
	if n == nil {
		if len(s.entries) >= s.maxClients {
			return Full
		}
		n = &node{}
		s.entries[string(r.Client())] = n
	} else {
		s.digest -= protocol.Digest(n.hash)
		n.unlink()
	}
	n.record = r.CloneInto(n.record.Text())
	n.from = from
	n.hash = s.hash(n.record.Text())
	s.digest += protocol.Digest(n.hash)
	s.tail++
	n.seq = s.tail
	n.linkAfter(s.root.prev)
	return Stored
}

// hash is a record's part of the digest: the 64-bit xxHash of the herd's name, LF, and the
// record's fields joined by single spaces.
func (s *Store) hash(text []byte) uint64 {
	s.hashed = append(s.hashed[:s.prefix], text...)
	return xxhash.Sum64(s.hashed)
}

// Lookup returns the newest record of a client, as Cursor.Next returns it.
func (s *Store) Lookup(client []byte) (Item, bool) {
	n := s.entries[string(client)]
	if n == nil {
		return Item{}, false
	}
	return Item{Record: n.record, Seq: n.seq, From: n.from}, true
}

// Len is the number of clients.
func (s *Store) Len() int { return len(s.entries) }

// Tail is the position of the record that was applied last; 0 in an empty store.
func (s *Store) Tail() uint64 { return s.tail }

// Digest is the sum modulo 2^64 of the hashes of all records: two stores hold the same records
// when their lengths and digests agree. It says so of whole states only: see Overflowed.
func (s *Store) Digest() protocol.Digest { return s.digest }

// Overflowed says whether a record of another server was ever dropped because the store was full.
// Nobody compares with such a store. What a client is refused was never a record.
func (s *Store) Overflowed() bool { return s.overflowed }

// Damage breaks the Store as no input can, for tests that want to see the herd notice and mend it:
// it puts r in the place of its client's record, however old r is, or forgets the client if r is
// nil. The digest follows, as it would had the wrong thing been stored.
func (s *Store) Damage(client []byte, r *protocol.Record) {
	n := s.entries[string(client)]
	if n == nil {
		return
	}
	if r != nil {
		s.put(n, *r, 0)
		return
	}
	s.digest -= protocol.Digest(n.hash)
	n.unlink()
	delete(s.entries, string(client))
}
