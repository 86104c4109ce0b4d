package feed

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"serverherd/protocol"
)

// StateWith is the state of a store that was equal at a position, and was then offered only some of the records.
func TestStateWith(t *testing.T) {
	differed := 0
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 3))
		s, clock := NewStore("ucla", 1000), 0
		clients := 1 + r.IntN(40)
		apply := func() (rec protocol.Record, from protocol.Epoch) {
			clock++
			rec, from = at(t, fmt.Sprint("c", r.IntN(clients)), clock), protocol.Epoch(r.IntN(3))
			s.Apply(rec, from)
			return rec, from
		}
		for range r.IntN(Recent + 100) {
			apply()
		}
		other, since := NewStore("ucla", 1000), s.Tail()
		for c := s.Head(); ; {
			item, ok := c.Next()
			if !ok {
				break
			}
			other.Apply(item.Record, 9)
		}
		had := map[uint64]bool{}
		for range r.IntN(60) {
			rec, from := apply()
			if from == 1 || r.IntN(4) == 0 {
				other.Apply(rec, 9)
				had[s.Tail()] = true
			}
		}
		count, digest, ok := s.StateWith(since, func(seq uint64, from protocol.Epoch) bool {
			if from == 1 && !had[seq] {
				t.Fatalf("seed %d: position %d is not from 1", seed, seq)
			}
			return had[seq]
		})
		if digest != s.Digest() {
			differed++
		}
		if !ok || count != uint64(other.Len()) || digest != other.Digest() {
			t.Errorf("seed %d: %d records, %v, want %d, %v", seed, count, digest, other.Len(), other.Digest())
		}
	}
	if differed < 100 {
		t.Errorf("%d with other states", differed)
	}
}

// Only the last applications are remembered.
func TestStateWithForgets(t *testing.T) {
	s := NewStore("ucla", 10)
	not := func(uint64, protocol.Epoch) bool { return false }
	for i := range 2 * Recent {
		s.Apply(at(t, "kiwi", i+1), 1)
	}
	for since, want := range map[uint64]bool{
		0: false, Recent - 1: false, Recent: true, 2 * Recent: true, 2*Recent + 1: false,
	} {
		if count, _, ok := s.StateWith(since, not); ok != want || ok && count != 1 {
			t.Errorf("since %d: %d records, %v", since, count, ok)
		}
	}
}
