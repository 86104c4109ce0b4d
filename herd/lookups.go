package herd

import (
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"go.uber.org/zap"

	"serverherd/places"
	"serverherd/protocol"
	"serverherd/reactor"
)

// maxWaiting is how many lookups may wait: for the bucket, for their turn or for an answer that another one asked for.
// Beyond it one gets BUSY, see makeRoom.
const maxWaiting = 1024

// lookup is one WHATSAT on its way to the places provider and back. Loop only.
type lookup struct {
	session  *session
	slot     *slot
	flight   *flight // nil while it waits for the bucket
	ask      *ask    // that it waits for; nil otherwise
	query    places.Query
	bound    int
	at       []byte    // the AT line as it was stored when the request was read, or the bucket had answered
	line     []byte    // the request
	deadline time.Time // for the answer: places.timeout after the request was read
	status   string    // of the answer, as the provider calls it
	results  int       // places in the answer

	open    bool // it has no answer yet and the client is there
	queued  bool // it waits for its turn
	running bool // its flight was started on its turn: it no longer waits
}

// flight is one request to the provider and all lookups that wait for its answer: a thousand clients who ask
// the same at once cost one request. It is started when it is the turn of one of these lookups, and counts
// for that one's connection. Loop only.
type flight struct {
	key      places.Query // the query, normalized for comparison
	query    places.Query // the query of its first lookup
	askers   []*lookup
	payer    *connTurns // whose turn it was; nil while it waits
	begun    time.Time
	deadline time.Time          // the earliest of its lookups' when it was started
	cancel   context.CancelFunc // nil while it waits
	late     *flight            // with those of its lookups whose deadline has passed; nil if there are none
}

// answer is the result of a worker, with the reply to the lookup whose turn it was. Replies to the others are
// made later, on the loop.
type answer struct {
	result places.Result
	lookup *lookup
	reply  []byte         // to lookup
	json   map[int][]byte // by bound
	spent  bool           // the payer's share of the budget is used up: the result is not valid for other addresses
}

// lookups runs the lookups of all sessions, a limited number at a time, off the loop. Loop only.
type lookups struct {
	server    *Server
	open      []*lookup // without an answer, in the order of their requests
	inFlight  int       // flights in progress that were started on their turn
	flights   map[places.Query]*flight
	addresses map[string]*addressTurns // with connections that have asked

	turn             int                  // number of lookups in a turn
	turns            []*addressTurns      // addresses with queued lookups; the first is next
	waiting          int                  // lookups without an answer, except those whose turn has come
	waitingAddresses int                  // addresses that have some of these
	expiry           *reactor.DelayedCall // expire, at the deadline expires
	expires          time.Time

	provider places.Paced         // nil if its rate is not limited
	paced    *reactor.DelayedCall // calls next when the rate limit allows

	answered, failed, busy reactor.Histogram // time from the request to the reply

	late        []*flight // whose turn did not come in time, for the fallback
	lateRunning int       // of these in progress
}

func (q *lookups) init(srv *Server) {
	*q = lookups{server: srv, flights: make(map[places.Query]*flight), addresses: make(map[string]*addressTurns)}
	q.turn = localTurn
	if p := &srv.cfg.Places; p.Network() {
		q.turn = 1
	}
	q.provider, _ = srv.places.(places.Paced)
}

// locate sets the record that l is about.
func (l *lookup) locate(r protocol.Record) {
	l.at = r.AppendAT(nil)
	l.query.Lat, l.query.Lng = r.Position()
}

// enter makes l a waiting lookup; false if too many are waiting already.
func (q *lookups) enter(l *lookup) bool {
	c := q.turnsOf(l.session)
	l.deadline = q.server.reactor.Now().Add(q.server.cfg.Places.Timeout)
	if q.waiting >= maxWaiting && !q.makeRoom(c) {
		return false
	}
	l.open = true
	q.open = append(q.open, l)
	q.count(c, 1)
	return true
}

// begin queues l, or lets it share the answer to the same question.
func (q *lookups) begin(l *lookup) {
	if q.join(l) {
		q.server.counters.LookupsShared++
	}
	q.next()
	if l.queued {
		q.server.counters.LookupsWaited++
		q.expireAt(l.deadline)
	}
}

// join adds l to the flight with the same question, or to a new one.
func (q *lookups) join(l *lookup) (shared bool) {
	question := q.server.lookupKey(l.query)
	f := q.flights[question]
	if shared = f != nil; !shared {
		f = &flight{key: question, query: l.query}
		q.flights[question] = f
	}
	l.flight = f
	f.askers = append(f.askers, l)
	if f.payer == nil {
		q.enqueue(l)
	}
	return shared
}

// lookupKey returns the query that lookups are compared by. If a provider is paid for each answer, positions
// within eleven meters are the same; for one in memory the comparison is exact.
func (srv *Server) lookupKey(q places.Query) places.Query {
	if srv.cfg.Places.Network() {
		const grid = 1e4 // a ten-thousandth of a degree
		q.Lat, q.Lng = math.Round(q.Lat*grid)/grid, math.Round(q.Lng*grid)/grid
	}
	return q
}

