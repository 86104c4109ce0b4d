package main

import (
	"context"
	"errors"
	"flag"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"serverherd/cmd/herd/console"
	"serverherd/cmd/herd/engines"
	"serverherd/cmd/herd/parent"
	"serverherd/cmd/study/bare"
	"serverherd/herd"
	"serverherd/herd/config"
	"serverherd/places"
	"serverherd/reactor"
	"serverherd/reactor/sockets"
)

// exit ends this process when the study that started it has ended.
func exit() { os.Exit(exitFailed) }

// serveBare runs a bare server: bare KIND ADDRESS.
func serveBare(args []string) error {
	if len(args) != 2 {
		return usage("usage: study bare KIND ADDRESS")
	}
	parent.Watch(exit)
	return bare.Serve(args[0], args[1])
}

// serveSlow runs a herd server with slow lookups: slow-server NAME [flags]. It gets its listener and its
// console's by LISTEN_FDS.
func serveSlow(args []string) error {
	var s slowServer
	f := flag.NewFlagSet("slow-server", flag.ContinueOnError)
	file := f.String("config", "herd.toml", "configuration `file`")
	f.StringVar(&s.engine, "engine", engines.Names[0], "one of "+strings.Join(engines.Names, ", "))
	f.DurationVar(&s.takes, "takes", 0, "duration of a lookup")
	f.BoolVar(&s.blocks, "blocks", false, "block the handler during a lookup instead of another thread")
	if len(args) < 1 {
		return usage("usage: study slow-server NAME [flags]")
	}
	if err := parse(f, args[1:]); err != nil {
		return err
	}
	if !slices.Contains(engines.Names, s.engine) {
		return usage("unknown engine %q", s.engine)
	}
	cfg, err := config.Load(*file, config.Resources{Descriptors: slowDescriptors})
	if err != nil {
		return err
	}
	s.cfg, s.name = cfg, args[0]
	parent.Watch(exit)
	return s.run()
}

// slowDescriptors is enough for the connections of the row.
const slowDescriptors = 1024

// slowServer is a herd server with a places provider that sleeps, and without logs.
type slowServer struct {
	cfg    *config.Config
	name   string
	engine string
	takes  time.Duration
	blocks bool
}

// Nearby implements places.Provider.
func (s *slowServer) Nearby(context.Context, places.Query) (places.Result, error) {
	time.Sleep(s.takes)
	return places.Result{Status: "OK"}, nil
}

// blocking is a reactor that runs calls for another thread in the handler.
type blocking struct{ reactor.Reactor }

// CallInThread implements reactor.Reactor, in the wrong way, on purpose.
func (blocking) CallInThread(f func()) { f() }

func (s *slowServer) run() error {
	listeners, err := sockets.ListenFDs()
	if err != nil {
		return err
	}
	if len(listeners) != 2 {
		return errors.New("expected LISTEN_FDS=2: the server's listener and its console's")
	}
	engine := engines.New(s.engine, engines.Options{
		Workers: herd.MostLookups(s.cfg.Limits.PlacesInFlight), Log: func(string) {}, Slow: func(string, time.Duration) {},
	})
	var r reactor.Reactor = engine
	if s.blocks {
		r = blocking{r}
	}
	server, err := herd.NewServer(herd.Options{
		Config: s.cfg, Name: s.name, Reactor: r, Places: s, Log: zap.NewNop(),
		Rand: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())), Engine: s.engine, PID: os.Getpid(),
	})
	if err != nil {
		return err
	}
	if _, err := server.Start(listeners[0]); err != nil {
		return err
	}
	onLoop := console.NewLoop(engine.CallFromThread, server)
	c := console.New(console.Options{Do: onLoop, Status: func(ctx context.Context) (herd.Status, bool) {
		return console.OnLoop(ctx, onLoop, (*herd.Server).Status)
	}})
	go func() { _ = console.Serve(c, listeners[1]) }() // ends with the process
	return engine.Run()
}
