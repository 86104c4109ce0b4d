package herd

import (
	"slices"
	"time"

	"go.uber.org/zap"

	"serverherd/protocol"
	"serverherd/reactor"
)

const (
	// askTimeout is how long the bucket has for an answer, and before that how long a WHATSAT waits until the bucket
	// may be asked. Each of them is at most half of what is left of places.timeout.
	askTimeout = time.Second
	// askInFlight is how many asks may be in progress. An eighth of them is for addresses that have none: see reserve.
	askInFlight = 256
	// askKept is for how long the result of an ask is used again, and askResults how many results are kept for that.
	askKept    = time.Second
	askResults = 4096
	// askQuiet is for how long no ask may have failed when the bucket is reported to answer again.
	askQuiet = 5 * time.Second
	// askProbe is how long after the last ask the bucket is probed: a bucket that cannot be asked is reported before a
	// WHATSAT needs it.
	askProbe = 10 * time.Second
)

// asks reads clients' entries from the bucket, for WHATSATs about clients that this server does not know or whose record
// is old: another herd may have a newer one. Nothing that is read is stored. Example:
//
//	WHATSAT kiwi 10 5    kiwi is unknown: the bucket is asked
//	WHATSAT kiwi 20 1    waits for the same answer
//	AT Ball ... kiwi     the bucket's entry: both become lookups, with the position in it
//	WHATSAT kiwi 10 3    within askKept: becomes a lookup at once
//
// Until then they are lookups without a flight. They count as waiting ones, so waiting_lookups and the fair shares of
// turns.go apply. Loop only.
type asks struct {
	server *Server
	asker  Asker
	after  time.Duration
	asks   map[string]*ask // by client: queued, in flight, and those in kept
	kept   []*ask          // with a result, oldest first
	queue  []*lookup       // whose asks may not be sent yet, oldest first

	open     int // lookups that wait for an answer
	inFlight int
	err      error         // the last failure; nil if the bucket answers
	failed   time.Duration // when that was, on the steady clock
	last     time.Duration // when the last ask or probe was sent, likewise
	status   AskStatus     // what is counted
}

// ask is one read of an entry, and the lookups that wait for it.
type ask struct {
	client []byte
	askers []*lookup            // in the order of their requests
	payer  *connTurns           // whose turn it was; nil while the ask is queued
	expiry *reactor.DelayedCall // of its turn
	result askResult
	record protocol.Record // with askFound
	done   time.Duration   // when it had its result, on the steady clock
}

// askResult is the result of an ask.
type askResult uint8

const (
	askPending askResult = iota
	askFound             // the entry was greater than this server's record
	askNone              // it was not, or there is no valid one
	askFailed            // the bucket did not answer
	askBusy              // the ask's turn did not come in time
)

func newAsks(srv *Server, asker Asker, after time.Duration) *asks {
	return &asks{server: srv, asker: asker, after: after, asks: map[string]*ask{}}
}

// outdated reports whether the bucket is asked though there is a record.
func (q *asks) outdated(r protocol.Record, now time.Time) bool {
	return !r.Stamp().Ahead(now, -q.after)
}

// whatsat answers a WHATSAT for which the bucket is asked.
func (q *asks) whatsat(s *session, line []byte, c protocol.Command) {
	a := q.asks[string(c.Client)]
	if a == nil || a.result == askPending || q.server.reactor.Elapsed()-a.done >= askKept {
		if l := s.newLookup(line, c); s.enter(l) {
			q.ask(l, c.Client)
		}
		return
	}
	q.status.Cached++
	if r, ok := q.newest(a); ok {
		s.lookUp(line, c, r)
	} else {
		s.reply(s.appendRefusal(q.server.scratch[:0], line, q.refusal(a)))
	}
}

// newest returns the greater of this server's record and the one in the result, if there is one. It is valid until the
// store is next changed.
func (q *asks) newest(a *ask) (r protocol.Record, ok bool) {
	item, ok := q.server.store.Lookup(a.client)
	if a.result == askFound && (!ok || a.record.Compare(item.Record) > 0) {
		return a.record, true
	}
	return item.Record, ok
}

