package main

import (
	"cmp"
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"serverherd/cmd/herd/certs"
	"serverherd/cmd/herd/console"
	"serverherd/cmd/herd/console/door"
	"serverherd/cmd/herd/engines"
	"serverherd/cmd/herd/hangup"
	"serverherd/cmd/herd/logging"
	"serverherd/cmd/herd/parent"
	"serverherd/cmd/herd/service"
	"serverherd/herd"
	"serverherd/herd/access"
	"serverherd/herd/config"
	"serverherd/herd/journal"
	"serverherd/places"
	"serverherd/reactor/sockets"
)

// serveName is the command with which up starts a server.
const serveName = "serve"

// slowTurnMessage is logged after a slow turn of the event loop.
const slowTurnMessage = "slow turn"

// littleMemoryMessage is logged at the start if the memory may not be enough for max_clients. Without it, the
// system may kill the server, which then cannot say why.
const littleMemoryMessage = "max_clients may need more memory than there is"

func newServe(o *options) *cobra.Command {
	var pprof bool
	var engine string
	c := &cobra.Command{
		Use:   serveName + " [NAME]",
		Short: "Run one server in the foreground",
		Long: "Run one server of herd.toml in the foreground, by default that of $HERD_SERVER.\n" +
			"SIGTERM and SIGINT stop it gracefully, a second one exits immediately. SIGHUP\n" +
			"reloads the tokens, the certificates and the places file, and reopens a log file\n" +
			"that was moved, as herd reload does. With socket activation (LISTEN_FDS), the\n" +
			"first socket is its listener and the second one its console's. The exit code is\n" +
			"1 if a connected neighbor did not acknowledge, within the drain time, records\n" +
			"that no other server has, or if the journal could not write all records.",
		Example: "  herd serve Alford",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 && os.Getenv(serverVariable) == "" {
				return usage("no server: name one, or set $%s; see %s --help", serverVariable, c.CommandPath())
			}
			return arguments(0, 1)(c, args)
		},
		ValidArgsFunction: o.completeServers,
		RunE: func(c *cobra.Command, args []string) error {
			onlyOwner()
			n := newNotifier()
			manager := service.New()
			defer manager.Close()
			cfg, err := o.loadForServer()
			var self config.Server
			if err == nil {
				self, _, err = findOwn(cfg, args)
			}
			if err == nil {
				err = serve(cfg, self, engine, pprof, newOutput(direct(c.ErrOrStderr())), n, manager)
			}
			if err != nil {
				manager.Failed(oneLine(err.Error()))
			}
			return n.failed(err)
		},
	}
	engineFlag(c, &engine)
	c.Flags().BoolVar(&pprof, "pprof", false, "serve /debug/pprof on the console")
	return c
}

// process is one server and its parts.
type process struct {
	cfg         *config.Config
	self        config.Server
	log         *logging.Log
	engine      string
	reactor     engines.Engine
	journal     *journal.Journal // nil without [storage]
	places      places.Provider
	server      *herd.Server
	onLoop      console.Loop
	door        *door.Door // of the console; it has the tokens, too
	hangups     chan os.Signal
	stopping    atomic.Bool
	open        []string // see herd.Status.OpenBeyondLoopback
	tokens      atomic.Pointer[access.Tokens]
	certs       *certs.Certs                // nil without TLS
	tokensState atomic.Pointer[tokensState] // nil without tokens
	reloads     *reloads
	starter     *notifier         // for the process that started this one; nil if it does not ask for notifications
	service     *service.Notifier // for a service manager; nil likewise
}

// serve runs a server until it is stopped.
func serve(
	cfg *config.Config, self config.Server, engine string, pprof bool, stderr io.Writer, starter *notifier,
	manager *service.Notifier,
) (err error) {
	// A closed output must not kill the server.
	signal.Ignore(syscall.SIGPIPE)
	p := &process{
		cfg: cfg, self: self, engine: engine, hangups: hangup.Signals, reloads: newReloads(), starter: starter,
		service: manager,
	}
	signal.Notify(p.hangups, syscall.SIGHUP) // also if it was ignored
	p.log, err = logging.Open(logging.Options{Config: cfg.Log, Server: self.Name, Now: time.Now, Stderr: stderr})
	if err != nil {
		return err
	}
	defer p.log.Close()
	p.service.OnFailure(func(err error) { p.log.Warn("service manager not notified", zap.Error(err)) })
	if err := p.service.NoWatchdog(); err != nil {
		p.log.Warn("no watchdog", zap.String("reason", err.Error()))
	}
	defer func() { _ = p.closeJournal() }()
	if err := p.run(pprof); err != nil {
		p.log.File.Error("server failed", zap.Error(err)) // main prints it to standard error
		return err
	}
	return nil
}

