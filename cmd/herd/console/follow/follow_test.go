package follow

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"serverherd/herd"
	"serverherd/herd/feed"
	"serverherd/herd/herdtest"
	"serverherd/protocol"
)

// Line is an update as these tests encode it.
type Line struct {
	ID               []byte
	Seq              uint64
	Source, Neighbor string
	Applied          int64
	Present          bool
}

func encode(u Update, present bool) []byte {
	text, err := json.Marshal(Line{u.Record.Client(), u.Seq, u.Source, u.Neighbor, u.Applied, present})
	if err != nil {
		panic(err)
	}
	return append(text, '\n')
}

// loop runs posted calls in a goroutine, one after the other, as a server's event loop does. Tests use it in a
// synctest bubble, so time is virtual.
type loop struct {
	mu      sync.Mutex
	calls   []func()
	stopped bool
	wake    chan struct{}

	// Loop only.
	store  *feed.Store
	second int
	reads  int // delayed calls

	pad int // makes lines longer. It is set before the first watcher comes
}

func newLoop(maxClients int) *loop {
	l := &loop{wake: make(chan struct{}, 1), store: feed.NewStore("ucla", maxClients)}
	go l.run()
	return l
}

func (l *loop) run() {
	for range l.wake {
		l.mu.Lock()
		calls := l.calls
		l.calls = nil
		l.mu.Unlock()
		for _, f := range calls {
			f()
		}
	}
}

func (l *loop) post(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopped {
		return
	}
	l.calls = append(l.calls, f)
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// stop drops all calls that are posted later, as a loop that has ended does.
func (l *loop) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.stopped {
		l.stopped = true
		close(l.wake)
	}
}

func (l *loop) later(d time.Duration, f func()) {
	l.reads++
	time.AfterFunc(d, func() { l.post(f) })
}

// do runs f on the loop and waits for it.
func (l *loop) do(f func()) {
	done := make(chan struct{})
	l.post(func() { f(); close(done) })
	<-done
}

// move makes clients move, each once.
func (l *loop) move(t testing.TB, clients ...string) {
	l.do(func() { l.moveNow(t, clients...) })
}

func (l *loop) moveNow(t testing.TB, clients ...string) {
	l.store.SetTime(time.Now())
	for _, id := range clients {
		l.second++
		r := herdtest.Record(t, fmt.Sprintf("Alford +0.100000000 %s +34.068930-118.445127 %d", id, l.second))
		if l.store.Apply(r, 1) != feed.Stored {
			t.Errorf("%q is not stored", id)
		}
	}
}

func (l *loop) options() Options {
	return Options{
		Post: l.post, Later: l.later, Store: func() *feed.Store { return l.store },
		Source: func(feed.Item) (source, neighbor string) { return "neighbor", "Ball" },
		Encode: func(u Update, present bool) []byte {
			return append(bytes.Repeat([]byte{' '}, l.pad), encode(u, present)...)
		},
	}
}

// inBubble runs a test with a loop of its own and a Follower, in virtual time. Every goroutine must have ended when
// both are closed.
func inBubble(t *testing.T, maxClients int, test func(t *testing.T, l *loop, f *Follower)) {
	synctest.Test(t, func(t *testing.T) {
		l := newLoop(maxClients)
		f := New(l.options())
		defer l.stop()
		defer f.Close()
		test(t, l, f)
	})
}

