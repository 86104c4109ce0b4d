package herd

import "serverherd/reactor"

// admission says on what terms a connection was accepted.
type admission uint8

const (
	asClient   admission = iota // counts against max_connections
	asOverflow                  // beyond it: stays if its first line proves a neighbor
	asNeighbor                  // has proven itself
)

// BuildProtocol implements reactor.Factory: it admits a connection, or answers that the server is
// full. Beyond max_connections a few are taken for a moment, for they may be neighbors.
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

// minOverflow is how many connections are taken beyond max_connections where there is no neighbor.
const minOverflow = 16

// overflow is how many there are with two for each neighbor.
func (srv *Server) maxOverflow() int { return 2*len(srv.neighbors) + minOverflow }

// admit makes a client of an overflow connection if there is room by now.
func (srv *Server) admitClient(s *session) bool {
	if srv.admitted[asClient] >= srv.cfg.Limits.MaxConnections {
		return false
	}
	srv.setAdmission(s, asClient)
	return true
}

// proven gives up the place that a connection took before it proved to be a neighbor's. Clients
// that send much must not delay what comes from it.
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

// remove forgets a session that is gone.
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

// turnedAway is a connection beyond every bound: it gets one reply. There are maxTurnedAway of
// them at most; whoever comes then is closed without a word.
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
