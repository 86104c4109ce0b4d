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
	cfg         *config.Config
	self        config.Server
	name        string
	dialect     protocol.Dialect
	plain       bool // neighbors need not know the handshake
	reactor     reactor.Reactor
	places      places.Provider
	log         *zap.Logger
	lines       LineLog
	rand        *rand.Rand
	options     Options
	propagation propagation

	epoch     protocol.Epoch
	identity  link.Self
	started   time.Time
	store     *feed.Store
	neighbors []*neighbor     // in the order of herd.toml
	origins   map[string]bool // every server that herd.toml names
	lookups   lookups
	journal   *journaling // nil if there is none
	port      reactor.Port

	sessions   []*session
	turnedAway int
	admitted   [3]int // sessions by admission
	handshakes int    // of these, connections of neighbors that have not proven themselves
	conns      uint64 // connection ids given out
	buffered   int    // bytes kept for clients when that was last measured
	counters   Counters
	told       told
	swept      time.Time // when the limits on time were looked at last
	sweptLate  bool      // which was late: the process was stopped, or its loop busy

	pumping bool // a pump is due after this batch of events
	pump    func()
	drain   drain

	// Scratch, reused from line to line. Nothing keeps a part of it.
	record  protocol.Record
	scratch []byte
	small   []byte
	pumped  link.Output
}

