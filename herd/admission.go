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
func (s *Server) BuildProtocol(peer string) reactor.Protocol {
	s.counters.Accepted++
	n := &session{server: s, id: s.nextID(), index: len(s.sessions), address: clientAddress(peer)}
	n.reader = reactor.NewLineReceiver(s.cfg.Limits.MaxLine, n)
	switch {
	case s.admitted[asClient] < s.cfg.Limits.MaxConnections:
	case s.admitted[asOverflow] < s.overflow():
		n.admission = asOverflow
	case s.turnedAway < maxTurnedAway:
		return &turnedAway{s}
	default:
		s.counters.ServerFull++
		return nil
	}
	s.admitted[n.admission]++
	s.sessions = append(s.sessions, n)
	return n
}

// minOverflow is how many connections are taken beyond max_connections where there is no neighbor.
const minOverflow = 16

// overflow is how many there are with two for each neighbor.
func (s *Server) overflow() int { return 2*len(s.neighbors) + minOverflow }

// admit makes a client of an overflow connection if there is room by now.
func (s *Server) admit(n *session) bool {
	if s.admitted[asClient] >= s.cfg.Limits.MaxConnections {
		return false
	}
	s.readmit(n, asClient)
	return true
}

// proven gives up the place that a connection took before it proved to be a neighbor's. Clients
// that send much must not delay what comes from it.
func (s *Server) proven(n *session) {
	s.handshakes--
	s.readmit(n, asNeighbor)
	n.t.Prioritize()
}

func (s *Server) readmit(n *session, a admission) {
	s.admitted[n.admission]--
	n.admission = a
	s.admitted[a]++
}

// remove forgets a session that is gone.
func (s *Server) remove(n *session) {
	s.admitted[n.admission]--
	if n.inbound != nil && n.inbound.neighbor == nil {
		s.handshakes--
	}
	last := s.sessions[len(s.sessions)-1]
	s.sessions[n.index], last.index = last, n.index
	s.sessions[len(s.sessions)-1] = nil
	s.sessions = s.sessions[:len(s.sessions)-1]
	s.drained()
}

// turnedAway is a connection beyond every bound: it gets one reply. There are maxTurnedAway of
// them at most; whoever comes then is closed without a word.
type turnedAway struct{ server *Server }

const maxTurnedAway = 256

// ConnectionMade implements reactor.Protocol.
func (p *turnedAway) ConnectionMade(t reactor.Transport) {
	p.server.turnedAway++
	p.server.counters.ServerFull++
	t.Write(p.server.dialect.AppendFull(nil))
	t.LoseConnection()
}

// DataReceived implements reactor.Protocol.
func (p *turnedAway) DataReceived([]byte) {}

// ConnectionLost implements reactor.Protocol.
func (p *turnedAway) ConnectionLost(error) { p.server.turnedAway-- }
