package feed

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"serverherd/herd/herdtest"
	"serverherd/protocol"
)

// at returns a client's record of the given second.
func at(t testing.TB, client string, second int) protocol.Record {
	return herdtest.Record(t, fmt.Sprintf("Alford +0.100000000 %s +34.068930-118.445127 %d", client, second))
}

func TestStoreKeepsTheGreatest(t *testing.T) {
	tests := []struct {
		name              string
		old, new          string
		link, legacy, own Outcome
	}{
		{"newer", "A +1 k +1-1 100", "A +1 k +1-1 101", Stored, Stored, Stored},
		{"older", "A +1 k +1-1 100", "A +1 k +1-1 99", Dropped, Dropped, Dropped},
		{"newer in the ninth place", "A +1 k +1-1 5.918963997", "A +1 k +1-1 5.918963998", Stored, Stored, Stored},
		{"shorter and newer", "A +1 k +1-1 999999999.5", "A +1 k +1-1 1000000000.5", Stored, Stored, Stored},
		{"the same", "A +1 k +1-1 100", "A +1 k +1-1 100", Dropped, Dropped, Dropped},
		{"same time, greater origin", "A +1 k +1-1 100", "B +1 k +1-1 100", Stored, Dropped, Dropped},
		{"same time, lesser origin", "B +1 k +1-1 100", "A +1 k +1-1 100", Dropped, Dropped, Dropped},
		{"same time, greater text", "A +1 k +1-1 .9", "A +1 k +1-1 .90", Stored, Stored, Dropped},
		{"same time, greater coords", "A +1 k +1-1 100", "A +1 k +2-1 100", Stored, Stored, Dropped},
		{"same time, greater diff", "A +1 k +1-1 100", "A +2 k +1-1 100", Stored, Dropped, Dropped},
		{"same time and place, greater origin and lesser diff", "A +1 k +1-1 100", "B -1 k +1-1 100", Stored, Dropped, Dropped},
		{"another client", "A +1 k +1-1 100", "A +1 l +1-1 99", Stored, Stored, Stored},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if bytes.Contains([]byte(test.old), []byte(" .9")) {
				test.old = "A +1 k +1-1 0.9"
				test.new = "A +1 k +1-1 0.90"
			}
			s := NewStore("ucla", 10)
			s.Apply(herdtest.Record(t, test.old), 1)
			if got := s.Apply(herdtest.Record(t, test.new), 1); got != test.link {
				t.Errorf("from a link: %v, want %v", got, test.link)
			}
			s = NewStore("ucla", 10)
			s.Apply(herdtest.Record(t, test.old), 1)
			if got := s.ApplyLegacy(herdtest.Record(t, test.new), 1); got != test.legacy {
				t.Errorf("from a neighbor without a handshake: %v, want %v", got, test.legacy)
			}
			s = NewStore("ucla", 10)
			s.Apply(herdtest.Record(t, test.old), 1)
			if got := s.ApplyOwn(herdtest.Record(t, test.new)); got != test.own {
				t.Errorf("from a client: %v, want %v", got, test.own)
			}
		})
	}
}

func TestStoreRefusesClientsBeyondItsMaximum(t *testing.T) {
	s := NewStore("ucla", 2)
	s.Apply(at(t, "a", 1), 1)
	s.Apply(at(t, "b", 1), 1)
	if got := s.Apply(at(t, "c", 1), 1); got != Full || !s.Overflowed() {
		t.Errorf("third client: %v, overflowed %v", got, s.Overflowed())
	}
	if got := s.Apply(at(t, "b", 2), 1); got != Stored {
		t.Errorf("known client of a full store: %v", got)
	}
	if s.Len() != 2 {
		t.Errorf("%d clients, want 2", s.Len())
	}
}

// The digest is part of the wire protocol, so its value is fixed.
func TestDigestVector(t *testing.T) {
	s := NewStore("ucla", 10)
	s.Apply(herdtest.Record(t, "Alford +0.263873386 kiwi.cs.ucla.edu +34.068930-118.445127 1520023934.918963997"), 1)
	const want = "3b00e13e843b6063"
	if got := s.Digest().String(); got != want {
		t.Errorf("digest %s, want %s", got, want)
	}
	if NewStore("ucla", 1).Digest() != 0 {
		t.Error("an empty store's digest is not 0")
	}
}

