package main

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"serverherd/cmd/herd/ask"
	"serverherd/cmd/herd/view"
	"serverherd/cmd/herd/view/style"
	"serverherd/herd/config"
)

func newReady(o *options) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "ready [NAME]",
		Short: "Check whether a server is ready, for health checks",
		Long: "Check whether a server is ready, by /readyz of its console: it listens, and the\n" +
			"records of its neighbors have arrived. The default is the server of\n" +
			"$HERD_SERVER. Without that, all servers of herd.toml that have a console must be\n" +
			"ready. A line for each server says why it is not. The exit code is 0 or 1; 1\n" +
			"also if a server does not answer within --timeout, or if none has a console.",
		Example:           "  herd ready Alford\n  herd ready --json",
		Args:              arguments(0, 1),
		ValidArgsFunction: o.completeServers,
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := o.load()
			if err != nil {
				return err
			}
			servers := cfg.Servers
			if s, ok, err := findOwn(cfg, args); err != nil {
				return err
			} else if ok {
				servers = []config.Server{s}
			}
			all := ask.Ready(context.Background(), o.asker(cfg, o.timeout), servers)
			if asJSON {
				err = printJSON(c.OutOrStdout(), all)
			} else {
				err = printReady(direct(c.OutOrStdout()), all)
			}
			if err == nil && !allReady(all) {
				err = errFailed
			}
			return err
		},
	}
	o.timeoutFlag(c, "how long to wait for each server")
	o.tokenFlag(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print an array with the reason for each server")
	return c
}

// allReady reports whether all servers with a console are ready, and there is one.
func allReady(all []ask.Readiness) bool {
	return slices.ContainsFunc(all, func(a ask.Readiness) bool { return a.Ready }) &&
		!slices.ContainsFunc(all, func(a ask.Readiness) bool { return !a.Ready && !a.NoConsole })
}

// printReady prints a line for each server.
func printReady(out io.Writer, all []ask.Readiness) error {
	colors := style.For(out)
	for _, a := range all {
		level, text := view.Bad, "not ready"
		switch {
		case a.Ready:
			level, text = view.Good, "ready"
		case a.NoConsole:
			level, text = view.Unknown, "unknown"
		}
		line := view.OneLine(a.Server) + ": " + text
		if a.Reason != "" {
			line += ": " + view.OneLine(a.Reason)
		}
		if _, err := fmt.Fprintln(out, colors.Level(level, line)); err != nil {
			return err
		}
	}
	return nil
}
