package follow

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"serverherd/herd"
	"serverherd/herd/feed"
	"serverherd/herd/herdtest"
	"serverherd/protocol"
)

// place applies a client's next position, which says how many there were before. Loop only.
func (l *loop) place(t testing.TB, id string) {
	l.second++
	l.store.SetTime(time.Now())
	coords := fmt.Sprintf("+%02d.%07d-%03d.%07d", l.second%90, l.second, l.second%180, l.second)
	r := herdtest.Record(t, fmt.Sprintf("Alford +0.100000000 %s %s %d.5", id, coords, 900_000_000+l.second))
	if l.store.Apply(r, 1) != feed.Stored {
		t.Errorf("%.100q is not stored", id)
	}
}

func (l *loop) places(t testing.TB, ids ...string) {
	l.do(func() {
		for _, id := range ids {
			l.place(t, id)
		}
	})
}

// names are so many ids.
func names(prefix string, n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprint(prefix, i))
	}
	return all
}

// screen is what a page shows.
type screen struct {
	t      testing.TB
	page   *Page
	ready  chan struct{}
	buffer []byte

	reset, done   News
	resets, dones int
	frames, sent  int // messages with dots, and dots
	dots          map[uint32]dot
	finished      bool     // there was a done since the last reset
	wantsWhole    []string // ids that there must be at the next done
}

func look(t testing.TB, f *Follower) *screen {
	ready := make(chan struct{}, 1)
	return &screen{t: t, page: f.Page(ready), ready: ready, buffer: make([]byte, 0, herd.DotsMessage)}
}

// take takes all that there is now.
func (s *screen) take() {
	s.t.Helper()
	for s.one() {
	}
}

// one takes one message.
func (s *screen) one() bool {
	s.t.Helper()
	n, again := s.page.Next(s.buffer, time.Now())
	switch {
	case n.Reset:
		s.reset, s.dots = n, make(map[uint32]dot)
		s.resets++
		s.finished = false
	case n.Done:
		s.done = n
		if s.finished || n.Generation != s.reset.Generation {
			s.t.Errorf("a second done: %+v, %+v", s.reset, n)
		}
		s.dones++
		s.finished = true
		for shown := s.byID(); len(s.wantsWhole) > 0 && n.OneOf == 1; s.wantsWhole = s.wantsWhole[1:] {
			if _, ok := shown[s.wantsWhole[0]]; !ok {
				s.t.Fatalf("%s is missing at the end", s.wantsWhole[0])
			}
		}
	case n.Dots != nil:
		s.message(n.Dots)
	default:
		return !again.IsZero() && !again.After(time.Now())
	}
	return true
}

// message has a binary message.
func (s *screen) message(b []byte) {
	s.t.Helper()
	if len(b) > herd.DotsMessage || len(b) <= 8 || len(b)%16 != 8 || string(b[:4]) != "\x01\x00\x00\x00" ||
		binary.LittleEndian.Uint32(b[4:]) != s.reset.Generation {
		s.t.Fatalf("a message of %d bytes: %x", len(b), b[:min(len(b), 8)])
	}
	s.frames++
	for b = b[8:]; len(b) > 0; b = b[16:] {
		slot := binary.LittleEndian.Uint32(b)
		now := dot{
			int32(binary.LittleEndian.Uint32(b[4:])), int32(binary.LittleEndian.Uint32(b[8:])),
			tenths(time.Now()) - int64(binary.LittleEndian.Uint32(b[12:])),
		}
		if old, ok := s.dots[slot]; ok && now.time < old.time {
			s.t.Errorf("dot %d goes back from %d to %d", slot, old.time, now.time)
		}
		s.dots[slot] = now
		s.sent++
	}
}