func watch(t testing.TB, f *Follower, id string) *Watcher {
	t.Helper()
	w, _, err := f.Watch(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// window lets the time of one read pass.
func window() {
	time.Sleep(herd.FollowPause)
	synctest.Wait()
}

// take decodes what a watcher takes.
func take(t testing.TB, w *Watcher) (lines []Line, taken Taken) {
	t.Helper()
	taken = w.Take(1 << 30)
	for _, text := range taken.Lines {
		var l Line
		if err := json.Unmarshal(text, &l); err != nil || !bytes.HasSuffix(text, []byte("}\n")) {
			t.Fatalf("%q: %v", text, err)
		}
		lines = append(lines, l)
	}
	return lines, taken
}

// ids are the clients of lines.
func ids(lines []Line) (all string) {
	for _, l := range lines {
		all += " " + string(l.ID)
	}
	return strings.TrimSpace(all)
}

func TestOneClient(t *testing.T) {
	inBubble(t, 10, func(t *testing.T, l *loop, f *Follower) {
		l.move(t, "kiwi", "puma")
		w := watch(t, f, "kiwi")
		<-w.Ready()
		lines, _ := take(t, w)
		if ids(lines) != "kiwi" || !lines[0].Present || lines[0].Seq != 1 {
			t.Errorf("first: %+v", lines)
		}
		window()
		if lines, _ := take(t, w); len(lines) > 0 {
			t.Errorf("nothing happened: %+v", lines)
		}
		l.move(t, "puma", "kiwi")
		begun := time.Now()
		<-w.Ready()
		if waited := time.Since(begun); waited > herd.FollowPause {
			t.Errorf("it took %v", waited)
		}
		lines, taken := take(t, w)
		if ids(lines) != "kiwi" || taken.Behind != 0 {
			t.Fatalf("%+v", taken)
		}
		got := lines[0]
		if got.Seq != 4 || got.Present || got.Source != "neighbor" || got.Neighbor != "Ball" || got.Applied != begun.UnixNano() {
			t.Errorf("%+v", got)
		}
		w.Close()
	})
}

// A watcher of a client that does not exist gets nothing until it does.
func TestUnknownClient(t *testing.T) {
	inBubble(t, 10, func(t *testing.T, l *loop, f *Follower) {
		w := watch(t, f, "kiwi")
		defer w.Close()
		l.move(t, "puma")
		window()
		if lines, _ := take(t, w); len(lines) > 0 {
			t.Errorf("%+v", lines)
		}
		l.move(t, "kiwi")
		window()
		if lines, _ := take(t, w); ids(lines) != "kiwi" || lines[0].Present {
			t.Errorf("%+v", lines)
		}
	})
}

// Watchers of all clients see what happens from now on.
func TestAllClients(t *testing.T) {
	inBubble(t, 10, func(t *testing.T, l *loop, f *Follower) {
		l.move(t, "a", "b")
		w, tail, err := f.Watch(t.Context(), "")
		if err != nil || tail != 2 {
			t.Fatal(tail, err)
		}
		defer w.Close()
		window()
		if lines, _ := take(t, w); len(lines) > 0 {
			t.Errorf("before: %+v", lines)
		}
		l.move(t, "c", "a", "c")
		window()
		if lines, taken := take(t, w); ids(lines) != "a c" || taken.Behind != 0 {
			t.Errorf("%+v", lines)
		}
		second := watch(t, f, "")
		defer second.Close()
		l.move(t, "b")
		window()
		for _, w := range []*Watcher{w, second} {
			if lines, taken := take(t, w); ids(lines) != "b" || taken.Behind != 0 {
				t.Errorf("%+v", lines)
			}
		}
	})
}

// A client that moves often within one window makes one update. The reader was not slow.
func TestAThousandMovesInOneWindow(t *testing.T) {
	inBubble(t, 10, func(t *testing.T, l *loop, f *Follower) {
		one, all := watch(t, f, "kiwi"), watch(t, f, "")
		defer one.Close()
		defer all.Close()
		l.do(func() {
			for range 1000 {
				l.moveNow(t, "kiwi")
			}
		})
		window()
		for _, w := range []*Watcher{one, all} {
			if lines, taken := take(t, w); len(lines) != 1 || lines[0].Seq != 1000 || taken.Behind != 0 {
				t.Errorf("%+v %+v", lines, taken)
			}
		}
	})
}

// One that does not read gets the newest when it does, and how many there were.
func TestSlowReaders(t *testing.T) {
	inBubble(t, 10, func(t *testing.T, l *loop, f *Follower) {
		one, all, quick := watch(t, f, "kiwi"), watch(t, f, ""), watch(t, f, "")
		defer one.Close()
		defer all.Close()
		for range 10 {
			l.move(t, "kiwi", "puma")
			window()
			if lines, taken := take(t, quick); ids(lines) != "kiwi puma" || taken.Behind != 0 {
				t.Errorf("quick: %+v", taken)
			}
		}
		if lines, taken := take(t, one); len(lines) != 1 || lines[0].Seq != 19 || taken.Behind != 10 {
			t.Errorf("one: %+v, behind %d", lines, taken.Behind)
		}
		if lines, taken := take(t, all); ids(lines) != "kiwi puma" || lines[1].Seq != 20 || taken.Behind != 20 || taken.Lost != 0 {
			t.Errorf("all: %+v, behind %d", lines, taken.Behind)
		}
		quick.Close()
		l.move(t, "kiwi")
		window()
		for _, w := range []*Watcher{one, all} { // it is said once
			if lines, taken := take(t, w); ids(lines) != "kiwi" || taken.Behind != 0 {
				t.Errorf("%+v", taken)
			}
		}
	})
}

// Take returns at least one line, and else not more than it is asked for.
func TestTakeIsBounded(t *testing.T) {
	inBubble(t, 1000, func(t *testing.T, l *loop, f *Follower) {
		w := watch(t, f, "")
		defer w.Close()
		var all []string
		for i := range 1000 {
			all = append(all, fmt.Sprint("client", i))
		}
		l.move(t, all...)
		window()
		var got []byte
		for _, max := range []int{0, 1, 1000, 10_000} {
			size := 0
			for _, line := range w.Take(max).Lines {
				size += len(line)
				got = append(got, line...)
			}
			if size == 0 || size > max && max >= 1000 || size < max/2 {
				t.Errorf("%d bytes, want at most %d", size, max)
			}
		}
		for _, line := range w.Take(1 << 30).Lines {
			got = append(got, line...)
		}
		if n := bytes.Count(got, []byte("\n")); n != 1000 {
			t.Errorf("%d lines", n)
		}
	})
}

// While nobody watches, the loop is not called. It ends with the last watcher and begins again with another.
func TestOnlyWhileSomebodyWatches(t *testing.T) {
	inBubble(t, 10, func(t *testing.T, l *loop, f *Follower) {
		reads := func() (n int) {
			l.do(func() { n = l.reads })
			return n
		}
		time.Sleep(time.Minute)
		if n := reads(); n != 0 {
			t.Errorf("%d reads before the first watcher", n)
		}
		for range 3 {
			before := reads()
			a, b := watch(t, f, "kiwi"), watch(t, f, "")
			time.Sleep(time.Second)
			a.Close()
			a.Close()
			time.Sleep(time.Second)
			if n := reads() - before; n < 35 || n > 45 {
				t.Errorf("%d reads in 2 s", n)
			}
			b.Close()
			before = reads()
			time.Sleep(time.Minute)
			if n := reads() - before; n > 1 {
				t.Errorf("%d reads behind the last watcher", n)
			}
		}
		if f.reader != nil || len(f.byID) > 0 || len(f.all) > 0 || f.log.entries != nil {
			t.Errorf("something is left: %+v", f)
		}
	})
}

// More than one turn's worth is read in the following turns, without a pause.
func TestMoreThanATurn(t *testing.T) {
	const n = 3*herd.FollowRecords + 1
	inBubble(t, n, func(t *testing.T, l *loop, f *Follower) {
		w := watch(t, f, "")
		defer w.Close()
		l.do(func() {
			for i := range n {
				l.moveNow(t, fmt.Sprint("client", i))
			}
			r, b := f.reader, NewBatch(0, herd.FollowBytes)
			c := l.store.Head()
			if more := (&reader{o: r.o, cursor: c}).fill(b); !more || len(b.Updates) != herd.FollowRecords {
				t.Errorf("%d records in one turn, more: %v", len(b.Updates), more)
			}
		})
		window()
		window() // at the latest: the goroutine may have had both batches
		if lines, _ := take(t, w); len(lines) != n {
			t.Errorf("%d lines of %d", len(lines), n)
		}
	})
}

// So are long records, of which a turn copies fewer.
func TestLongRecords(t *testing.T) {
	inBubble(t, 1000, func(t *testing.T, l *loop, f *Follower) {
		w := watch(t, f, "")
		defer w.Close()
		l.do(func() {
			for i := range 1000 {
				l.moveNow(t, strings.Repeat("x", protocol.MaxClientID-3)+fmt.Sprintf("%03d", i))
			}
			b, c := NewBatch(0, herd.FollowBytes), l.store.Head()
			(&reader{o: f.reader.o, cursor: c}).fill(b)
			if n := len(b.Updates); b.Size() > herd.FollowBytes+2000 || n < 100 || n > 600 {
				t.Errorf("%d bytes of %d records in one turn", len(b.text), n)
			}
		})
		window()
		window()
		lines, _ := take(t, w)
		if len(lines) != 1000 {
			t.Fatalf("%d lines", len(lines))
		}
		for i, line := range lines {
			if want := fmt.Sprintf("x%03d", i); !strings.HasSuffix(string(line.ID), want) || len(line.ID) != protocol.MaxClientID {
				t.Fatalf("line %d is of %q", i, line.ID)
			}
		}
	})
}

// While the goroutine is busy, the loop does not read on: the feed is the queue.
func TestGoroutineIsBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLoop(10)
		defer l.stop()
		o := l.options()
		r := newReader(&o) // nobody takes its batches
		l.do(r.start)
		defer l.do(r.stop)
		for range 100 {
			l.move(t, "kiwi")
			window()
		}
		l.do(func() {
			if at := r.cursor.Position(); len(r.full) != 2 || at != 99 {
				t.Errorf("%d batches, read up to %d", len(r.full), at)
			}
		})
		for _, want := range []uint64{1, 2, 100} {
			b := <-r.full
			if len(b.Updates) != 1 || b.Updates[0].Seq != want {
				t.Errorf("%+v, want position %d", b.Updates, want)
			}
			r.free <- b
		}
	})
}