func (p *process) run(pprof bool) error {
	if err := p.cfg.CheckDescriptors(descriptors()); err != nil {
		return err
	}
	if has, needs := memory(), memoryNeeded(&p.cfg.Limits); 0 < has && has < needs {
		p.log.Warn(littleMemoryMessage, zap.Int("max_clients", p.cfg.Limits.MaxClients), zap.Int("needed", needs),
			zap.Int("memory", has))
	}
	var err error
	if p.places, err = newProvider(&p.cfg.Places, p.self.Name, p.log.Logger); err != nil {
		return err
	}
	if err := p.loadTokens(); err != nil {
		return err
	}
	if file, ok := p.places.(*places.File); ok {
		p.log.Info("places file loaded", zap.Int("places", file.Len()), zap.Int("skipped", file.Report().Skipped))
	}
	p.reactor = engines.New(p.engine, engines.Options{
		Workers: herd.MostLookups(p.cfg.Limits.PlacesInFlight),
		Log:     func(message string) { p.log.Warn(message) },
		Slow: func(what string, d time.Duration) {
			p.log.Warn(slowTurnMessage, zap.String("what", what), zap.Duration("took", d))
		},
	})
	p.log.UseLoopTime(p.reactor.Now)
	// The journal is loaded before clients can connect.
	if dir := p.cfg.Storage.Dir; dir != "" {
		p.service.Status("loading the journal in " + dir)
	}
	kept, err := p.openJournal()
	if err != nil {
		return err
	}
	built := thisBuild()
	options := herd.Options{
		Config: p.cfg, Name: p.self.Name, Reactor: p.reactor, Places: p.places, Log: p.log.Logger,
		// #nosec G404 -- ChaCha8 with 256 bits of crypto/rand is as good
		Lines: p.log.Lines, Rand: rand.New(rand.NewChaCha8(seed())), Engine: p.engine,
		Version: built.Version, Commit: built.commit(), PID: os.Getpid(), Journal: kept, Tokens: p.tokens.Load(),
	}
	if err := p.openTLS(&options); err != nil {
		return err
	}
	closeBucket, err := p.openBucket(&options)
	if err != nil {
		return err
	}
	defer closeBucket()
	if p.server, err = herd.NewServer(options); err != nil {
		return err
	}
	listener, consoleListener, err := p.listen()
	if err != nil {
		return err
	}
	p.open = p.openBeyondLoopback(listener, consoleListener)
	if _, err := p.server.Start(p.securePort(listener)); err != nil {
		return err
	}
	p.door = door.New(door.Options{Config: p.cfg, Name: p.self.Name, Log: p.log.Logger})
	p.door.SetTokens(p.tokens.Load())
	ctx, endWatch := context.WithCancel(context.Background())
	defer endWatch()
	p.watchCerts(ctx)
	p.watchSignals() // before the console, whose page takes a moment to be prepared
	if consoleListener != nil {
		p.onLoop = console.NewLoop(p.reactor.CallFromThread, p.server)
		f := console.NewFollower(p.server, p.reactor.CallFromThread, func(d time.Duration, call func()) {
			p.reactor.CallLater(d, call)
		})
		pages := console.NewPages()
		c := console.New(console.Options{
			Status: p.status, Stopping: p.stopping.Load, Do: p.onLoop, Config: p.cfg, Name: p.self.Name, Follower: f, Pages: pages, Pprof: pprof,
			Door: p.door, ClientTLS: p.clientTLS(), Reload: p.reloads.ask, Log: p.log,
		})
		go func() {
			if err := console.ServeTLS(c, consoleListener, p.consoleTLS()); err != nil {
				p.log.Error("console failed", zap.Error(err))
			}
		}()
		defer console.Close(c)
		defer f.Close()
		defer pages.Close()
	}
	parent.Watch(func() { p.stop("parent process exited") })
	p.starter.ready()
	p.service.Watch(p.reactor)
	p.service.Ready(listening(listener, consoleListener))
	if err := p.reactor.Run(); err != nil {
		return err
	}
	// StopError needs to know what is on the disk: close the journal first.
	return errors.Join(p.closeJournal(), p.server.StopError())
}

// openJournal opens the server's journal; nil if none is configured.
func (p *process) openJournal() (herd.Journal, error) {
	if p.cfg.Storage.Dir == "" {
		return nil, nil
	}
	j, err := journal.Open(journal.Options{
		Dir: p.cfg.Storage.Dir, Herd: p.cfg.Herd.Name, Server: p.self.Name,
		Post: p.reactor.CallFromThread, Log: p.log.Logger,
	})
	if err != nil {
		return nil, err
	}
	p.journal = j
	return j, nil
}

// closeJournal closes the journal after the loop has ended. An error means that records may not be on the
// disk.
func (p *process) closeJournal() error {
	if p.journal == nil {
		return nil
	}
	return p.journal.Close()
}