// byID are the dots with their ids.
func (s *screen) byID() map[string]dot {
	all := make(map[string]dot)
	for slot, one := range s.dots {
		if int(slot) >= len(s.dots) {
			s.t.Errorf("slot %d of %d dots", slot, len(s.dots))
		}
		id := s.page.Name(s.reset.Generation, slot)
		if id == nil {
			s.t.Fatalf("slot %d has no name", slot)
		}
		all[string(id)] = one
	}
	if len(all) != len(s.dots) {
		s.t.Errorf("%d dots of %d clients", len(s.dots), len(all))
	}
	return all
}

// settle takes until all has come.
func (s *screen) settle() {
	s.t.Helper()
	for range 4 {
		time.Sleep(herd.FollowPause + herd.DotsPause)
		synctest.Wait()
		s.take()
	}
}

// same checks that the dots are those of the store, or some of them.
func (s *screen) same(l *loop) {
	s.t.Helper()
	got := s.byID()
	l.do(func() {
		c := l.store.Head()
		for item, ok := c.Next(); ok; item, ok = c.Next() {
			id := string(item.Record.Client())
			if one, ok := got[id]; ok && one != dotOf(item.Record) || !ok && s.reset.OneOf == 1 {
				s.t.Errorf("%.100q is at %v, want %v, of %d dots", id, one, dotOf(item.Record), len(s.dots))
				break
			}
			delete(got, id)
		}
	})
	if len(got) > 0 {
		s.t.Errorf("%d dots of nobody", len(got))
	}
}

// The loop is busy, so a walk takes long; clients move and come, pages come and go, and take when they like. In the end
// each page shows what the store has, and until then no dot went back.
func TestDotsAgainstAModel(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { testDotsAgainstAModel(t, rand.New(rand.NewPCG(seed, 1))) })
	}
}

func testDotsAgainstAModel(t *testing.T, r *rand.Rand) {
	synctest.Test(t, func(t *testing.T) {
		l := newLoop(100_000)
		defer l.stop()
		var clients []string
		chance := rand.New(rand.NewPCG(r.Uint64(), 1))
		move := func() { // loop only
			for range chance.IntN(200) {
				if chance.IntN(20) == 0 {
					clients = append(clients, fmt.Sprint("n", len(clients)))
					l.place(t, clients[len(clients)-1])
				} else if len(clients) > 0 {
					l.place(t, clients[chance.IntN(len(clients))])
				}
			}
		}
		o := l.options()
		o.Dots = 1 << r.IntN(14)
		o.Post = func(f func()) {
			l.post(func() {
				time.Sleep(20 * time.Millisecond)
				move()
				f()
				move()
			})
		}
		f := New(o)
		defer f.Close()
		clients = names("c", r.IntN(5000))
		l.places(t, clients...)
		var screens []*screen
		for range 100 {
			switch n := r.IntN(10); {
			case n == 0:
				s := look(t, f)
				l.do(func() { s.wantsWhole = slices.Clone(clients) })
				screens = append(screens, s)
			case n == 1 && len(screens) > 0:
				i := r.IntN(len(screens))
				screens[i].page.Close()
				screens[i].page.Close()
				screens = slices.Delete(screens, i, i+1)
			case n == 2:
				l.do(move)
			case n < 6 && len(screens) > 0:
				for range 1 + r.IntN(4) {
					screens[r.IntN(len(screens))].one()
				}
			default:
				time.Sleep(time.Duration(r.IntN(100)) * time.Millisecond)
			}
		}
		screens = append(screens, look(t, f))
		time.Sleep(time.Minute) // for the walk
		for _, s := range screens {
			s.settle()
			s.same(l)
			if !s.finished || len(s.dots) > o.Dots || s.reset.OneOf == 1 && s.done.Clients > uint64(len(s.dots)) {
				t.Errorf("%d dots, at most %d: %+v, %+v", len(s.dots), o.Dots, s.reset, s.done)
			}
			s.page.Close()
		}
		time.Sleep(time.Second) // for the loop
		if f.dots != nil || f.reader != nil {
			t.Error("nobody looks, and there is an array")
		}
	})
}

