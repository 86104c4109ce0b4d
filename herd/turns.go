package herd

import (
	"slices"

	"go.uber.org/zap"

	"serverherd/places"
)

// This file decides the order of lookups. Addresses take turns, the connections of one address take turns,
// and the lookups of one connection are in the order of its lines. So an address with a thousand connections
// has as many turns as one with a single connection, and a connection with 64 lookups as many as one with a
// single lookup.
//
// places_in_flight lookups run at once, whatever their addresses: an address that is alone can have all of
// them. Beyond these there are two reserves, each of an eighth of places_in_flight: one for connections with
// no running lookup, one for addresses with no running lookup. Without them, a new client would have to wait
// for one of another client's slow lookups.

// localTurn is how many lookups a turn has if the provider is in memory, where a lookup takes microseconds.
// Then the replies to lines that were sent together are in one write, and a turn still takes less than a
// millisecond. Otherwise a turn is one lookup.
const localTurn = 16

// reserveShare is the divisor of places_in_flight that gives the size of a reserve, at least 1.
const reserveShare = 8

// reserve is the size of one of the two reserves.
func reserve(placesInFlight int) int { return max(1, placesInFlight/reserveShare) }

// mostInTurn is how many lookups may run that were started on their turn.
func mostInTurn(placesInFlight int) int { return placesInFlight + 2*reserve(placesInFlight) }

// MostLookups is how many lookups may run in all. A third reserve is for those whose turn did not come in
// time: the fallback answers them.
func MostLookups(placesInFlight int) int { return mostInTurn(placesInFlight) + reserve(placesInFlight) }

// connTurns is the state of one connection's lookups. Loop only.
type connTurns struct {
	address *addressTurns // of its address; nil before its first lookup
	queue   []*lookup     // lookups whose turn has not come, oldest first
	started int           // lookups started in the current turn
	waiting int           // lookups without an answer, except those whose turn has come
	running int           // flights that were started on its turn
	asking  int           // asks of the bucket in flight that were sent on its turn
}

// addressTurns is the state of the lookups of one client address. Loop only.
type addressTurns struct {
	host         string
	turns        []*connTurns // connections with a queue; the first is next
	connections  int          // with lookups now or earlier, and still connected
	waiting      int          // the sum over its connections
	waitingConns int          // connections with waiting lookups
	running      int          // flights that were started on its turn, lost connections included
	asking       int          // the same, of asks
}

// turnsOf returns the session's turns, and registers its address.
func (q *lookups) turnsOf(s *session) *connTurns {
	c := &s.turns
	if c.address == nil {
		c.address = q.addresses[s.address]
		if c.address == nil {
			c.address = &addressTurns{host: s.address}
			q.addresses[s.address] = c.address
		}
		c.address.connections++
	}
	return c
}

// sessionLost forgets a session whose connection is lost and whose lookups are abandoned.
func (q *lookups) sessionLost(s *session) {
	if addr := s.turns.address; addr != nil {
		addr.connections--
		q.forgetAddress(addr)
	}
}

// forgetAddress removes an address without connections, running lookups and asks. One that reconnects earlier still
// has these counted, so it gains nothing by that.
func (q *lookups) forgetAddress(addr *addressTurns) {
	if addr.connections == 0 && addr.running == 0 && addr.asking == 0 {
		delete(q.addresses, addr.host)
	}
}

// enqueue queues l for its turn.
func (q *lookups) enqueue(l *lookup) {
	c := &l.session.turns
	if l.queued = true; len(c.queue) == 0 {
		c.started = 0
		if len(c.address.turns) == 0 {
			q.turns = append(q.turns, c.address)
		}
		c.address.turns = append(c.address.turns, c)
	}
	c.queue = append(c.queue, l)
}

// dequeue removes l from its queue, if it is in it.
func (q *lookups) dequeue(l *lookup) {
	if !l.queued {
		return
	}
	l.queued = false
	c := &l.session.turns
	if c.queue = without(c.queue, l); len(c.queue) == 0 {
		if c.address.turns = without(c.address.turns, c); len(c.address.turns) == 0 {
			q.turns = without(q.turns, c.address)
		}
	}
}

// without removes one element from a list. O(n); n is at most waiting_lookups.
func without[T comparable](list []T, element T) []T {
	i := slices.Index(list, element)
	return slices.Delete(list, i, i+1)
}

