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

// Update is a record as this server applied it. Its bytes are valid during the call to Options.Encode.
type Update struct {
	feed.Item
	Source   string // see herd.Server.Source
	Neighbor string
}

// batch is what the loop passes to the goroutine, and gets back to use it again.
type batch struct {
	updates []Update
	text    []byte // of the updates' records, concatenated
}

func newBatch() *batch {
	return &batch{text: make([]byte, 0, herd.FollowBytes+4096)}
}

// reader is the part of a Follower on the loop. A new one is made when the first watcher comes, and stopped when the
// last one has gone. Its fields are loop only, except for the channels.
type reader struct {
	o       *Options
	cursor  *feed.Cursor // nil before start and after stop
	stopped bool

	// There are two batches, in one of the channels or with the goroutine, so no send blocks.
	free, full chan *batch
	quit       chan struct{} // closed when nobody watches
}

func newReader(o *Options) *reader {
	r := &reader{
		o: o, free: make(chan *batch, 2), full: make(chan *batch, 2), quit: make(chan struct{}),
	}
	r.free <- newBatch()
	r.free <- newBatch()
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
func (r *reader) fill(b *batch) (more bool) {
	b.updates, b.text = b.updates[:0], b.text[:0]
	for len(b.updates) < herd.FollowRecords && len(b.text) < herd.FollowBytes {
		item, ok := r.cursor.Next()
		if !ok {
			return false
		}
		b.add(r.o.update(item))
	}
	return !r.cursor.CaughtUp()
}

// add copies an update's record.
func (b *batch) add(u Update) {
	u.Record = u.Record.CloneInto(b.text[len(b.text):])
	if end := len(b.text) + len(u.Record.Text()); end <= cap(b.text) {
		b.text = b.text[:end]
	} // else it has got memory of its own
	b.updates = append(b.updates, u)
}

// update describes an item of the feed. It aliases the store.
func (o *Options) update(item feed.Item) Update {
	source, neighbor := o.Source(item)
	return Update{item, source, neighbor}
}
