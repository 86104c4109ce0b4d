package sim

import (
	"errors"
	"slices"
	"time"

	"serverherd/herd"
	"serverherd/reactor/memreactor"
)

// bucket is a herd.Bucket in virtual time, which the cells share. It keeps the entry of each client that was put last;
// see bucketFaults for what may happen to it.
type bucket struct {
	w        *world
	entries  map[string]*entry // by client: the last
	order    []*entry          // by revision; some of them have been replaced
	revision uint64
	sessions []*bucketSession // open ones, oldest first

	batch int           // the maximum number of entries in a batch
	pass  time.Duration // from one pass of a bridge to the next; 0: as usual

	sent      map[string]int // by client: puts on their way
	absent    int            // faults that make it absent
	full      int
	slow      time.Duration
	lastFault time.Duration // when the last fault was, or will be over
	puts      int           // entries put by bridges
	rejected  int           // puts refused, and those in conflict with a later entry
}

// entry is one entry of a bucket.
type entry struct {
	client, value string
	revision      uint64
	by            *bucketSession // nil: a stranger
	at            time.Duration
	before        *entry // that it replaced
}

// bucketSession is one session of a server's bridge.
type bucketSession struct {
	bucket  *bucket
	host    *host
	process *memreactor.Reactor // of the host
	reader  herd.BucketReader
	closed  bool
	ceded   bool // the bridge has closed it
	opened  time.Duration
	since   time.Duration // since when the bridge publishes its herd's records: a new session for a pass changes nothing

	position uint64 // revision up to which it has read
	target   uint64 // of the bucket when the session began
	complete bool   // the bridge was told that it has read up to that
	asked    bool   // for the next batch
	reading  bool   // read will be called
	busy     bool   // Publish has not called done
	landed   int    // of that Publish, how many puts have arrived
	refused  bool
	shown    map[string]string // by client: the value that the bridge was shown last
}

var (
	errAbsent  = errors.New("no servers available for connection")
	errSession = errors.New("connection closed")
)

// bridgeTo is a host's access to the bucket.
type bridgeTo struct{ host *host }

// Open implements herd.Bucket.
func (t bridgeTo) Open(r herd.BucketReader) herd.BucketSession {
	b := t.host.w.bucket
	s := &bucketSession{bucket: b, host: t.host, reader: r, shown: map[string]string{}, opened: b.w.net.Elapsed()}
	s.since = s.opened
	if last := t.host.session; last != nil && last.process == t.host.reactor && last.ceded && t.host.rank == 0 {
		s.since = last.since
	}
	s.process = t.host.reactor
	b.sessions = append(b.sessions, s)
	t.host.session = s
	s.later(func() {
		if b.absent > 0 {
			s.end(errAbsent)
			return
		}
		s.target, s.asked = b.revision, true
		s.read()
	})
	return s
}

// later calls f after the bucket's delay, unless the session is over.
func (s *bucketSession) later(f func()) {
	s.bucket.w.net.At(s.bucket.delay(), func() {
		if !s.closed {
			f()
		}
	})
}

// delay draws how long the bucket takes.
func (b *bucket) delay() time.Duration {
	return b.w.span(100*time.Microsecond, 20*time.Millisecond+b.slow)
}

// post calls f on the loop of the session's process, unless the session is over by then.
func (s *bucketSession) post(f func()) {
	process := s.host.reactor
	process.CallFromThread(func() {
		if !s.closed {
			f()
		}
	})
}

// end ends the session. Its bridge learns of that a while later.
func (s *bucketSession) end(err error) {
	s.drop()
	process := s.host.reactor
	s.bucket.w.net.At(s.bucket.w.span(0, 2*time.Second), func() {
		if process == s.host.reactor && !process.Stopped() {
			process.CallFromThread(func() { s.reader.Ended(err) })
		}
	})
}

func (s *bucketSession) drop() {
	s.closed, s.shown = true, nil
	b := s.bucket
	b.sessions = slices.DeleteFunc(b.sessions, func(o *bucketSession) bool { return o == s })
}

// Close implements herd.BucketSession.
func (s *bucketSession) Close() {
	s.ceded = true
	s.drop()
}

// Next implements herd.BucketSession.
func (s *bucketSession) Next() {
	if s.closed {
		return
	}
	if s.asked {
		s.bucket.w.fail("buffers", "%s asks for a batch twice", s.host.self.Name)
	}
	s.asked = true
	s.readSoon()
}

// readSoon schedules a read, if the bridge waits for a batch.
func (s *bucketSession) readSoon() {
	if s.asked && !s.reading {
		s.reading = true
		s.later(func() {
			s.reading = false
			s.read()
		})
	}
}

