package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"serverherd/cmd/herd/ask"
	"serverherd/cmd/herd/top"
	"serverherd/cmd/herd/view/style"
	"serverherd/herd/config"
)

// topTimeout is how long top waits for a console: with the default interval a server that hangs is shown as such
// within two seconds.
const topTimeout = 900 * time.Millisecond

func newTop(o *options) *cobra.Command {
	var once, asJSON bool
	var interval, timeout time.Duration // o.timeout has the default of other commands
	c := &cobra.Command{
		Use:   "top",
		Short: "Watch the whole herd on one screen",
		Long: "Watch the whole herd on one screen: every server of herd.toml, their links in\n" +
			"both directions, and each server in detail. The consoles are asked every\n" +
			"--interval. Rates are between the last two answers of a server, percentiles are\n" +
			"of its last 11 answers. ? shows the keys and what the columns mean.\n\n" +
			"--once prints the servers once, after two answers of each, and needs no\n" +
			"terminal. With --json it prints an object with the rates of each server.",
		Example:           "  herd top --once\n  herd top --once --interval 200ms --json",
		Args:              arguments(0, 0),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := o.load()
			if err != nil {
				return err
			}
			out := direct(c.OutOrStdout())
			opts := topOptions(cfg, o.asker(cfg, timeout), interval, style.For(out))
			switch {
			case once:
				return topOnce(c.OutOrStdout(), opts, asJSON)
			case asJSON:
				return usage("--json needs --once")
			}
			in, isFile := c.InOrStdin().(*os.File)
			if !isFile || !isTerminal(in) || !isTerminal(out) || os.Getenv("TERM") == "dumb" {
				return usage("top needs a terminal; herd top --once prints one screen")
			}
			return runTop(in, out, opts)
		},
	}
	durationFlag(c.Flags(), &interval, "interval", time.Second, 100*time.Millisecond, time.Hour, "time between two questions to a console")
	durationFlag(c.Flags(), &timeout, "timeout", topTimeout, time.Millisecond, time.Hour, "how long to wait for each console")
	o.tokenFlag(c)
	c.Flags().BoolVar(&once, "once", false, "print one screen and exit")
	c.Flags().BoolVar(&asJSON, "json", false, "with --once: print a JSON object")
	return c
}

// topOptions are the options of a model that asks the consoles of a configuration.
func topOptions(cfg *config.Config, client *ask.Client, interval time.Duration, styles style.Styles) top.Options {
	opts := top.Options{Herd: cfg.Herd.Name, Interval: interval, Styles: styles, Ask: func(ctx context.Context, i int) ask.Status {
		return ask.StatusOf(ctx, client, cfg.Servers[i])
	}}
	for _, s := range cfg.Servers {
		opts.Servers = append(opts.Servers, s.Name)
	}
	return opts
}

// topOnce asks all consoles twice and prints what they answered.
func topOnce(w io.Writer, opts top.Options, asJSON bool) error {
	ctx, stop := untilSignal()
	defer stop()
	width := 80
	if f, ok := direct(w).(*os.File); ok {
		if columns, _, err := term.GetSize(int(f.Fd())); err == nil && columns > 0 {
			width = columns
		}
	}
	m := top.New(ctx, opts)
	for round := range 2 {
		if round > 0 {
			select {
			case <-time.After(opts.Interval):
			case <-ctx.Done():
			}
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		m.AskAll(time.Now())
	}
	if asJSON {
		return printJSON(w, m.Report())
	}
	_, err := io.WriteString(direct(w), m.Whole(width))
	return err
}

// stuck is how long top waits for a terminal that takes no output when a signal ends it.
const stuck = time.Second

// runTop shows the screen until the user ends it. A signal ends it, too, and leaves the terminal as it was.
func runTop(in io.Reader, out io.Writer, opts top.Options) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	p := tea.NewProgram(top.New(ctx, opts), tea.WithInput(in), tea.WithOutput(out), tea.WithoutSignalHandler())
	done := make(chan error, 1)
	go func() {
		_, err := p.Run()
		done <- err
	}()
	select {
	case err := <-done:
		if errors.Is(err, tea.ErrProgramPanic) {
			return fmt.Errorf("top: %w", err)
		}
		return err
	case s := <-signals:
		go p.Quit()
		select {
		case <-done:
		case <-time.After(stuck):
		}
		if s != syscall.SIGHUP {
			return nil // as q does
		}
		return &exitError{code: exitSignal + int(syscall.SIGHUP)}
	}
}
