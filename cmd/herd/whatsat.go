package main

import (
	"strings"

	"github.com/spf13/cobra"

	"serverherd/cmd/herd/client"
)

func newWhatsat(o *options) *cobra.Command {
	var onlyJSON bool
	c := &cobra.Command{
		Use:   "whatsat CLIENT [RADIUS=10] [BOUND=5]",
		Short: "Ask a server which places are near a client",
		Long: "Ask a server which places are within RADIUS kilometers (0 to 50) of a client,\n" +
			"at most BOUND (0 to 20) of them. With dialect = \"cs131\" RADIUS may have a\n" +
			"fraction, such as 10.5.\n\n" +
			"The reply goes to standard output. An error reply, which begins with \"? \" or\n" +
			"\"> \", goes to standard error, and the exit code is 1. It is also 1 if the server\n" +
			"does not answer within --timeout. A lookup may take up to places.timeout of the\n" +
			"server's herd.toml; --timeout should be longer than that.",
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
	c.Flags().BoolVar(&onlyJSON, "json", false, "print only the JSON object")
	o.serverFlags(c)
	o.timeoutFlag(c, "how long to wait for the connection and for the reply")
	return c
}

func whatsat(cmd *cobra.Command, o *options, args []string, onlyJSON bool) error {
	c, err := dial(o)
	if err != nil {
		return err
	}
	defer c.Close()
	reply, err := c.ask("WHATSAT " + strings.Join(args, " "))
	switch {
	case err != nil:
		return err
	case client.Refused(reply):
		return &exitError{exitFailed, refusal(reply)}
	case onlyJSON:
		_, reply, _ = strings.Cut(reply, "\n")
	}
	p := newPrinter(cmd.OutOrStdout())
	p.print(reply)
	return p.Flush()
}
