package feed

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"serverherd/herd/config"
	"serverherd/herd/herdtest"
	"serverherd/protocol"
)

// As many items as a server may have, all of one class, have cells whose numbers fit in a ref.
func TestMaxItems(t *testing.T) {
	if config.MostClients > MaxItems {
		t.Errorf("limits.max_clients may be %d, more than %d", config.MostClients, MaxItems)
	}
	_, size := classOf(1)
	last := MaxItems - 1 + slabBytes/size
	if cells := 1 << numberBits; last >= cells || last+1+slabBytes/size < cells {
		t.Errorf("the last of MaxItems may have the number %d of %d", last, cells)
	}
}

// jump takes all positions up to a later one, as if their records had moved at once.
func (p *positions) jump(to uint64) {
	from := p.tail
	p.tail = to
	if from>>segmentBits != to>>segmentBits {
		p.settle(from)
	}
}

// The feed is a map of positions, whatever is taken and left.
func TestPositions(t *testing.T) {
	for seed := range uint64(30) {
		r := rand.New(rand.NewPCG(seed, 1))
		var p positions
		model := map[uint64]ref{}
		var order []uint64 // of the model, as far as they are left
		for range 30_000 {
			switch k := r.IntN(100); {
			case k < 50 || len(order) == 0:
				if seq := p.add(ref(len(order) + 1)); seq != p.tail {
					t.Fatalf("position %d, tail %d", seq, p.tail)
				}
				order, model[p.tail] = append(order, p.tail), ref(len(order)+1)
			case k == 50 && r.IntN(10) == 0:
				to := p.tail + r.Uint64N(1<<segmentBits)
				if r.IntN(10) == 0 {
					to = p.tail + r.Uint64N(3<<(segmentBits+groupBits))
				}
				p.jump(to)
			case k < 70:
				seq := order[r.IntN(len(order))]
				model[seq] += 1 << 20
				p.replace(seq, model[seq])
			case k < 97:
				i := r.IntN(len(order))
				if r.IntN(2) == 0 {
					i = r.IntN(min(len(order), 100)) // about the oldest
				}
				p.remove(order[i])
				delete(model, order[i])
				order = slices.Delete(order, i, i+1)
			default:
				after := r.Uint64N(p.tail + 2)
				i, found := slices.BinarySearch(order, after)
				if found {
					i++
				}
				seq, cell, ok := p.next(after)
				if want := i < len(order); ok != want || ok && (seq != order[i] || cell != model[seq]) {
					t.Fatalf("seed %d: behind %d of %d: %d, %d, %v", seed, after, p.tail, seq, cell, ok)
				}
			}
		}
		left := map[uint64]ref{}
		for seq, cell, ok := p.next(0); ok; seq, cell, ok = p.next(seq) {
			left[seq] = cell
		}
		if !maps.Equal(left, model) {
			t.Fatalf("seed %d: %d of %d positions", seed, len(left), len(model))
		}
		segments := 0
		for _, g := range p.groups {
			if g == nil {
				continue
			}
			for _, s := range g.segments {
				if s == nil {
					continue
				}
				segments++
				if s.dense == nil && cap(s.refs) > 2*s.count+3 {
					t.Errorf("seed %d: a list of %d for %d", seed, cap(s.refs), s.count)
				}
			}
		}
		if segments > len(order)+1 {
			t.Errorf("seed %d: %d segments for %d records", seed, segments, len(order))
		}
	}
}

// A client that does not move while another one does costs little, and delays nobody.
func TestOneThatDoesNotMove(t *testing.T) {
	s := NewStore("ucla", 10)
	s.Apply(at(t, "idle", 1), 1)
	follower := s.Head()
	follower.Next()
	s.feed.jump(1 << 40)
	for i := range 3 << segmentBits {
		s.Apply(at(t, "busy", i), 1)
	}
	checkStore(t, s)
	if got := drainAll(s.Head()); !slices.Equal(got, []string{"idle", "busy"}) {
		t.Errorf("%q", got)
	}
	if got := drainAll(follower); !slices.Equal(got, []string{"busy"}) {
		t.Errorf("the follower: %q", got)
	}
	s.Damage([]byte("idle"), nil)
	if n := len(s.feed.groups); n != 1 {
		t.Errorf("%d groups for one record", n)
	}
	checkStore(t, s)
}

