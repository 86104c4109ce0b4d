package recorder

import (
	"encoding/binary"
	"math/bits"
	"time"
)

// The size of a recorder: 1 MiB.
const (
	// Size is the number of events in each of the two rings.
	Size = 8192
	// IDBytes is how much of a client's id an event has.
	IDBytes = 32
)

// The sampled ring is meant to hold a minute. So it takes at most sampleRate events a second, more only while K grows,
// and K falls when it takes less than a quarter of that. A ring of five servers records 2.6 events of an update on
// each server, so these are up to 49 updates a second.
const (
	samplePeriod = time.Second
	sampleRate   = 128
)

// Kind is the kind of an event.
type Kind uint8

// The kinds of events: see the package's documentation.
const (
	Stored Kind = iota + 1
	Applied
	Duplicate
	Read
	Sent
	Copied
)

// slot is an event, 64 bytes: one cache line.
type slot struct {
	at       time.Duration
	hash     uint64 // Sent, Copied: the first position
	position uint64 // Sent, Copied: the last position
	kind     Kind
	k        uint8
	neighbor uint16
	idLength uint16 // of the whole id
	_        uint16
	id       [IDBytes]byte // Copied: the two numbers
}

// Recorder keeps the latest events of one server. Loop only.
type Recorder struct {
	began     time.Time
	neighbors []string

	now     time.Time // of the last event
	at      time.Duration
	copied  time.Duration // of the last Copied or ReadAll
	recent  ring
	sampled ring

	k         int           // updates whose hash begins with k zero bits are sampled
	periodEnd time.Duration // when the period in which sampled events are counted ends
	periodHas int           // events that the sampled ring took in this period
	// positions of the last sampled records, in increasing order: sent is sampled if it covers one of them.
	positions [32]uint64
	next      int // index of the oldest of positions, which is replaced next
}

// ring is a ring of slots. The event number n, counted from 0, is at n modulo Size.
type ring struct {
	slots [Size]slot
	count uint64 // events so far
}

func (r *ring) add() *slot {
	s := &r.slots[r.count%Size]
	r.count++
	return s
}

// New returns an empty recorder of a server with these neighbors, to which the other methods refer by index. Times of
// events are differences from began, which must be from the same clock as the times that are passed to those methods.
func New(began time.Time, neighbors []string) *Recorder {
	return &Recorder{began: began, neighbors: neighbors, periodEnd: samplePeriod}
}

// K returns how many zero bits the hash of a sampled update begins with: 1 of 2^K updates is sampled.
func (r *Recorder) K() int { return r.k }

// Elapsed returns now as a time of an event.
func (r *Recorder) Elapsed(now time.Time) time.Duration {
	if now != r.now { // all lines of a chunk have the same
		r.now, r.at = now, now.Sub(r.began)
	}
	return r.at
}

// Stored records that an IAMAT was stored.
func (r *Recorder) Stored(now time.Time, hash, position uint64, client []byte) {
	r.record(Stored, now, 0, hash, position, client)
}

// Applied records an AT line of a neighbor that was new.
func (r *Recorder) Applied(now time.Time, neighbor int, hash, position uint64, client []byte) {
	r.record(Applied, now, neighbor, hash, position, client)
}

// Duplicate records an AT line of a neighbor that was not new.
func (r *Recorder) Duplicate(now time.Time, neighbor int, hash uint64, client []byte) {
	r.record(Duplicate, now, neighbor, hash, 0, client)
}

// Read records an entry of the bucket that was new.
func (r *Recorder) Read(now time.Time, hash, position uint64, client []byte) {
	r.record(Read, now, 0, hash, position, client)
}

// ReadAll records that such entries were new while all of them were read, which have no events.
func (r *Recorder) ReadAll(now time.Time) { r.copied = r.Elapsed(now) }

// #nosec G115 -- k is at most 64, herd.toml too short for 65,536 neighbors, an id at most protocol.MaxClientID bytes
func (r *Recorder) record(kind Kind, now time.Time, neighbor int, hash, position uint64, client []byte) {
	s := r.recent.add()
	s.at = r.Elapsed(now)
	s.hash, s.position = hash, position
	s.kind, s.k, s.neighbor, s.idLength = kind, uint8(r.k), uint16(neighbor), uint16(len(client))
	s.setID(client)
	if bits.LeadingZeros64(hash) >= r.k {
		if position != 0 {
			r.positions[r.next] = position
			r.next = (r.next + 1) % len(r.positions)
		}
		r.sample(s)
	}
}

// setID copies the beginning of an id. Copies of constant length need no call of memmove, which takes longer than the rest
// of an event.
func (s *slot) setID(client []byte) {
	switch n := len(client); {
	case n >= IDBytes:
		copy(s.id[:], client[:IDBytes])
	case n >= 16:
		copy(s.id[:16], client[:16])
		copy(s.id[n-16:n], client[n-16:n])
	case n >= 8:
		copy(s.id[:8], client[:8])
		copy(s.id[n-8:n], client[n-8:n])
	default:
		copy(s.id[:], client)
	}
}

// Sent records that AT lines were written to a neighbor: records with positions from first to last.
func (r *Recorder) Sent(now time.Time, neighbor int, first, last uint64) {
	s := r.recent.add()
	s.at = r.Elapsed(now)
	s.hash, s.position = first, last
	// #nosec G115 -- k is at most 64, and herd.toml too short for 65,536 neighbors
	s.kind, s.k, s.neighbor = Sent, uint8(r.k), uint16(neighbor)
	if r.coversSampled(first, last) {
		r.sample(s)
	}
}

// coversSampled reports whether one of the last sampled records has a position from first to last.
func (r *Recorder) coversSampled(first, last uint64) bool {
	for i := range r.positions {
		p := r.positions[(r.next-1-i)&(len(r.positions)-1)]
		if p <= last {
			return p >= first && p != 0
		}
	}
	return false
}

// Copied records a part of a copy or a resume: of its records, applied were new, at positions from first to last, and
// duplicates were not. It is never sampled: the MARKs of a copy are many.
func (r *Recorder) Copied(now time.Time, neighbor int, first, last uint64, applied, duplicates int) {
	s := r.recent.add()
	s.at = r.Elapsed(now)
	s.hash, s.position = first, last
	// #nosec G115 -- k is at most 64, and herd.toml too short for 65,536 neighbors
	s.kind, s.k, s.neighbor = Copied, uint8(r.k), uint16(neighbor)
	r.copied = s.at
	binary.LittleEndian.PutUint64(s.id[:], uint64(applied))
	binary.LittleEndian.PutUint64(s.id[8:], uint64(duplicates))
}

// sample adds an event to the sampled ring, too, and adjusts k.
func (r *Recorder) sample(s *slot) {
	if s.at >= r.periodEnd {
		r.endPeriod(s.at)
	}
	*r.sampled.add() = *s
	if r.periodHas++; r.periodHas > sampleRate && r.k < 64 {
		r.k++ // at once: a burst must not push out the last minute
		r.periodHas = 0
	}
}

// endPeriod lowers k if few events were sampled, by one for each period that has passed.
func (r *Recorder) endPeriod(at time.Duration) {
	passed := 1 + (at-r.periodEnd)/samplePeriod
	if r.periodHas < sampleRate/4 || passed > 1 {
		r.k = max(0, r.k-int(min(passed, 64)))
	}
	r.periodEnd += passed * samplePeriod
	r.periodHas = 0
}
