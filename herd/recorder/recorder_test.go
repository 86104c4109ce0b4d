package recorder

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"
	"unsafe"
)

var began = time.Unix(1_790_000_000, 0)

func at(d time.Duration) time.Time { return began.Add(d) }

func newRecorder() *Recorder { return New(began, []string{"Hamilton", "Welsh"}) }

// A recorder is 1 MiB and a little, a slot one cache line.
func TestSize(t *testing.T) {
	if n := unsafe.Sizeof(slot{}); n != 64 {
		t.Errorf("a slot has %d bytes, want 64", n)
	}
	if n := unsafe.Sizeof(Recorder{}); n > 1<<20+1<<10 {
		t.Errorf("a recorder has %d bytes, want 1 MiB", n)
	}
}

// Every kind is read as it was recorded, and survives JSON.
func TestKinds(t *testing.T) {
	r := newRecorder()
	long := make([]byte, 1024)
	for i := range long {
		long[i] = byte(255 - i%200)
	}
	r.Stored(at(1), 0xabc, 1, []byte("kiwi"))
	r.Applied(at(2), 0, 1<<63, 2, long)
	r.Duplicate(at(3), 1, 7, []byte{0, '<', 0x1b})
	r.Sent(at(4), 1, 1, 2)
	r.Copied(at(5), 0, 3, 9, 5, 4)
	want := []Event{
		{At: 1, Kind: Stored, Hash: 0xabc, Position: 1, ID: []byte("kiwi"), IDLength: 4},
		{At: 2, Kind: Applied, Neighbor: "Hamilton", Hash: 1 << 63, Position: 2, ID: long[:IDBytes], IDLength: 1024},
		{At: 3, Kind: Duplicate, Neighbor: "Welsh", Hash: 7, ID: []byte{0, '<', 0x1b}, IDLength: 3},
		{At: 4, Kind: Sent, Neighbor: "Welsh", First: 1, Last: 2},
		{At: 5, Kind: Copied, Neighbor: "Hamilton", First: 3, Last: 9, New: 5, Old: 4},
	}
	got := r.Recent(0, 100)
	if !reflect.DeepEqual(got, Page{want, 5, 0}) {
		t.Errorf("recent:\n%+v\nwant\n%+v", got, want)
	}
	text, err := json.Marshal(got.Events)
	var back []Event
	if err == nil {
		err = json.Unmarshal(text, &back)
	}
	if err != nil || !reflect.DeepEqual(back, want) {
		t.Errorf("%s: %v\n%+v", text, err, back)
	}
	for _, bad := range []string{`{"kind":"lost"}`, `{"kind":"stored","hash":"1"}`, `{"kind":"stored","hash":"000000000000000g"}`,
		`{"kind":"stored","hash":"0000000000000001","id_b64":"%"}`, `7`} {
		var e Event
		if json.Unmarshal([]byte(bad), &e) == nil {
			t.Errorf("%s was accepted", bad)
		}
	}
	if s := Kind(9).String(); s != "Kind(9)" {
		t.Errorf("unknown kind: %s", s)
	}
}

// Pages follow each other, and what the ring has lost is counted.
func TestPages(t *testing.T) {
	r := newRecorder()
	const all = Size + 1000
	for i := range uint64(all) {
		r.Stored(at(time.Duration(i)), i<<1|1, i+1, []byte("kiwi"))
	}
	p := r.Recent(0, 100)
	if p.Missed != 1000 || p.Next != 1100 || len(p.Events) != 100 || p.Events[0].Position != 1001 {
		t.Errorf("first page: %d missed, next %d, %d events, the first %+v", p.Missed, p.Next, len(p.Events), p.Events[0])
	}
	position := uint64(1000)
	for next := uint64(1000); next < all; {
		p := r.Recent(next, 333)
		if p.Missed != 0 || len(p.Events) == 0 {
			t.Fatalf("page at %d: %d missed, %d events", next, p.Missed, len(p.Events))
		}
		for _, e := range p.Events {
			if position++; e.Position != position {
				t.Fatalf("position %d, want %d", e.Position, position)
			}
		}
		next = p.Next
	}
	if p := r.Recent(all, 100); len(p.Events) != 0 || p.Next != all || p.Missed != 0 {
		t.Errorf("at the end: %+v", p)
	}
	if p := r.Recent(1<<60, 100); len(p.Events) != 0 || p.Next != all || p.Missed != 0 {
		t.Errorf("a number of the future: %+v", p)
	}
}

// flood is what one server records of one update on a ring of five.
func flood(r *Recorder, now time.Duration, hash, position uint64) {
	r.Applied(at(now), 0, hash, position, []byte("kiwi.cs.ucla.edu"))
	r.Sent(at(now+time.Microsecond), 1, position, position)
	r.Duplicate(at(now+2*time.Microsecond), 1, hash, []byte("kiwi.cs.ucla.edu"))
}

