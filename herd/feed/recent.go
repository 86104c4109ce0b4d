package feed

import "serverherd/protocol"

// Recent is how many of its last applications a Store remembers.
const Recent = 4096

// application is what one record changed when it was stored.
type application struct {
	hash     uint64         // of the record
	replaced uint64         // of the record that it replaced
	first    bool           // it replaced none
	from     protocol.Epoch // as in Item
}

// recent are the last applications, each at its position modulo Recent.
type recent []application

func (rc *recent) add(seq uint64, a application) {
	if len(*rc) < Recent {
		*rc = append(*rc, a)
		return
	}
	(*rc)[(seq-1)%Recent] = a
}

// StateWith returns the number of records and the digest of a server that had everything that this Store held at the
// position since, and nothing newer but what had reports, which is asked about positions after since. It is false if that
// is too long ago. Example, with since 2 and only a3 known to the other server:
//
//	a1@1 b1@2 | b2@3 a2@4 a3@5 c1@6      a server with a3 and b1: c1 and b2 are taken back, a3 stays
//
// O(positions after since).
func (s *Store) StateWith(since uint64, had func(seq uint64, from protocol.Epoch) bool) (count uint64, digest protocol.Digest, ok bool) {
	tail := s.feed.tail
	if since > tail || tail-since > uint64(len(s.recent)) {
		return 0, 0, false
	}
	count, digest = uint64(s.Len()), s.digest
	var older map[uint64]bool // records that one which the other server had has replaced
	for seq := tail; seq > since; seq-- {
		a := s.recent[(seq-1)%Recent]
		stays := older[a.hash] || had(seq, a.from)
		switch {
		case stays && !a.first:
			if older == nil {
				older = map[uint64]bool{}
			}
			older[a.replaced] = true
		case stays:
		case a.first:
			count--
			digest -= protocol.Digest(a.hash)
		default:
			digest += protocol.Digest(a.replaced) - protocol.Digest(a.hash)
		}
	}
	return count, digest, true
}
