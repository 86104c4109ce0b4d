package herd

import (
	"strings"

	"go.uber.org/zap"

	"serverherd/herd/config"
	"serverherd/herd/feed"
	"serverherd/protocol"
)

// legacyInbound is what a session knows of the plain neighbor whose AT lines come on it. To its
// connection's limits, its place among max_connections and its other lines the session remains a
// client's. Loop only.
//
// A plain neighbor proves nothing. Its lines are taken because of the machine that they come from,
// and of several servers on one machine nobody can tell which one speaks, or whether it is a
// server at all: whoever can open a connection from there can write any client's record, with any
// origin and a time as far ahead as it likes, which an IAMAT could not. A secret does not change
// that for a neighbor that is down or knows no handshake; it does for one that has proven itself,
// in whose name nothing is taken plain while its connection stands.
//
// # What a record is marked with
//
// A record is not sent back to the process that it came from, and a plain process has no epoch. So
// one is made up, for each of our plain connections to the neighbor: as long as that connection
// stands, the process at its other end is the same, and it knows what it has sent. The process
// after it knows nothing, but it is at the end of another connection, with another epoch and a
// copy in which nothing is skipped. No process of the herd has such an epoch, so that proven links
// skip nothing because of it, not even one to this neighbor after an upgrade.
//
// Our connection may be younger than the session: then the session can be what is left of a
// process that has ended, whose last lines are still being read, and the process at the other end
// never had them. That shows when the session ends, and the link sends everything again.
type legacyInbound struct {
	neighbor  *neighbor      // nil: no AT line has been taken
	lastEpoch protocol.Epoch // the last record that was new, with this
}

// plainAT takes an AT line that no handshake came before, and says whether it did: if not, it is
// an unknown command. The first line decides whose lines these are.
func (s *session) legacyAT(line []byte) bool {
	srv := s.server
	r, sender, ok := protocol.ParseLegacyAT(line)
	if !ok || !srv.origins[string(r.Origin())] {
		return false
	}
	li := &s.legacy
	if s.eof && srv.mayBeTruncated(sender) || !li.speaksFor(s, sender) {
		return false
	}
	if srv.drain.over() {
		return true // likewise: see inbound.at
	}
	n := li.neighbor
	n.counters.atReceived++
	switch srv.store.ApplyLegacy(r, n.legacyEpoch) {
	case feed.Stored:
		li.lastEpoch = n.legacyEpoch
		srv.counters.Applied++
		srv.pumpSoon()
	case feed.Dropped:
		n.counters.duplicates++
	case feed.Full:
		srv.counters.ClientsRefused++
	}
	return true
}

// mayBeTorn says whether more may have followed a sender's name behind which the input ended without
// LF: it is no neighbor's, or it begins another server's name. The fields before it are whole.
func (srv *Server) mayBeTruncated(sender []byte) bool {
	for _, other := range srv.cfg.Servers {
		if len(other.Name) > len(sender) && strings.HasPrefix(other.Name, string(sender)) {
			return true
		}
	}
	return srv.neighbor(sender) == nil
}

// endsWhole says whether the bytes behind a plain neighbor's last LF, with which its input has ended, are
// an AT line. Other such bytes are dropped and not answered.
func (s *session) endsInWholeAT() bool {
	_, sender, ok := protocol.ParseLegacyAT(s.reader.Unfinished())
	return ok && !s.server.mayBeTruncated(sender)
}

// speaksFor says whether the session's lines may be sender's, and holds it to that one.
func (li *legacyInbound) speaksFor(s *session, sender []byte) bool {
	srv := s.server
	n := srv.neighbor(sender)
	if n == nil || len(n.inbounds) > 0 || li.neighbor != nil && li.neighbor != n {
		return false
	}
	if li.neighbor != nil {
		return true
	}
	if !n.isAt(s.t.Peer()) {
		srv.handshakeRefused("legacy: not from the address of "+n.name, s.t.Peer(), n.name)
		return false
	}
	li.neighbor = n
	if n.legacyEpoch == 0 {
		n.legacyEpoch = newEpoch(srv.rand)
	}
	n.legacyInbounds++
	srv.log.Info("neighbor joined, legacy", zap.String("neighbor", n.name), zap.Uint64("conn", s.id))
	n.link.dialNow()
	if n.link.probe != nil {
		n.link.probe.client.DialNow() // it lives
	}
	return true
}

// isAt says whether a connection from peer comes from the neighbor's machine: the one in its
// address or, if that is a name, the one that we have found there.
func (n *neighbor) isAt(peer string) bool {
	from := config.Machine(peer)
	return from == config.Machine(n.addr) || n.dialedAddr != "" && from == config.Machine(n.dialedAddr)
}

// lost is called when the session is gone.
func (li *legacyInbound) lost(s *session) {
	n := li.neighbor
	if n == nil {
		return
	}
	n.legacyInbounds--
	if lg, ok := n.link.sender.(*legacySender); ok && lg.state == linkLegacy && s.id < lg.copyConn && li.lastEpoch == n.legacyEpoch {
		lg.beginCopy()
	}
}