// An update comes within a read of the feed and a frame; one that nothing happens to is not sent again.
func TestDots(t *testing.T) {
	inBubble(t, 10, func(t *testing.T, l *loop, f *Follower) {
		s := look(t, f)
		defer s.page.Close()
		s.settle()
		if s.resets != 1 || s.dones != 1 || s.reset.Clients != 0 || s.reset.OneOf != 1 || len(s.dots) != 0 {
			t.Errorf("of nobody: %+v %+v", s.reset, s.done)
		}
		for range 5 {
			l.places(t, "a", "b", "a")
			window()
			time.Sleep(herd.DotsPause)
			s.take()
			s.same(l)
		}
		if s.sent != 10 || s.frames != 5 {
			t.Errorf("%d dots in %d frames", s.sent, s.frames)
		}
		if s.page.Name(s.reset.Generation, 2) != nil || s.page.Name(s.reset.Generation-1, 0) != nil {
			t.Error("a name of no dot")
		}
		// Another page gets what is there at once, without a walk.
		other := look(t, f)
		defer other.page.Close()
		other.take()
		if other.same(l); other.dones != 1 || other.reset.Generation != s.reset.Generation || other.reset.Clients != 2 {
			t.Errorf("the second page: %+v %+v", other.reset, other.done)
		}
	})
}

// A client that moves before the walk reaches it is there at dots-done.
func TestWalkMissesAClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLoop(1000)
		defer l.stop()
		o := l.options()
		posted := 0
		o.Post = func(f func()) {
			l.post(func() {
				if posted++; posted == 3 { // after start and a turn of the walk
					for _, id := range []string{"new0", "new1", "c498", "c499"} { // it ends in front of these two
						l.place(t, id)
					}
				}
				f()
			})
		}
		f := New(o)
		defer f.Close()
		all := names("c", 2*TurnRecords)
		l.places(t, all...)
		s := look(t, f)
		defer s.page.Close()
		s.wantsWhole = all
		synctest.Wait()
		if s.take(); len(s.dots) != len(all) || s.dones > 0 {
			t.Errorf("%d dots, %d dones", len(s.dots), s.dones)
		}
		if s.settle(); s.dones != 1 {
			t.Errorf("%d dones", s.dones)
		}
		s.same(l)
	})
}

// Positions as they are sent.
func TestDotOf(t *testing.T) {
	for _, test := range []struct {
		coords, time string
		now          time.Time
		want         [4]uint32
	}{
		{"+34.068930-118.445127", "1000.75", time.UnixMilli(1_002_000), [4]uint32{7, 340_689_300, 1<<32 - 1_184_451_270, 13}},
		{"-90.0+180.0", "1000", time.UnixMilli(1_000_099), [4]uint32{7, 1<<32 - 900_000_000, 1_800_000_000, 0}},
		{"+0.00000004999-0.0", "2000", time.Unix(1000, 0), [4]uint32{7, 0, 0, 0}},
		{"+0.0+0.0", "0", time.Unix(429_496_729, 6e8), [4]uint32{7, 0, 0, 1<<32 - 1}},
		{"+0.0+0.0", "0", time.Unix(500_000_000, 0), [4]uint32{7, 0, 0, 1<<32 - 1}},
		{"+0.0+0.0", "253402300799.999", time.Unix(0, 0), [4]uint32{7, 0, 0, 0}},
	} {
		r := herdtest.Record(t, "Alford +0.1 kiwi "+test.coords+" "+test.time)
		b := dotOf(r).appendTo(nil, 7, tenths(test.now))
		var got [4]uint32
		for i := range got {
			got[i] = binary.LittleEndian.Uint32(b[4*i:])
		}
		if got != test.want {
			t.Errorf("%s %s at %v: %v, want %v", test.coords, test.time, test.now, got, test.want)
		}
	}
}

