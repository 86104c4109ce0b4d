package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"serverherd/cmd/herd/client"
	"serverherd/cmd/herd/shell"
	"serverherd/herd"
	"serverherd/herd/config"
)

func newShell(o *options) *cobra.Command {
	c := &cobra.Command{
		Use:   "shell",
		Short: "Type lines of the protocol and see the replies",
		Long: "Type lines of the protocol and see the replies, with history and completion.\n" +
			"`.at NAME` changes the server. A connection that is lost is made again, and the\n" +
			"line is sent once more. --token is presented on each connection. No history\n" +
			"keeps a line TOKEN. The exit code is 0.\n\n" +
			"Without a terminal it sends the lines of standard input and prints all replies\n" +
			"to standard output, without a prompt. It stops at the first line that gets no\n" +
			"reply. The exit code is 1 then, and if a reply was an error. quit ends both.",
		Example: "  herd shell --at Ball </dev/null\n" +
			"  printf 'IAMAT kiwi +34.06-118.44 1520023934\\nhelp\\n' | herd shell",
		Args:              arguments(0, 0),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, _ []string) error {
			t, err := o.target()
			if err != nil {
				return err
			}
			s := shell.Options{
				Failed:    func(line, reply string) bool { return client.Failed(client.Verb(line), reply) },
				Lost:      lost,
				Secret:    client.IsSecret,
				Reconnect: o.timeout,
				Refused: func(err error) bool {
					refused, ok := errors.AsType[*client.RefusedError](err)
					return ok && refused.Token
				},
				At: func(name string) (shell.Server, error) {
					other := *o
					other.at, other.dialect = name, ""
					if err := checkTarget(name); err != nil {
						return shell.Server{}, err
					}
					t, err := other.target()
					return o.shellServer(t), err
				},
			}
			s.Names, _ = o.completeServers(c, nil, "")
			in, isFile := c.InOrStdin().(*os.File)
			if out, ok := direct(c.OutOrStdout()).(*os.File); ok && isFile && isTerminal(in) && isTerminal(out) && os.Getenv("TERM") != "dumb" {
				s.History = shell.StateFile()
				return shell.Interactive(in, out, c.OutOrStdout(), o.shellServer(t), s)
			}
			err = shell.Pipe(context.Background(), c.InOrStdin(), c.OutOrStdout(), o.shellServer(t), s)
			if errors.Is(err, shell.ErrReplies) {
				return errFailed
			}
			return err
		},
	}
	o.serverFlags(c)
	o.timeoutFlag(c, "how long to wait for the connection and for each reply")
	return c
}

// shellServer returns a target as the shell's server.
func (o *options) shellServer(t target) shell.Server {
	return shell.Server{Name: t.label, Dial: func(ctx context.Context) (shell.Conn, error) {
		c, err := o.connect(ctx, t)
		if err != nil {
			return nil, unreachable(err)
		}
		return shellConn{c}, nil
	}, IDs: o.knownIDs(t)}
}

// completedIDs is how many client ids are taken from a console for one completion.
const completedIDs = 100

// knownIDs returns a function that asks a server's console for ids of clients; nil if it has none in herd.toml.
func (o *options) knownIDs(t target) func(ctx context.Context, prefix string) []string {
	cfg, err := o.load()
	if err != nil {
		return nil
	}
	i := slices.IndexFunc(cfg.Servers, func(s config.Server) bool { return s.Address == t.addr && s.Console != "" })
	if i < 0 {
		return nil
	}
	client := o.asker(cfg, 0)
	return func(ctx context.Context, prefix string) (ids []string) {
		query := url.Values{}
		if prefix != "" {
			query.Set("prefix", prefix)
		}
		answer, err := client.Open(ctx, cfg.Servers[i], "/clients.ndjson?"+query.Encode())
		if err != nil {
			return nil
		}
		defer answer.Close()
		lines := json.NewDecoder(io.LimitReader(answer, herd.ConsoleAnswer))
		for n := 0; n < completedIDs+2; n++ { // with the first and the last line, which have no id
			var line struct {
				ID []byte `json:"id_b64"`
			}
			if lines.Decode(&line) != nil {
				break
			}
			if len(line.ID) > 0 {
				ids = append(ids, string(line.ID))
			}
		}
		return ids
	}
}

// shellConn is a conversation of the shell.
type shellConn struct{ *conversation }

// Ask implements shell.Conn.
func (c shellConn) Ask(line string) (string, error) { return c.ask(line) }

// lost reports whether an error of a conversation means that the server has gone, or has closed the connection.
func lost(err error) bool {
	var op *net.OpError
	return errors.Is(err, client.ErrClosed) || errors.As(err, &op) && !op.Timeout()
}
