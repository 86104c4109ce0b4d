package herd

import "serverherd/reactor"

// admission is what an accepted connection counts as.
type admission uint8

const (
	asClient   admission = iota // counts against max_connections
	asOverflow                  // beyond max_connections: kept if its first line is a neighbor's HELLO
	asNeighbor                  // completed a handshake
)

// BuildProtocol implements reactor.Factory. It accepts a connection, or replies that the server is full.
// Beyond max_connections a few more are accepted for a short time, because they may be neighbors.
func (srv *Server) BuildProtocol(peer string) reactor.Protocol {
	srv.counters.Accepted++
	s := &session{server: srv, id: srv.nextID(), index: len(srv.sessions), address: clientAddress(peer)}
	s.reader = reactor.NewLineReceiver(srv.cfg.Limits.MaxLine, s)
	switch {
	case srv.admitted[asClient] < srv.cfg.Limits.MaxConnections:
	case srv.admitted[asOverflow] < srv.maxOverflow():
		s.admission = asOverflow
	case srv.turnedAway < maxTurnedAway:
		return &turnedAway{srv}
	default:
		srv.counters.ServerFull++
		return nil
	}
	srv.admitted[s.admission]++
	srv.sessions = append(srv.sessions, s)
	return s
}

// minOverflow is how many connections are accepted beyond max_connections if there are no neighbors.
const minOverflow = 16

// maxOverflow is minOverflow and two for each neighbor.
func (srv *Server) maxOverflow() int { return 2*len(srv.neighbors) + minOverflow }

// admitClient turns an overflow connection into a client if there is room now.
func (srv *Server) admitClient(s *session) bool {
	if srv.admitted[asClient] >= srv.cfg.Limits.MaxConnections {
		return false
	}
	srv.setAdmission(s, asClient)
	return true
}

// neighborProven releases the place that a connection took before it completed its handshake. Its input has
// priority: clients that send much must not delay it.
func (srv *Server) neighborProven(s *session) {
	srv.pendingHandshakes--
	srv.setAdmission(s, asNeighbor)
	s.t.Prioritize()
}

func (srv *Server) setAdmission(s *session, a admission) {
	srv.admitted[s.admission]--
	s.admission = a
	srv.admitted[a]++
}

// removeSession removes a session whose connection is lost.
func (srv *Server) removeSession(s *session) {
	srv.admitted[s.admission]--
	if s.inbound != nil && s.inbound.neighbor == nil {
		srv.pendingHandshakes--
	}
	last := srv.sessions[len(srv.sessions)-1]
	srv.sessions[s.index], last.index = last, s.index
	srv.sessions[len(srv.sessions)-1] = nil
	srv.sessions = srv.sessions[:len(srv.sessions)-1]
	srv.checkDrained()
}

// turnedAway is a connection beyond the overflow, too: it gets one reply, SERVER FULL. There are at most
// maxTurnedAway of them; further connections are closed without a reply.
type turnedAway struct{ server *Server }

const maxTurnedAway = 256

// ConnectionMade implements reactor.Protocol.
func (ta *turnedAway) ConnectionMade(t reactor.Transport) {
	ta.server.turnedAway++
	ta.server.counters.ServerFull++
	t.Write(ta.server.dialect.AppendFull(nil))
	t.LoseConnection()
}

// DataReceived implements reactor.Protocol.
func (ta *turnedAway) DataReceived([]byte) {}

// ConnectionLost implements reactor.Protocol.
func (ta *turnedAway) ConnectionLost(error) { ta.server.turnedAway-- }
