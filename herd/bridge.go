package herd

import (
	"errors"
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
	// bridgeNeighbors is for how long the first session waits for the records of neighbors.
	bridgeNeighbors      = 5 * time.Second
	bridgeNeighborsCheck = 100 * time.Millisecond
	// bridgeRestore is for how long a server that starts without records waits for those in the bucket.
	bridgeRestore = 10 * time.Second
	// bridgeSkew is by how much the clocks of two herds may differ.
	bridgeSkew = time.Hour
	// bridgeQuiet is for how long no session may have failed, since one has read everything, when the bridge is
	// reported to have recovered. A session without permission to publish fails right after it has read everything, and
	// one without ACKs some seconds later.
	bridgeQuiet = 10 * time.Second
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
// back. Every bridgePass there is a new session. A pass does not ask what the bucket lost since the last session, or
// whether: two revisions cannot tell if other bridges have published since.
//
// That is mode share. In the other modes an entry of another herd is not applied. If it is at least our record of its
// client, our record is shown, so it is not put over that entry.
//
// There are two walks. One publishes records of this herd, the other one, later, those of other herds. Usually their own
// bridges have put them. A record of another herd may reach this server from another bridge of this herd before it is
// shown; published at once, it would be put back.
//
// # Updates while a pass reads
//
// Reading may take many seconds, in which the first session of a process, or one after an error, publishes nothing. When
// a session only ends for the next pass, its cursor of this herd's records goes on in the next one, ahead of the other
// cursor, which begins at the head. Example, | is the cursor, > the one ahead of it:
//
//	 a1@1 b1@2|                     the session ends
//	|a1@1 b1@2>                     Open, entries are read
//	|a1@1>c1@3 b2@4                 both are new
//	|a1@1 c1@3 b2@4>                both are published
//	 a1@1 c1@3 b2@4|                all was read: a1, if the bucket did not show it, and both cursors are one
//
// Between the first position of the cursor ahead and its current one, a record was passed. What it publishes may be less
// than an entry that the pass has not read yet, as after a pass, see Cures.
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
// applied it because of the mode. That entry is replaced, and the other herd's bridges cure that. It is lost only if the
// other herd has lost it, too.
//
// # Invariants
//
//  1. Each record that its walk has passed was published or read in this session, or was refused: see bridgeRefusedPass.
//  2. A position in shown was not passed by its walk, and no lesser entry of its client was read after that record.
//  3. cures has at most BucketBatch entries: no further batch is asked for before they are handed over.
//
// Loop only.
type bridge struct {
	server  *Server
	bucket  Bucket
	mode    BucketMode
	rank    int            // it publishes what rank bridges before it have not published in time
	every   time.Duration  // from one pass to the next
	epoch   protocol.Epoch // the sender of its records in the feed
	session *bridgeSession // nil: none
	retry   time.Duration  // the last pause between sessions; 0: none since the bridge last recovered
	err     error          // the last failure, which was logged; nil: none since the bridge last recovered
	read    time.Duration  // when everything was first read since the last failure, on the steady clock; 0: it was not
	refused bool           // the bucket refused records, which was logged; it has not taken all of them since
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
	due      bool // for the next pass
	waiting  bool // the next batch was not asked for
	own      walk // of records of this herd
	foreign  walk // of the others
	shown    shown
	cures    []cure
	target   uint64 // the feed's tail when all entries were read
	live     bool   // own has come to target

	busy    bool // Publish has not called done
	refused bool // a record was refused in this session
	batch   []BucketPut
	texts   []byte // of the batch's records, concatenated
}

// cure is an entry to be replaced by our record of its client.
type cure struct {
	client   []byte
	revision uint64
}

func newBridge(srv *Server, bucket Bucket) *bridge {
	o := &srv.options
	b := &bridge{server: srv, bucket: bucket, mode: o.BucketMode, rank: o.BridgeRank, every: o.BridgePass,
		epoch: newEpoch(srv.rand), started: srv.reactor.Elapsed(), empty: srv.store.Len() == 0}
	if b.every == 0 {
		b.every = bridgePass
	}
	return b
}

// start begins the first session, when the records of neighbors have come: the pass compares them with the bucket. Outside
// of mode share one that comes later is published though another herd's entry may be greater.
func (b *bridge) start() {
	waited := b.server.reactor.Elapsed() - b.started
	if b.server.neighborNotReady() != nil && waited < bridgeNeighbors {
		b.server.reactor.CallLater(bridgeNeighborsCheck, b.start)
		return
	}
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
	b.err, b.read = err, 0
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
		s.complete, s.target = true, b.server.store.Tail()
		if b.read == 0 {
			b.read = b.server.reactor.Elapsed()
		}
		b.restored()
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
		if s.complete {
			srv.recorder.Read(now, srv.store.Offered(), srv.store.Tail(), e.Client)
		} else {
			srv.recorder.ReadAll(now)
		}
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
	if s.due && !s.busy && !s.bridge.server.drain.begun {
		s.bridge.pass()
		return
	}
	if !s.busy {
		if s.complete && !s.refused && min(s.own.cursor.Position(), s.foreign.cursor.Position()) >= s.target {
			s.bridge.refused = false
		}
		s.collect()
		if len(s.batch) > 0 {
			s.busy = true
			s.bucket.Publish(s.batch, s.done)
		}
	}
	// After a pass, reading gives way to publishing: there is one batch of entries for each full one of records. In the
	// bucket only the last entry of each client waits.
	if !s.complete || !s.busy || len(s.batch) < bridgeRecords {
		s.next()
	}
}

// next asks for more entries.
func (s *bridgeSession) next() {
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
	looked := s.publish(bridgeLook)
	s.shown.forget(min(s.own.cursor.Position(), s.foreign.cursor.Position()), srv.store.Tail())
	if looked == bridgeLook && len(s.batch) == 0 {
		srv.pumpNow()
	}
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
			s.refused = true
			if !b.refused {
				b.refused = true
				b.server.log.Warn("bridge: records refused", zap.Int("records", len(results)))
			}
		}
	}
	s.next()
	s.pump()
	b.server.checkDrained()
}

