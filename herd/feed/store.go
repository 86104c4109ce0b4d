package feed

import (
	"bytes"
	"time"

	"github.com/cespare/xxhash/v2"

	"serverherd/protocol"
)

// Store is the whole state of a server: the newest record of each client, linked into the feed in the order in
// which this server applied them. Loop only.
//
// It is a last-writer-wins map: records may arrive in any order, any number of times, and the state is the same.
// A client that is updated moves to the tail of the feed, so the feed contains each client once, with its newest
// record, and a follower that lags costs nothing.
type Store struct {
	entries     map[string]*node
	root        node   // sentinel of the ring: root.next is the head, root.prev the tail
	tail        uint64 // position of the last applied record
	digest      protocol.Digest
	offered     uint64 // hash of the record that was last offered
	maxClients  int
	overflowed  bool   // a record of another server was dropped because of maxClients
	hashed      []byte // scratch: the herd's name, LF, then a record's text
	prefix      int    // length of the name and LF in hashed
	freeMarkers []*node
	now         int64 // the time of records that are stored, in Unix nanoseconds
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
		entries:    make(map[string]*node),
		maxClients: maxClients,
		hashed:     append([]byte(herd), '\n'),
	}
	s.prefix = len(s.hashed)
	s.root.prev, s.root.next = &s.root, &s.root
	return s
}

// SetTime sets the time at which records are stored from now on, see Item. The owner of the loop calls it once a turn,
// because reading a clock for each record would take as long as storing it.
func (s *Store) SetTime(now time.Time) { s.now = now.UnixNano() }

// Apply offers a record that came from the process from. It is stored if it is greater than the client's current
// record.
func (s *Store) Apply(r protocol.Record, from protocol.Epoch) Outcome {
	n := s.entries[string(r.Client())]
	if n != nil && r.Compare(n.record) <= 0 {
		s.offered = n.hash
		if !bytes.Equal(r.Text(), n.record.Text()) {
			s.offered = s.hash(r.Text())
		}
		return Dropped
	}
	outcome := s.put(n, r, from)
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
	if n := s.entries[string(r.Client())]; n != nil && r.SameUpdate(n.record) {
		s.offered = n.hash
		return Dropped
	}
	return s.Apply(r, from)
}

// ApplyOwn offers a record that this server made from a client's IAMAT. It is stored only if its time is strictly
// greater: a repeated IAMAT is not flooded again, whatever the clock says.
func (s *Store) ApplyOwn(r protocol.Record) Outcome {
	n := s.entries[string(r.Client())]
	if n != nil && r.CompareTime(n.record) <= 0 {
		return Dropped
	}
	return s.put(n, r, 0)
}

// put makes r the newest record of its client. n is the client's node, or nil for a new client.
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
	n.applied = s.now
	n.hash = s.hash(n.record.Text())
	s.digest += protocol.Digest(n.hash)
	s.offered = n.hash
	s.tail++
	n.seq = s.tail
	n.linkAfter(s.root.prev)
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
	n := s.entries[string(client)]
	if n == nil {
		return Item{}, false
	}
	return n.item(), true
}

// Offered returns the hash of the record that Apply or ApplyLegacy was last called with, unless the outcome was Full, or
// that ApplyOwn stored. A copy that ApplyLegacy dropped as the same update counts as the stored record.
func (s *Store) Offered() uint64 { return s.offered }

// Len returns the number of clients.
func (s *Store) Len() int { return len(s.entries) }

// Tail returns the position of the last applied record; 0 in an empty store.
func (s *Store) Tail() uint64 { return s.tail }

// Digest returns the sum modulo 2^64 of the hashes of all records. Two stores hold the same records if their
// lengths and digests are equal and neither has Overflowed.
func (s *Store) Digest() protocol.Digest { return s.digest }

// Overflowed reports whether a record of another server was ever dropped because the store was full. Such a store
// is not compared with others. A refused IAMAT does not count: it never became a record.
func (s *Store) Overflowed() bool { return s.overflowed }

// Damage corrupts the Store, for tests of divergence and repair: it replaces the client's record by r, however
// old r is, or deletes the client if r is nil. The digest changes accordingly.
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