// A reader of all that never reads takes bounded memory, whatever moves. It is told what it has missed.
func TestStalledReaderOfAll(t *testing.T) {
	const clients = 100_000
	inBubble(t, clients, func(t *testing.T, l *loop, f *Follower) {
		l.pad = 300 // as long as those of /watch
		w := watch(t, f, "")
		defer w.Close()
		most := 0
		for round := range 2 {
			for i := range clients / 1000 {
				l.do(func() {
					for k := range 1000 {
						l.moveNow(t, fmt.Sprintf("client%d", 1000*i+k))
					}
				})
				window()
				most = max(most, f.log.bytes)
				if n := len(f.log.entries); n > 2*clients+herd.FollowRecords {
					t.Fatalf("round %d: %d entries", round, n)
				}
			}
		}
		if slack := 1000 * 1000; most > herd.WatchBacklog+slack || most < herd.WatchBacklog/2 {
			t.Errorf("%d bytes", most)
		}
		lines, taken := take(t, w)
		if taken.Behind != 2*clients || taken.Lost == 0 || len(lines) == 0 {
			t.Errorf("%d lines, behind %d, lost %d", len(lines), taken.Behind, taken.Lost)
		}
		// What it gets is the newest of each client, in order.
		l.do(func() {
			last := uint64(0)
			for _, line := range lines {
				item, _ := l.store.Lookup(line.ID)
				if item.Seq != line.Seq || line.Seq <= last {
					t.Fatalf("%q at %d, stored at %d, behind %d", line.ID, line.Seq, item.Seq, last)
				}
				last = line.Seq
			}
		})
		if n := len(f.log.entries); n > clients {
			t.Errorf("%d entries", n)
		}
		l.move(t, "client1")
		window()
		if n := len(f.log.entries); n != 1 {
			t.Errorf("%d entries when all is taken", n)
		}
	})
}