// Clients with equal hashes, and any others, are found, replaced and removed.
func TestIndex(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	x, cells := newIndex(), &slabs{}
	type client struct {
		hash uint32
		cell ref
	}
	model := map[string]client{}
	var names []string
	for i := range 200_000 {
		if k := r.IntN(10); k < 6 || len(names) == 0 {
			name := fmt.Sprint("c", i)
			e := Item{Record: at(t, name, 1)}
			c := client{hash: x.hash([]byte(name)), cell: cells.put(0, &e)}
			if r.IntN(3) == 0 && len(names) > 0 && i < 2000 { // the table is not full of them
				c.hash = model[names[r.IntN(len(names))]].hash
			}
			x.add(c.hash, c.cell)
			model[name], names = c, append(names, name)
			continue
		} else if k < 8 {
			name := names[r.IntN(len(names))]
			c := model[name]
			e := Item{Record: herdtest.Record(t, fmt.Sprintf("A%0*d +1 %s +1-1 1", 1+r.IntN(30), 0, name))}
			cell := cells.put(c.cell, &e)
			if cell != c.cell {
				x.replace(c.hash, c.cell, cell)
			}
			c.cell = cell
			model[name] = c
		} else {
			k := r.IntN(len(names))
			name := names[k]
			c := model[name]
			x.remove(c.hash, c.cell)
			cells.remove(c.cell)
			delete(model, name)
			names[k] = names[len(names)-1]
			names = names[:len(names)-1]
			if got := x.find(c.hash, []byte(name), cells, new(Item)); got != 0 {
				t.Fatalf("%s is still in %x", name, got)
			}
		}
	}
	if x.count != len(model) || len(x.tables) < 64 {
		t.Errorf("%d of %d, %d tables", x.count, len(model), len(x.tables))
	}
	for name, c := range model {
		if got := x.find(c.hash, []byte(name), cells, new(Item)); got != c.cell {
			t.Fatalf("%s: cell %x, want %x", name, got, c.cell)
		}
	}
}

// Cells are large enough and waste little, and those of a class have one size.
func TestClasses(t *testing.T) {
	sizes := map[int]int{}
	last := 0
	for n := 1; n < 1<<16+100; n++ {
		class, size := classOf(n)
		if class < last || class >= 1<<classBits || size < n || size-n >= max(cellStep, n/4) {
			t.Fatalf("%d bytes: class %d of %d bytes", n, class, size)
		}
		if have := sizes[class]; have != 0 && have != size {
			t.Fatalf("class %d: %d and %d bytes", class, have, size)
		}
		sizes[class], last = size, class
	}
}

// Items stay what they are, and memory is given back.
func TestSlabs(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	s := &slabs{}
	model := map[ref]Item{}
	var cells []ref
	for round, grow := range []int{20_000, 0, 20_000, 0} {
		for len(cells) < grow || grow == 0 && len(cells) > 0 {
			if grow > 0 && r.IntN(3) > 0 || len(cells) == 0 {
				e := randomItem(t, r)
				c := s.put(0, &e)
				if _, used := model[c]; used || c == 0 {
					t.Fatalf("cell %x is used", c)
				}
				model[c], cells = e, append(cells, c)
				continue
			}
			i := r.IntN(len(cells))
			old := cells[i]
			var got Item
			s.read(old, &got)
			if want := model[old]; got.Seq != want.Seq || got.Hash != want.Hash || got.From != want.From || got.Applied != want.Applied ||
				string(got.Record.Text()) != string(want.Record.Text()) || got.Record.Compare(want.Record) != 0 {
				t.Fatalf("%+v, want %+v", got, want)
			}
			delete(model, old)
			if grow > 0 {
				e := randomItem(t, r)
				cells[i] = s.put(old, &e)
				model[cells[i]] = e
				continue
			}
			s.remove(old)
			cells[i] = cells[len(cells)-1]
			cells = cells[:len(cells)-1]
		}
		held := 0
		for k := range s.classes {
			for _, b := range s.classes[k].slabs {
				held += len(b.cells)
			}
			if room := slices.Sorted(slices.Values(s.classes[k].room)); len(slices.Compact(room)) != len(s.classes[k].room) {
				t.Fatalf("slabs with room: %v", s.classes[k].room)
			}
		}
		if grow == 0 && held > 0 {
			t.Errorf("round %d: %d bytes for nothing", round, held)
		}
	}
}

func randomItem(t *testing.T, r *rand.Rand) Item {
	id := fmt.Sprintf("%0*d", 1+r.IntN(1+r.IntN(protocol.MaxClientID)), r.IntN(10))
	return Item{
		Seq: r.Uint64(), Hash: r.Uint64(), From: protocol.Epoch(r.Uint64()), Applied: int64(r.Uint64()),
		Record: herdtest.Record(t, fmt.Sprintf("Alford +0.5 %s +1.5-2.5 %d.%d", id, r.Uint32(), r.IntN(1000))),
	}
}

// A cell is free for others as soon as it is left, and its old content is not taken for a number.
func TestFreeCells(t *testing.T) {
	s := &slabs{}
	e := Item{Seq: ^uint64(0), Record: at(t, "a", 1)}
	first, second := s.put(0, &e), s.put(0, &e)
	s.remove(first)
	if n := binary.LittleEndian.Uint32(s.cell(first)); n != 0 {
		t.Errorf("the only free cell is followed by %d", n)
	}
	if again := s.put(0, &e); again != first {
		t.Errorf("%x, want %x", again, first)
	}
	if third := s.put(0, &e); third == first || third == second {
		t.Errorf("%x is used", third)
	}
}