// drainAll collects what a cursor returns until it has caught up.
func drainAll(c *Cursor) (clients []string) {
	for {
		item, ok := c.Next()
		if !ok {
			return clients
		}
		clients = append(clients, string(item.Record.Client()))
	}
}

func TestCursorReturnsOnlyTheNewest(t *testing.T) {
	s := NewStore("ucla", 100)
	for i, name := range []string{"a", "b", "c", "d"} {
		s.Apply(at(t, name, i), 1)
	}
	c := s.Head()
	c.Next() // a
	c.Next() // b
	if p := c.Position(); p != 2 {
		t.Errorf("position %d, want 2", p)
	}
	for i := range 1000 {
		s.Apply(at(t, "c", 10+i), 1) // c moves a thousand times
	}
	s.Apply(at(t, "a", 2000), 1)
	if p := c.Position(); p != 3 {
		t.Errorf("position %d, want 3: d is at 4", p)
	}
	if got, want := drainAll(c), []string{"d", "c", "a"}; !slices.Equal(got, want) {
		t.Errorf("returned %q, want %q", got, want)
	}
	if !c.CaughtUp() || c.Position() != s.Tail() {
		t.Errorf("caught up %v, position %d, tail %d", c.CaughtUp(), c.Position(), s.Tail())
	}
}

// TestCursorsAgainstAModel compares random operations with a model: a slice of (client, seq), of which a follower
// at position p must still get everything with a greater seq.
func TestCursorsAgainstAModel(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 0))
		s := NewStore("ucla", 20)
		model := map[string]uint64{}
		cursors := []*Cursor{s.Head(), s.Head()}
		places := []uint64{0, 0}
		second := 0
		for step := range 300 {
			i := r.IntN(len(cursors))
			switch r.IntN(10) {
			case 0, 1, 2, 3:
				second++
				name := fmt.Sprint("c", r.IntN(20))
				s.Apply(at(t, name, second), 1)
				model[name] = s.Tail()
			case 4, 5, 6:
				checkNext(t, seed, step, cursors[i], &places[i], model)
			case 7:
				to := places[i] + r.Uint64N(s.Tail()+2)
				cursors[i].Advance(to)
				places[i] = max(places[i], min(to, s.Tail()))
			case 8:
				j := r.IntN(len(cursors))
				cursors[i].MoveTo(cursors[j])
				places[i] = places[j]
			case 9:
				if len(cursors) < 8 {
					cursors, places = append(cursors, s.Head()), append(places, 0)
				} else if r.IntN(2) == 0 {
					cursors[i], places[i] = s.End(), s.Tail()
				} else {
					cursors[i].Rewind()
					places[i] = 0
				}
			}
			checkPosition(t, seed, step, cursors[i], places[i], s, model)
			checkStore(t, s)
		}
	}
}

// owed returns the least seq of the model that is greater than place; 0 if there is none.
func owed(model map[string]uint64, place uint64) (client string, seq uint64) {
	for name, q := range model {
		if q > place && (seq == 0 || q < seq) {
			client, seq = name, q
		}
	}
	return client, seq
}

func checkNext(t *testing.T, seed uint64, step int, c *Cursor, place *uint64, model map[string]uint64) {
	t.Helper()
	client, seq := owed(model, *place)
	item, ok := c.Next()
	switch {
	case ok != (seq != 0):
		t.Fatalf("seed %d step %d: Next returned %v, expected %q at %d", seed, step, ok, client, seq)
	case ok && (item.Seq != seq || string(item.Record.Client()) != client):
		t.Fatalf("seed %d step %d: got %q at %d, want %q at %d",
			seed, step, item.Record.Client(), item.Seq, client, seq)
	case ok:
		*place = seq
	}
}

func checkPosition(t *testing.T, seed uint64, step int, c *Cursor, place uint64, s *Store, model map[string]uint64) {
	t.Helper()
	want := s.Tail()
	if _, seq := owed(model, place); seq != 0 {
		want = seq - 1
	}
	if got := c.Position(); got != want {
		t.Fatalf("seed %d step %d: position %d, want %d", seed, step, got, want)
	}
}

