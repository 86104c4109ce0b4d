package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"serverherd/protocol/bom"
)

func newIamat(o *options) *cobra.Command {
	c := &cobra.Command{
		Use:   "iamat CLIENT COORDS [TIME] | -",
		Short: "Tell a server where a client is",
		Long: "Tell a server where a client is, in ISO 6709 decimal degrees, at a POSIX time, by\n" +
			"default now. With - it reads lines CLIENT COORDS [TIME] from standard input.",
		Example: "  herd iamat kiwi.cs.ucla.edu +34.068930-118.445127\n" +
			"  herd iamat puma -33.4489-70.6693 $(date +%s) --at Ball\n" +
			"  echo 'tui -36.848461+174.763336' | herd iamat -",
		Args:              arguments(1, 3),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 1 && args[0] == "-" {
				return iamat(o, c.InOrStdin(), c.OutOrStdout())
			}
			if err := checkFields(args); err != nil {
				return err
			}
			if len(args) < 2 {
				return usage("usage: %s; see %s --help", c.UseLine(), c.CommandPath())
			}
			return iamat(o, strings.NewReader(strings.Join(args, " ")), c.OutOrStdout())
		},
	}
	o.serverFlags(c)
	return c
}

// inFlight bounds the lines that iamat sends ahead of their replies.
const inFlight = 1024

// iamat sends a request for each line of in, many ahead of their replies, and prints the replies.
func iamat(o *options, in io.Reader, out io.Writer) error {
	c, err := dial(o)
	if err != nil {
		return err
	}
	defer c.Close()
	u := &updates{
		in: bufio.NewReaderSize(in, 64<<10), out: bufio.NewWriterSize(c, 32<<10),
		sent: make(chan struct{}, inFlight), done: make(chan error, 1),
	}
	go u.sendAll()
	p := newPrinter(out)
	defer p.Flush()
	failed := false
	for range u.sent {
		reply, err := c.reply("IAMAT")
		if err != nil {
			return err
		}
		failed = failed || refused(reply)
		p.print(reply)
		if len(u.sent) == 0 {
			if err := p.Flush(); err != nil {
				return err
			}
		}
	}
	if err := <-u.done; err != nil {
		return err
	}
	if failed {
		return errFailed
	}
	return nil
}

// updates are requests on their way from in to a server. One goroutine sends them; the other,
// which reads the replies, takes a token from sent for each.
type updates struct {
	in   *bufio.Reader
	out  *bufio.Writer
	sent chan struct{} // a token for each request; closed after the last
	done chan error
}

func (u *updates) sendAll() {
	err := u.send()
	// What is buffered leaves in any case, because its tokens have been given out.
	if flushed := u.out.Flush(); err == nil {
		err = flushed
	}
	close(u.sent)
	u.done <- err
}

func (u *updates) send() error {
	if err := bom.Skip(u.in); err != nil {
		return usage("standard input: %v", err)
	}
	for n := 1; ; n++ {
		line, err := u.in.ReadSlice('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("standard input, line %d: %w", n, err)
		}
		if f := fields(string(line)); len(f) == 2 || len(f) == 3 {
			if err := u.request(f); err != nil {
				return err
			}
		} else if len(f) > 0 {
			return usage("standard input, line %d: %q is not CLIENT COORDS [TIME]", n, f)
		}
		if err != nil {
			return nil
		}
	}
}

// request sends one request. What is buffered leaves before anything may block: the reading of the
// next line, or the wait for a reply that makes room.
func (u *updates) request(f []string) error {
	if len(f) == 2 {
		now := time.Now()
		f = append(f, fmt.Sprintf("%d.%09d", now.Unix(), now.Nanosecond()))
	}
	u.out.WriteString("IAMAT " + strings.Join(f, " ") + "\n") // an error stays until Flush
	var err error
	ahead, _ := u.in.Peek(u.in.Buffered())
	if bytes.IndexByte(ahead, '\n') < 0 || len(u.sent) == cap(u.sent) {
		err = u.out.Flush()
	}
	u.sent <- struct{}{}
	return err
}
