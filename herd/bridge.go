package herd

import (
	"errors"
	"math"
	"time"

	"go.uber.org/zap"

	"serverherd/herd/feed"
	"serverherd/protocol"
	"serverherd/reactor"
)

const (
	// bridgeRecords and bridgeBytes bound what is published at once, and bridgeLook how many records of the feed
	// one turn looks at for that.
	bridgeRecords = 4096
	bridgeBytes   = 1 << 20
	bridgeLook    = 16384
	// bridgePass is how often everything is read and compared again, and bridgeRefusedPass how soon after the bucket
	// has refused a record.
	bridgePass        = 10 * time.Minute
	bridgeRefusedPass = time.Minute
	// bridgeTurn is by how much each bridge of a herd lets the one before it publish first, and bridgeForeign by how
	// much it lets the herd of a record's origin.
	bridgeTurn    = time.Second
	bridgeForeign = 5 * time.Second
	// bridgeRestore is for how long a server that starts without records waits for those in the bucket.
	bridgeRestore = 10 * time.Second
	// bridgeSkew is by how much the clocks of two herds may differ.
	bridgeSkew = time.Hour
)

var errRefusedByBucket = errors.New("the bucket refuses records")

// bridge exchanges a server's records with a Bucket that several herds share. It is a follower of the feed and, as a
// neighbor is, a source of records. The loop never waits for the bucket, and there is no queue: while the bucket is
// slow or absent, the feed is the queue.
//
// # A session
//
// Each session begins with a pass. It reads all entries of the bucket and applies what is greater than its own record.
// Only then does it walk the feed, from the head, and publish what the bucket has not shown. Example, the bucket has a2
// and b1, this server a1, b1 and c1; | is the cursor:
//
//	|a1@1 b1@2 c1@3                 Open
//	|b1@2 c1@3 a2@4                 a2 was read: stored, and 4 is shown
//	|b1@2 c1@3 a2@4                 b1 was read: 2 is shown
//	 b1@2 c1@3 a2@4|                all was read: c1 is published
//
// After it, the same cursor publishes what is new. An entry that is read then and stored is shown, so it is not put
// back. A pass does not ask what the bucket lost since the last session, or whether: two revisions cannot tell if
// other bridges have published since.
//
// That is mode share. In the other modes an entry of another herd is not applied. If it is at least our record of its
// client, our record is shown, so it is not put over that entry.
//
// There are two walks. One publishes records of this herd, the other one, later, those of other herds. Usually their own
// bridges have put them. A record of another herd may reach this server from another bridge of this herd before it is
// shown; published at once, it would be put back.
//
// # Restore
//
// A server whose store is empty when it starts, its journal loaded, is not ready before its first pass is complete: its
// whole herd may have lost its records. It waits for that for bridgeRestore. It does not wait if a neighbor has records:
// it has received the neighbor's whole feed, and that was not empty when it was complete for the first time. The pass goes
// on in any case.
//
// # Cures
//
// A bucket keeps what was put last. If a lesser entry than our record is read, either the cursor has not come to our
// record, and publishes it, or it has: then the entry is cured. It is replaced on condition that it is still the
// last one. Of several bridges that cure it, one succeeds, so cures do not answer each other.
//
// An update may be less than an entry of another herd that this server does not have: it has not read it yet, or has not
// applied it because of the mode. That entry is replaced, and the other herd's bridges cure that.
//
// # Invariants
//
//  1. Each record that its walk has passed was published or read in this session, or was refused: see bridgeRefusedPass.
//  2. A position in shown is beyond its walk's cursor, and no lesser entry of its client was read after that record.
//  3. cures has at most BucketBatch entries: no further batch is asked for before they are handed over.
//
// Loop only.
type bridge struct {
	server  *Server
	bucket  Bucket
	mode    BucketMode
	rank    int            // it publishes what rank bridges before it have not published in time
	epoch   protocol.Epoch // the sender of its records in the feed
	session *bridgeSession // nil: none
	retry   time.Duration  // the last pause between sessions; 0: the last session was complete
	err     error          // why there is no session, if that was logged
	status  BridgeStatus   // what is counted
	started time.Duration
	empty   bool // it started without records, and no neighbor had some
}

