package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"serverherd/cmd/herd/certs"
	"serverherd/cmd/herd/demo"
	"serverherd/cmd/herd/load"
	"serverherd/cmd/herd/view"
	"serverherd/herd/config"
	"serverherd/protocol"
)

// demoFlags are the flags of demo.
type demoFlags struct {
	clients, rate int
	duration      time.Duration
	seed          uint64
	seeded, yes   bool
}

// Limits of the flags of demo.
const (
	demoConnections = 64
	maxDemoClients  = 1_000_000
	maxDemoRate     = 100_000
	demoWarmup      = 2 * time.Second  // before the growth of the line logs is measured
	demoLine        = 10 * time.Second // between two status lines without a terminal
)

func newDemo(o *options) *cobra.Command {
	f := &demoFlags{}
	c := &cobra.Command{
		Use:   "demo",
		Short: "Move clients over the world, to have something to look at",
		Long: "Move clients over the world, to have something to look at, until Ctrl-C: planes\n" +
			"between airports and buses between cities, along great circles. A trip takes 20\n" +
			"to 90 seconds whatever the distance. Ids are such as demo/KLM1023. Each client\n" +
			"has a server of its own, chosen by a hash of its id, and makes some trips at\n" +
			"another. Now and then there is a burst: as many updates as in a second, at once.\n\n" +
			"The updates go over " + strconv.Itoa(demoConnections) + " connections to all servers of herd.toml. If a server\n" +
			"is lost, hangs or is full, its clients go to other servers until it answers\n" +
			"again. A line says so. On a terminal the last line is updated in place every\n" +
			"second. Without one there is a line every 10 seconds. Its errors are updates\n" +
			"that were refused, not answered, or left out because no server took them.\n\n" +
			"The clients stay in the herd, and servers with log.lines = true log all updates\n" +
			"and replies: lines say where the logs are and how fast they grow. So servers\n" +
			"beyond this machine require --yes. The exit code is 0 after Ctrl-C and\n" +
			"--duration, and 1 if no server can be reached at first or confirms an update.",
		Example: "  herd demo\n" +
			"  herd demo --clients 50000 --rate 10000\n" +
			"  herd demo --duration 1m --seed 7",
		Args:              arguments(0, 0),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := o.load()
			if err != nil {
				return err
			}
			if !f.seeded {
				// #nosec G404 -- a seed need not be secret
				f.seed = uint64(rand.Uint32())
			}
			if !f.yes {
				for _, s := range cfg.Servers {
					if !config.IsLoopback(s.Address) {
						return usage("%s at %s may be another machine, and the clients of the demo would stay in its herd: "+
							"set --yes if that is wanted", view.OneLine(s.Name), s.Address)
					}
				}
			}
			return f.run(c, o, cfg)
		},
	}
	wholeFlag(c.Flags(), &f.clients, "clients", 2000, 1, maxDemoClients, "number of clients")
	wholeFlag(c.Flags(), &f.rate, "rate", 2000, 1, maxDemoRate, "updates per second of all clients together")
	durationFlag(c.Flags(), &f.duration, "d/duration", 0, time.Millisecond, load.MaxDuration,
		"end after this time (at Ctrl-C by default)")
	seedFlag(c.Flags(), &f.seed, &f.seeded, "random seed of trips and bursts")
	c.Flags().BoolVar(&f.yes, "yes", false, "also send to servers beyond this machine")
	o.timeoutFlag(c, "how long to wait for a connection and for a reply")
	o.tokenFlag(c)
	o.tlsFlags(c)
	return c
}

// run moves clients until a signal comes or the duration is over.
func (f *demoFlags) run(c *cobra.Command, o *options, cfg *config.Config) error {
	ctx, stop := untilSignal()
	defer stop()
	dialect, err := protocol.ParseDialect(cfg.Herd.Dialect)
	if err != nil {
		return err
	}
	airports, cities, err := demo.Embedded()
	if err != nil {
		return err
	}
	world := demo.New(demo.Options{
		Clients: f.clients, Rate: float64(f.rate), Servers: len(cfg.Servers), Seed: f.seed, Airports: airports, Cities: cities,
	})
	var targets []load.Target
	for _, s := range cfg.Servers {
		t, err := o.targetOf(cfg, s)
		if err != nil {
			return err
		}
		targets = append(targets, load.Target{Name: s.Name, Addr: s.Address, TLS: t.tls})
	}
	connections := max(demoConnections, len(targets))
	screen := newDemoScreen(c.OutOrStdout())
	logs := lineLogs{cfg: cfg, client: o.asker(cfg, min(o.timeout, sampleTimeout)), say: screen.say}
	screen.say(demoPage(ctx, cfg.Servers, consoleTLS(cfg)))
	screen.say(fmt.Sprintf("%s, %s updates/s, %s, seed %d; Ctrl-C ends it", view.Plural(uint64(f.clients), "client", "clients"),
		thousands(f.rate), view.Plural(uint64(len(targets)), "server", "servers"), f.seed))
	logs.begin()
	if screen.err != nil {
		return screen.err
	}
	var begun time.Time // of the clients' time; on the feed's loop
	var line []byte
	feed := load.NewFeed(load.FeedOptions{
		Targets: targets, Dialect: dialect, Connections: connections, Timeout: o.timeout,
		Duration: f.duration, Token: o.token,
		Due: func(elapsed time.Duration, send func(line []byte, target int, key uint64)) {
			if begun.IsZero() {
				begun = time.Now().Add(-elapsed)
			}
			world.Until(elapsed, func(u demo.Update) {
				line = u.Append(line[:0], begun)
				send(line, u.Server, uint64(u.Client))
			})
		},
	})
	err = f.watch(ctx, feed, screen, &logs, len(targets))
	counts := feed.Counts()
	if counts.Updates > 0 {
		missing, all := logs.end()
		f.reportStay(screen.say, &logs, missing, all && counts.Up == 0)
	}
	switch {
	case screen.err != nil:
		return screen.err
	case err != nil:
		if _, ok := errors.AsType[*certs.HandshakeError](err); ok { // they run
			return err
		}
		return fmt.Errorf("%w; are the servers running? see herd status", err)
	case counts.Updates == 0 && ctx.Err() != nil:
		return context.Cause(ctx)
	case counts.Updates == 0:
		return errors.New("no server confirmed an update")
	}
	return nil
}

