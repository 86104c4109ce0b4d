package main

import (
	"context"
	"math/rand/v2"
	"os"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"serverherd/cmd/herd/console"
	"serverherd/cmd/herd/engines"
	"serverherd/cmd/herd/parent"
	"serverherd/cmd/herd/study"
	"serverherd/cmd/herd/study/bare"
	"serverherd/herd"
	"serverherd/places"
	"serverherd/reactor"
)

// newBareServer is hidden: the study starts it as a process of its own.
func newBareServer() *cobra.Command {
	return &cobra.Command{
		Use: "bare KIND ADDRESS", Short: "Serve a map without a herd, for the study", Hidden: true,
		Example: "  herd study bare gnet 127.0.0.1:11500", Args: arguments(2, 2),
		RunE: func(_ *cobra.Command, args []string) error {
			parent.Watch(leave)
			return bare.Serve(args[0], args[1])
		},
	}
}

// newSlowServer is hidden, likewise.
func newSlowServer(o *options) *cobra.Command {
	s := slowServer{}
	c := &cobra.Command{
		Use: study.SlowServer + " NAME", Short: "Serve with lookups that take a while, for the study",
		Hidden: true, Example: "  herd study " + study.SlowServer + " Alford --takes 10ms --blocks",
		Args: arguments(1, 1),
		RunE: func(_ *cobra.Command, args []string) (err error) {
			if s.cfg, err = o.load(); err != nil {
				return err
			}
			if s.self, err = find(s.cfg, args[0]); err != nil {
				return err
			}
			parent.Watch(leave)
			return s.run()
		},
	}
	engineFlag(c, &s.engine)
	durationFlag(c.Flags(), &s.takes, "takes", 0, 0, time.Minute, "how long a lookup takes")
	c.Flags().BoolVar(&s.blocks, "blocks", false, "look up in the handler instead of in another thread")
	return c
}

// slowServer is the herd's server with a provider that sleeps, and without logs.
type slowServer struct {
	cfg    *herd.Config
	self   herd.ServerConfig
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
	log := zap.NewNop()
	p := &process{cfg: s.cfg, self: s.self, engine: s.engine}
	p.reactor = engines.New(s.engine, engines.Options{
		Workers: s.cfg.Limits.MostLookups(), Log: func(string) {}, Slow: func(string, time.Duration) {},
	})
	var r reactor.Reactor = p.reactor
	if s.blocks {
		r = blocking{r}
	}
	var err error
	p.server, err = herd.NewServer(herd.Options{
		Config: s.cfg, Name: s.self.Name, Reactor: r, Places: s, Log: log,
		Rand: rand.New(rand.NewChaCha8(seed())), Engine: s.engine, Version: version(), PID: os.Getpid(),
	})
	if err != nil {
		return err
	}
	listener, consoleListener, err := p.listen()
	if err != nil {
		return err
	}
	if _, err := p.server.Start(listener); err != nil {
		return err
	}
	c := console.New(console.Options{Status: func(ctx context.Context) (herd.Status, bool) {
		answer := make(chan herd.Status, 1)
		p.reactor.CallFromThread(func() { answer <- p.server.Status() })
		select {
		case status := <-answer:
			return status, true
		case <-ctx.Done():
			return herd.Status{}, false
		}
	}})
	go func() { _ = console.Serve(c, consoleListener) }() // it ends with the process
	return p.reactor.Run()
}

// leave ends this process, as the one that started it is gone.
func leave() { os.Exit(exitFailed) }