// checkStore checks the invariants of doc.go.
func checkStore(t *testing.T, s *Store) {
	t.Helper()
	entries, last, digest := 0, uint64(0), protocol.Digest(0)
	for seq, r, ok := s.feed.next(0); ok; seq, r, ok = s.feed.next(seq) {
		var e Item
		s.cells.read(r, &e)
		if e.Seq != seq || seq <= last || seq > s.feed.tail {
			t.Fatalf("a record of position %d at %d, behind %d; the tail is %d", e.Seq, seq, last, s.feed.tail)
		}
		var k known
		if s.find(e.Record.Client(), &k); k.cell != r {
			t.Fatalf("the index has %q in cell %x, the feed in %x", e.Record.Client(), k.cell, r)
		}
		entries, last, digest = entries+1, seq, digest+protocol.Digest(s.hash(e.Record.Text()))
	}
	used, segments, groups := 0, 0, 0
	for k := range s.cells.classes {
		for _, b := range s.cells.classes[k].slabs {
			if used += b.used; b.used > 0 != (b.cells != nil) {
				t.Fatalf("a slab with %d entries has %d bytes", b.used, len(b.cells))
			}
		}
	}
	for i, g := range s.feed.groups {
		if g == nil {
			continue
		}
		groups++
		n := 0
		for k, one := range g.segments {
			if one == nil {
				continue
			}
			n++
			number := (s.feed.first+uint64(i))<<groupBits | uint64(k)
			if one.count == 0 && number != s.feed.tail>>segmentBits {
				t.Fatalf("segment %d of %d is empty", number, s.feed.tail>>segmentBits)
			}
			segments++
		}
		if n != g.count || n == 0 {
			t.Fatalf("a group of %d segments counts %d", n, g.count)
		}
	}
	if entries != s.Len() || used != entries || digest != s.digest {
		t.Fatalf("%d records in the feed, %d in the index, %d in cells; digest %v for %v", entries, s.Len(), used, s.digest, digest)
	}
}

// A store keeps when it stored each record, and not when a duplicate came.
func TestStoreKeepsTheTimeOfStoring(t *testing.T) {
	s, now := NewStore("ucla", 10), time.Unix(100, 5)
	s.SetTime(now)
	s.Apply(at(t, "k", 1), 1)
	now = now.Add(time.Second)
	s.SetTime(now)
	s.Apply(at(t, "k", 1), 2)
	if item, _ := s.Lookup([]byte("k")); item.Applied != time.Unix(100, 5).UnixNano() {
		t.Errorf("stored at %d", item.Applied)
	}
	s.Apply(at(t, "k", 2), 2)
	if item, _ := s.Head().Next(); item.Applied != now.UnixNano() {
		t.Errorf("stored again at %d, want %d", item.Applied, now.UnixNano())
	}
}

// The state does not depend on the order and number of arrivals.
func TestStoresAgreeInAnyOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	var records []protocol.Record
	for range 500 {
		records = append(records, herdtest.Record(t, fmt.Sprintf("%c +%d.%d c%d +%d-%d %d.%d", 'A'+r.IntN(5),
			r.IntN(3), r.IntN(3), r.IntN(20), r.IntN(3), r.IntN(3), r.IntN(5), r.IntN(10))))
	}
	first := NewStore("ucla", 1000)
	for _, x := range records {
		first.Apply(x, 1)
	}
	for range 20 {
		s := NewStore("ucla", 1000)
		for range 3 {
			r.Shuffle(len(records), func(i, j int) { records[i], records[j] = records[j], records[i] })
			for _, x := range records {
				s.Apply(x, 2)
			}
		}
		if s.Digest() != first.Digest() || s.Len() != first.Len() {
			t.Fatalf("digest %v of %d records, want %v of %d", s.Digest(), s.Len(), first.Digest(), first.Len())
		}
	}
}

// million fills a store for benchmarks.
func million(b *testing.B, n int) (*Store, []protocol.Record) {
	s := NewStore("ucla", n)
	records := make([]protocol.Record, n)
	for i := range records {
		records[i] = herdtest.Record(b, fmt.Sprintf(
			"Alford +0.263873386 client%07d.cs.ucla.edu +34.068930-118.445127 1520023934.918963997", i))
	}
	r := rand.New(rand.NewPCG(1, 1))
	r.Shuffle(n, func(i, j int) { records[i], records[j] = records[j], records[i] })
	for _, x := range records {
		s.Apply(x, 1)
	}
	return s, records
}

