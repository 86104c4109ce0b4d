package follow

import (
	"context"
	"errors"
	"hash/maphash"
	"slices"
	"sync"
)

// ErrClosed is returned by Watch when the Follower is closed.
var ErrClosed = errors.New("the server is stopping")

// Follower fans out the updates of one server. Any goroutine.
type Follower struct {
	o     Options
	ended chan struct{} // closed by Close
	fans  sync.WaitGroup

	mu     sync.Mutex
	closed bool
	reader *reader // nil while nobody watches
	byID   map[string][]*Watcher
	all    map[*Watcher]struct{}
	log    backlog // empty unless somebody watches all
	pages  map[*Page]struct{}
	dots   *dots // nil unless there are pages

	generation uint32       // the last one of dots
	seed       maphash.Seed // of dots: the clients that a page gets stay the same ones
	slots      []uint32     // scratch of publish
}

// New returns a Follower. It does nothing before the first Watch.
func New(o Options) *Follower {
	return &Follower{
		o: o, ended: make(chan struct{}),
		byID: make(map[string][]*Watcher), all: make(map[*Watcher]struct{}), pages: make(map[*Page]struct{}),
		seed: maphash.MakeSeed(),
	}
}

// Close ends all Watchers. It returns when the goroutine has ended. The loop need not run any more.
func (f *Follower) Close() {
	f.mu.Lock()
	if !f.closed {
		f.closed = true
		close(f.ended)
		f.stop()
	}
	f.mu.Unlock()
	f.fans.Wait()
}

// Watch begins to watch the client id, or all clients if it is empty. For one client the first update is its present
// record, if there is one; for all there is none. The tail is the position of the server's feed: all updates after
// it follow, and a few before it may. It is an error if the loop does not answer before ctx ends.
func (f *Follower) Watch(ctx context.Context, id string) (w *Watcher, tail uint64, err error) {
	w, err = f.Begin(ctx, id, make(chan struct{}, 1))
	if err != nil {
		return nil, 0, err
	}
	select {
	case a := <-w.answer:
		w.begin(a)
		return w, a.tail, nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-f.ended:
		err = ErrClosed
	}
	w.Close()
	return nil, 0, err
}

// Begin is Watch for one client without waiting for the loop, which does not answer any more when ctx has ended. Ready,
// which should have room for it, is the Watcher's.
func (f *Follower) Begin(ctx context.Context, id string, ready chan struct{}) (*Watcher, error) {
	w := &Watcher{follower: f, id: id, ready: ready, answer: make(chan answer, 1)}
	if !f.add(w) {
		return nil, ErrClosed
	}
	f.o.Post(func() {
		if ctx.Err() != nil {
			return
		}
		a := answer{tail: f.o.Store().Tail()}
		if id != "" {
			if item, ok := f.o.Store().Lookup([]byte(id)); ok {
				u := Copy(item, f.o.Source)
				a.present = &u
			}
		}
		w.answer <- a
		w.signal()
	})
	return w, nil
}

// add registers a watcher, and makes a reader for the first one.
func (f *Follower) add(w *Watcher) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return false
	}
	if w.id == "" {
		w.taken, w.woken = f.log.n, f.log.n
		f.all[w] = struct{}{}
	} else {
		f.byID[w.id] = append(f.byID[w.id], w)
	}
	f.begin()
	return true
}

// begin makes a reader if there is none.
func (f *Follower) begin() {
	if f.reader == nil {
		r := newReader(&f.o)
		f.reader = r
		f.fans.Go(func() { f.fanOut(r) })
		f.o.Post(r.start)
	}
}

// remove is the opposite of add.
func (f *Follower) remove(w *Watcher) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if w.id == "" {
		if delete(f.all, w); len(f.all) == 0 {
			f.log = backlog{n: f.log.n}
		}
	} else {
		rest := slices.DeleteFunc(f.byID[w.id], func(o *Watcher) bool { return o == w })
		if f.byID[w.id] = rest; len(rest) == 0 {
			delete(f.byID, w.id)
		}
	}
	f.stopIfAlone()
}

// stopIfAlone stops the reader when nobody watches any more.
func (f *Follower) stopIfAlone() {
	if len(f.all) == 0 && len(f.byID) == 0 && len(f.pages) == 0 {
		f.stop()
	}
}

// stop stops the reader, if there is one, and its goroutine.
func (f *Follower) stop() {
	if r := f.reader; r != nil {
		f.reader = nil
		close(r.quit)
		f.o.Post(r.stop)
	}
}

// fanOut publishes what a reader reads.
func (f *Follower) fanOut(r *reader) {
	for {
		select {
		case b := <-r.full:
			if b.walk != nil {
				f.walked(r, b)
				continue
			}
			for updates := range slices.Chunk(b.Updates, chunk) {
				f.publish(r, updates)
			}
			f.published(r, b)
			r.free <- b
		case <-r.quit:
			return
		}
	}
}

// chunk is how many updates are published without a pause in which watchers can take.
const chunk = 64

// publish gives updates to those who watch.
func (f *Follower) publish(r *reader, updates []Update) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.reader != r {
		return // stopped
	}
	for _, u := range updates {
		watchers := f.byID[string(u.Record.Client())]
		if len(watchers) == 0 && len(f.all) == 0 {
			continue
		}
		line := f.o.Encode(u, false)
		for _, w := range watchers {
			w.offer(line, u.Seq)
		}
		if len(f.all) > 0 {
			f.log.add(string(u.Record.Client()), line)
		}
	}
	if f.dots != nil && f.dots.begun {
		f.put(updates)
	}
}

// published is called behind each batch: those who watch all are woken once for it.
func (f *Follower) published(r *reader, b *Batch) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.reader != r {
		return
	}
	for w := range f.all {
		w.late = w.late || w.taken < w.woken
		if w.woken = f.log.n; w.taken < w.woken {
			w.signal()
		}
	}
	f.log.trim(f.all)
	if f.dots != nil {
		f.dots.clients = b.clients
		f.wholeAt(b.position)
	}
}