// NewServer makes the server called o.Name, with what its journal holds, ready to start. Its error
// is about the configuration or the journal.
func NewServer(o Options) (*Server, error) {
	s := &Server{
		cfg: o.Config, name: o.Name, reactor: o.Reactor, places: o.Places, log: o.Log,
		lines: o.Lines, rand: o.Rand, options: o,
		epoch:       newEpoch(o.Rand),
		store:       feed.NewStore(o.Config.Herd.Name, o.Config.Limits.MaxClients),
		origins:     make(map[string]bool),
		small:       make([]byte, 0, 512),
		propagation: newPropagation(),
	}
	s.plain = o.Config.Peers.Handshake == "optional"
	s.lookups.init(s)
	s.pump = s.pumpLinks
	s.identity = link.Self{Herd: o.Config.Herd.Name, Name: s.name, Epoch: s.epoch, Secrets: o.Config.Herd.Secrets}
	var err error
	if s.dialect, err = protocol.ParseDialect(o.Config.Herd.Dialect); err != nil {
		return nil, err
	}
	addresses := make(map[string]string)
	i := -1
	for k, c := range o.Config.Servers {
		s.origins[c.Name] = true
		addresses[c.Name] = c.Address
		if c.Name == o.Name {
			i = k
		}
	}
	if i < 0 {
		return nil, fmt.Errorf("no server is called %q", o.Name)
	}
	s.self = o.Config.Servers[i]
	for _, name := range s.self.Neighbors {
		if addresses[name] == "" {
			return nil, fmt.Errorf("neighbor %q of %s is no server", name, s.name)
		}
		n := &neighbor{server: s, name: name, addr: addresses[name], heard: link.NewHeard(s.store)}
		n.link = newOutbound(n)
		s.neighbors = append(s.neighbors, n)
	}
	if o.Journal != nil {
		if s.journal, err = newJournaling(s, o.Journal); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Start listens on l and dials the neighbors. Call it before the reactor runs.
func (s *Server) Start(l reactor.Listener) (reactor.Port, error) {
	s.started = s.reactor.Now()
	port, err := s.reactor.ListenTCP(l, s)
	if err != nil {
		return nil, err
	}
	s.port = port
	s.log.Info("started", zap.String("server", s.name), zap.String("address", port.Addr()),
		zap.String("herd", s.cfg.Herd.Name), zap.Stringer("epoch", s.epoch),
		zap.String("engine", s.options.Engine), zap.String("version", s.options.Version),
		zap.Int("pid", s.options.PID))
	for _, n := range s.neighbors {
		n.link.dial()
	}
	s.boundMemory(0)
	s.reactor.CallLater(s.sweepPeriod(), s.sweep)
	s.reactor.BeforeShutdown(s.stop)
	return port, nil
}

// neighbor finds a neighbor by name; nil if there is none. O(n); n is a handful.
func (s *Server) neighbor(name []byte) *neighbor {
	for _, n := range s.neighbors {
		if n.name == string(name) {
			return n
		}
	}
	return nil
}

func (s *Server) nextID() uint64 {
	s.conns++
	return s.conns
}

// pumpSoon makes every link send what it has to, once this batch of events is done: many updates
// that came together leave together.
func (s *Server) pumpSoon() {
	if len(s.neighbors) == 0 && s.journal == nil {
		return // nobody follows
	}
	if !s.pumping {
		s.pumping = true
		s.reactor.CallSoon(s.pump)
	}
}

func (s *Server) pumpLinks() {
	s.pumping = false
	more := false
	for _, n := range s.neighbors {
		more = n.link.pump() || more
	}
	if s.journal != nil {
		s.journal.pump()
	}
	if more {
		s.pumpSoon()
	}
}

// sweepPeriod is how often the limits on time are looked at: an eighth of the shortest of them.
func (s *Server) sweepPeriod() time.Duration {
	period := time.Second
	for _, d := range []time.Duration{
		s.cfg.Limits.IdleTimeout, s.cfg.Limits.PartialLineTimeout, s.cfg.Herd.UnfinishedLine,
	} {
		if d > 0 {
			period = min(period, d/8)
		}
	}
	return max(period, 5*time.Millisecond)
}

// sweep applies the limits on time to all sessions. O(sessions), a few nanoseconds each.
func (s *Server) sweep() {
	now := s.reactor.Now()
	s.sweptLate, s.swept = now.Sub(s.swept) > 2*s.sweepPeriod(), now
	memory := 0
	for _, n := range slices.Backward(s.sessions) {
		memory += n.sweep(now)
	}
	s.boundMemory(memory)
	s.told.sweep(now)
	if s.journal != nil {
		s.journal.sweep(now)
	}
	s.reactor.CallLater(s.sweepPeriod(), s.sweep)
}

// Status is what the server knows of itself, as a value. Loop only.
func (s *Server) Status() Status {
	st := Status{
		Herd: s.cfg.Herd.Name, Server: s.name, Version: s.options.Version,
		Engine: s.options.Engine, Epoch: s.epoch.String(), PID: s.options.PID,
		Started: s.started, Now: s.reactor.Now(), Waiting: s.notReady(),
		Records: uint64(s.store.Len()), Digest: s.store.Digest().String(), Tail: s.store.Tail(),
		Connections: len(s.sessions), Buffered: s.buffered, Lookups: s.lookups.status(),
		Counters: s.counters, Limits: s.cfg.Limits,
		Propagation: s.propagation.status(), Links: []LinkStatus{},
	}
	if s.store.Overflowed() {
		st.Digest = "full"
	}
	if s.port != nil {
		st.Address = s.port.Addr()
	}
	if s.journal != nil {
		st.Journal = s.journal.statusNow()
	}
	st.Ready = st.Waiting == ""
	for _, n := range s.neighbors {
		if n.link.t != nil {
			st.Connections++
		}
		st.Links = append(st.Links, n.status())
	}
	return st
}

// notReady is why a client that asks this server may miss what the herd has; "" if it is ready.
func (s *Server) notReady() string {
	switch {
	case s.port == nil:
		return "not listening"
	case s.drain.begun:
		return "stopping"
	case s.store.Overflowed():
		return "full: lacks records that other servers have, see max_clients"
	}
	for _, n := range s.neighbors {
		if !n.ready() {
			return "waiting for the records of " + n.name
		}
	}
	return ""
}

// noteOrigin counts a record that has been stored if it is of a server that herd.toml does not name.
func (s *Server) noteOrigin(r protocol.Record) {
	if !s.origins[string(r.Origin())] {
		s.counters.Foreign++
	}
}

// Store is the server's state, for those who follow it. Loop only.
func (s *Server) Store() *feed.Store { return s.store }

// refusals limits the log of one kind of event that others can cause: one entry for each reason and
// address, or neighbor, in refusalPause, for a bounded number of them. Each kind has its own, so that
// many addresses that cause one do not hide the others. The zero value is ready for use.
type refusals struct{ logged map[refusal]time.Time }

type refusal struct{ reason, host string }

const (
	refusalPause = 30 * time.Second
	maxRefusals  = 1024
)

// first says whether an event should be logged.
func (r *refusals) first(what refusal, now time.Time) bool {
	if _, known := r.logged[what]; known || len(r.logged) >= maxRefusals {
		return false
	}
	if r.logged == nil {
		r.logged = make(map[refusal]time.Time)
	}
	r.logged[what] = now
	return true
}

func (r *refusals) sweep(now time.Time) {
	for what, at := range r.logged { // order: each is judged by itself
		if now.Sub(at) >= refusalPause {
			delete(r.logged, what)
		}
	}
}

// told is what the log has been told of lately, by kind of event.
type told struct{ links, handshakes, protocols, cuts, lookups refusals }

func (t *told) sweep(now time.Time) {
	for _, r := range []*refusals{&t.links, &t.handshakes, &t.protocols, &t.cuts, &t.lookups} {
		r.sweep(now)
	}
}

// refused counts and, now and then, logs a handshake that this server did not accept.
func (s *Server) refused(reason, peer, name string) {
	s.counters.HandshakesFailed++
	kind, _, _ := strings.Cut(reason, ":")
	host := peer[:strings.LastIndexByte(peer, ':')+1]
	if s.told.handshakes.first(refusal{kind, host}, s.reactor.Now()) {
		s.log.Warn("neighbor refused", zap.String("reason", reason), zap.String("peer", peer),
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
