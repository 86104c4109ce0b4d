package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"serverherd/cmd/herd/ask"
	"serverherd/cmd/herd/console"
	"serverherd/cmd/herd/view"
	"serverherd/cmd/herd/view/style"
	"serverherd/herd/config"
)

func newLogLevel(o *options) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "loglevel [LEVEL [NAME...]]",
		Short: "Show or change the level of the servers' logs",
		Long: "Show the level of the log of each server of herd.toml, by its console. With a\n" +
			"LEVEL (" + strings.Join(config.LogLevels, ", ") + "), change it at once, of all servers or of\n" +
			"those named. It holds until the server is restarted. SIGHUP and herd reload keep\n" +
			"it. Each change is logged, whatever the level is. Lines in and out are logged at\n" +
			"the levels debug and info, if herd.toml has log.lines = true.\n\n" +
			"Beyond loopback a change needs a token with the right operate. The exit code is\n" +
			"1 if a server does not answer within --timeout or does not let the command in,\n" +
			"or if a server that is named has no console.",
		Example: "  herd loglevel\n  herd loglevel debug Alford\n  herd loglevel info",
		Args:    arguments(0, -1),
		ValidArgsFunction: func(c *cobra.Command, args []string, text string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 0 {
				return config.LogLevels, cobra.ShellCompDirectiveNoFileComp
			}
			return o.completeServers(c, args, text)
		},
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 0 && !slices.Contains(config.LogLevels, args[0]) {
				return usage("want a level (%s), got %s", strings.Join(config.LogLevels, ", "), shown(args[0]))
			}
			cfg, err := o.load()
			if err != nil {
				return err
			}
			var body []byte
			method, client := http.MethodGet, o.asker(cfg, o.timeout)
			servers := cfg.Servers
			if len(args) > 0 {
				if servers, err = findAll(cfg, args[1:]); err != nil {
					return err
				}
				method, client = http.MethodPut, o.operator(cfg, o.timeout)
				body, _ = json.Marshal(console.LogLevelRequest{Level: args[0]}) // a word
			}
			all := ask.Each(servers, func(s config.Server) levelResult {
				a := ask.Change[console.LogLevel](context.Background(), client, s, method, "/loglevel", body)
				r := levelResult{Server: a.Server, NoConsole: a.NoConsole, Error: a.Error}
				if l := a.Value; l != nil {
					r.Level, r.Configured, r.Was = l.Level, l.Configured, l.Was
				}
				return r
			})
			if asJSON {
				err = printJSON(c.OutOrStdout(), all)
			} else {
				err = printLevels(direct(c.OutOrStdout()), all)
			}
			if err == nil && !allDone(all, len(args) > 1) {
				err = errFailed
			}
			return err
		},
	}
	o.timeoutFlag(c, "how long to wait for each server")
	o.tokenFlag(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print an array with the level of each server")
	return c
}

// levelResult is the level of one server's log. Its JSON is what herd loglevel --json prints.
type levelResult struct {
	Server     string `json:"server"`
	NoConsole  bool   `json:"no_console,omitempty"` // none in herd.toml
	Error      string `json:"error,omitempty"`      // why the level is unknown, or was not changed
	Level      string `json:"level,omitempty"`
	Configured string `json:"configured,omitempty"` // of herd.toml, at the start
	Was        string `json:"was,omitempty"`        // before it was changed
}

func (r levelResult) done() bool    { return r.Error == "" }
func (r levelResult) skipped() bool { return r.NoConsole }

// printLevels prints a line for each server.
func printLevels(out io.Writer, all []levelResult) error {
	colors := style.For(out)
	for _, r := range all {
		level, text := view.Good, r.Level
		switch {
		case r.NoConsole:
			level, text = view.Unknown, r.Error
		case r.Error != "":
			level, text = view.Bad, r.Error
		case r.Was != "" && r.Was != r.Level:
			text += ", was " + r.Was
		case r.Was != "":
			text += ", as before"
		}
		if r.Error == "" && r.Level != r.Configured {
			level = view.Notice
			text += "; herd.toml: " + r.Configured + ", from the next start on"
		}
		if _, err := fmt.Fprintln(out, colors.Level(level, view.OneLine(r.Server+": "+text))); err != nil {
			return err
		}
	}
	return nil
}