// bridgeSession is what a bridge keeps for one session. Nothing of it is used in the next one.
type bridgeSession struct {
	bridge *bridge
	bucket BucketSession
	opened time.Duration

	complete bool // all entries were read
	waiting  bool // the next batch was not asked for
	own      walk // of records of this herd
	foreign  walk // of the others
	shown    shown
	cures    []cure
	live     bool // own has caught up once

	busy    bool // Publish has not called done
	refused bool // a record was refused
	batch   []BucketPut
	texts   []byte // of the batch's records, concatenated
}

// walk publishes records of the feed.
type walk struct {
	cursor *feed.Cursor
	delay  time.Duration // for which others may publish a record first; 0: none
	// limit is how far the cursor may go: where the tail was delay ago, or longer. noted is where it was at turn, on
	// the steady clock.
	limit, noted uint64
	turn         time.Duration
}

// shown is the set of positions of records that the bucket has and no walk has come to. A position that was replaced is
// never taken. So there are two sets, and the older one is dropped when the walks have passed all of its positions.
type shown struct {
	older, recent map[uint64]struct{}
	newest        uint64 // at least each position in older
}

func newShown() shown { return shown{older: map[uint64]struct{}{}, recent: map[uint64]struct{}{}} }

func (s *shown) len() int { return len(s.older) + len(s.recent) }

// take removes a position and reports whether it was there.
func (s *shown) take(position uint64) bool {
	n := s.len()
	delete(s.older, position)
	delete(s.recent, position)
	return s.len() < n
}

// forget drops positions that both walks have passed.
func (s *shown) forget(passed, tail uint64) {
	if passed >= s.newest && s.len() > 0 {
		s.older, s.recent, s.newest = s.recent, map[uint64]struct{}{}, tail
	}
}

// cure is an entry to be replaced by our record of its client.
type cure struct {
	client   []byte
	revision uint64
}

func newBridge(srv *Server, bucket Bucket) *bridge {
	o := &srv.options
	return &bridge{server: srv, bucket: bucket, mode: o.BucketMode, rank: o.BridgeRank, epoch: newEpoch(srv.rand),
		empty: srv.store.Len() == 0}
}

// start begins the first session.
func (b *bridge) start() {
	b.started = b.server.reactor.Elapsed()
	b.open()
}

// restoring reports whether the server waits for the records in the bucket.
func (b *bridge) restoring() bool {
	return b.empty && !b.status.Restored && b.server.reactor.Elapsed()-b.started < bridgeRestore
}

// restored is called when a pass is complete.
func (b *bridge) restored() {
	if b.empty && !b.status.Restored {
		b.server.log.Info("records restored", zap.Uint64("records", b.status.Applied),
			zap.Duration("took", b.server.reactor.Elapsed()-b.started))
	}
	b.status.Restored = true
}

// open begins a session.
func (b *bridge) open() {
	if b.session != nil || b.server.drain.begun {
		return
	}
	now, store := b.server.reactor.Elapsed(), b.server.store
	wait := time.Duration(b.rank) * bridgeTurn
	s := &bridgeSession{
		bridge: b, opened: now, shown: newShown(),
		own:     walk{cursor: store.Head(), delay: wait, turn: now},
		foreign: walk{cursor: store.Head(), delay: wait + bridgeForeign, turn: now},
	}
	b.session = s
	b.status.Sessions++
	s.bucket = b.bucket.Open(s)
}

// close ends the session, if there is one.
func (b *bridge) close() {
	if b.session != nil {
		b.session.bucket.Close()
		b.session = nil
	}
}

// Ended implements BucketReader.
func (s *bridgeSession) Ended(err error) {
	b := s.bridge
	if b.session != s {
		return
	}
	b.session = nil
	if b.err == nil {
		b.server.log.Warn("bridge down", zap.Error(err))
	}
	b.err = err
	b.retry = min(max(2*b.retry, reactor.MinRetryDelay), reactor.MaxRetryDelay)
	pause := b.retry/2 + time.Duration(b.server.rand.Int64N(int64(b.retry)))
	b.server.reactor.CallLater(pause, b.open)
	b.server.checkDrained()
}

// Entries implements BucketReader.
func (s *bridgeSession) Entries(entries []BucketEntry, complete bool) {
	b := s.bridge
	if b.session != s {
		return
	}
	now := b.server.reactor.Now()
	b.server.store.SetTime(now)
	for i := range entries {
		s.read(&entries[i], now)
	}
	s.waiting = true
	if complete && !s.complete {
		s.complete = true
		b.retry = 0
		b.restored()
		if b.err != nil {
			b.err = nil
			b.server.log.Info("bridge recovered", zap.Int("records", b.server.store.Len()))
		}
	}
	s.pump()
}

