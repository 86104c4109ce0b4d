package herd

import (
	"slices"

	"go.uber.org/zap"

	"serverherd/places"
)

// The order of lookups: addresses take turns, the connections of one address take turns, and the
// lookups of one connection are in the order of its lines. So an address with a thousand connections
// has as many turns as one with a single connection, and a connection with 64 lookups as many as one
// with a single lookup.
//
// places_in_flight lookups are under way, whoever asked for them: an address that is alone can have all
// of them. Beyond these there are two reserves, each of an eighth of places_in_flight: one for
// connections with nothing under way, one for addresses with nothing under way. Without them, whoever
// comes while all lookups are slow ones of somebody else would wait until one of these ends.

// A turn is one lookup. Where the provider is in memory and a lookup takes microseconds, it is
// localTurn lookups: then a connection has the replies to lines that it sent together in one write,
// and the turn is still over in a millisecond.
const localTurn = 16

// reserveShare divides places_in_flight into the size of a reserve, which is one at least.
const reserveShare = 8

// reserve is the size of one of the two reserves.
func reserve(placesInFlight int) int { return max(1, placesInFlight/reserveShare) }

// mostInTurn is how many lookups may be under way whose turn has come.
func mostInTurn(placesInFlight int) int { return placesInFlight + 2*reserve(placesInFlight) }

// MostLookups is how many lookups may be under way in all. A third reserve is for those whose turn
// did not come in time, and which the fallback answers.
func MostLookups(placesInFlight int) int { return mostInTurn(placesInFlight) + reserve(placesInFlight) }

// asker is a connection as far as its lookups go. Loop only.
type connTurns struct {
	address *addressTurns // all of its address; nil before its first lookup
	queue   []*lookup     // whose turn has not come, oldest first
	started int           // lookups of this turn that have been started
	waiting int           // without an answer, but for those whose turn has come
	running int           // flights that were started when it was its turn
}

// askers are the connections of one client address. Loop only.
type addressTurns struct {
	host         string
	turns        []*connTurns // those with a queue; the first is next
	connections  int          // that have asked and are still there
	waiting      int          // the sum of theirs
	waitingConns int          // how many of them have lookups that wait
	running      int          // as asker's; also for connections that have gone
}

// asker is the session's, known by its address.
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

// leftBy forgets an asker whose connection is lost and whose lookups are abandoned.
func (q *lookups) sessionLost(s *session) {
	if addr := s.turns.address; addr != nil {
		addr.connections--
		q.forgetAddress(addr)
	}
}

// forgetAddress forgets an address that has no connection and nothing under way. One that comes
// back sooner finds what it has under way, and gains nothing.
func (q *lookups) forgetAddress(addr *addressTurns) {
	if addr.connections == 0 && addr.running == 0 {
		delete(q.addresses, addr.host)
	}
}

// enqueue lets l wait for its turn.
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

// dequeue takes l from among those that wait for their turn, if it is.
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

// without takes one element out of a list. O(n); n is bounded by waiting_lookups.
func without[T comparable](list []T, element T) []T {
	i := slices.Index(list, element)
	return slices.Delete(list, i, i+1)
}

// pick is the lookup that is next and who pays for it, nil if none may start now. When their turn is
// over, its address and its connection go to the end of their lists. O(lookups under way): an address
// or connection is passed over only if it has one of these.
func (q *lookups) pick() (*lookup, *places.Payer) {
	most := q.server.cfg.Limits.PlacesInFlight
	beyond := q.inFlight - most // in the reserves, if not negative
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

// admit says whether the provider may be asked now, and if not calls next when it may. The provider
// would wait by itself, but whoever waits there is not in anybody's turn.
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

// count notes that n more lookups of an asker wait.
func (q *lookups) count(c *connTurns, n int) {
	c.address.waitingConns += addCount(&c.waiting, n)
	q.waitingAddresses += addCount(&c.address.waiting, n)
	q.waiting += n
}

// begins adds n to a number. It returns 1 if that was zero before, -1 if it is now, else 0.
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

// makeRoom refuses one lookup that waits, so that one of a's can, and says whether it did. When all
// places are taken each address has an equal part of them, and so has each connection in those of
// its address: who has less takes the place of the newest lookup of the connection that has most,
// of the address that has most.
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
	// In a call of its own: the reply may let further lines of that connection go on.
	q.server.reactor.CallSoon(func() {
		if !l.session.lost {
			l.session.fill(l, l.busy())
		}
	})
	return true
}

// hasLess says whether mine is less than an equal part of all, among so many who have some. If so,
// one of the others has two more at least.
func belowFairShare(mine, all, among int) bool {
	if mine == 0 {
		among++
	}
	return mine < all/among
}

// newestOfMost is the newest lookup that waits, of the connection with most of them, of the address
// with most of them, or of the given one. O(lookups), and there is room for one more after it.
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

// tellBusy tells the log of an address that has a lookup refused because too many wait.
func (q *lookups) logBusy(addr *addressTurns) {
	if q.server.logLimits.lookups.allow(logKey{"busy", addr.host}, q.server.reactor.Now()) {
		q.server.log.Warn("lookups refused, too many waiting", zap.String("address", addr.host),
			zap.Int("waiting", addr.waiting), zap.Int("running", addr.running))
	}
}
