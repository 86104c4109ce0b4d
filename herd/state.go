package herd

import (
	"math/rand/v2"
	"net/netip"
	"time"

	"go.uber.org/zap"

	"serverherd/herd/access"
	"serverherd/herd/config"
	"serverherd/herd/feed"
	"serverherd/herd/link"
	"serverherd/herd/recorder"
	"serverherd/places"
	"serverherd/protocol"
	"serverherd/reactor"
)

// This file is what the parts of a server share: sessions, neighbors and the journal refer to it, and not to
// server.go and drain.go, which refer to them.

// Server is one server of the herd: its store, the sessions of its clients and the links to its neighbors.
// Loop only, except NewServer and Start before the loop runs.
type Server struct {
	cfg               *config.Config
	self              config.Server
	name              string
	dialect           protocol.Dialect
	handshakeOptional bool           // neighbors may be legacy
	proxies           []netip.Prefix // networks whose connections begin with a PROXY header
	tokensRequired    bool           // of clients
	tokens            *access.Tokens
	reactor           reactor.Reactor
	places            places.Provider
	log               *zap.Logger
	lines             LineLog
	rand              *rand.Rand
	options           Options
	propagation       propagation
	recorder          *recorder.Recorder

	epoch      protocol.Epoch
	identity   link.Self
	started    time.Time
	store      *feed.Store
	loaded     uint64          // records up to this position are from the journal
	neighbors  []*neighbor     // in the order of herd.toml
	origins    map[string]bool // every server that herd.toml names
	configHash string
	lookups    lookups
	quotas     quotas
	journal    *journaling // nil if there is none
	bridge     *bridge     // likewise
	asks       *asks       // likewise
	port       reactor.Port

	sessions          []*session
	turnedAway        int
	admitted          [3]int // sessions by admission
	pendingHandshakes int    // of these, neighbors that have not completed the handshake
	lastConnID        uint64 // ids of connections are consecutive
	buffered          int    // memory used for clients when last measured, in bytes
	counters          Counters
	logLimits         logLimits
	lastSweep         time.Time // time of the last sweep
	sweepLate         bool      // that sweep was late: the process was stopped, or its loop was busy

	pump  pump
	drain drain

	// Scratch buffers, reused from line to line. No part of them is kept.
	record     protocol.Record
	scratch    []byte
	small      []byte
	pumpOutput link.Output
}

// drain is the state of a server's shutdown. Loop only.
type drain struct {
	begun bool
	since time.Time
	late  bool    // the drain time is over, and only the journal is waited for
	done  func()  // tells the reactor that the server has finished; nil once called
	errs  []error // what the shutdown could not complete
}

// over reports whether the server is about to exit: what is received now is not handed over to anyone.
func (d *drain) over() bool { return d.begun && (d.late || d.done == nil) }

// neighbor finds a neighbor by name; nil if there is none. O(n); n is a handful.
func (srv *Server) neighbor(name []byte) *neighbor {
	for _, n := range srv.neighbors {
		if n.name == string(name) {
			return n
		}
	}
	return nil
}

func (srv *Server) nextID() uint64 {
	srv.lastConnID++
	return srv.lastConnID
}

// countForeign counts a stored record whose origin is not in herd.toml.
func (srv *Server) countForeign(r protocol.Record) {
	if !srv.origins[string(r.Origin())] {
		srv.counters.Foreign++
	}
}

// time is the current time, as the machines of package link take it.
func (srv *Server) time() link.Time {
	return link.Time{Wall: srv.reactor.Now(), Steady: srv.reactor.Elapsed()}
}
