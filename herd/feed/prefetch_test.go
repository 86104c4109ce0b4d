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

// Prefetch takes any ids, in any state of the store, and changes nothing.
func TestPrefetch(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	s, plain := NewStore("ucla", 3000), NewStore("ucla", 3000)
	name := func() []byte {
		switch n := r.IntN(4000); r.IntN(20) {
		case 0:
			return nil
		case 1:
			return bytes.Repeat([]byte{byte(r.Uint32())}, r.IntN(2000))
		case 2:
			return fmt.Appendf(nil, "%s%d", strings.Repeat("x", protocol.MaxClientID-5), n)
		default:
			return fmt.Appendf(nil, "c%d", n)
		}
	}
	s.Prefetch(nil)
	for round := range 2000 {
		var ids [][]byte
		for range r.IntN(PrefetchMax + 20) {
			ids = append(ids, name())
		}
		s.Prefetch(ids)
		for _, id := range ids {
			if protocol.CheckClientID(id) != nil {
				continue
			}
			if r.IntN(10) == 0 { // gives back cells, slabs and segments
				s.Damage(id, nil)
				plain.Damage(id, nil)
				continue
			}
			x := at(t, string(id), r.IntN(round+1))
			if got, want := s.Apply(x, 1), plain.Apply(x, 1); got != want {
				t.Fatalf("round %d: %v, want %v", round, got, want)
			}
		}
		if round%100 == 0 {
			checkStore(t, s)
			s.feed.jump(s.feed.tail + r.Uint64N(3<<(segmentBits+groupBits)))
			plain.feed.jump(s.feed.tail)
		}
	}
	a, b := s.Head(), plain.Head()
	for {
		x, more := a.Next()
		y, want := b.Next()
		if more != want || x.Seq != y.Seq || string(x.Record.Text()) != string(y.Record.Text()) {
			t.Fatalf("%q at %d, want %q at %d", x.Record.Text(), x.Seq, y.Record.Text(), y.Seq)
		}
		if !more {
			break
		}
	}
	if n := testing.AllocsPerRun(10, func() { s.Prefetch([][]byte{[]byte("c1")}) }); n > 2 { // those of the ids
		t.Errorf("%v allocations", n)
	}
}

// FuzzPrefetch takes any ids, one in a line.
func FuzzPrefetch(f *testing.F) {
	f.Add([]byte("a\nb\n\nclient\xff\n" + strings.Repeat("x", protocol.MaxClientID)))
	f.Fuzz(func(t *testing.T, lines []byte) {
		s := NewStore("ucla", 100)
		ids := bytes.Split(lines, []byte{'\n'})
		for i, id := range ids {
			s.Prefetch(ids)
			if protocol.CheckClientID(id) != nil {
				continue
			}
			s.Apply(herdtest.Record(t, fmt.Sprintf("A +1 %s +1-1 %d", id, i)), 1)
			if i%3 == 0 {
				s.Damage(id, nil)
			}
		}
		s.Prefetch(ids)
		checkStore(t, s)
	})
}

// A cursor that lags, and reads ahead, returns what follows, whatever is changed meanwhile.
func TestCursorThatReadsAhead(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	const clients = PrefetchClients + 5000
	s := NewStore("ucla", clients)
	for i := range clients {
		s.Apply(at(t, fmt.Sprint("c", i), 0), 1)
	}
	c, other, place, ahead := s.Head(), s.Head(), uint64(0), 0
	for step := range 100_000 {
		switch k := r.IntN(1000); {
		case k < 200:
			s.Apply(at(t, fmt.Sprint("c", r.IntN(clients)), step+1), 1)
		case k < 220:
			s.Damage(fmt.Appendf(nil, "c%d", r.IntN(clients)), nil)
		case k == 220:
			c.Rewind()
			place = 0
		case k == 221:
			other.MoveTo(c)
			other.Next()
			c.MoveTo(other)
			place = other.Position()
		case k == 222:
			place = max(place, min(place+r.Uint64N(1000), s.Tail()))
			c.Advance(place)
		default:
			before := c.ahead
			item, ok := c.Next()
			seq, cell, want := s.feed.next(place)
			var expected Item
			if want {
				s.cells.read(cell, &expected)
				place = seq
			}
			if ok != want || item.Seq != expected.Seq || string(item.Record.Text()) != string(expected.Record.Text()) {
				t.Fatalf("step %d: %q at %d, want %q at %d", step, item.Record.Text(), item.Seq, expected.Record.Text(), expected.Seq)
			}
			if c.ahead != before {
				ahead++
			}
		}
	}
	if ahead < 100 {
		t.Errorf("read ahead %d times", ahead)
	}
}

// BenchmarkLaggingCursor follows a feed whose records have moved at random, as in a copy, and formats lines for a link.
func BenchmarkLaggingCursor(b *testing.B) {
	for _, n := range []int{10_000, 100_000, 1_000_000} {
		s, records := million(b, n)
		r := rand.New(rand.NewPCG(8, 8))
		for second := range 3 * n {
			s.Apply(at(b, string(records[r.IntN(n)].Client()), 1520023935+second), 2)
		}
		b.Run(fmt.Sprintf("clients=%d", n), func(b *testing.B) {
			c := s.Head()
			line := make([]byte, 0, 1024)
			for b.Loop() {
				item, ok := c.Next()
				if !ok {
					c.Rewind()
					continue
				}
				line = item.Record.AppendLinkAT(line[:0], "Ball")
			}
		})
	}
}

// BenchmarkApplyBatches applies records of random known clients, 90 at a time. It prefetches every other batch, and
// reports the medians, per record.
func BenchmarkApplyBatches(b *testing.B) {
	for _, n := range []int{1000, 10_000, 100_000, 1_000_000} {
		s, _ := million(b, n)
		runtime.GC()
		second := 1520023935
		b.Run(fmt.Sprintf("clients=%d", n), func(b *testing.B) { applyBatches(b, s, n, &second) })
	}
}

func applyBatches(b *testing.B, s *Store, n int, second *int) {
	const batch = 90
	var lines, clients [batch][]byte
	var records [batch]protocol.Record
	for i := range lines {
		lines[i] = []byte("AT Ball +0.263873386 client0000000.cs.ucla.edu +35.068930-118.445127 1520023935.000000000 Ball")
	}
	r := rand.New(rand.NewPCG(2, 2))
	var took [2][]time.Duration
	b.ResetTimer()
	for i := range b.N {
		*second++
		for k := range lines {
			digits(lines[k][27:34], r.IntN(n))
			digits(lines[k][69:79], *second)
			l, err := protocol.ParseLink(lines[k])
			if err != nil {
				b.Fatal(err)
			}
			records[k], clients[k] = l.Record, l.Record.Client()
		}
		start := time.Now()
		if i%2 == 1 {
			s.Prefetch(clients[:])
		}
		for k := range records {
			s.Apply(records[k], 2)
		}
		took[i%2] = append(took[i%2], time.Since(start))
	}
	if b.N > 1 {
		for i, unit := range []string{"ns/record-without", "ns/record-with"} {
			slices.Sort(took[i])
			b.ReportMetric(float64(took[i][len(took[i])/2].Nanoseconds())/batch, unit)
		}
	}
}