// Few clients that move often take little memory, however long somebody does not read.
func TestBacklogIsCompacted(t *testing.T) {
	inBubble(t, 10, func(t *testing.T, l *loop, f *Follower) {
		w := watch(t, f, "")
		defer w.Close()
		l.move(t, "z") // the oldest that it has not taken stays in front
		for range 500 {
			l.move(t, "a", "b", "c")
			window()
			if n := len(f.log.entries); n > 10 {
				t.Fatalf("%d entries of 4 clients", n)
			}
		}
		if lines, taken := take(t, w); ids(lines) != "z a b c" || taken.Behind != 1501 {
			t.Errorf("%q, behind %d", ids(lines), taken.Behind)
		}
	})
}

// The lost are counted exactly: each client moves once.
func TestLostIsExact(t *testing.T) {
	const clients = 2500
	inBubble(t, clients, func(t *testing.T, l *loop, f *Follower) {
		l.pad = 16 << 10
		stalled, quick := watch(t, f, ""), watch(t, f, "")
		defer stalled.Close()
		defer quick.Close()
		got := 0
		for i := range clients {
			if l.move(t, fmt.Sprint("client", i)); i%100 == 99 {
				window()
				taken := quick.Take(1 << 30)
				if got += len(taken.Lines); taken.Lost > 0 {
					t.Fatalf("one that reads lost %d", taken.Lost)
				}
			}
		}
		taken := stalled.Take(1 << 30)
		if got != clients || taken.Lost == 0 || len(taken.Lines)+int(taken.Lost) != clients {
			t.Errorf("quick got %d; stalled got %d and lost %d of %d", got, len(taken.Lines), taken.Lost, clients)
		}
	})
}