// read applies one entry, as one of a neighbor.
func (s *bridgeSession) read(e *BucketEntry, now time.Time) {
	b := s.bridge
	srv := b.server
	b.status.Read++
	r, ok := srv.parseEntry(e)
	if !ok || r.Stamp().Ahead(now, srv.cfg.Limits.MaxFuture+bridgeSkew) {
		if len(e.Value) > 0 {
			b.status.Invalid++
		}
		s.lesser(e)
		return
	}
	if r.Stamp().Ahead(now, srv.cfg.Limits.MaxFuture) {
		b.status.Future++ // not cured: its herd's clock allows it, and that herd would put it back
		return
	}
	if b.mode != BucketShare && !srv.origins[string(r.Origin())] {
		b.status.Foreign++
		s.compare(e, r)
		return
	}
	switch srv.store.Apply(r, b.epoch) {
	case feed.Stored:
		b.status.Applied++
		srv.counters.Applied++
		s.show(r, srv.store.Tail())
		srv.pumpSoon()
	case feed.Full:
		srv.counters.ClientsRefused++
	case feed.Dropped:
		if same := srv.store.Same(); same != 0 {
			s.show(r, same)
		} else {
			s.lesser(e)
		}
	}
}

// compare handles an entry that is not applied. If it is at least our record of its client, that is not put over it.
func (s *bridgeSession) compare(e *BucketEntry, r protocol.Record) {
	item, ok := s.bridge.server.store.Lookup(e.Client)
	switch {
	case !ok:
	case r.Compare(item.Record) >= 0:
		s.show(item.Record, item.Seq)
	default:
		s.lesser(e)
	}
}

// parseEntry returns the record in an entry, if it is one of the client that the entry's key names.
func (srv *Server) parseEntry(e *BucketEntry) (r protocol.Record, ok bool) {
	if len(e.Value) == 0 || len(e.Value) > maxLinkLine {
		return r, false
	}
	srv.scratch = append(append(append(srv.scratch[:0], e.Value...), ' '), srv.name...)
	line, err := protocol.ParseLink(srv.scratch)
	if err != nil || line.Verb != protocol.LinkAT || string(line.Record.Client()) != string(e.Client) {
		return r, false
	}
	return line.Record, true
}

// walkOf returns the walk that publishes a record.
func (s *bridgeSession) walkOf(r protocol.Record) *walk {
	if s.bridge.server.origins[string(r.Origin())] {
		return &s.own
	}
	return &s.foreign
}

// passed reports whether the walk that publishes a record has done so, or has skipped it.
func (s *bridgeSession) passed(r protocol.Record, position uint64) bool {
	return position <= s.walkOf(r).cursor.Position()
}

// show notes that the bucket has the record at a position.
func (s *bridgeSession) show(r protocol.Record, position uint64) {
	if s.passed(r, position) {
		return
	}
	if s.shown.len() > s.bridge.server.store.Len()+bridgeRecords {
		s.shown = newShown() // most of them were replaced; the rest is published again
	}
	s.shown.recent[position] = struct{}{}
}

// lesser handles an entry that is less than our record of its client, if there is one.
func (s *bridgeSession) lesser(e *BucketEntry) {
	b := s.bridge
	item, ok := b.server.store.Lookup(e.Client)
	switch {
	case !ok:
	case !s.passed(item.Record, item.Seq):
		s.shown.take(item.Seq)
	case e.Own && item.From != b.epoch:
		// Our record was published after this one, and is on its way.
	default:
		s.cures = append(s.cures, cure{append([]byte(nil), e.Client...), e.Revision})
	}
}

// pump publishes what is new, unless that is in progress, and asks for more entries.
func (b *bridge) pump() {
	if b.session != nil {
		b.session.pump()
	}
}

func (s *bridgeSession) pump() {
	if !s.busy {
		s.collect()
		if len(s.batch) > 0 {
			s.busy = true
			s.bucket.Publish(s.batch, s.done)
		}
	}
	if s.waiting && len(s.cures) == 0 {
		s.waiting = false
		s.bucket.Next()
	}
}

