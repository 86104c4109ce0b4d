package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"serverherd/cmd/herd/ask"
	"serverherd/cmd/herd/view"
	"serverherd/cmd/herd/view/statusview"
	"serverherd/cmd/herd/view/style"
	"serverherd/herd"
	"serverherd/herd/config"
)

func newStatus(o *options) *cobra.Command {
	var watch, asJSON bool
	var interval time.Duration
	c := &cobra.Command{
		Use:   "status [NAME]",
		Short: "Show the status of every server in herd.toml, or one in detail",
		Long: "Show the status of every server in herd.toml: problems first, then a table,\n" +
			"then counters of unusual events. UP is the time since the start, LINKS live and\n" +
			"configured links. LAG is the 99th percentile of how long the event loop kept\n" +
			"work waiting, DELAY (propagation, on a wide terminal) that of how long updates\n" +
			"took to come here, both since the start. AGREEMENT says whether the server has\n" +
			"the records of its neighbors.\n\n" +
			"With a NAME, show this server in detail: both directions of its links, delays,\n" +
			"counters, and the clocks of its neighbors.\n\n" +
			"The exit code is 1 if a server does not answer within --timeout or has a\n" +
			"problem. If the output is no terminal, servers that do not answer are also\n" +
			"listed on standard error. With --watch, the exit code after Ctrl-C or SIGTERM\n" +
			"is 0, and --timeout is 1s by default.",
		Example:           "  herd status\n  herd status Alford\n  herd status --json",
		Args:              arguments(0, 1),
		ValidArgsFunction: o.completeServers,
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := o.load()
			if err != nil {
				return err
			}
			s := &statusCommand{cfg: cfg, out: c.OutOrStdout(), json: asJSON}
			if len(args) > 0 {
				if _, err := find(cfg, args[0]); err != nil {
					return err
				}
				s.name = args[0]
			}
			if c.Flags().Changed("interval") && !watch {
				return usage("--interval requires --watch")
			}
			if watch && !c.Flags().Changed("timeout") {
				o.timeout = herd.ConsoleAskTimeout
			}
			s.client = o.asker(cfg, o.timeout)
			if watch {
				return s.watch(interval)
			}
			return s.once()
		},
	}
	o.timeoutFlag(c, "how long to wait for each server")
	o.tokenFlag(c)
	c.Flags().BoolVarP(&watch, "watch", "w", false, "update in place until Ctrl-C; print again and again if this is no terminal")
	durationFlag(c.Flags(), &interval, "interval", time.Second, 100*time.Millisecond, time.Hour, "time between two updates of --watch")
	c.Flags().BoolVar(&asJSON, "json", false, "print an array of the servers' /status.json")
	return c
}

// statusCommand is a run of herd status.
type statusCommand struct {
	cfg    *config.Config
	client *ask.Client
	name   string // of one server; "" for all
	out    io.Writer
	json   bool
}

func (s *statusCommand) ask(ctx context.Context) []ask.Status {
	return ask.Statuses(ctx, s.client, s.cfg.Servers)
}

// once shows the status once.
func (s *statusCommand) once() error {
	h := view.Of(nil, s.ask(context.Background()))
	if h.Differ() {
		time.Sleep(view.Settling)
		h = view.Of(h.All, s.ask(context.Background()))
	}
	if err := s.show(h); err != nil {
		return err
	}
	shown, well := s.shown(h.All), h.Summary().Well()
	if s.name != "" {
		well = view.Of(nil, shown).Summary().Well()
	}
	switch {
	case well:
		return nil
	case isTerminal(s.out): // all has been said
		return errFailed
	}
	return &exitError{exitFailed, unanswered(shown)}
}

// watch shows the status until a signal comes.
func (s *statusCommand) watch(interval time.Duration) error {
	ctx, stop := untilSignal()
	defer stop()
	draw := func(lines []string) error {
		_, err := fmt.Fprintln(direct(s.out), strings.Join(lines, "\n")+"\n")
		return err
	}
	var live liveScreen
	if isTerminal(s.out) && os.Getenv("TERM") != "dumb" {
		live.out = direct(s.out)
		draw = live.draw
	}
	err := s.follow(ctx, interval, draw)
	return errors.Join(err, live.close())
}

// follow draws the status at each interval until ctx ends.
func (s *statusCommand) follow(ctx context.Context, interval time.Duration, draw func([]string) error) error {
	type round struct {
		begun time.Time
		all   []ask.Status
	}
	var rounds []round // the first one is the latest that is at least view.Settling old, if there is one
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		now := time.Now()
		for len(rounds) > 1 && now.Sub(rounds[1].begun) >= view.Settling {
			rounds = rounds[1:]
		}
		all := s.ask(ctx)
		if ctx.Err() != nil {
			return nil
		}
		h := view.Of(nil, all)
		if len(rounds) > 0 && now.Sub(rounds[0].begun) >= view.Settling {
			h = view.Of(rounds[0].all, all)
		}
		first := len(rounds) == 0
		rounds = append(rounds, round{now, all})
		next := tick.C
		if first && h.Differ() { // updates may be under way: the next answers tell
			next = time.After(view.Settling)
		} else if err := s.drawRound(h, now, interval, draw); err != nil {
			return err
		}
		select {
		case <-next:
		case <-ctx.Done():
			return nil
		}
	}
}

func (s *statusCommand) drawRound(h *view.Herd, now time.Time, interval time.Duration, draw func([]string) error) error {
	if s.json {
		return s.show(h)
	}
	head := fmt.Sprintf("%s, every %s; Ctrl-C ends it", now.Format(time.TimeOnly), formatDuration(interval))
	return draw(append([]string{s.screen().Faint(head)}, s.lines(h)...))
}

// show prints a status.
func (s *statusCommand) show(h *view.Herd) error {
	if s.json {
		return printJSON(s.out, s.shown(h.All))
	}
	_, err := fmt.Fprintln(direct(s.out), strings.Join(s.lines(h), "\n"))
	return err
}

// shown are the servers that the command is about.
func (s *statusCommand) shown(all []ask.Status) []ask.Status {
	i := slices.IndexFunc(all, func(a ask.Status) bool { return a.Server == s.name })
	if i < 0 {
		return all
	}
	return all[i : i+1]
}

func (s *statusCommand) screen() statusview.Screen {
	width, _ := terminalSize(s.out)
	return statusview.Screen{Width: max(width, statusview.Narrowest), Styles: style.For(direct(s.out))}
}

func (s *statusCommand) lines(h *view.Herd) []string {
	if s.name != "" {
		return s.screen().Server(s.shown(h.All)[0], h)
	}
	return s.screen().Herd(s.cfg.Herd.Name, h)
}

// unanswered lists the servers that did not answer, and why; "" if all did.
func unanswered(answers []ask.Status) string {
	var all []string
	for _, a := range answers {
		if a.Status == nil && !a.NoConsole {
			all = append(all, view.OneLine(a.Server+": "+a.Error))
		}
	}
	return strings.Join(all, "; ")
}