// reportStay says whether the clients stay in the herd.
func (f *demoFlags) reportStay(say func(string), logs *lineLogs, missing []string, all bool) {
	stay := "stay"
	if f.clients == 1 {
		stay = "stays"
	}
	ids := view.Plural(uint64(f.clients), "client", "clients") + " " + demo.Prefix + "..."
	reportStay(say, ids, stay, logs.first.kept(), missing, all)
}

// watch runs the feed and shows what happens until it ends.
func (f *demoFlags) watch(ctx context.Context, feed *load.Feed, screen *demoScreen, logs *lineLogs, servers int) error {
	ctx, end := context.WithCancel(ctx)
	defer end()
	done := make(chan error, 1)
	go func() { done <- feed.Run(ctx) }()
	begun := time.Now()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	status := func(rate uint64) string {
		counts := feed.Counts()
		return fmt.Sprintf("%s, %s updates/s, %s, %d of %s, %s", view.Plural(uint64(f.clients), "client", "clients"),
			view.Count(rate), view.Plural(counts.Failed, "error", "errors"), counts.Up,
			view.Plural(uint64(servers), "server", "servers"), formatDuration(time.Since(begun).Truncate(time.Second)))
	}
	last, lastAt := uint64(0), begun
	for {
		select {
		case text := <-feed.Notes():
			screen.say(view.OneLine(text))
		case now := <-tick.C:
			logs.second(load.Second{Warmup: now.Sub(begun) < demoWarmup}, load.MaxDuration)
			if updates := feed.Counts().Updates; screen.live || now.Sub(lastAt) >= demoLine-tickSlack {
				screen.status(status(uint64(float64(updates-last)/now.Sub(lastAt).Seconds() + 0.5)))
				last, lastAt = updates, now
			}
		case err := <-done:
			for len(feed.Notes()) > 0 {
				screen.say(view.OneLine(<-feed.Notes()))
			}
			if updates := feed.Counts().Updates; updates > 0 {
				screen.over()
				screen.say(fmt.Sprintf("%s in %s, %s", view.Plural(updates, "update", "updates"),
					formatDuration(time.Since(begun).Truncate(100*time.Millisecond)),
					view.Plural(feed.Counts().Failed, "error", "errors")))
			}
			return err
		}
		if screen.err != nil {
			end() // and wait for the feed
		}
	}
}

// tickSlack is by how much a tick may be early.
const tickSlack = time.Second / 2

// demoScreen shows lines and, on a terminal, a status line below them that is updated in place.
type demoScreen struct {
	out   io.Writer
	live  bool
	shown string // the status line
	err   error  // of writing, the first
}

func newDemoScreen(w io.Writer) *demoScreen {
	return &demoScreen{out: direct(w), live: isTerminal(w) && os.Getenv("TERM") != "dumb"}
}

func (s *demoScreen) write(text string) {
	if s.err == nil {
		_, s.err = io.WriteString(s.out, text)
	}
}

// say prints a line above the status line.
func (s *demoScreen) say(text string) {
	if s.shown != "" {
		text = "\r\x1b[K" + text
	}
	s.write(text + "\n" + s.shown)
}

// status shows the status line. One that wraps could not be overwritten.
func (s *demoScreen) status(text string) {
	if !s.live {
		s.write(text + "\n")
		return
	}
	width := 80
	if f, ok := s.out.(*os.File); ok {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
			width = w
		}
	}
	s.shown = view.Cut(text, width-1)
	s.write("\r\x1b[K" + s.shown)
}

// over removes the status line.
func (s *demoScreen) over() {
	if s.shown != "" {
		s.write("\r\x1b[K")
		s.shown = ""
	}
}
