package herd

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
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

// Options are the parts of a Server. All but Lines, Journal, Bucket, Asker and Tokens are required.
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
	TLS     *TLS       // required if herd.toml has TLS for links or clients
	Bucket  Bucket     // shared with other herds; nil: none
	// BridgeRank is how many servers of the herd with the same Bucket come before this one: it publishes what they
	// have not published within BridgeRank seconds.
	BridgeRank int
	// BridgePass is how often everything is compared with Bucket; 0: as Constants say.
	BridgePass time.Duration
	BucketMode BucketMode // what becomes of other herds' records in Bucket
	Asker      Asker      // asked about clients that may be at other herds; nil: none is
	// AskAfter is the age from which a record is old: a WHATSAT for its client asks Asker, as for an unknown one.
	AskAfter time.Duration
	// Tokens are those of clients, see Server.SetTokens; nil: there are none. Config says whether clients need one.
	Tokens  *access.Tokens
	Version string // of the program, for log and status
	Commit  string // that the program was built from, likewise; "" if it is unknown
	PID     int    // of the process, likewise
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
		configHash:  o.Config.Fingerprint(),
	}
	srv.store.SetTime(o.Reactor.Now())
	srv.tokens, srv.tokensRequired = o.Tokens, o.Config.Clients.Required()
	srv.handshakeOptional = o.Config.Peers.Handshake == "optional"
	srv.lookups.init(srv)
	srv.proxies = o.Config.Clients.Proxies()
	srv.quotas.init(srv)
	srv.pump.f = srv.pumpLinks
	srv.identity = link.Self{Herd: o.Config.Herd.Name, Name: srv.name, Epoch: srv.epoch, Secrets: o.Config.Herd.Secrets}
	var err error
	if o.TLS == nil && (o.Config.TLS.Links != "" && o.Config.TLS.Links != "off" || o.Config.Clients.TLS == tlsRequired) {
		return nil, errors.New("TLS without certificates")
	}
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
		n := &neighbor{server: srv, index: len(srv.neighbors), name: name, addr: addresses[name]}
		n.link = newOutbound(n)
		n.heard = link.NewHeard(srv.store, n.link.sent)
		srv.neighbors = append(srv.neighbors, n)
	}
	srv.recorder = recorder.New(o.Reactor.Now(), srv.self.Neighbors)
	if o.Journal != nil {
		if srv.journal, err = newJournaling(srv, o.Journal); err != nil {
			return nil, err
		}
	}
	if o.Bucket != nil {
		srv.bridge = newBridge(srv, o.Bucket)
	}
	if o.Asker != nil {
		srv.asks = newAsks(srv, o.Asker, o.AskAfter)
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
		zap.String("commit", srv.options.Commit), zap.String("go", runtime.Version()),
		zap.Int("pid", srv.options.PID))
	for _, n := range srv.neighbors {
		n.link.dial()
	}
	if srv.bridge != nil {
		srv.bridge.start()
	}
	srv.boundMemory(0)
	srv.reactor.CallLater(srv.sweepPeriod(), srv.sweep)
	srv.reactor.BeforeShutdown(srv.stop)
	return port, nil
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
	srv.quotas.sweep()
	if srv.journal != nil {
		srv.journal.sweep(now)
	}
	if srv.bridge != nil {
		srv.bridge.sweep()
	}
	if srv.asks != nil {
		srv.asks.sweep()
	}
	srv.reactor.CallLater(srv.sweepPeriod(), srv.sweep)
}

// Status returns the state of the server as a value. Loop only.
func (srv *Server) Status() Status {
	st := Status{
		Herd: srv.cfg.Herd.Name, Server: srv.name, Version: srv.options.Version,
		Commit: srv.options.Commit, Go: runtime.Version(),
		Engine: srv.options.Engine, Epoch: srv.epoch.String(), ConfigHash: srv.configHash, PID: srv.options.PID,
		Started: srv.started, Now: srv.reactor.Now(), Waiting: srv.notReadyReason(),
		Records: uint64(srv.store.Len()), Digest: srv.store.Digest().String(), Tail: srv.store.Tail(),
		Connections: len(srv.sessions), Buffered: srv.buffered, Lookups: srv.lookups.status(),
		Counters: srv.counters, Limits: srv.cfg.Limits,
		Propagation: srv.propagation.status(), Links: []LinkStatus{}, Tokens: srv.tokensStatus(),
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
	if srv.bridge != nil {
		st.Bridge = srv.bridge.currentStatus()
	}
	if srv.asks != nil {
		st.Asks = srv.asks.currentStatus()
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
	if n := srv.neighborNotReady(); n != nil {
		return "waiting for the records of " + n.name
	}
	if srv.bridge != nil && srv.bridge.restoring() {
		return "waiting for the records in the bucket"
	}
	return ""
}

// neighborNotReady returns a neighbor whose records have not come; nil if there is none.
func (srv *Server) neighborNotReady() *neighbor {
	for _, n := range srv.neighbors {
		if !n.ready() {
			return n
		}
	}
	return nil
}

// Name returns the server's name in herd.toml.
func (srv *Server) Name() string { return srv.name }

// Epoch identifies this process. Positions are those of its feed.
func (srv *Server) Epoch() protocol.Epoch { return srv.epoch }

// Store returns the server's state, for followers. Loop only.
func (srv *Server) Store() *feed.Store { return srv.store }

// Sender returns the neighbor whose process, now or formerly, has an epoch. It returns "" if from is 0 (a client or the
// journal), or the bridge's, or the process is not known any more. Loop only.
func (srv *Server) Sender(from protocol.Epoch) string {
	if from == 0 {
		return ""
	}
	for _, n := range srv.neighbors {
		if n.heard.Knows(from) || n.legacyEpoch == from {
			return n.name
		}
	}
	return ""
}
