package follow

import (
	"encoding/binary"
	"hash/maphash"
	"math"
	"slices"
	"time"

	"serverherd/herd"
	"serverherd/protocol"
)

// dots is the array of all clients' positions, by slot, for all pages together. It has at most Options.Dots clients, and
// herd.DotsIDs bytes of their ids: beyond that only one of 2^n, by a hash of the id whose seed is the process's, so that
// nobody can choose ids that are all among them. So it takes up to 8 MiB and that for the ids. Guarded by the
// Follower's mutex.
//
// It is filled by a walk along the feed from its beginning to the end that it had then, while updates go on. What the walk
// does not find any more has been updated, and comes as an update. A batch, of the walk or of updates, has the newest
// records at its time, and the goroutine gets batches in the order in which the loop made them: so what is put into the
// array is never older than what is there.
type dots struct {
	max        int
	generation uint32
	next       func() uint32 // another generation
	n          uint
	clients    uint64 // that the server has
	begun      bool   // the walk: clients is known
	walked     bool   // it has ended
	end        uint64 // then: position in the feed up to which updates must have come
	whole      bool   // all that were there when the walk began are there
	slots      []dot
	ids        idTable
}

// dot is where a client is.
type dot struct {
	lat, lng int32 // 1e-7 degrees
	time     int64 // of the client, in 0.1 s
}

// dotBytes is the size of a dot in a message, and dotsHead that of what is before the first one.
const dotBytes, dotsHead = 16, 8

func dotOf(r protocol.Record) dot {
	lat, lng := r.Position()
	t := r.Stamp().Time()
	return dot{int32(math.Round(lat * 1e7)), int32(math.Round(lng * 1e7)), t.Unix()*10 + int64(t.Nanosecond())/1e8}
}

// appendTo appends the dot as it is sent at now, in 0.1 s.
//
// #nosec G115 -- a page makes int32 of both again; the age is from 0 to math.MaxUint32
func (d dot) appendTo(b []byte, slot uint32, now int64) []byte {
	b = binary.LittleEndian.AppendUint32(b, slot)
	b = binary.LittleEndian.AppendUint32(b, uint32(d.lat))
	b = binary.LittleEndian.AppendUint32(b, uint32(d.lng))
	return binary.LittleEndian.AppendUint32(b, uint32(min(max(now-d.time, 0), math.MaxUint32)))
}

func tenths(t time.Time) int64 { return t.UnixMilli() / 100 }

// has reports whether the client with a hash is one of those in the array.
func (d *dots) has(hash uint64) bool { return hash&(1<<d.n-1) == 0 }

// begin is called with the first batch of the walk.
//
// #nosec G115 -- d.max is not negative, and the loop ends with at most that many
func (d *dots) begin() {
	d.begun = true
	for d.clients>>d.n > uint64(d.max) {
		d.n++
	}
	n := int(d.clients >> d.n)
	d.slots = make([]dot, 0, n)
	d.ids.reserve(n)
}

// put has the record of a client, and returns its slot; false if it is not one of those in the array.
func (d *dots) put(r protocol.Record) (slot uint32, ok bool) {
	id := r.Client()
	hash := d.ids.hash(id)
	if !d.has(hash) {
		return 0, false
	}
	if slot, ok = d.ids.find(id, hash); ok {
		d.slots[slot] = dotOf(r)
		return slot, true
	}
	for len(d.slots) >= d.max || d.ids.bytes > herd.DotsIDs {
		d.halve()
	}
	if !d.has(hash) {
		return 0, false
	}
	d.slots = append(d.slots, dotOf(r))
	return d.ids.add(id, hash), true
}

// halve begins a generation with half of the clients.
func (d *dots) halve() {
	old := *d
	d.n++
	d.generation = d.next()
	d.slots, d.ids = nil, idTable{seed: old.ids.seed}
	for slot, one := range old.slots {
		id := old.ids.of(uint32(slot))
		if hash := d.ids.hash(id); d.has(hash) {
			d.slots = append(d.slots, one)
			d.ids.add(id, hash)
		}
	}
	d.slots = slices.Clip(d.slots)
}

// newDots returns an array that is to be filled.
func (f *Follower) newDots() *dots {
	next := func() uint32 {
		f.generation++
		return f.generation
	}
	most := f.o.Dots
	if most == 0 {
		most = herd.DotsClients
	}
	return &dots{max: most, next: next, generation: next(), ids: idTable{seed: f.seed}}
}

// walkOn posts the next turn of the walk for the array, unless one is under way.
func (f *Follower) walkOn() {
	r := f.reader
	if r.walking {
		return
	}
	r.walking = true
	d, seed, mask := f.dots, f.seed, uint64(1)<<f.dots.n-1
	f.o.Post(func() { r.walkOn(d, func(id []byte) bool { return maphash.Bytes(seed, id)&mask == 0 }) })
}

// walked has what the walk has read.
func (f *Follower) walked(r *reader, b *Batch) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.reader != r {
		return // stopped
	}
	r.walking = false
	d := f.dots
	if d == nil {
		f.o.Post(r.endWalk)
		return
	}
	if b.walk == d {
		d.clients = b.clients
		if !d.begun {
			d.begin()
			f.signalPages()
		}
		f.put(b.Updates)
		d.walked, d.end = b.ended, b.end
		f.wholeAt(b.position)
	}
	if !d.walked {
		f.walkOn()
	}
}

// put has records for the array and for all pages.
func (f *Follower) put(updates []Update) {
	d := f.dots
	before := d.generation
	f.slots = f.slots[:0]
	for _, u := range updates {
		if slot, ok := d.put(u.Record); ok {
			f.slots = append(f.slots, slot)
		}
	}
	if d.generation != before {
		f.signalPages()
		return // they begin with all
	}
	for p := range f.pages {
		p.mark(d.generation, f.slots)
	}
}

// wholeAt is called when all updates up to a position have been published.
func (f *Follower) wholeAt(position uint64) {
	if d := f.dots; d != nil && !d.whole && d.walked && position >= d.end {
		d.whole = true
		f.signalPages()
	}
}

func (f *Follower) signalPages() {
	for p := range f.pages {
		p.signal()
	}
}