// next starts the lookups that may start now.
func (q *lookups) next() {
	for l, payer := q.pick(); l != nil; l, payer = q.pick() {
		q.start(l, payer)
	}
}

// start passes the flight of l, whose turn it is, to a worker.
func (q *lookups) start(l *lookup, payer *places.Payer) {
	f, c := l.flight, &l.session.turns
	f.payer, f.begun, f.deadline = c, q.server.reactor.Now(), l.deadline
	for _, o := range f.askers {
		q.dequeue(o)
		if o.deadline.Before(f.deadline) {
			f.deadline = o.deadline
		}
	}
	l.running = true
	q.count(c, -1)
	q.inFlight++
	c.running++
	c.address.running++
	q.work(f, l, payer, func(a answer, err error) { q.complete(f, a, err) })
}

// work asks the provider for f off the loop, and then calls done on the loop. The worker also makes the reply
// to l: that is most of the work and needs no state of the loop.
func (q *lookups) work(f *flight, l *lookup, payer *places.Payer, done func(answer, error)) {
	ctx, cancel := context.WithCancel(context.Background())
	f.cancel = cancel
	provider, query, left := q.server.places, f.query, f.deadline.Sub(f.begun)
	at, bound, dialect := l.at, l.bound, q.server.dialect
	work := func() (answer, error) {
		ctx, cancel := context.WithTimeout(places.WithPayer(ctx, payer), left)
		defer cancel()
		r, err := provider.Nearby(ctx, query)
		if err != nil {
			return answer{spent: payer.Spent}, err
		}
		reply, json := dialect.AppendWhatsat(nil, at, func(dst []byte) []byte {
			return places.AppendJSON(dst, r, bound)
		})
		return answer{r, l, reply, map[int][]byte{bound: json}, payer.Spent}, nil
	}
	reactor.DeferToThread(q.server.reactor, work, func(a answer, err error) {
		cancel()
		done(a, err)
	})
}

func (q *lookups) status() LookupStatus {
	return LookupStatus{
		Open: len(q.open), InFlight: q.inFlight, Waiting: q.waiting,
		Answered: newHistogram(q.answered), Failed: newHistogram(q.failed), Busy: newHistogram(q.busy),
	}
}

// took is how long ago l was requested.
func (l *lookup) took() time.Duration {
	srv := l.session.server
	return srv.cfg.Places.Timeout - l.deadline.Sub(srv.reactor.Now())
}

// complete passes the answer to all lookups of the flight. Others start before that: a reply may release a
// client that has more to ask.
func (q *lookups) complete(f *flight, a answer, err error) {
	now := q.server.reactor.Now()
	q.forget(f)
	q.inFlight--
	f.payer.running--
	f.payer.address.running--
	q.forgetAddress(f.payer.address)
	q.logLookup(f, a, err, f.payer.address)
	askers := f.askers
	f.askers = nil
	late := err != nil && !now.Before(f.deadline)
	enough := now.Add(q.server.cfg.Places.Timeout / 2)
	answered := askers[:0]
	for _, l := range askers {
		if a.spent && l.session.turns.address != f.payer.address || late && l.deadline.After(enough) {
			q.retry(l)
			continue
		}
		q.remove(l)
		answered = append(answered, l)
	}
	q.next()
	q.reply(answered, a, err)
}

// logLookup logs the result of a flight at level debug.
func (q *lookups) logLookup(f *flight, a answer, err error, addr *addressTurns) {
	q.server.log.Debug("places lookup",
		zap.Int("radius_m", f.query.RadiusM), zap.String("status", a.result.Status),
		zap.Int("results", len(a.result.Results)), zap.Int("askers", len(f.askers)), zap.Error(err),
		zap.Duration("took", q.server.reactor.Now().Sub(f.begun)), zap.String("address", addr.host))
}

// replyBytes limits the replies that are made of one answer in one turn. A thousand lookups can share an
// answer of 1 MiB, and memory is checked between turns.
const replyBytes = 1 << 20

// reply sends an answer to lookups, in several turns if the replies are large.
func (q *lookups) reply(askers []*lookup, a answer, err error) {
	for made := 0; len(askers) > 0; askers = askers[1:] {
		if made >= replyBytes {
			q.server.reactor.CallSoon(func() { q.reply(askers, a, err) })
			return
		}
		// Filling a reply can end the session of another lookup in this list.
		if l := askers[0]; !l.session.lost {
			made += l.finish(a, err)
		}
	}
}

// retry queues l again: the answer is not valid for it. The budget was another address's, or the deadline was
// that of an older lookup.
func (q *lookups) retry(l *lookup) {
	if l.running {
		l.running = false
		q.count(&l.session.turns, 1)
	}
	q.join(l)
	q.expireAt(l.deadline)
}