// read passes the next batch to the bridge, if there is one: in order of the clients' revisions, but in no order
// otherwise. Sometimes it repeats some.
func (s *bucketSession) read() {
	b := s.bucket
	w := b.w
	if s.position > 0 && w.rand.IntN(20) == 0 {
		s.position -= min(s.position, w.rand.Uint64N(1000))
	}
	most := 1 + w.rand.IntN(b.batch)
	i, _ := slices.BinarySearchFunc(b.order, s.position+1, func(e *entry, revision uint64) int {
		return int(int64(e.revision) - int64(revision))
	})
	var batch []*entry
	for ; i < len(b.order) && len(batch) < most; i++ {
		e := b.order[i]
		s.position = e.revision
		if b.entries[e.client] == e {
			batch = append(batch, e)
		}
	}
	if i == len(b.order) {
		s.position = max(s.position, s.target)
	}
	complete := s.position >= s.target
	if len(batch) == 0 && (s.complete || !complete) {
		return
	}
	s.complete = s.complete || complete
	s.asked = false
	w.rand.Shuffle(len(batch), func(i, j int) { batch[i], batch[j] = batch[j], batch[i] })
	s.later(func() {
		s.post(func() {
			entries := make([]herd.BucketEntry, len(batch))
			for i, e := range batch {
				entries[i] = herd.BucketEntry{Client: []byte(e.client), Value: []byte(e.value), Revision: e.revision, Own: e.by == s}
				s.shown[e.client] = e.value
			}
			s.host.touch()
			s.reader.Entries(entries, complete)
		})
	})
}

// put is a herd.BucketPut on its way.
type put struct {
	client, value string
	revision      uint64
}

// Publish implements herd.BucketSession. The puts arrive in two parts, also if the session is over by then.
func (s *bucketSession) Publish(puts []herd.BucketPut, done func([]herd.BucketResult)) {
	if s.closed {
		return
	}
	w := s.bucket.w
	if s.busy {
		w.fail("buffers", "%s publishes twice at once", s.host.self.Name)
	}
	s.busy, s.landed = true, 0
	sent := make([]put, len(puts))
	for i, p := range puts {
		sent[i] = put{string(p.Record.Client()), string(p.Record.AppendAT(nil)), p.Revision}
		s.bucket.sent[sent[i].client]++
		if s.shown[sent[i].client] == sent[i].value {
			w.fail("echo", "%s publishes %q, which it was shown last", s.host.self.Name, sent[i].value)
		}
	}
	order := w.rand.Perm(len(sent))
	results := make([]herd.BucketResult, len(sent))
	half := w.rand.IntN(len(sent) + 1)
	first := s.bucket.delay()
	w.net.At(first, func() { s.bucket.land(s, sent, order[:half], results) })
	w.net.At(first+s.bucket.delay(), func() {
		if !s.bucket.land(s, sent, order[half:], results) {
			return
		}
		s.later(func() {
			s.post(func() {
				s.busy = false
				done(results)
			})
		})
	})
}

// land puts what arrives. It reports whether the bucket is there.
func (b *bucket) land(s *bucketSession, puts []put, which []int, results []herd.BucketResult) bool {
	for _, i := range which {
		b.sent[puts[i].client]--
	}
	if b.absent > 0 {
		return false
	}
	for _, i := range which {
		p, last := puts[i], b.entries[puts[i].client]
		switch {
		case p.revision != 0 && (last == nil || last.revision != p.revision):
			results[i] = herd.BucketConflict
			b.rejected++
		case b.full > 0 && (last == nil || b.w.rand.IntN(2) == 0):
			results[i] = herd.BucketRefused
			s.refused = true
			b.rejected++
		default:
			results[i] = herd.BucketStored
			b.put(p.client, p.value, s)
			b.puts++
			s.landed++
			if !s.complete {
				b.w.result.Ahead++
			}
		}
	}
	return true
}

// put adds an entry, and wakes readers.
func (b *bucket) put(client, value string, by *bucketSession) {
	b.revision++
	e := &entry{client: client, value: value, revision: b.revision, by: by, at: b.w.net.Elapsed(), before: b.entries[client]}
	if e.before != nil && e.before.before != nil {
		e.before.before.before = nil
	}
	b.entries[client] = e
	b.order = append(b.order, e)
	for _, s := range b.sessions {
		s.readSoon()
	}
}

// restart ends all sessions. Entries after a revision are lost: a client may have its entry before that again.
func (b *bucket) restart(keep uint64) {
	for len(b.sessions) > 0 {
		b.sessions[0].end(errSession)
	}
	if keep >= b.revision {
		return
	}
	kept := b.order[:0]
	for _, e := range b.order {
		switch {
		case e.revision <= keep:
			kept = append(kept, e)
		case b.entries[e.client] == nil || b.entries[e.client].revision <= keep:
		case e.before != nil && e.before.revision <= keep && b.w.rand.IntN(2) == 0:
			b.entries[e.client] = e.before
		default:
			delete(b.entries, e.client)
		}
	}
	b.order, b.revision = kept, keep
}
