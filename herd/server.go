package herd

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"serverherd/herd/config"
	"serverherd/herd/feed"
	"serverherd/herd/link"
	"serverherd/places"
	"serverherd/protocol"
	"serverherd/reactor"
)

// Options are the parts of a Server. All but Lines and Journal are required.
type Options struct {
	Config  *config.Config
	Name    string // of this server in Config.Servers
	Reactor reactor.Reactor
	Places  places.Provider
	Log     *zap.Logger
	Lines   LineLog    // nil: lines are not logged
	Rand    *rand.Rand // for epochs, nonces and back-off; must be seeded unpredictably
	Engine  string     // what Reactor is, for log and status
	Journal Journal    // nil: records are kept in memory only
	Version string     // of the program, likewise
	PID     int        // of the process, likewise
}

// Server is one server of the herd: its store, the sessions of its clients and the links to its neighbors.
// Loop only, except NewServer and Start before the loop runs.
type Server struct {
	cfg               *config.Config
	self              config.Server
	name              string
	dialect           protocol.Dialect
	handshakeOptional bool // neighbors may be legacy
	reactor           reactor.Reactor
	places            places.Provider
	log               *zap.Logger
	lines             LineLog
	rand              *rand.Rand
	options           Options
	propagation       propagation

	epoch     protocol.Epoch
	identity  link.Self
	started   time.Time
	store     *feed.Store
	neighbors []*neighbor     // in the order of herd.toml
	origins   map[string]bool // every server that herd.toml names
	lookups   lookups
	journal   *journaling // nil if there is none
	port      reactor.Port

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

	pumping bool // a pump is scheduled for the end of this batch of events
	pump    func()
	drain   drain

	// Scratch buffers, reused from line to line. No part of them is kept.
	record     protocol.Record
	scratch    []byte
	small      []byte
	pumpOutput link.Output
}

// NewServer makes the server called o.Name, loads its journal and returns it, ready to start. Errors are
// about the configuration or the journal.
func NewServer(o Options) (*Server, error) {
	srv := &Server{
		cfg: o.Config, name: o.Name, reactor: o.Reactor, places: o.Places, log: o.Log,
		lines: o.Lines, rand: o.Rand, options: o,
		epoch:       newEpoch(o.Rand),
		store:       feed.NewStore(o.Config.Herd.Name, o.Config.Limits.MaxClients),
		origins:     make(map[string]bool),
		small:       make([]byte, 0, 512),
		propagation: newPropagation(),
	}
	srv.handshakeOptional = o.Config.Peers.Handshake == "optional"
	srv.lookups.init(srv)
	srv.pump = srv.pumpLinks
	srv.identity = link.Self{Herd: o.Config.Herd.Name, Name: srv.name, Epoch: srv.epoch, Secrets: o.Config.Herd.Secrets}
	var err error
	if srv.dialect, err = protocol.ParseDialect(o.Config.Herd.Dialect); err != nil {
		return nil, err
	}
	addresses := make(map[string]string)
	i := -1
	for k, c := range o.Config.Servers {
		srv.origins[c.Name] = true
		addresses[c.Name] = c.Address
		if c.Name == o.Name {
			i = k
		}
	}
	if i < 0 {
		return nil, fmt.Errorf("no server is called %q", o.Name)
	}
	srv.self = o.Config.Servers[i]
	for _, name := range srv.self.Neighbors {
		if addresses[name] == "" {
			return nil, fmt.Errorf("neighbor %q of %s is no server", name, srv.name)
		}
		n := &neighbor{server: srv, name: name, addr: addresses[name], heard: link.NewHeard(srv.store)}
		n.link = newOutbound(n)
		srv.neighbors = append(srv.neighbors, n)
	}
	if o.Journal != nil {
		if srv.journal, err = newJournaling(srv, o.Journal); err != nil {
			return nil, err
		}
	}
	return srv, nil
}

// Start listens on l and dials the neighbors. Call it before the reactor runs.
func (srv *Server) Start(l reactor.Listener) (reactor.Port, error) {
	srv.started = srv.reactor.Now()
	port, err := srv.reactor.ListenTCP(l, srv)
	if err != nil {
		return nil, err
	}
	srv.port = port
	srv.log.Info("started", zap.String("server", srv.name), zap.String("address", port.Addr()),
		zap.String("herd", srv.cfg.Herd.Name), zap.Stringer("epoch", srv.epoch),
		zap.String("engine", srv.options.Engine), zap.String("version", srv.options.Version),
		zap.Int("pid", srv.options.PID))
	for _, n := range srv.neighbors {
		n.link.dial()
	}
	srv.boundMemory(0)
	srv.reactor.CallLater(srv.sweepPeriod(), srv.sweep)
	srv.reactor.BeforeShutdown(srv.stop)
	return port, nil
}

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

// pumpSoon schedules all links to send at the end of this batch of events: updates that arrive together are
// sent together.
func (srv *Server) pumpSoon() {
	if len(srv.neighbors) == 0 && srv.journal == nil {
		return // no followers
	}
	if !srv.pumping {
		srv.pumping = true
		srv.reactor.CallSoon(srv.pump)
	}
}

func (srv *Server) pumpLinks() {
	srv.pumping = false
	more := false
	for _, n := range srv.neighbors {
		more = n.link.pump() || more
	}
	if srv.journal != nil {
		srv.journal.pump()
	}
	if more {
		srv.pumpSoon()
	}
}

// sweepPeriod returns how often time limits are checked: an eighth of the shortest of them.
func (srv *Server) sweepPeriod() time.Duration {
	period := time.Second
	for _, d := range []time.Duration{
		srv.cfg.Limits.IdleTimeout, srv.cfg.Limits.PartialLineTimeout, srv.cfg.Herd.UnfinishedLine,
	} {
		if d > 0 {
			period = min(period, d/8)
		}
	}
	return max(period, 5*time.Millisecond)
}