// At any rate, and whatever it was before, the sampled ring holds the last minute, and floods in it are complete: on
// servers with different rates the same ones, if they are filtered by the greatest K.
func TestSampled(t *testing.T) {
	for _, rate := range []int{1, 10, 40, 100, 1000, 10_000} {
		t.Run(fmt.Sprintf("%d a second", rate), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(1, uint64(rate)))
			r, busier := newRecorder(), newRecorder() // busier has twice as many updates
			const seconds = 66
			greatest, position := 0, uint64(0)
			var hashes []uint64 // of the last minute
			for i := range rate * seconds {
				now := time.Duration(i) * time.Second / time.Duration(rate)
				hash := rnd.Uint64()
				position++
				flood(r, now, hash, position)
				flood(busier, now, hash, 2*position)
				flood(busier, now, rnd.Uint64(), 2*position+1)
				if now >= time.Duration(seconds-60)*time.Second {
					hashes = append(hashes, hash)
					greatest = max(greatest, r.K(), busier.K())
				}
			}
			complete := 0
			for _, recorder := range []*Recorder{r, busier} {
				has := map[uint64]int{}
				sent := map[uint64]bool{}
				for _, e := range recorder.Sampled(0, Size).Events {
					has[e.Hash]++
					sent[e.First] = true
				}
				complete = 0
				for _, hash := range hashes {
					if hash>>(63-greatest)>>1 != 0 {
						continue
					}
					complete++
					if has[hash] != 2 {
						t.Fatalf("K %d: flood %016x has %d events, want 2", greatest, hash, has[hash])
					}
				}
				if len(sent) < complete {
					t.Errorf("%d floods were sent, want %d", len(sent), complete)
				}
			}
			if perSecond := float64(complete) / 60; perSecond > 100 || rate >= 1000 && perSecond < 2 {
				t.Errorf("%.1f floods a second with K %d", perSecond, greatest)
			}
		})
	}
}

// K falls again, by one a second, also while nothing happens.
func TestKFalls(t *testing.T) {
	r := newRecorder()
	for i := range uint64(100_000) {
		flood(r, time.Duration(i)*time.Microsecond, i*0x9e3779b97f4a7c15, i+1)
	}
	k := r.K()
	if k < 6 {
		t.Fatalf("K is %d after 300,000 events in 0.1 s", k)
	}
	flood(r, 3500*time.Millisecond, 0, 200_000)
	if r.K() != k-3 {
		t.Errorf("K is %d after three seconds, want %d", r.K(), k-3)
	}
	flood(r, time.Hour, 0, 200_001)
	if r.K() != 0 {
		t.Errorf("K is %d after an hour, want 0", r.K())
	}
}

// Flood finds each event of a record once, whether it is in the recent ring, in the sampled ring or in both, and
// whether or not its position is known.
func TestFlood(t *testing.T) {
	r := newRecorder()
	const hash = 1 // sampled while K is less than 64
	kinds := func(es []Event) (all []Kind) {
		for _, e := range es {
			all = append(all, e.Kind)
		}
		return all
	}
	want := []Kind{Applied, Sent, Duplicate}
	flood(r, time.Second, hash, 5)
	for others := 0; others < 3*Size; others += Size / 4 {
		for _, position := range []uint64{0, 5} {
			if got := kinds(r.Flood(hash, position, 100)); !reflect.DeepEqual(got, want) {
				t.Fatalf("after %d others, position %d: %v, want %v", others, position, got, want)
			}
		}
		for i := range uint64(Size / 4) {
			r.Stored(at(2*time.Second), 1<<63|i, 100+uint64(others)+i, []byte("other"))
		}
	}
	if got := r.Flood(hash, 5, 2); len(got) != 2 {
		t.Errorf("%d events, at most 2 were wanted", len(got))
	}
	if got := r.Flood(2, 0, 100); len(got) != 0 {
		t.Errorf("an unknown record has %+v", got)
	}
	// A copy covers its records by their positions.
	r.Copied(at(3*time.Second), 1, 50_000, 50_009, 10, 0)
	if got := r.Flood(3, 50_004, 100); len(got) != 1 || got[0].Kind != Copied || got[0].Neighbor != "Welsh" {
		t.Errorf("a copied record has %+v", got)
	}
}

var id = []byte("kiwi.cs.ucla.edu")

// BenchmarkEvent is the cost of an event at a high rate, when few are sampled. The times that it passes have a
// monotonic reading, as those of a server's.
func BenchmarkEvent(b *testing.B) {
	for _, name := range []string{"applied", "duplicate", "sent"} {
		b.Run(name, func(b *testing.B) {
			r := New(time.Now(), []string{"Hamilton", "Welsh"})
			r.k = 12
			now := time.Now()
			b.ReportAllocs()
			for i := range uint64(b.N) {
				switch hash := i * 0x9e3779b97f4a7c15; name {
				case "applied":
					r.Applied(now, 0, hash, i, id)
				case "duplicate":
					r.Duplicate(now, 0, hash, id)
				case "sent":
					r.Sent(now, 0, i, i+3)
				}
			}
		})
	}
}

// BenchmarkFlood is the time for which a trace holds the loop: of an update that is not in the rings, and of one of which
// a neighbor repeats its AT line for ever.
func BenchmarkFlood(b *testing.B) {
	for name, hash := range map[string]func(i uint64) uint64{
		"none":     func(i uint64) uint64 { return i | 1<<40 },
		"repeated": func(uint64) uint64 { return 7 },
	} {
		b.Run(name, func(b *testing.B) {
			r := newRecorder()
			for i := range uint64(4 * Size) {
				r.Duplicate(at(time.Duration(i)), 0, hash(i), id)
			}
			for b.Loop() {
				r.Flood(7, 0, 1024)
			}
		})
	}
}

// Ids of every length are kept up to IDBytes.
func TestIDs(t *testing.T) {
	long := make([]byte, 1024)
	for i := range long {
		long[i] = byte(i%255 + 1)
	}
	for n := 1; n <= 80; n++ {
		r := newRecorder()
		for range Size { // each slot had another id before
			r.Stored(at(0), 1<<63, 1, long[100:200])
		}
		r.Stored(at(0), 1<<63, 1, long[:n])
		p := r.Recent(Size, 1)
		if e := p.Events[0]; string(e.ID) != string(long[:min(n, IDBytes)]) || e.IDLength != n {
			t.Errorf("%d bytes: %x, length %d", n, e.ID, e.IDLength)
		}
	}
}
