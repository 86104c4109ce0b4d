package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

func newWhatsat(o *options) *cobra.Command {
	var onlyJSON bool
	c := &cobra.Command{
		Use:   "whatsat CLIENT [RADIUS=10] [BOUND=5]",
		Short: "Ask a server what is near a client",
		Long: "Ask a server what is within RADIUS kilometres (0 to 50) of a client, BOUND results\n" +
			"(0 to 20) at most. With dialect = \"cs131\" RADIUS may have a fraction, as in 10.5.",
		Example: "  herd iamat kiwi.cs.ucla.edu +34.068930-118.445127\n" +
			"  herd whatsat kiwi.cs.ucla.edu 10 5\n" +
			"  herd whatsat kiwi.cs.ucla.edu --json",
		Args:              arguments(1, 3),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkFields(args); err != nil {
				return err
			}
			args = append(args, []string{"10", "5"}[len(args)-1:]...)
			return whatsat(cmd, o, args, onlyJSON)
		},
	}
	c.Flags().BoolVar(&onlyJSON, "json", false, "print only the JSON")
	o.serverFlags(c)
	return c
}

func whatsat(cmd *cobra.Command, o *options, args []string, onlyJSON bool) error {
	c, err := dial(o)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := fmt.Fprintf(c, "WHATSAT %s\n", strings.Join(args, " ")); err != nil {
		return err
	}
	reply, err := c.reply("WHATSAT")
	if err != nil {
		return err
	}
	bad := refused(reply)
	if onlyJSON {
		if bad { // no JSON is better than none that parses
			return &exitError{exitFailed, forTerminal(reply)}
		}
		_, reply, _ = strings.Cut(reply, "\n")
	}
	p := newPrinter(cmd.OutOrStdout())
	p.print(reply)
	if err := p.Flush(); err != nil {
		return err
	}
	if bad {
		return errFailed
	}
	return nil
}