// recovered is called while no session has failed for bridgeQuiet.
func (b *bridge) recovered() {
	b.retry = 0
	if b.err != nil {
		b.err = nil
		b.server.log.Info("bridge recovered", zap.Int("records", b.server.store.Len()))
	}
}

// sweep is called periodically. It moves the limits of walks, and begins the next pass.
func (b *bridge) sweep() {
	s := b.session
	if s == nil {
		return
	}
	now := b.server.reactor.Elapsed()
	if b.read > 0 && now-b.read >= bridgeQuiet {
		b.recovered()
	}
	for _, w := range []*walk{&s.own, &s.foreign} {
		if now-w.turn >= w.delay {
			w.limit, w.noted, w.turn = w.noted, b.server.store.Tail(), now
		}
	}
	pass := b.every
	if s.refused {
		pass = min(pass, bridgeRefusedPass)
	}
	s.due = s.due || s.complete && now-s.opened >= pass
	s.pump()
}

// pass begins the next pass, in a new session. Nothing is being published. What is new is published while the pass reads,
// unless bridges before this one do that.
func (b *bridge) pass() {
	last := b.session
	b.close()
	b.open()
	if last.live && b.rank == 0 {
		b.session.live = true
		b.session.own.goAhead(&last.own)
	}
}

// idle reports whether nothing is left to publish. A bridge that has not read the bucket is not waited for.
func (b *bridge) idle() bool {
	s := b.session
	return s == nil || !s.busy && s.own.idle(s.complete)
}

// has reports whether the bucket has shown a record, or has acknowledged it in this session.
func (b *bridge) has(item *feed.Item) bool {
	s := b.session
	return item.From == b.epoch || s != nil && !s.busy && !s.refused && s.passed(item.Record, item.Seq)
}

// currentStatus is the bridge's part of Status.
func (b *bridge) currentStatus() *BridgeStatus {
	st := b.status
	st.Mode = b.mode.String()
	st.State, st.Behind = BridgeDown, uint64(b.server.store.Len())
	switch {
	case b.err != nil:
		st.Error = b.err.Error()
	case b.refused:
		st.Error = errRefusedByBucket.Error()
	}
	s := b.session
	if s == nil {
		return &st
	}
	st.Shown = s.shown.len()
	switch {
	case !s.complete && s.own.ahead == nil:
		st.State = BridgeReading
		return &st
	case s.live && b.err == nil && (!s.complete || s.own.ahead == nil):
		st.State = BridgeLive
	default:
		st.State = BridgePublishing
	}
	st.Behind = min(st.Behind, s.own.behind(s.complete, b.server.store.Tail())+uint64(len(s.batch)))
	return &st
}