// A page that takes nothing for long has each dot once then, and the memory for that is a bit for each.
func TestPageIsSlow(t *testing.T) {
	inBubble(t, 10_000, func(t *testing.T, l *loop, f *Follower) {
		all := names("c", 10_000)
		l.places(t, all[:5000]...)
		s := look(t, f)
		defer s.page.Close()
		s.settle()
		s.sent, s.frames = 0, 0
		for range 20 {
			l.places(t, all...)
			time.Sleep(time.Second)
		}
		if n := len(s.page.dirty); n != (10_000+63)/64 {
			t.Errorf("%d words for 10,000 slots", n)
		}
		s.take()
		if s.sent != 10_000 || s.frames != 3 || s.resets != 1 {
			t.Errorf("%d dots in %d messages, %d resets", s.sent, s.frames, s.resets)
		}
		s.same(l)
	})
}

// There are at most ten frames a second, and a page is woken when there may be one.
func TestFrames(t *testing.T) {
	inBubble(t, 10, func(t *testing.T, l *loop, f *Follower) {
		s := look(t, f)
		defer s.page.Close()
		s.settle()
		s.frames = 0
		stop := time.After(10 * time.Second)
		every := time.NewTicker(time.Millisecond)
		defer every.Stop()
		woken := 0
		again := time.NewTimer(0)
		for running := true; running; {
			select {
			case <-every.C:
				l.places(t, "a")
				continue
			case <-s.ready:
				woken++
			case <-again.C:
			case <-stop:
				running = false
			}
			for s.one() {
			}
			if _, at := s.page.Next(s.buffer, time.Now()); !at.IsZero() {
				again.Reset(time.Until(at))
			}
		}
		if s.frames < 95 || s.frames > 101 || woken > s.frames+2 {
			t.Errorf("%d frames in 10 s, woken %d times", s.frames, woken)
		}
	})
}

// When there are too many clients, all pages begin again with half of them.
func TestDotsOneOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLoop(10_000)
		defer l.stop()
		o := l.options()
		o.Dots = 1000
		f := New(o)
		defer f.Close()
		l.places(t, names("c", 900)...)
		one := look(t, f)
		one.settle()
		if one.reset.OneOf != 1 || one.dones != 1 {
			t.Errorf("%+v", one.reset)
		}
		l.places(t, names("d", 200)...)
		one.settle()
		if one.reset.OneOf != 2 || one.resets != 2 || one.dones != 2 || one.reset.Clients < 1000 {
			t.Errorf("%+v after %d", one.reset, one.resets)
		}
		one.same(l)
		if one.page.Name(one.reset.Generation-1, 0) != nil {
			t.Error("a name of another generation")
		}
		l.places(t, names("e", 8000)...)
		one.settle()
		other := look(t, f)
		other.settle()
		one.page.Close()
		other.page.Close()
		again := look(t, f) // a walk of its own
		defer again.page.Close()
		again.settle()
		for _, s := range []*screen{one, other, again} {
			if s.reset.OneOf < 8 || s.reset.OneOf > 32 || s.done.Clients != 9100 || len(s.dots) > 1000 || len(s.dots) < 9100/int(s.reset.OneOf)*8/10 {
				t.Errorf("%d dots: %+v", len(s.dots), s.reset)
			}
		}
		again.same(l)
		f.mu.Lock()
		defer f.mu.Unlock()
		if len(other.dots) != len(again.dots) && other.reset.OneOf == again.reset.OneOf {
			t.Errorf("%d dots, then %d: the clients are others", len(other.dots), len(again.dots))
		}
	})
}

