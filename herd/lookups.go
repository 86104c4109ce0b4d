package herd

import (
	"context"
	"math"
	"slices"
	"time"

	"go.uber.org/zap"

	"serverherd/places"
	"serverherd/protocol"
	"serverherd/reactor"
)

// maxWaiting bounds the lookups beyond places_in_flight that wait for an answer, be it for their
// turn or for an answer that others have asked for too. Past it a WHATSAT is answered with BUSY.
const maxWaiting = 1024

// lookup is one WHATSAT on its way to the places provider and back. Loop only.
type lookup struct {
	session *session
	slot    *slot
	flight  *flight
	query   places.Query
	bound   int
	at      []byte // the AT line as it was stored when the request was read
	line    []byte // the request
	status  string // of the answer
	results int    // places in the answer
}

// flight is one question to the provider and all who wait for its answer: a thousand clients who
// ask the same at once cost one request. Loop only.
type flight struct {
	question places.Query // as questions are compared
	query    places.Query // as the first of them was
	askers   []*lookup
	begun    time.Time
	cancel   context.CancelFunc // nil while it waits for its turn
}

// answer is what comes home from a worker: the result, and the reply to the lookup for which it was
// asked. What others need of it is made when they need it.
type answer struct {
	result places.Result
	asker  *lookup
	reply  []byte         // to asker
	json   map[int][]byte // by bound
}

// lookups runs the lookups of all sessions, a bounded number at a time, off the loop. Loop only.
type lookups struct {
	server   *Server
	open     int // lookups without an answer
	inFlight int // flights with a worker
	flights  map[places.Query]*flight
	waiting  []*flight
}

// ask starts l, lets it wait its turn, or lets it share the answer to the same question; false when
// too many wait already.
func (q *lookups) ask(l *lookup) bool {
	most := q.server.cfg.Limits.PlacesInFlight
	if q.open >= most+maxWaiting {
		return false
	}
	q.open++
	question := q.server.question(l.query)
	f := q.flights[question]
	switch {
	case f != nil:
		q.server.counters.LookupsShared++
	case q.inFlight < most:
		f = &flight{question: question, query: l.query}
		q.start(f, l)
	default:
		f = &flight{question: question, query: l.query}
		q.waiting = append(q.waiting, f)
		q.server.counters.LookupsWaited++
	}
	l.flight = f
	f.askers = append(f.askers, l)
	q.flights[question] = f
	return true
}

// question is what a query is compared by. A provider that is paid for each answer is not asked
// again about a place eleven metres away; one in memory is exact.
func (s *Server) question(q places.Query) places.Query {
	if s.cfg.Places.Network() {
		const grid = 1e4 // a ten-thousandth of a degree
		q.Lat, q.Lng = math.Round(q.Lat*grid)/grid, math.Round(q.Lng*grid)/grid
	}
	return q
}

// start hands f to a worker. The worker also writes the first asker's reply: it is the larger part
// of the work and needs nothing of the loop's.
func (q *lookups) start(f *flight, first *lookup) {
	q.inFlight++
	ctx, cancel := context.WithCancel(context.Background())
	f.cancel, f.begun = cancel, q.server.reactor.Now()
	provider, query := q.server.places, f.query
	at, bound, dialect := first.at, first.bound, q.server.dialect
	work := func() (answer, error) {
		r, err := provider.Nearby(ctx, query)
		if err != nil {
			return answer{}, err
		}
		reply, json := dialect.AppendWhatsat(nil, at, func(dst []byte) []byte {
			return places.AppendJSON(dst, r, bound)
		})
		return answer{r, first, reply, map[int][]byte{bound: json}}, nil
	}
	reactor.DeferToThread(q.server.reactor, work, func(a answer, err error) {
		cancel()
		q.inFlight--
		q.land(f, a, err)
		q.next()
	})
}

func (q *lookups) status() LookupStatus {
	return LookupStatus{Open: q.open, InFlight: q.inFlight, Waiting: len(q.waiting)}
}

// land gives the answer to all who waited for it.
func (q *lookups) land(f *flight, a answer, err error) {
	q.forget(f)
	q.server.log.Debug("places lookup",
		zap.Int("radius_m", f.query.RadiusM), zap.String("status", a.result.Status),
		zap.Int("results", len(a.result.Results)), zap.Int("askers", len(f.askers)), zap.Error(err),
		zap.Duration("took", q.server.reactor.Now().Sub(f.begun)))
	q.open -= len(f.askers)
	// Filling a reply can end the session of another asker, which then gives up its lookup.
	askers := f.askers
	f.askers = nil
	for _, l := range askers {
		if !l.session.lost {
			l.finish(a, err)
		}
	}
}

// forget makes the next one who asks the same ask the provider.
func (q *lookups) forget(f *flight) {
	if q.flights[f.question] == f {
		delete(q.flights, f.question)
	}
}

// finish turns the outcome into the reply.
func (l *lookup) finish(a answer, err error) {
	s := l.session
	d := s.server.dialect
	if err != nil {
		s.server.counters.LookupsFailed++
		s.server.counters.Refused++
		s.fill(l, d.AppendRefusal(nil, l.line, protocol.PlacesFailed(err)))
		return
	}
	l.status, l.results = a.result.Status, min(len(a.result.Results), l.bound)
	if l == a.asker {
		s.fill(l, a.reply)
		return
	}
	reply, json := d.AppendWhatsat(nil, l.at, func(dst []byte) []byte {
		if json := a.json[l.bound]; json != nil {
			return append(slices.Grow(dst, len(json)+2), json...)
		}
		return places.AppendJSON(dst, a.result, l.bound)
	})
	a.json[l.bound] = json
	s.fill(l, reply)
}

// next starts the flight that has waited longest.
func (q *lookups) next() {
	if len(q.waiting) == 0 || q.inFlight >= q.server.cfg.Limits.PlacesInFlight {
		return
	}
	f := q.waiting[0]
	q.waiting = slices.Delete(q.waiting, 0, 1)
	q.start(f, f.askers[0])
}

// abandon gives up l, whose client has gone. A flight that nobody waits for is called off.
func (q *lookups) abandon(l *lookup) {
	f := l.flight
	i := slices.Index(f.askers, l)
	if i < 0 {
		return // the answer has come
	}
	f.askers = slices.Delete(f.askers, i, i+1)
	q.open--
	switch {
	case len(f.askers) > 0:
		return
	case f.cancel != nil:
		f.cancel()
		q.server.counters.LookupsCancelled++
	default:
		j := slices.Index(q.waiting, f)
		q.waiting = slices.Delete(q.waiting, j, j+1)
	}
	q.forget(f)
}
