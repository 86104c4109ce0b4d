package main

import (
	"strings"

	"github.com/spf13/cobra"

	"serverherd/cmd/herd/client"
	"serverherd/cmd/herd/view"
)

func newSend(o *options) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "send LINE",
		Short: "Send one line of the protocol to a server and print its reply",
		Long: "Send one line of the protocol to a server and print its reply, whatever it is,\n" +
			"to standard output. Several arguments are joined by spaces. The exit code is 1\n" +
			"if the reply is an error, which begins with \"? \" or \"> \", and if there is none\n" +
			"within --timeout. \"> Goodbye\", the reply to quit, is no error. A line TOKEN is\n" +
			"the first of its connection, whatever --token is, and is not printed.",
		Example: "  herd send help\n" +
			"  herd send 'IAMAT kiwi +34.068930-118.445127 1520023934.918963997' --at Ball\n" +
			"  herd send WHATSAT kiwi 10 5 --at Ball",
		Args:              arguments(1, -1),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			line := strings.Join(args, " ")
			if strings.Contains(line, "\n") {
				return usage("want one line, got %q; herd shell sends many", client.Redact(line))
			}
			if client.IsToken(line) {
				o.token = "" // that of the line is the first
			}
			c, err := dial(o)
			if err != nil {
				return err
			}
			defer c.Close()
			reply, err := c.ask(line)
			if err != nil {
				return err
			}
			wrong := client.Failed(client.Verb(line), reply)
			if asJSON {
				err = view.NewJSON(cmd.OutOrStdout()).Encode(sent{c.label, client.Redact(line), reply, []byte(reply), !wrong})
			} else if reply != "" { // in cs131 a valid TOKEN has none
				p := newPrinter(cmd.OutOrStdout())
				p.print(reply)
				err = p.Flush()
			}
			if err == nil && wrong {
				err = errFailed
			}
			return err
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print a JSON object with the server, the line and the reply")
	o.serverFlags(c)
	o.timeoutFlag(c, "how long to wait for the connection and for the reply")
	return c
}

// sent is the output of send --json.
type sent struct {
	Server   string `json:"server"`
	Line     string `json:"line"`      // without a token
	Reply    string `json:"reply"`     // with U+FFFD in place of bytes that are not UTF-8
	ReplyB64 []byte `json:"reply_b64"` // the bytes
	OK       bool   `json:"ok"`        // the reply is not an error
}
