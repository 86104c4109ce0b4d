package herd

import (
	"container/list"
	"crypto/sha256"
	"math"
	"time"

	"go.uber.org/zap"

	"serverherd/herd/access"
	"serverherd/protocol"
)

// This file limits what one address, one token and one client id may use, so that one noisy client does not hurt
// others. Only what is within a limit counts towards it: whoever sends all the time still gets what the limit allows.

// maxIdleAddresses is how many addresses without a connection are remembered because of what they have used.
const maxIdleAddresses = 65536

// idleLook is how many of them, and of client ids, a sweep looks at.
const idleLook = 1024

// quota is what an address or a token has used. Sessions refer to it, so that a line costs no look-up. Loop only.
type quota struct {
	address     string // "" for a token
	sessions    int    // that refer to it
	connections int    // of clients
	lines       pace
	day         int64         // of whatsats, in days since 1970, UTC
	whatsats    int           // on that day
	idle        *list.Element // in quotas.idle; nil while there are sessions
}

// pace says when the next event is due if all came evenly (GCRA). The zero value is for no event so far.
type pace struct{ next time.Duration }

// allows reports whether one more event is within so many a second. As many may come at once.
func (p *pace) allows(now time.Duration, perSecond int) bool {
	return perSecond == 0 || p.next-now <= time.Second-time.Second/time.Duration(perSecond)
}

// count counts an event that is allowed.
func (p *pace) count(now time.Duration, perSecond int) {
	if perSecond > 0 {
		p.next = max(p.next, now) + time.Second/time.Duration(perSecond)
	}
}

// quotas are those of all addresses and tokens, and the paces of client ids. Loop only.
type quotas struct {
	server    *Server
	paced     bool // lines a second are limited
	daily     bool // WHATSATs a day are limited
	addresses map[string]*quota
	idle      list.List // of quotas without sessions, those that were looked at first in front
	tokens    map[[sha256.Size]byte]*quota
	clients   clientPaces
}

func (q *quotas) init(srv *Server) {
	l := &srv.cfg.Limits
	q.server = srv
	q.paced = l.LinesPerAddress > 0 || l.LinesPerToken > 0
	q.daily = l.WhatsatsPerAddress > 0 || l.WhatsatsPerToken > 0
	q.addresses = make(map[string]*quota)
	q.tokens = make(map[[sha256.Size]byte]*quota)
	q.clients.most = l.MaxClients
}

// ofAddress returns the quota of an address, for one more session.
func (q *quotas) ofAddress(address string) *quota {
	u := q.addresses[address]
	if u == nil {
		u = &quota{address: address}
		q.addresses[address] = u
	}
	if u.idle != nil {
		q.idle.Remove(u.idle)
		u.idle = nil
	}
	u.sessions++
	return u
}

// release is called when a session of an address is lost.
func (q *quotas) release(u *quota) {
	if u.sessions--; u.sessions > 0 {
		return
	}
	if !q.remembers(u) {
		delete(q.addresses, u.address)
		return
	}
	u.idle = q.idle.PushBack(u)
	if q.idle.Len() > maxIdleAddresses {
		q.forget(q.idle.Front())
	}
}

// remembers reports whether an address without a connection has used something that still counts.
func (q *quotas) remembers(u *quota) bool {
	return q.daily && u.whatsats > 0 && u.day == day(q.server.reactor.Now()) || q.paced && u.lines.next > q.server.reactor.Elapsed()
}

func (q *quotas) forget(e *list.Element) {
	u := q.idle.Remove(e).(*quota)
	u.idle = nil
	delete(q.addresses, u.address)
}

// sweep forgets some of the addresses that have no connection, and of which nothing counts any more.
func (q *quotas) sweep() {
	for range min(idleLook, q.idle.Len()) {
		if e := q.idle.Front(); q.remembers(e.Value.(*quota)) {
			q.idle.MoveToBack(e)
		} else {
			q.forget(e)
		}
	}
	q.clients.forget(idleLook, q.server.reactor.Elapsed())
}

// ofToken returns the quota of a token.
func (q *quotas) ofToken(t *access.Token) *quota {
	u := q.tokens[t.Hash]
	if u == nil {
		u = &quota{}
		q.tokens[t.Hash] = u
	}
	return u
}

// setTokens forgets the tokens that are gone.
func (q *quotas) setTokens(tokens *access.Tokens) {
	for hash := range q.tokens { // order: each is checked by itself
		if tokens.Current(&access.Token{Hash: hash}) == nil {
			delete(q.tokens, hash)
		}
	}
}

// day is the number of a day since 1970, UTC.
func day(t time.Time) int64 {
	const seconds = 24 * 60 * 60
	return t.Unix() / seconds
}

// connectionsOf returns how many connections an address may have. All of loopback is one address.
func (q *quotas) connectionsOf(address string) int {
	l := &q.server.cfg.Limits
	switch {
	case l.ConnectionsPerAddress > 0:
		return l.ConnectionsPerAddress
	case address == loopback:
		return math.MaxInt
	}
	return max(1, l.MaxConnections/2)
}

