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

// leave ends this process: the study that started it is gone.
func leave() { os.Exit(exitFailed) }

// serveBare serves a map without a herd: bare KIND ADDRESS.
func serveBare(args []string) error {
	if len(args) != 2 {
		return usage("usage: study bare KIND ADDRESS")
	}
	parent.Watch(leave)
	return bare.Serve(args[0], args[1])
}

// serveSlow runs the herd's server with lookups that take a while: slow-server NAME, and flags. It is
// handed its listener and its console's.
func serveSlow(args []string) error {
	var s slowServer
	f := flag.NewFlagSet("slow-server", flag.ContinueOnError)
	file := f.String("config", "herd.toml", "configuration `file`")
	f.StringVar(&s.engine, "engine", engines.Names[0], "one of "+strings.Join(engines.Names, ", "))
	f.DurationVar(&s.takes, "takes", 0, "how long a lookup takes")
	f.BoolVar(&s.blocks, "blocks", false, "look up in the handler instead of in another thread")
	if len(args) < 1 {
		return usage("usage: study slow-server NAME [flags]")
	}
	if err := parse(f, args[1:]); err != nil {
		return err
	}
	if !slices.Contains(engines.Names, s.engine) {
		return usage("no engine is called %q", s.engine)
	}
	cfg, err := config.Load(*file, config.Resources{Descriptors: slowDescriptors})
	if err != nil {
		return err
	}
	s.cfg, s.name = cfg, args[0]
	parent.Watch(leave)
	return s.run()
}

// slowDescriptors is more than the row's connections need.
const slowDescriptors = 1024

// slowServer is the herd's server with a provider that sleeps, and without logs.
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

// blocking is an engine on which what should run in another thread runs in the handler.
type blocking struct{ reactor.Reactor }

// CallInThread implements reactor.Reactor, as nobody should.
func (blocking) CallInThread(f func()) { f() }

func (s *slowServer) run() error {
	listeners, err := sockets.ListenFDs()
	if err != nil {
		return err
	}
	if len(listeners) != 2 {
		return errors.New("want LISTEN_FDS=2, the server's listener and its console's")
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
	c := console.New(console.Options{Status: func(ctx context.Context) (herd.Status, bool) {
		answer := make(chan herd.Status, 1)
		engine.CallFromThread(func() { answer <- server.Status() })
		select {
		case status := <-answer:
			return status, true
		case <-ctx.Done():
			return herd.Status{}, false
		}
	}})
	go func() { _ = console.Serve(c, listeners[1]) }() // it ends with the process
	return engine.Run()
}
