package herd

import (
	"context"
	"slices"

	"go.uber.org/zap"

	"serverherd/places"
	"serverherd/protocol"
	"serverherd/reactor"
)

// maxWaiting bounds the lookups that wait for one of the places_in_flight to end. Past it a
// WHATSAT is answered with BUSY.
const maxWaiting = 1024

// lookup is one WHATSAT on its way to the places provider and back. Loop only.
type lookup struct {
	session *session
	slot    *slot
	query   places.Query
	bound   int
	at      []byte // the AT line as it was stored when the request was read
	line    []byte // the request
	status  string // of the answer
	results int    // places in the answer
	cancel  context.CancelFunc
}

// answer is what comes home from a worker.
type answer struct {
	json    []byte
	status  string
	results int
}

// lookups runs the lookups of all sessions, a bounded number at a time, off the loop. Loop only.
type lookups struct {
	server   *Server
	inFlight int
	waiting  []*lookup
}

// ask starts l or lets it wait its turn; false when too many wait already.
func (q *lookups) ask(l *lookup) bool {
	if q.inFlight < q.server.cfg.Limits.PlacesInFlight {
		q.start(l)
		return true
	}
	if len(q.waiting) >= maxWaiting {
		return false
	}
	q.server.counters.LookupsWaited++
	q.waiting = append(q.waiting, l)
	return true
}

// start hands l to a worker. The worker also builds the reply's JSON: it is the larger part of
// the work and needs nothing of the loop's.
func (q *lookups) start(l *lookup) {
	q.inFlight++
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel = cancel
	provider, query, bound := q.server.places, l.query, l.bound
	begun := q.server.reactor.Now()
	work := func() (answer, error) {
		r, err := provider.Nearby(ctx, query)
		if err != nil {
			return answer{}, err
		}
		return answer{places.AppendJSON(nil, r, bound), r.Status, min(len(r.Results), bound)}, nil
	}
	reactor.DeferToThread(q.server.reactor, work, func(a answer, err error) {
		cancel()
		q.inFlight--
		q.next()
		q.server.log.Debug("places lookup",
			zap.Uint64("conn", l.session.id), zap.Int("radius_m", query.RadiusM),
			zap.String("status", a.status), zap.Int("results", a.results), zap.Error(err),
			zap.Duration("took", q.server.reactor.Now().Sub(begun)))
		l.finish(a, err)
	})
}

// finish turns the outcome into the reply.
func (l *lookup) finish(a answer, err error) {
	s := l.session
	if s.lost {
		return
	}
	d := s.server.dialect
	if err != nil {
		s.server.counters.LookupsFailed++
		s.server.counters.Refused++
		s.fill(l, d.AppendRefusal(nil, l.line, protocol.PlacesFailed(err)))
		return
	}
	l.status, l.results = a.status, a.results
	s.fill(l, d.AppendWhatsat(make([]byte, 0, len(l.at)+len(a.json)+3), l.at, a.json))
}

// next starts the lookup that has waited longest.
func (q *lookups) next() {
	if len(q.waiting) == 0 || q.inFlight >= q.server.cfg.Limits.PlacesInFlight {
		return
	}
	l := q.waiting[0]
	q.waiting = slices.Delete(q.waiting, 0, 1)
	q.start(l)
}

// abandon gives up l, whose client has gone.
func (q *lookups) abandon(l *lookup) {
	if l.cancel != nil {
		l.cancel()
		return
	}
	if i := slices.Index(q.waiting, l); i >= 0 {
		q.waiting = slices.Delete(q.waiting, i, i+1)
	}
}
