package follow

import (
	"time"

	"serverherd/herd"
	"serverherd/herd/feed"
)

// Options are what a Follower needs of a server and its loop.
type Options struct {
	Post   func(f func())                            // runs f on the loop, or drops it if the loop has stopped. Any goroutine
	Later  func(time.Duration, func())               // calls a function on the loop. Loop only
	Store  func() *feed.Store                        // loop only
	Source func(feed.Item) (source, neighbor string) // how a record came, see Update. Loop only
	// Encode returns an update as a line. Present: it was stored before the watching began. The result must not
	// alias the update. Called off the loop.
	Encode func(u Update, present bool) []byte
	Dots   int // clients in the array for pages at most; 0: herd.DotsClients
}

// Limits of one turn of the loop that looks at many records, of a walk for pages or for /clients.ndjson.
const (
	TurnRecords = 250
	TurnBytes   = 32 << 10 // copied, and one record more
)

// reader is the part of a Follower on the loop. A new one is made when the first watcher comes, and stopped when the
// last one has gone. Its fields are loop only, except for the channels.
type reader struct {
	o       *Options
	cursor  *feed.Cursor // nil before start and after stop
	stopped bool

	// There are two batches for updates, in one of the channels or with the goroutine, so no send blocks.
	free, full chan *Batch
	quit       chan struct{} // closed when nobody watches

	// The walk for pages. There is one batch, in full or with the goroutine, which posts each turn.
	walk      *Batch
	walker    *feed.Cursor // nil before the first and after the last turn
	walkerEnd uint64       // where it ends
	walking   bool         // a turn has been posted, and its batch not been looked at. Guarded by the Follower's mutex
}

func newReader(o *Options) *reader {
	r := &reader{
		o: o, free: make(chan *Batch, 2), full: make(chan *Batch, 3), quit: make(chan struct{}),
	}
	for range cap(r.free) {
		r.free <- NewBatch(0, herd.FollowBytes)
	}
	return r
}

// start begins to follow at the end of the feed.
func (r *reader) start() {
	if !r.stopped {
		r.cursor = r.o.Store().End()
		r.readAfter(herd.FollowPause)
	}
}

func (r *reader) stop() {
	r.stopped = true
	r.cursor = nil
	r.endWalk()
}

func (r *reader) endWalk() { r.walker = nil }

func (r *reader) readAfter(d time.Duration) { r.o.Later(d, r.read) }

// read passes what is new to the goroutine, within the limits of one turn.
func (r *reader) read() {
	if r.stopped {
		return
	}
	pause := herd.FollowPause
	if !r.cursor.CaughtUp() {
		select {
		case b := <-r.free:
			if r.fill(b) {
				pause = 0 // in the next turn
			}
			r.full <- b
		default: // the goroutine has both batches
		}
	}
	r.readAfter(pause)
}

// fill copies the next records, and reports whether there are more.
func (r *reader) fill(b *Batch) (more bool) {
	b.Reset()
	more = b.Fill(r.cursor, herd.FollowRecords, herd.FollowBytes, r.o.Source, func(feed.Item) bool { return true })
	b.position, b.clients = r.cursor.Position(), uint64(r.o.Store().Len())
	return more
}

// walkOn is one turn of a walk for an array, and the first one if that is another one than in the turn before. It
// passes records that has wants.
func (r *reader) walkOn(of *dots, has func(id []byte) bool) {
	if r.stopped {
		return
	}
	store, b := r.o.Store(), r.walk
	if b == nil {
		b = NewBatch(TurnRecords, TurnBytes)
		r.walk = b
	}
	if b.walk != of {
		r.walker, r.walkerEnd = store.Head(), store.Tail()
	}
	b.Reset()
	b.walk, b.clients, b.ended = of, uint64(store.Len()), false
	b.Fill(r.walker, TurnRecords, TurnBytes, nil, func(i feed.Item) bool { return has(i.Record.Client()) })
	if r.walker.Position() >= r.walkerEnd {
		b.ended, b.end, b.position = true, store.Tail(), r.cursor.Position()
		r.endWalk()
	}
	r.full <- b
}
