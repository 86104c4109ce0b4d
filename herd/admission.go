package herd

import (
	"slices"

	"go.uber.org/zap"

	"serverherd/reactor"
)

// admission is what an accepted connection counts as.
type admission uint8

const (
	asClient   admission = iota // counts against max_connections
	asOverflow                  // beyond max_connections: kept if its first line is a neighbor's HELLO
	asNeighbor                  // completed a handshake
)

// BuildProtocol implements reactor.Factory. It accepts a connection, or replies that the server is full, or that the
// address has too many connections. Beyond max_connections a few more are accepted for a short time, because they may be
// neighbors. Of an address with too many that is so only if a neighbor has it.
func (srv *Server) BuildProtocol(peer string) reactor.Protocol {
	srv.counters.Accepted++
	s := &session{server: srv, id: srv.nextID(), index: len(srv.sessions), address: clientAddress(peer)}
	s.reader = reactor.NewLineReceiver(srv.cfg.Limits.MaxLine, s)
	s.quota = srv.quotas.ofAddress(s.address)
	crowded := srv.quotas.crowded(s.quota) && !srv.isProxy(peer) // see session.crowded
	switch {
	case !crowded && srv.admitted[asClient] < srv.cfg.Limits.MaxConnections:
	case (!crowded || srv.mayBeNeighbor(peer)) && srv.admitted[asOverflow] < srv.maxOverflow():
		s.admission = asOverflow
	default:
		srv.quotas.release(s.quota)
		return srv.turnAway(s, crowded, peer)
	}
	srv.admit(s, s.admission)
	srv.sessions = append(srv.sessions, s)
	return s
}

// minOverflow is how many connections are accepted beyond max_connections if there are no neighbors.
const minOverflow = 16

// maxOverflow is minOverflow and two for each neighbor.
func (srv *Server) maxOverflow() int { return 2*len(srv.neighbors) + minOverflow }

// crowded reports whether the session's address has as many connections of clients as it may have. A proxy that has not
// said who its client is has no limit.
func (s *session) crowded() bool {
	unnamed := s.peer == s.t.Peer() && s.server.isProxy(s.peer)
	return !unnamed && s.server.quotas.crowded(s.quota)
}

// admitClient turns an overflow connection into a client if there is room now.
func (srv *Server) admitClient(s *session) bool {
	if srv.admitted[asClient] >= srv.cfg.Limits.MaxConnections || s.crowded() {
		return false
	}
	srv.setAdmission(s, asClient)
	return true
}

// refuseOverflow replies to a connection that is not admitted as a client, and closes it.
func (s *session) refuseOverflow() {
	srv := s.server
	if s.crowded() {
		srv.counters.LimitConnections++
		s.replyFinal(srv.quotas.crowdedReason(s.quota))
		s.close(errAddressCrowded)
		return
	}
	srv.counters.ServerFull++
	s.reply(srv.dialect.AppendFull(srv.scratch[:0]))
	s.close(errServerFull)
}

// neighborProven releases the place that a connection took before it completed its handshake. Its input has
// priority: clients that send much must not delay it.
func (srv *Server) neighborProven(s *session) {
	srv.pendingHandshakes--
	srv.setAdmission(s, asNeighbor)
	s.t.Prioritize()
}

func (srv *Server) setAdmission(s *session, a admission) {
	srv.dismiss(s)
	srv.admit(s, a)
}

// admit counts a session.
func (srv *Server) admit(s *session, a admission) {
	s.admission = a
	if srv.admitted[a]++; a == asClient {
		s.quota.connections++
	}
}

// dismiss undoes admit.
func (srv *Server) dismiss(s *session) {
	if srv.admitted[s.admission]--; s.admission == asClient {
		s.quota.connections--
	}
}

// mayBeNeighbor reports whether a peer is on the machine of a neighbor.
func (srv *Server) mayBeNeighbor(peer string) bool {
	return slices.ContainsFunc(srv.neighbors, func(n *neighbor) bool { return n.isAt(peer) })
}

// removeSession removes a session whose connection is lost.
func (srv *Server) removeSession(s *session) {
	srv.dismiss(s)
	srv.quotas.release(s.quota)
	if s.tokenQuota != nil {
		s.tokenQuota.connections--
	}
	if s.inbound != nil && s.inbound.neighbor == nil {
		srv.pendingHandshakes--
	}
	last := srv.sessions[len(srv.sessions)-1]
	srv.sessions[s.index], last.index = last, s.index
	srv.sessions[len(srv.sessions)-1] = nil
	srv.sessions = srv.sessions[:len(srv.sessions)-1]
	srv.checkDrained()
}

// turnAway refuses a connection: with a reply, unless too many are being refused.
func (srv *Server) turnAway(s *session, crowded bool, peer string) reactor.Protocol {
	text := srv.dialect.AppendFull(nil)
	if crowded {
		reason := srv.quotas.crowdedReason(s.quota)
		text = srv.dialect.AppendFinal(nil, reason)
		srv.counters.LimitConnections++
		if srv.logLimits.limits.allow(logKey{reason.Error(), s.address}, srv.reactor.Now()) {
			srv.log.Warn("limit exceeded", zap.String("reason", reason.Error()), zap.Uint64("conn", s.id), zap.String("peer", peer))
		}
	} else {
		srv.counters.ServerFull++
	}
	if srv.turnedAway >= maxTurnedAway {
		return nil
	}
	return &turnedAway{srv, text}
}

// turnedAway is a connection that gets one reply, which says why it is closed. There are at most maxTurnedAway of them;
// further connections are closed without a reply.
type turnedAway struct {
	server *Server
	text   []byte
}

const maxTurnedAway = 256

// ConnectionMade implements reactor.Protocol.
func (ta *turnedAway) ConnectionMade(t reactor.Transport) {
	ta.server.turnedAway++
	t.Write(ta.text)
	t.LoseConnection()
}

// DataReceived implements reactor.Protocol.
func (ta *turnedAway) DataReceived([]byte) {}

// ConnectionLost implements reactor.Protocol.
func (ta *turnedAway) ConnectionLost(error) { ta.server.turnedAway-- }
