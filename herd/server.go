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

// Options is what a Server is made of. All but Lines and Journal are needed.
type Options struct {
	Config  *config.Config
	Name    string // which of Config.Servers this is
	Reactor reactor.Reactor
	Places  places.Provider
	Log     *zap.Logger
	Lines   LineLog    // nil: lines are not logged
	Rand    *rand.Rand // for epochs, nonces and back-off; seeded so that nobody can foretell it
	Engine  string     // what Reactor is, for log and status
	Journal Journal    // nil: records are kept in memory only
	Version string     // of the program, likewise
	PID     int        // of the process, likewise
}

// Server is one member of the herd: its store, the sessions of its clients and the links to its
// neighbors. Loop only, apart from NewServer and Start before the loop runs.
type Server struct {
	cfg               *config.Config
	self              config.Server
	name              string
	dialect           protocol.Dialect
	handshakeOptional bool // neighbors need not know the handshake
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
	pendingHandshakes int    // of these, connections of neighbors that have not proven themselves
	lastConnID        uint64 // connection ids given out
	buffered          int    // bytes kept for clients when that was last measured
	counters          Counters
	logLimits         logLimits
	lastSweep         time.Time // when the limits on time were looked at last
	sweepLate         bool      // which was late: the process was stopped, or its loop busy

	pumping bool // a pump is due after this batch of events
	pump    func()
	drain   drain

	// Scratch, reused from line to line. Nothing keeps a part of it.
	record     protocol.Record
	scratch    []byte
	small      []byte
	pumpOutput link.Output
}

// NewServer makes the server called o.Name, with what its journal holds, ready to start. Its error
// is about the configuration or the journal.
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

// pumpSoon makes every link send what it has to, once this batch of events is done: many updates
// that came together leave together.
func (srv *Server) pumpSoon() {
	if len(srv.neighbors) == 0 && srv.journal == nil {
		return // nobody follows
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

// sweepPeriod is how often the limits on time are looked at: an eighth of the shortest of them.
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

// sweep applies the limits on time to all sessions. O(sessions), a few nanoseconds each.
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

// Status is what the server knows of itself, as a value. Loop only.
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

// notReady is why a client that asks this server may miss what the herd has; "" if it is ready.
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

// noteOrigin counts a record that has been stored if it is of a server that herd.toml does not name.
func (srv *Server) countForeign(r protocol.Record) {
	if !srv.origins[string(r.Origin())] {
		srv.counters.Foreign++
	}
}

// Store is the server's state, for those who follow it. Loop only.
func (srv *Server) Store() *feed.Store { return srv.store }

// refusals limits the log of one kind of event that others can cause: one entry for each reason and
// address, or neighbor, in refusalPause, for a bounded number of them. Each kind has its own, so that
// many addresses that cause one do not hide the others. The zero value is ready for use.
type logLimiter struct{ logged map[logKey]time.Time }

type logKey struct{ reason, host string }

const (
	logPause   = 30 * time.Second
	maxLogKeys = 1024
)

// first says whether an event should be logged.
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
	for what, at := range lim.logged { // order: each is judged by itself
		if now.Sub(at) >= logPause {
			delete(lim.logged, what)
		}
	}
}

// told is what the log has been told of lately, by kind of event.
type logLimits struct{ links, handshakes, protocols, cuts, lookups logLimiter }

func (ll *logLimits) sweep(now time.Time) {
	for _, lim := range []*logLimiter{&ll.links, &ll.handshakes, &ll.protocols, &ll.cuts, &ll.lookups} {
		lim.sweep(now)
	}
}

// refused counts and, now and then, logs a handshake that this server did not accept.
func (srv *Server) handshakeRefused(reason, peer, name string) {
	srv.counters.HandshakesFailed++
	kind, _, _ := strings.Cut(reason, ":")
	host := peer[:strings.LastIndexByte(peer, ':')+1]
	if srv.logLimits.handshakes.allow(logKey{kind, host}, srv.reactor.Now()) {
		srv.log.Warn("neighbor refused", zap.String("reason", reason), zap.String("peer", peer),
			zap.String("neighbor", name))
	}
}

// traffic is what a connection has carried. Loop only.
type traffic struct{ linesIn, linesOut, bytesIn, bytesOut uint64 }

// fields appends it to those of a log entry.
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