// Ids as long as they may be are bounded, too.
func TestDotsOfLongIDs(t *testing.T) {
	inBubble(t, 100_000, func(t *testing.T, l *loop, f *Follower) {
		const n = herd.DotsIDs / protocol.MaxClientID * 5 / 4
		for i := range n {
			id := fmt.Sprintf("%s%07d", strings.Repeat("x", protocol.MaxClientID-7), i)
			l.do(func() { l.place(t, id) })
		}
		s := look(t, f)
		defer s.page.Close()
		s.settle()
		s.same(l)
		if s.reset.OneOf != 2 || f.dots.ids.bytes > herd.DotsIDs+chunkBytes || len(s.dots) < n*4/10 {
			t.Errorf("%d bytes, %d dots: %+v", f.dots.ids.bytes, len(s.dots), s.reset)
		}
	})
}

// Ids that are all new, while a page looks.
func TestDotsComeAndGo(t *testing.T) {
	inBubble(t, 20_000, func(t *testing.T, l *loop, f *Follower) {
		s := look(t, f)
		defer s.page.Close()
		for i := range 100 {
			l.places(t, names(fmt.Sprint(i, "/"), 100)...)
			time.Sleep(30 * time.Millisecond)
			s.take()
		}
		s.settle()
		s.same(l)
		if len(s.dots) != 10_000 || s.resets != 1 || s.sent != 10_000 {
			t.Errorf("%d dots, %d sent, %d resets", len(s.dots), s.sent, s.resets)
		}
	})
}

// A watcher keeps the reader, but not the array; the loop walks only for pages.
func TestPageLeaves(t *testing.T) {
	inBubble(t, 10_000, func(t *testing.T, l *loop, f *Follower) {
		l.places(t, names("c", 10_000)...)
		w := watch(t, f, "c1")
		s := look(t, f)
		s.page.Close() // in the middle of the walk
		synctest.Wait()
		if f.dots != nil || f.reader.walking {
			t.Error("there is an array without pages")
		}
		l.do(func() {
			if f.reader.walker != nil {
				t.Error("there is a cursor without pages")
			}
		})
		if s.take(); s.resets > 0 {
			t.Error("a closed page gets something")
		}
		l.places(t, "c1")
		window()
		if lines, _ := take(t, w); len(lines) == 0 {
			t.Error("the watcher gets nothing")
		}
		s = look(t, f)
		s.settle()
		s.same(l)
		w.Close()
		l.places(t, "c2")
		s.settle()
		s.same(l)
		s.page.Close()
		time.Sleep(time.Second)
		before := l.reads
		time.Sleep(time.Minute)
		if n := l.reads - before; n > 0 || f.reader != nil {
			t.Errorf("%d reads in a minute, and nobody looks", n)
		}
	})
}

// The Follower and the loop end at any time.
func TestClosePages(t *testing.T) {
	for i := range 20 {
		inBubble(t, 10_000, func(t *testing.T, l *loop, f *Follower) {
			l.places(t, names("c", 2000)...)
			s := look(t, f)
			for range i {
				s.one()
				time.Sleep(7 * time.Millisecond)
			}
			if i%2 == 0 {
				l.stop()
			}
			f.Close()
			s.take()
			late := look(t, f)
			late.take()
			if late.resets > 0 || f.dots != nil && len(f.pages) == 0 {
				t.Error("a page of a closed follower gets something")
			}
			late.page.Close()
			s.page.Close()
		})
	}
}

// Numbers of ids, against a map; many have one hash.
func TestIDTable(t *testing.T) {
	var s idTable
	r := rand.New(rand.NewPCG(1, 1))
	want := make(map[string]uint32)
	hash := func(id string) uint64 { return uint64(len(id)/8) << 32 }
	for range 3000 {
		id := strings.Repeat("x", 1+r.IntN(protocol.MaxClientID))
		number, ok := s.find([]byte(id), hash(id))
		if n, known := want[id]; ok != known || number != n {
			t.Fatalf("%d, %v, want %d, %v", number, ok, n, known)
		}
		if !ok {
			if len(want) > 600 {
				break
			}
			want[id] = s.add([]byte(id), hash(id))
		}
	}
	for id, n := range want {
		if string(s.of(n)) != id {
			t.Errorf("%d is %q", n, s.of(n))
		}
	}
}
