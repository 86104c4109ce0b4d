package herd

import (
	"strings"

	"go.uber.org/zap"

	"serverherd/herd/config"
	"serverherd/herd/feed"
	"serverherd/protocol"
)

// legacyInbound is the receiving side of a legacy neighbor: a session on which its AT lines come. In all
// other respects (limits, max_connections, other lines) the session remains a client's. Loop only.
//
// Security: a legacy neighbor proves nothing. Its lines are accepted because of the machine that they come
// from. If several servers run on one machine, nobody can tell which of them sent a line, or whether a
// server did: whoever can connect from there can write any client's record, with any origin and a time as
// far in the future as it likes, which an IAMAT cannot. A secret does not change that for a neighbor that
// is down or legacy. It does for one that has completed a handshake: while its connection is open, no
// AT line is accepted in its name without a handshake.
//
// # The epoch of a legacy neighbor
//
// A record is not sent back to the process that it came from, but a legacy process has no epoch. So one
// is generated for each of our connections to the neighbor: as long as the connection is open, the process
// at its other end is the same, and it has what it sent. The next process has nothing, but it is at the end
// of another connection, which has another epoch and begins with a copy that skips nothing. No process of
// the herd has such an epoch, so links with a handshake skip nothing because of it, not even a link to this
// neighbor after an upgrade.
//
// Our connection may be newer than the session. Then the session can belong to a process that has ended,
// whose last lines are still being read, and the process at the other end of our connection never had them.
// That shows when the session ends, and the link sends everything again.
type legacyInbound struct {
	neighbor  *neighbor      // nil: no AT line has been accepted
	lastEpoch protocol.Epoch // legacyEpoch when the last new record came
}

// legacyAT handles an AT line without a handshake. It reports false if the line is not accepted: then it is
// an unknown command. The first line binds the session to its sender.
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
		return true // not applied, as in link.Inbound
	}
	n := li.neighbor
	n.counters.atReceived++
	switch srv.store.ApplyLegacy(r, n.legacyEpoch) {
	case feed.Stored:
		li.lastEpoch = n.legacyEpoch
		srv.counters.Applied++
		srv.recorder.Applied(s.now, n.index, srv.store.Offered(), srv.store.Tail(), r.Client())
		srv.pumpSoon()
	case feed.Dropped:
		n.counters.duplicates++
		srv.recorder.Duplicate(s.now, n.index, srv.store.Offered(), r.Client())
	case feed.Full:
		srv.counters.ClientsRefused++
	}
	return true
}

// mayBeTruncated reports whether a sender's name at the end of the input, without LF, may be incomplete: it
// is not a neighbor's, or it is a prefix of another server's name. The fields before it are complete.
func (srv *Server) mayBeTruncated(sender []byte) bool {
	for _, other := range srv.cfg.Servers {
		if len(other.Name) > len(sender) && strings.HasPrefix(other.Name, string(sender)) {
			return true
		}
	}
	return srv.neighbor(sender) == nil
}

// endsInWholeAT reports whether the unfinished line at the end of a legacy neighbor's input is a complete AT
// line. Otherwise it is dropped and not answered.
func (s *session) endsInWholeAT() bool {
	_, sender, ok := protocol.ParseLegacyAT(s.reader.Unfinished())
	return ok && !s.server.mayBeTruncated(sender)
}

// speaksFor reports whether the session's lines may be from sender, and binds the session to it.
func (li *legacyInbound) speaksFor(s *session, sender []byte) bool {
	srv := s.server
	n := srv.neighbor(sender)
	if n == nil || len(n.inbounds) > 0 || li.neighbor != nil && li.neighbor != n {
		return false
	}
	if li.neighbor != nil {
		return true
	}
	if !n.isAt(s.peer) {
		srv.handshakeRefused("legacy: not from the address of "+n.name, s.peer, n.name)
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
		n.link.probe.client.DialNow() // it is alive
	}
	return true
}

// isAt reports whether peer is on the neighbor's machine: the one in its address or, if that is a host name,
// the one that our last dial reached.
func (n *neighbor) isAt(peer string) bool {
	from := config.Machine(peer)
	return from == config.Machine(n.addr) || n.dialedAddr != "" && from == config.Machine(n.dialedAddr)
}

// lost is called when the session is lost.
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