// sweep checks the time limits of all sessions. O(sessions), a few nanoseconds each.
func (srv *Server) sweep() {
	now := srv.reactor.Now()
	srv.sweepLate, srv.lastSweep = now.Sub(srv.lastSweep) > 2*srv.sweepPeriod(), now
	memory := 0
	for _, s := range slices.Backward(srv.sessions) {
		memory += s.sweep(now)
	}
	srv.boundMemory(memory)
	srv.logLimits.sweep(now)
	if srv.journal != nil {
		srv.journal.sweep(now)
	}
	srv.reactor.CallLater(srv.sweepPeriod(), srv.sweep)
}

// Status returns the state of the server as a value. Loop only.
func (srv *Server) Status() Status {
	st := Status{
		Herd: srv.cfg.Herd.Name, Server: srv.name, Version: srv.options.Version,
		Engine: srv.options.Engine, Epoch: srv.epoch.String(), PID: srv.options.PID,
		Started: srv.started, Now: srv.reactor.Now(), Waiting: srv.notReadyReason(),
		Records: uint64(srv.store.Len()), Digest: srv.store.Digest().String(), Tail: srv.store.Tail(),
		Connections: len(srv.sessions), Buffered: srv.buffered, Lookups: srv.lookups.status(),
		Counters: srv.counters, Limits: srv.cfg.Limits,
		Propagation: srv.propagation.status(), Links: []LinkStatus{},
	}
	if srv.store.Overflowed() {
		st.Digest = "full"
	}
	if srv.port != nil {
		st.Address = srv.port.Addr()
	}
	if srv.journal != nil {
		st.Journal = srv.journal.currentStatus()
	}
	st.Ready = st.Waiting == ""
	for _, n := range srv.neighbors {
		if n.link.t != nil {
			st.Connections++
		}
		st.Links = append(st.Links, n.status())
	}
	return st
}

// notReadyReason returns why clients of this server may miss records that the herd has, or "".
func (srv *Server) notReadyReason() string {
	switch {
	case srv.port == nil:
		return "not listening"
	case srv.drain.begun:
		return "stopping"
	case srv.store.Overflowed():
		return "full: lacks records that other servers have, see max_clients"
	}
	for _, n := range srv.neighbors {
		if !n.ready() {
			return "waiting for the records of " + n.name
		}
	}
	return ""
}

// countForeign counts a stored record whose origin is not in herd.toml.
func (srv *Server) countForeign(r protocol.Record) {
	if !srv.origins[string(r.Origin())] {
		srv.counters.Foreign++
	}
}

// Store returns the server's state, for followers. Loop only.
func (srv *Server) Store() *feed.Store { return srv.store }

// logLimiter limits the log entries about one kind of event that others can cause: one entry for each key in
// logPause, for at most maxLogKeys keys. Each kind of event has its own limiter, so that one does not
// suppress the others. The zero value is ready for use.
type logLimiter struct{ logged map[logKey]time.Time }

type logKey struct{ reason, host string }

const (
	logPause   = 30 * time.Second
	maxLogKeys = 1024
)

// allow reports whether an event should be logged.
func (lim *logLimiter) allow(what logKey, now time.Time) bool {
	if _, known := lim.logged[what]; known || len(lim.logged) >= maxLogKeys {
		return false
	}
	if lim.logged == nil {
		lim.logged = make(map[logKey]time.Time)
	}
	lim.logged[what] = now
	return true
}

func (lim *logLimiter) sweep(now time.Time) {
	for what, at := range lim.logged { // order: each entry is checked by itself
		if now.Sub(at) >= logPause {
			delete(lim.logged, what)
		}
	}
}

// logLimits are the limiters by kind of event.
type logLimits struct{ links, handshakes, protocols, cuts, lookups logLimiter }

func (ll *logLimits) sweep(now time.Time) {
	for _, lim := range []*logLimiter{&ll.links, &ll.handshakes, &ll.protocols, &ll.cuts, &ll.lookups} {
		lim.sweep(now)
	}
}

// handshakeRefused counts a handshake that this server refused, and logs it if the limiter allows.
func (srv *Server) handshakeRefused(reason, peer, name string) {
	srv.counters.HandshakesFailed++
	kind, _, _ := strings.Cut(reason, ":")
	host := peer[:strings.LastIndexByte(peer, ':')+1]
	if srv.logLimits.handshakes.allow(logKey{kind, host}, srv.reactor.Now()) {
		srv.log.Warn("neighbor refused", zap.String("reason", reason), zap.String("peer", peer),
			zap.String("neighbor", name))
	}
}

// traffic counts what a connection has carried. Loop only.
type traffic struct{ linesIn, linesOut, bytesIn, bytesOut uint64 }

// fields appends the counts to those of a log entry.
func (t traffic) fields(to []zap.Field) []zap.Field {
	return append(to, zap.Uint64("lines_in", t.linesIn), zap.Uint64("lines_out", t.linesOut),
		zap.Uint64("bytes_in", t.bytesIn), zap.Uint64("bytes_out", t.bytesOut))
}

// sent counts and logs lines that end in CRLF.
func (t *traffic) sent(id uint64, lines []byte, log LineLog) {
	t.bytesOut += uint64(len(lines))
	t.linesOut += uint64(bytes.Count(lines, newline))
	if log == nil {
		return
	}
	for len(lines) > 0 {
		line, rest, _ := bytes.Cut(lines, crlf)
		log.LineSent(id, line)
		lines = rest
	}
}