// crowded reports whether an address has as many connections of clients as it may have.
func (q *quotas) crowded(u *quota) bool { return u.connections >= q.connectionsOf(u.address) }

// crowdedReason is what a connection beyond that is told.
func (q *quotas) crowdedReason(u *quota) error {
	return protocol.Limit("address", q.connectionsOf(u.address), "connections")
}

// refuseLine counts a line of a client. If it is beyond a limit, it replies and reports true.
func (s *session) refuseLine(line []byte) bool {
	srv := s.server
	l, now := &srv.cfg.Limits, srv.reactor.Elapsed()
	var reason error
	switch {
	case !s.quota.lines.allows(now, l.LinesPerAddress):
		reason = protocol.Limit("address", l.LinesPerAddress, "lines a second")
	case s.tokenQuota != nil && !s.tokenQuota.lines.allows(now, l.LinesPerToken):
		reason = protocol.Limit("token", l.LinesPerToken, "lines a second")
	default:
		s.quota.lines.count(now, l.LinesPerAddress)
		if s.tokenQuota != nil {
			s.tokenQuota.lines.count(now, l.LinesPerToken)
		}
		return false
	}
	srv.counters.LimitLines++
	s.logLimit(s.tokenName(), reason)
	s.refuse(line, reason)
	return true
}

// refuseUpdate is refuseLine for the updates of a client id.
func (s *session) refuseUpdate(line, client []byte) bool {
	srv := s.server
	most := srv.cfg.Limits.UpdatesPerClient
	if srv.quotas.clients.allow(client, srv.reactor.Elapsed(), most) {
		return false
	}
	reason := protocol.Limit("client", most, "updates a second")
	srv.counters.LimitUpdates++
	s.logLimit(s.tokenName(), reason)
	s.refuse(line, reason)
	return true
}

// refuseWhatsat is refuseLine for the WHATSATs of a day.
func (s *session) refuseWhatsat(line []byte) bool {
	srv := s.server
	l, today := &srv.cfg.Limits, day(s.now)
	var reason error
	switch {
	case l.WhatsatsPerAddress > 0 && s.quota.on(today) >= l.WhatsatsPerAddress:
		reason = protocol.Limit("address", l.WhatsatsPerAddress, "WHATSATs a day")
	case l.WhatsatsPerToken > 0 && s.tokenQuota != nil && s.tokenQuota.on(today) >= l.WhatsatsPerToken:
		reason = protocol.Limit("token", l.WhatsatsPerToken, "WHATSATs a day")
	default:
		s.quota.on(today)
		s.quota.whatsats++
		if s.tokenQuota != nil {
			s.tokenQuota.on(today)
			s.tokenQuota.whatsats++
		}
		return false
	}
	srv.counters.LimitWhatsats++
	s.logLimit(s.tokenName(), reason)
	s.refuse(line, reason)
	return true
}

// on returns the WHATSATs of a day.
func (u *quota) on(day int64) int {
	if u.day != day {
		u.day, u.whatsats = day, 0
	}
	return u.whatsats
}

// logLimit logs that the client with a token is beyond a limit, if the limiter allows.
func (s *session) logLimit(token string, reason error) {
	srv := s.server
	if srv.logLimits.limits.allow(logKey{token + ": " + reason.Error(), s.address}, srv.reactor.Now()) {
		srv.log.Warn("limit exceeded", zap.String("reason", reason.Error()), zap.String("token", token),
			zap.Uint64("conn", s.id), zap.String("peer", s.peer))
	}
}

// clientPaces are the paces of the client ids that were updated within about the last second. Loop only.
type clientPaces struct {
	most  int // ids
	paces map[string]*clientPace
	queue []*clientPace // all of them, in turns
}

type clientPace struct {
	id string
	pace
}

// allow counts an update of a client id, and reports whether it is within so many a second. What is not does not count.
// O(1), amortized: a call adds one id and looks at two, which it forgets if they have been quiet.
func (c *clientPaces) allow(id []byte, now time.Duration, perSecond int) bool {
	c.forget(2, now)
	p := c.paces[string(id)]
	if p == nil {
		if c.paces == nil {
			c.paces = make(map[string]*clientPace)
		}
		p = &clientPace{id: string(id)}
		c.paces[p.id] = p
		c.queue = append(c.queue, p)
	}
	if !p.allows(now, perSecond) {
		return false
	}
	p.count(now, perSecond)
	return true
}

// forget looks at n ids, and forgets those whose updates do not matter any more: a new one would be treated alike.
func (c *clientPaces) forget(n int, now time.Duration) {
	for range min(n, len(c.queue)) {
		first := c.queue[0]
		c.queue[0] = nil
		c.queue = c.queue[1:]
		if first.next > now && len(c.queue)+1 < c.most {
			c.queue = append(c.queue, first)
		} else {
			delete(c.paces, first.id)
		}
	}
}