// pick returns the next lookup and its payer, or nil if none may start now. When their turn is over, its
// address and its connection go to the end of their lists. O(running lookups): an address or connection is
// skipped only if it has one.
func (q *lookups) pick() (*lookup, *places.Payer) {
	most := q.server.cfg.Limits.PlacesInFlight
	beyond := q.inFlight - most // used of the reserves, if not negative
	if q.inFlight >= mostInTurn(most) {
		return nil, nil
	}
	for _, addr := range q.turns {
		if beyond >= reserve(most) && addr.running > 0 {
			continue
		}
		for _, c := range addr.turns {
			if beyond >= 0 && c.running > 0 {
				continue
			}
			payer := &places.Payer{Address: addr.host}
			if !q.admit(payer) {
				return nil, nil
			}
			if c.started++; c.started >= q.turn {
				c.started = 0
				addr.turns = append(without(addr.turns, c), c)
				q.turns = append(without(q.turns, addr), addr)
			}
			return c.queue[0], payer
		}
	}
	return nil, nil
}

// admit reports whether the provider may be asked now. If not, it schedules next for when it may. The
// provider would delay the request itself, but a request that waits there has no turn.
func (q *lookups) admit(p *places.Payer) bool {
	if q.provider == nil {
		return true
	}
	wait := q.provider.Admit(p)
	if wait > 0 && q.paced == nil {
		q.paced = q.server.reactor.CallLater(wait, func() {
			q.paced = nil
			q.next()
		})
	}
	return wait == 0
}

// count adds n to the number of waiting lookups of a connection.
func (q *lookups) count(c *connTurns, n int) {
	c.address.waitingConns += addCount(&c.waiting, n)
	q.waitingAddresses += addCount(&c.address.waiting, n)
	q.waiting += n
}

// addCount adds n to a number. It returns 1 if that was zero before, -1 if it is now, else 0.
func addCount(number *int, n int) int {
	before := *number
	*number += n
	switch {
	case before == 0 && n > 0:
		return 1
	case before > 0 && *number == 0:
		return -1
	}
	return 0
}

// makeRoom refuses a waiting lookup, so that one of c's can wait, and reports whether it did. When all places
// are taken, each address has a fair share of them, and so has each connection within its address. A
// connection below its share takes the place of the newest lookup of the connection with most, of the address
// with most.
func (q *lookups) makeRoom(c *connTurns) bool {
	var l *lookup
	switch {
	case belowFairShare(c.address.waiting, q.waiting, q.waitingAddresses):
		l = q.newestOfMost(nil)
	case belowFairShare(c.waiting, c.address.waiting, c.address.waitingConns):
		l = q.newestOfMost(c.address)
	default:
		q.logBusy(c.address)
		return false
	}
	q.logBusy(l.session.turns.address)
	q.server.counters.LookupsDisplaced++
	q.abandon(l)
	// In a call of its own: the reply may release further lines of that connection.
	q.server.reactor.CallSoon(func() {
		if !l.session.lost {
			l.session.fill(l, l.busy())
		}
	})
	return true
}

// belowFairShare reports whether mine is less than an equal share of all, among so many who have some. If so,
// one of the others has at least two more.
func belowFairShare(mine, all, among int) bool {
	if mine == 0 {
		among++
	}
	return mine < all/among
}

// newestOfMost returns the newest waiting lookup of the connection with most of them, of the address with
// most of them or of the given one. O(lookups), and it makes room for only one.
func (q *lookups) newestOfMost(of *addressTurns) (newest *lookup) {
	mostOfAddress, most := 0, 0
	for _, l := range q.open {
		c := &l.session.turns
		if l.running || of != nil && c.address != of || c.address.waiting < mostOfAddress ||
			c.address.waiting == mostOfAddress && c.waiting < most {
			continue
		}
		newest, mostOfAddress, most = l, c.address.waiting, c.waiting
	}
	return newest
}

// logBusy logs that a lookup of an address was refused because too many wait.
func (q *lookups) logBusy(addr *addressTurns) {
	if q.server.logLimits.lookups.allow(logKey{"busy", addr.host}, q.server.reactor.Now()) {
		q.server.log.Warn("lookups refused, too many waiting", zap.String("address", addr.host),
			zap.Int("waiting", addr.waiting), zap.Int("running", addr.running))
	}
}