// remove removes l: it has its answer, or it was given up.
func (q *lookups) remove(l *lookup) {
	q.dequeue(l)
	if !l.running {
		q.count(&l.session.turns, -1)
	}
	l.open = false
	q.open = without(q.open, l)
}

// expireAt makes expire be called at the given time, or earlier.
func (q *lookups) expireAt(t time.Time) {
	if q.expiry != nil {
		if !t.Before(q.expires) {
			return
		}
		q.expiry.Cancel()
	}
	q.expires = t
	q.expiry = q.server.reactor.CallLater(t.Sub(q.server.reactor.Now()), q.expire)
}

// expire answers lookups that are still queued at their deadline. Those in progress are answered in time.
func (q *lookups) expire() {
	q.expiry = nil
	now := q.server.reactor.Now()
	var expired []*lookup
	for _, l := range q.open {
		if !l.queued {
			continue
		}
		if l.deadline.After(now) {
			q.expireAt(l.deadline)
			break
		}
		expired = append(expired, l)
	}
	q.server.counters.LookupsExpired += uint64(len(expired))
	if q.server.cfg.Places.Fallback != "" {
		q.fallBack(expired)
		return
	}
	for _, l := range expired {
		q.abandon(l)
	}
	err := errors.New(places.NoAnswer(q.server.cfg.Places.Timeout))
	for _, l := range expired {
		if !l.session.lost {
			l.finish(answer{}, err)
		}
	}
}

// fallBack answers lookups whose deadline has passed from the fallback. Those with the same question share
// the answer. Others with that question and time left stay queued.
func (q *lookups) fallBack(expired []*lookup) {
	now := q.server.reactor.Now()
	for _, l := range expired {
		q.dequeue(l)
		f := l.flight
		if f.late == nil || len(f.late.askers) == 0 {
			f.late = &flight{key: f.key, query: f.query, deadline: now}
			q.late = append(q.late, f.late)
		}
		l.flight = f.late
		l.flight.askers = append(l.flight.askers, l)
		if f.askers = without(f.askers, l); len(f.askers) == 0 {
			q.forget(f)
		}
	}
	q.nextLate()
}

// nextLate starts late flights, as many as may start now. They give the provider no time, so it answers from
// its fallback.
func (q *lookups) nextLate() {
	for len(q.late) > 0 && q.lateRunning < reserve(q.server.cfg.Limits.PlacesInFlight) {
		f := q.late[0]
		q.late[0] = nil
		if q.late = q.late[1:]; len(f.askers) == 0 {
			continue // their clients are gone
		}
		q.lateRunning++
		f.begun = q.server.reactor.Now()
		l := f.askers[0]
		addr := l.session.turns.address
		q.work(f, l, &places.Payer{Address: addr.host}, func(a answer, err error) {
			q.lateRunning--
			q.logLookup(f, a, err, addr)
			askers := f.askers
			f.askers = nil
			for _, l := range askers {
				q.remove(l)
			}
			q.nextLate()
			q.reply(askers, a, err)
		})
	}
}

// forget makes the next lookup with this question start a new flight.
func (q *lookups) forget(f *flight) {
	if q.flights[f.key] == f {
		delete(q.flights, f.key)
	}
}

// finish sends the reply to l, and returns its length.
func (l *lookup) finish(a answer, err error) int {
	s := l.session
	if err != nil {
		s.server.counters.LookupsFailed++
		s.server.lookups.failed.Record(l.took())
		reply := s.appendRefusal(nil, l.line, protocol.PlacesFailed(err))
		s.fill(l, reply)
		return len(reply)
	}
	s.server.lookups.answered.Record(l.took())
	l.status, l.results = a.result.Status, min(len(a.result.Results), l.bound)
	if l == a.lookup {
		s.fill(l, a.reply)
		return len(a.reply)
	}
	reply, json := s.server.dialect.AppendWhatsat(nil, l.at, func(dst []byte) []byte {
		if json := a.json[l.bound]; json != nil {
			return append(slices.Grow(dst, len(json)+2), json...)
		}
		return places.AppendJSON(dst, a.result, l.bound)
	})
	a.json[l.bound] = json
	s.fill(l, reply)
	return len(reply)
}

// busy returns the reply to a lookup that may not wait.
func (l *lookup) busy() []byte {
	l.session.server.counters.LookupsBusy++
	l.session.server.lookups.busy.Record(l.took())
	return l.session.appendRefusal(nil, l.line, protocol.Busy)
}

// abandon gives up l: its client is gone, or its deadline has passed. A flight without lookups is canceled.
func (q *lookups) abandon(l *lookup) {
	if !l.open {
		return // it has its answer
	}
	q.remove(l)
	if l.ask != nil {
		q.server.asks.leave(l)
		return
	}
	f := l.flight
	if f.askers = without(f.askers, l); len(f.askers) > 0 {
		return
	}
	if f.cancel != nil {
		f.cancel()
		q.server.counters.LookupsCancelled++
	}
	q.forget(f)
}
