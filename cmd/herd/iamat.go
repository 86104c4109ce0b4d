package main

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func newIamat(o *options) *cobra.Command {
	c := &cobra.Command{
		Use:   "iamat CLIENT COORDS [TIME] | -",
		Short: "Tell a server where a client is",
		Long: "Tell a server where a client is, in ISO 6709 decimal degrees, at a POSIX time, by\n" +
			"default now. With - it reads lines CLIENT COORDS [TIME] from standard input.",
		Example: "  herd iamat kiwi.cs.ucla.edu +34.068930-118.445127\n" +
			"  herd iamat puma -33.4489-70.6693 1520023934.918963997 --at Ball",
		Args: arguments(1, 3),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 1 && args[0] == "-" {
				return iamatMany(o, c.InOrStdin(), c.OutOrStdout())
			}
			line, err := iamatLine(args)
			if err != nil {
				return usage("%v; usage: %s", err, c.UseLine())
			}
			return iamatMany(o, strings.NewReader(strings.TrimPrefix(line, "IAMAT ")), c.OutOrStdout())
		},
	}
	o.serverFlags(c)
	return c
}

// iamatLine is the request for CLIENT COORDS [TIME].
func iamatLine(fields []string) (string, error) {
	switch len(fields) {
	case 2:
		now := time.Now()
		return fmt.Sprintf("IAMAT %s %s %d.%09d\n", fields[0], fields[1], now.Unix(), now.Nanosecond()), nil
	case 3:
		return fmt.Sprintf("IAMAT %s %s %s\n", fields[0], fields[1], fields[2]), nil
	}
	return "", fmt.Errorf("%q is not CLIENT COORDS [TIME]", strings.Join(fields, " "))
}

// inFlight bounds the lines that iamatMany sends ahead of their replies.
const inFlight = 1024

// iamatMany sends a line for each line of in, many ahead of their replies, and prints the replies.
func iamatMany(o *options, in io.Reader, out io.Writer) error {
	c, err := dial(o)
	if err != nil {
		return err
	}
	defer c.Close()
	sent := make(chan struct{}, inFlight)
	done := make(chan error, 1)
	go func() {
		defer close(sent)
		done <- c.sendAll(in, sent)
	}()
	print := bufio.NewWriter(out)
	defer print.Flush()
	failed := false
	for range sent {
		reply, err := c.reply("IAMAT")
		if err != nil {
			return err
		}
		failed = failed || refused(reply)
		fmt.Fprintln(print, reply)
		if len(sent) == 0 {
			print.Flush()
		}
	}
	if err := <-done; err != nil {
		return err
	}
	if failed {
		return errFailed
	}
	return nil
}

// sendAll writes a request for each line that is not empty, and puts a token into sent for each.
func (c *conversation) sendAll(in io.Reader, sent chan<- struct{}) error {
	lines := bufio.NewScanner(in)
	out := bufio.NewWriterSize(c, 32<<10)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) == 0 {
			continue
		}
		line, err := iamatLine(fields)
		if err != nil {
			return err
		}
		out.WriteString(line)
		select {
		case sent <- struct{}{}:
		default: // the window is full: what is buffered has to leave before a reply can come
			if err := out.Flush(); err != nil {
				return err
			}
			sent <- struct{}{}
		}
		if out.Buffered() > 16<<10 {
			if err := out.Flush(); err != nil {
				return err
			}
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("standard input: %w", err)
	}
	return out.Flush()
}