// refusal is the reason to refuse a WHATSAT if there is no newest record.
func (q *asks) refusal(a *ask) error {
	if a.result == askFailed {
		return protocol.BucketFailed(q.server.name, a.client)
	}
	return protocol.UnknownClient(q.server.name, a.client)
}

// ask has l, which waits, wait for the bucket's answer.
func (q *asks) ask(l *lookup, client []byte) {
	a := q.asks[string(client)]
	if a == nil || a.result != askPending {
		a = &ask{client: append([]byte(nil), client...)}
		q.asks[string(a.client)] = a
	} else {
		q.status.Shared++
	}
	l.ask = a
	a.askers = append(a.askers, l)
	q.open++
	if a.payer != nil {
		return
	}
	q.queue = append(q.queue, l)
	q.next()
	if a.payer == nil && a.expiry == nil {
		wait := min(askTimeout, q.server.cfg.Places.Timeout/2)
		a.expiry = q.server.reactor.CallLater(wait, func() { q.expire(a) })
	}
}

// next sends the asks that may be sent now.
func (q *asks) next() {
	for l := q.pick(); l != nil; l = q.pick() {
		q.send(l)
	}
}

// pick returns the lookup whose ask is sent next; nil if none may be sent now. It is the oldest of the connection with
// fewest asks in flight, of the address with fewest of them. O(queue); the queue is empty unless the bucket is slow.
func (q *asks) pick() (next *lookup) {
	if q.inFlight >= askInFlight {
		return nil
	}
	for _, l := range q.queue {
		if next == nil || l.session.turns.hasFewerAsks(&next.session.turns) {
			next = l
		}
	}
	if next != nil && next.session.turns.address.asking > 0 && q.inFlight >= askInFlight-reserve(askInFlight) {
		return nil
	}
	return next
}

func (c *connTurns) hasFewerAsks(o *connTurns) bool {
	if c.address != o.address && c.address.asking != o.address.asking {
		return c.address.asking < o.address.asking
	}
	return c.asking < o.asking
}

// send asks the bucket about the client of l, whose turn it is.
func (q *asks) send(l *lookup) {
	a := l.ask
	q.dequeue(a)
	a.payer = &l.session.turns
	a.payer.asking++
	a.payer.address.asking++
	q.inFlight++
	q.status.Sent++
	q.last = q.server.reactor.Elapsed()
	left := a.askers[0].deadline.Sub(q.server.reactor.Now())
	q.asker.Ask(a.client, max(min(askTimeout, left/2), time.Millisecond), func(value []byte, err error) {
		q.complete(a, value, err)
	})
}

// dequeue removes the askers of a from the queue.
func (q *asks) dequeue(a *ask) {
	q.queue = slices.DeleteFunc(q.queue, func(l *lookup) bool { return l.ask == a })
	if a.expiry != nil {
		a.expiry.Cancel()
	}
}

// complete handles the bucket's answer. Others are asked for before that: a reply may release a client that has more to
// ask.
func (q *asks) complete(a *ask, value []byte, err error) {
	q.inFlight--
	a.payer.asking--
	a.payer.address.asking--
	q.server.lookups.forgetAddress(a.payer.address)
	q.read(a, value, err)
	q.keep(a)
	q.next()
	q.settle(a)
}

// read sets and counts the result.
func (q *asks) read(a *ask, value []byte, err error) {
	if err != nil {
		a.result = askFailed
		q.status.Failed++
		q.noteFailure(err)
		return
	}
	q.noteAnswer()
	srv := q.server
	a.result = askNone
	if len(value) == 0 {
		q.status.None++
		return
	}
	r, ok := srv.parseEntry(&BucketEntry{Client: a.client, Value: value})
	item, known := srv.store.Lookup(a.client)
	switch {
	case !ok || r.Stamp().Ahead(srv.reactor.Now(), srv.cfg.Limits.MaxFuture):
		q.status.Invalid++
	case known && r.Compare(item.Record) <= 0:
		q.status.Older++
	default:
		q.status.Found++
		a.result, a.record = askFound, r.CloneInto(nil)
	}
}