func BenchmarkApplyKnownOfAMillion(b *testing.B) {
	const n = 1_000_000
	s, _ := million(b, n)
	runtime.GC()
	r := rand.New(rand.NewPCG(2, 2))
	c := protocol.Command{
		Client: []byte("client0000000.cs.ucla.edu"), Coords: []byte("+35.068930-118.445127"),
		Time: []byte("1520023935.000000000"),
	}
	now := time.Unix(1520023936, 0)
	var x protocol.Record
	stored := 0
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; i < b.N; i++ {
		digits(c.Client[6:13], r.IntN(n))
		digits(c.Time[11:], i)
		c.Stamp, _ = protocol.ParseStamp(c.Time)
		x = protocol.MakeRecord(x.Text(), "Ball", now, c)
		if s.Apply(x, 2) == Stored {
			stored++
		}
	}
	if stored != b.N {
		b.Fatalf("%d of %d stored", stored, b.N)
	}
}

// digits writes v into p in decimal.
func digits(p []byte, v int) {
	for i := len(p) - 1; i >= 0; i-- {
		p[i] = byte('0' + v%10)
		v /= 10
	}
}

// BenchmarkRandomRead is the baseline of the benchmark before: the cost of following a pointer to a random place in
// the memory of a million records.
func BenchmarkRandomRead(b *testing.B) {
	type cell struct {
		next *cell
		_    [184]byte
	}
	const n = 1 << 20
	cells := make([]cell, n)
	order := rand.New(rand.NewPCG(3, 3)).Perm(n)
	for i, k := range order {
		cells[k].next = &cells[order[(i+1)%n]]
	}
	c := &cells[0]
	for b.Loop() {
		c = c.next
	}
}

func BenchmarkCursorOverAMillion(b *testing.B) {
	const n = 1_000_000
	s, _ := million(b, n)
	c := s.Head()
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; i < b.N; i++ {
		if _, ok := c.Next(); !ok {
			c.Rewind()
		}
	}
}

// BenchmarkMemoryOfAMillion reports the heap per record, with client ids of usual and of maximum length.
func BenchmarkMemoryOfAMillion(b *testing.B) {
	b.Run("usual", func(b *testing.B) { memoryOfAMillion(b, "client%07d.cs.ucla.edu") })
	b.Run("longest", func(b *testing.B) {
		memoryOfAMillion(b, strings.Repeat("x", protocol.MaxClientID-7)+"%07d")
	})
}

func memoryOfAMillion(b *testing.B, name string) {
	const n = 1_000_000
	var before, after runtime.MemStats
	for b.Loop() {
		runtime.GC()
		runtime.ReadMemStats(&before)
		s := NewStore("ucla", n)
		for i := range n {
			s.Apply(herdtest.Record(b, fmt.Sprintf(
				"Alford +0.263873386 "+name+" +34.068930-118.445127 1520023934.918963997", i)), 1)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "B/record")
		runtime.KeepAlive(s)
	}
}

// Offered is the hash of the record that was offered, whatever became of it, on every server the same.
func TestOffered(t *testing.T) {
	s, other := NewStore("herd", 10), NewStore("herd", 10)
	older, newer := at(t, "a", 1), at(t, "a", 2)
	other.Apply(older, 1)
	olderHash := other.Offered()
	other.Apply(newer, 1)
	newerHash := other.Offered()
	if item, _ := other.Lookup([]byte("a")); item.Hash != newerHash || olderHash == newerHash {
		t.Fatalf("the record has the hash %x, %x was offered", item.Hash, newerHash)
	}
	for i, step := range []struct {
		offer func()
		want  uint64
	}{
		{func() { s.ApplyOwn(newer) }, newerHash},
		{func() { s.Apply(older, 1) }, olderHash},
		{func() { s.Apply(newer, 1) }, newerHash},
		{func() { s.ApplyLegacy(newer, 1) }, newerHash},
		{func() {
			copied := herdtest.Record(t, "Hamilton +1.000000000 "+string(newer.Client())+" "+field(newer, 3)+" "+field(newer, 4))
			s.ApplyLegacy(copied, 1)
		}, newerHash},
	} {
		if step.offer(); s.Offered() != step.want {
			t.Errorf("%d: %x, want %x", i, s.Offered(), step.want)
		}
	}
}

func field(r protocol.Record, i int) string { return strings.Fields(string(r.Text()))[i] }