// 300 watchers come and go while 10,000 clients do.
func TestManyComeAndGo(t *testing.T) {
	const clients = 10_000
	inBubble(t, clients, func(t *testing.T, l *loop, f *Follower) {
		var watchers sync.WaitGroup
		for i := range 300 {
			watchers.Go(func() {
				r := rand.New(rand.NewPCG(uint64(i), 0))
				for range 5 {
					id := ""
					if i%10 > 0 {
						id = fmt.Sprintf("client%d", r.IntN(clients))
					}
					w := watch(t, f, id)
					end := time.After(time.Duration(r.IntN(1000)) * time.Millisecond)
					last := uint64(0)
					for open := true; open; {
						select {
						case <-w.Ready():
							lines, _ := take(t, w)
							for _, line := range lines {
								if line.Seq <= last || id != "" && string(line.ID) != id {
									t.Errorf("%q at %d behind %d", line.ID, line.Seq, last)
								}
								last = line.Seq
							}
						case <-end:
							open = false
						}
					}
					w.Close()
				}
			})
		}
		for i := range clients {
			l.move(t, fmt.Sprintf("client%d", i), fmt.Sprintf("client%d", i))
			if i%100 == 0 {
				time.Sleep(20 * time.Millisecond)
			}
		}
		watchers.Wait()
		if f.reader != nil || len(f.byID)+len(f.all) > 0 {
			t.Error("something is left")
		}
	})
}

// Whatever moves and however they read, readers end with what the store has.
func TestAgainstAModel(t *testing.T) {
	for seed := range uint64(30) {
		inBubble(t, 50, func(t *testing.T, l *loop, f *Follower) {
			type view struct {
				w    *Watcher
				seqs map[string]uint64
				last uint64
			}
			r := rand.New(rand.NewPCG(seed, 0))
			var views []*view
			look := func(v *view, max int) {
				taken := v.w.Take(max)
				for _, text := range taken.Lines {
					var line Line
					if err := json.Unmarshal(text, &line); err != nil {
						t.Fatal(err)
					}
					if line.Seq <= v.last {
						t.Fatalf("seed %d: %d behind %d", seed, line.Seq, v.last)
					}
					v.seqs[string(line.ID)], v.last = line.Seq, line.Seq
				}
			}
			for range 400 {
				switch k := r.IntN(10); {
				case k < 5:
					for range r.IntN(20) {
						l.move(t, fmt.Sprint("client", r.IntN(50)))
					}
				case k < 7:
					time.Sleep(time.Duration(r.IntN(120)) * time.Millisecond)
				case k == 7 && len(views) < 10:
					id := ""
					v := &view{seqs: map[string]uint64{}}
					if r.IntN(2) > 0 {
						id = fmt.Sprint("client", r.IntN(50))
					} else {
						l.do(func() {
							for c := l.store.Head(); ; {
								item, ok := c.Next()
								if !ok {
									break
								}
								v.seqs[string(item.Record.Client())] = item.Seq
							}
						})
					}
					v.w = watch(t, f, id)
					views = append(views, v)
				case k == 8 && len(views) > 0:
					look(views[r.IntN(len(views))], r.IntN(5000))
				case k == 9 && len(views) > 5:
					views[0].w.Close()
					views = views[1:]
				}
			}
			time.Sleep(time.Second)
			synctest.Wait()
			for i, v := range views {
				look(v, 1<<30)
				l.do(func() {
					for k := range 50 {
						id := fmt.Sprint("client", k)
						item, _ := l.store.Lookup([]byte(id))
						if v.w.id == "" && v.seqs[id] != item.Seq || v.w.id == id && v.seqs[id] != item.Seq {
							t.Errorf("seed %d, watcher %d of %q: %s at %d, stored at %d", seed, i, v.w.id, id, v.seqs[id], item.Seq)
						}
					}
				})
				v.w.Close()
			}
		})
	}
}

// Closing ends everybody, also if the loop has ended before.
func TestClose(t *testing.T) {
	for _, loopFirst := range []bool{false, true} {
		inBubble(t, 10, func(t *testing.T, l *loop, f *Follower) {
			one, all := watch(t, f, "kiwi"), watch(t, f, "")
			l.move(t, "kiwi")
			window()
			if loopFirst {
				l.stop()
			}
			f.Close()
			for _, w := range []*Watcher{one, all} {
				<-w.Ended()
				if lines, _ := take(t, w); ids(lines) != "kiwi" { // what came before can be taken
					t.Errorf("%+v", lines)
				}
				w.Close()
			}
			if _, _, err := f.Watch(t.Context(), "kiwi"); !errors.Is(err, ErrClosed) {
				t.Error(err)
			}
		})
	}
}

// A loop that does not answer is not waited for longer than the caller likes, nor when the server ends.
func TestWatchWithoutAnAnswer(t *testing.T) {
	inBubble(t, 10, func(t *testing.T, l *loop, f *Follower) {
		l.stop()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		if _, _, err := f.Watch(ctx, "kiwi"); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		ended := make(chan error)
		go func() {
			_, _, err := f.Watch(t.Context(), "")
			ended <- err
		}()
		synctest.Wait()
		f.Close()
		if err := <-ended; !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	})
}