// noteFailure and noteAnswer log when the bucket stops to answer and when it answers again.
func (q *asks) noteFailure(err error) {
	if q.err == nil {
		q.server.log.Warn("bucket does not answer", zap.Error(err))
	}
	q.err, q.failed = err, q.server.reactor.Elapsed()
}

func (q *asks) noteAnswer() {
	if q.err != nil && q.server.reactor.Elapsed()-q.failed >= askQuiet {
		q.err = nil
		q.server.log.Info("bucket answers again")
	}
}

// keep makes the result one that is used again.
func (q *asks) keep(a *ask) {
	a.done = q.server.reactor.Elapsed()
	q.expireKept(a.done)
	if len(q.kept) >= askResults {
		q.forgetOldest()
	}
	q.kept = append(q.kept, a)
}

// sweep is called periodically. It forgets results that are not used any more, and probes the bucket.
func (q *asks) sweep() {
	now := q.server.reactor.Elapsed()
	q.expireKept(now)
	if now-q.last >= askProbe && !q.server.drain.begun {
		q.last = now
		q.asker.Ask([]byte(q.server.name), askTimeout, func(_ []byte, err error) {
			if err != nil {
				q.noteFailure(err)
			} else {
				q.noteAnswer()
			}
		})
	}
}

// expireKept forgets results that are not used any more.
func (q *asks) expireKept(now time.Duration) {
	for len(q.kept) > 0 && now-q.kept[0].done >= askKept {
		q.forgetOldest()
	}
}

func (q *asks) forgetOldest() {
	a := q.kept[0]
	q.kept[0] = nil
	q.kept = q.kept[1:]
	q.forget(a)
}

// forget makes the next WHATSAT about this client start a new ask.
func (q *asks) forget(a *ask) {
	if q.asks[string(a.client)] == a {
		delete(q.asks, string(a.client))
	}
}

// settle makes lookups of those that waited for a, or refuses them.
func (q *asks) settle(a *ask) {
	srv := q.server
	askers := a.askers
	a.askers = nil
	q.open -= len(askers)
	r, ok := q.newest(a)
	for _, l := range askers {
		l.ask = nil
		if !ok {
			srv.lookups.remove(l)
			continue
		}
		srv.counters.WHATSAT++
		l.locate(r)
		l.session.replies.memory += cap(l.at)
		l.session.accountMemory()
		srv.lookups.begin(l)
	}
	if ok {
		return
	}
	for _, l := range askers {
		switch s := l.session; {
		case s.lost:
		case a.result == askBusy:
			s.fill(l, l.busy())
		default:
			s.fill(l, s.appendRefusal(nil, l.line, q.refusal(a)))
		}
	}
}

// expire gives up an ask whose turn has not come in time.
func (q *asks) expire(a *ask) {
	q.dequeue(a)
	q.forget(a)
	a.result = askBusy
	q.status.Busy += uint64(len(a.askers))
	q.settle(a)
}

// leave gives up l, which waits for an answer. An ask that was sent goes on: its result may be of use.
func (q *asks) leave(l *lookup) {
	a := l.ask
	if a.payer == nil {
		q.queue = without(q.queue, l)
	}
	l.ask = nil
	q.open--
	if a.askers = without(a.askers, l); len(a.askers) == 0 && a.payer == nil {
		q.dequeue(a)
		q.forget(a)
	}
}

// currentStatus is the part of Status about asks.
func (q *asks) currentStatus() *AskStatus {
	st := q.status
	st.OK, st.Open, st.InFlight = q.err == nil, q.open, q.inFlight
	if q.err != nil {
		st.Error = q.err.Error()
	}
	return &st
}
