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
}

// reader is the part of a Follower on the loop. A new one is made when the first watcher comes, and stopped when the
// last one has gone. Its fields are loop only, except for the channels.
type reader struct {
	o       *Options
	cursor  *feed.Cursor // nil before start and after stop
	stopped bool

	// There are two batches, in one of the channels or with the goroutine, so no send blocks.
	free, full chan *Batch
	quit       chan struct{} // closed when nobody watches
}

func newReader(o *Options) *reader {
	r := &reader{
		o: o, free: make(chan *Batch, 2), full: make(chan *Batch, 2), quit: make(chan struct{}),
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
	if r.cursor != nil {
		r.cursor.Close()
		r.cursor = nil
	}
}

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
	for len(b.Updates) < herd.FollowRecords && b.Size() < herd.FollowBytes {
		item, ok := r.cursor.Next()
		if !ok {
			return false
		}
		b.Add(item, r.o.Source)
	}
	return !r.cursor.CaughtUp()
}