// listen takes over the listeners of socket activation, the server's and the console's in this order, and
// binds those that are missing.
func (p *process) listen() (server, console net.Listener, err error) {
	handed, err := sockets.ListenFDs()
	if err != nil {
		return nil, nil, err
	}
	if len(handed) > 0 {
		server = handed[0]
		at := server.Addr().String()
		if err := cmp.Or(p.cfg.CheckSecret(at), p.cfg.CheckClients(at)); err != nil {
			server.Close()
			return nil, nil, fmt.Errorf("listener of %s by LISTEN_FDS: %w", p.self.Name, err)
		}
	} else if err := p.cfg.CheckClients(p.self.Listen); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", p.self.Name, err)
	} else if server, err = sockets.Listen(p.self.Listen); err != nil {
		return nil, nil, fmt.Errorf("%s cannot listen: %w", p.self.Name, err)
	}
	if len(handed) > 1 {
		if err := p.cfg.CheckConsole(handed[1].Addr().String()); err != nil {
			server.Close()
			return nil, nil, fmt.Errorf("console of %s by LISTEN_FDS: %w", p.self.Name, err)
		}
		return server, handed[1], nil
	}
	if p.self.Console != "" {
		if err := p.cfg.CheckConsole(p.self.Console); err != nil {
			server.Close()
			return nil, nil, fmt.Errorf("%s: %w", p.self.Name, err)
		}
		if console, err = net.Listen("tcp", p.self.Console); err != nil {
			server.Close()
			return nil, nil, fmt.Errorf("console of %s cannot listen: %w", p.self.Name, err)
		}
	}
	return server, console, nil
}

// openBeyondLoopback is what everyone may use from other machines; it is logged.
func (p *process) openBeyondLoopback(server, console net.Listener) []string {
	address := ""
	if console != nil {
		address = console.Addr().String()
	}
	open := p.cfg.OpenBeyondLoopback(server.Addr().String(), address)
	if len(open) > 0 {
		p.log.Warn("open beyond loopback", zap.Strings("open", open))
	}
	return open
}

// listening is the line of status of a server that is ready.
func listening(server, console net.Listener) string {
	text := "listening on " + server.Addr().String()
	if console != nil {
		text += ", console on " + console.Addr().String()
	}
	return text
}

// status gets the server's status from the loop. It is false if ctx ends first.
func (p *process) status(ctx context.Context) (herd.Status, bool) {
	s, ok := console.OnLoop(ctx, p.onLoop, func(srv *herd.Server) herd.Status {
		s, loop := srv.Status(), p.reactor.Stats()
		s.Loop = herd.NewLoopStatus(loop)
		s.Counters.AcceptFailures = loop.Unaccepted
		return s
	})
	if !ok {
		return herd.Status{}, false
	}
	s.Counters.LogDropped, s.Counters.LogReopened = p.log.Dropped(), p.log.Reopened()
	s.Log, s.Process = p.log.Status(), processStatus()
	s.Places = report(&p.cfg.Places, p.places)
	s.OpenBeyondLoopback = p.open
	s.TLS = p.tlsStatus()
	s.Console = p.door.Status() // who asks has come by the console
	p.fillTokens(s.Tokens)
	return s, true
}

// stop stops the server gracefully, and exits if that takes longer than hardStop.
func (p *process) stop(why string) {
	p.stopping.Store(true)
	p.log.Info("stopping", zap.String("reason", why))
	p.service.Stopping("stopping (" + why + "): handing records over")
	p.reactor.Stop()
	time.AfterFunc(hardStop(p.cfg), func() { p.exit("stop timeout exceeded") })
}

// hardStop is the timeout of a stop: twice the drain time, and at least the drain time and the time that
// the journal may take to close, so that it can report records that are not on the disk.
func hardStop(cfg *config.Config) time.Duration {
	return cfg.Limits.Drain + max(cfg.Limits.Drain, journal.MaxClose+time.Second) + herd.ConsoleClose
}

// exit ends the process, without its defers.
func (p *process) exit(why string) {
	p.service.Failed("forced exit: " + why)
	p.service.Close() // before the log, which may be on a disk that does not write
	p.log.Error("forced exit", zap.String("reason", why))
	p.log.Close()
	os.Exit(exitFailed)
}

// watchSignals stops the server at the first SIGINT or SIGTERM and exits at the second. SIGHUP reloads
// files.
func (p *process) watchSignals() {
	stops := make(chan os.Signal, 2)
	signal.Notify(stops, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		p.stop((<-stops).String())
		p.exit("second signal: " + anotherSignal(stops).String())
	}()
	go func() {
		for range p.hangups {
			p.reloads.request("SIGHUP")
		}
	}()
	go p.reloads.serve(p.reload)
}

// seed returns a seed from the system's entropy: nonces must not be predictable.
func seed() (s [32]byte) {
	_, _ = crand.Read(s[:]) // never fails, says crypto/rand
	return s
}