// collect makes the next batch: cures, and the next records of the feed that the bucket has not shown.
func (s *bridgeSession) collect() {
	srv := s.bridge.server
	s.batch, s.texts = s.batch[:0], s.texts[:0]
	for len(s.cures) > 0 && len(s.texts) < bridgeBytes {
		// A record that its walk has not come to need not be put twice.
		if item, ok := srv.store.Lookup(s.cures[0].client); ok && s.passed(item.Record, item.Seq) {
			s.put(item.Record, s.cures[0].revision)
			s.bridge.status.Cures++
		}
		s.cures = s.cures[1:]
	}
	if !s.complete {
		return
	}
	looked := s.walk(&s.own, bridgeLook)
	looked += s.walk(&s.foreign, bridgeLook-looked)
	s.live = s.live || s.own.cursor.CaughtUp()
	s.shown.forget(min(s.own.cursor.Position(), s.foreign.cursor.Position()), srv.store.Tail())
	if looked == bridgeLook && len(s.batch) == 0 {
		srv.pumpNow()
	}
}

// walk adds the next records to the batch. It looks at most records of the feed and returns at how many.
func (s *bridgeSession) walk(w *walk, most int) (looked int) {
	limit := w.limit
	if w.delay == 0 || w == &s.own && s.bridge.server.drain.begun {
		limit = math.MaxUint64
	}
	for looked < most && len(s.batch) < bridgeRecords && len(s.texts) < bridgeBytes && w.cursor.Position() < limit {
		item, ok := w.cursor.Next()
		if !ok {
			break
		}
		looked++
		if s.walkOf(item.Record) != w {
			continue
		}
		if !s.shown.take(item.Seq) {
			s.put(item.Record, 0)
		}
	}
	return looked
}

// put adds a copy of a record to the batch.
func (s *bridgeSession) put(r protocol.Record, revision uint64) {
	if s.texts == nil {
		s.texts = make([]byte, 0, bridgeBytes+maxLinkLine)
	}
	r = r.CloneInto(s.texts[len(s.texts):])
	s.texts = s.texts[:len(s.texts)+len(r.Text())]
	s.batch = append(s.batch, BucketPut{Record: r, Revision: revision})
}

// done handles the results of a batch.
func (s *bridgeSession) done(results []BucketResult) {
	b := s.bridge
	if b.session != s {
		return
	}
	s.busy = false
	for _, r := range results {
		switch r {
		case BucketStored:
			b.status.Published++
		case BucketConflict:
			b.status.Conflicts++ // the later entry will be read
		case BucketRefused:
			b.status.Refused++
			if !s.refused {
				s.refused = true
				b.server.log.Warn("bridge: records refused", zap.Int("records", len(results)))
			}
		}
	}
	s.pump()
	b.server.checkDrained()
}

// sweep is called periodically. It moves the limits of walks, and begins the next pass.
func (b *bridge) sweep() {
	s := b.session
	if s == nil {
		return
	}
	now := b.server.reactor.Elapsed()
	for _, w := range []*walk{&s.own, &s.foreign} {
		if now-w.turn >= w.delay {
			w.limit, w.noted, w.turn = w.noted, b.server.store.Tail(), now
		}
	}
	pass := bridgePass
	if s.refused {
		pass = bridgeRefusedPass
	}
	if s.complete && now-s.opened >= pass {
		b.close()
		b.open()
		return
	}
	s.pump()
}

// idle reports whether nothing is left to publish. A bridge that has not read the bucket is not waited for.
func (b *bridge) idle() bool {
	s := b.session
	return s == nil || !s.complete || !s.busy && s.own.cursor.CaughtUp()
}

// currentStatus is the bridge's part of Status.
func (b *bridge) currentStatus() *BridgeStatus {
	st := b.status
	st.Mode = b.mode.String()
	st.State, st.Behind = BridgeDown, uint64(b.server.store.Len())
	switch s := b.session; {
	case b.err != nil:
		st.Error = b.err.Error()
	case s != nil && s.refused:
		st.Error = errRefusedByBucket.Error()
	}
	if s := b.session; s != nil {
		st.State, st.Shown = BridgeReading, s.shown.len()
		if s.complete {
			st.State = BridgePublishing
			st.Behind = min(st.Behind, b.server.store.Tail()-s.own.cursor.Position()+uint64(len(s.batch)))
		}
		if s.live {
			st.State = BridgeLive
		}
	}
	return &st
}
