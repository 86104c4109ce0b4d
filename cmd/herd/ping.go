package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"serverherd/cmd/herd/certs"
	"serverherd/cmd/herd/client"
	"serverherd/cmd/herd/ping"
	"serverherd/cmd/herd/view"
)

// pingLine is what ping sends. It is valid in both dialects, changes nothing, and looks nothing up.
const pingLine = "help"

// redraw is how often ping updates its table on a terminal.
const redraw = 250 * time.Millisecond

func newPing(o *options) *cobra.Command {
	var f ping.Options
	var all, asJSON bool
	c := &cobra.Command{
		Use:   "ping",
		Short: "Measure the round trip of a line to a server until Ctrl-C",
		Long: "Measure the round trip of a line to a server until Ctrl-C: the line `help`,\n" +
			"which changes nothing and looks nothing up. A ping is due at each --interval,\n" +
			"whether or not the one before was answered. It is lost if no reply comes within\n" +
			"--timeout, if its connection breaks, and if the server cannot be reached when\n" +
			"it is due. The connection is then dialed again.\n\n" +
			"On a terminal the table is updated in place. Otherwise it is printed at the\n" +
			"end. Times are in milliseconds. The exit code is 1 if a ping was lost or none\n" +
			"was answered. Servers with log.lines = true log all pings and replies.",
		Example: "  herd ping -c 5\n" +
			"  herd ping --at Ball --interval 10ms -c 100\n" +
			"  herd ping --all -c 5 --json",
		Args:              arguments(0, 0),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, _ []string) error {
			targets, err := o.pinged(all)
			if err != nil {
				return err
			}
			var servers []ping.Server
			for _, t := range targets {
				servers = append(servers, ping.Server{Name: t.label, Dial: func(ctx context.Context) (ping.Conn, error) {
					conn, err := o.connect(ctx, t)
					if err != nil {
						return nil, brief(err)
					}
					return pingConn{conn}, nil
				}})
			}
			return runPing(c.OutOrStdout(), ping.New(servers, f), asJSON)
		},
	}
	wholeFlag(c.Flags(), &f.Count, "c/count", 0, 1, 1_000_000_000, "number of pings of each server (until Ctrl-C by default)")
	durationFlag(c.Flags(), &f.Interval, "interval", 100*time.Millisecond, time.Millisecond, time.Hour, "time between two pings")
	c.Flags().BoolVar(&all, "all", false, "ping every server of herd.toml")
	c.Flags().BoolVar(&asJSON, "json", false, "print a JSON object for each server at the end")
	o.serverFlags(c)
	o.timeoutFlag(c, "how long to wait for the connection and for each reply")
	return c
}

// pinged returns the servers to ping.
func (o *options) pinged(all bool) ([]target, error) {
	if !all {
		t, err := o.target()
		return []target{t}, err
	}
	if o.at != "" || o.dialect != "" {
		return nil, usage("--all excludes --at and --dialect")
	}
	cfg, err := o.load()
	if err != nil {
		return nil, err
	}
	var targets []target
	for _, s := range cfg.Servers {
		t, err := o.targetOf(cfg, s)
		if err != nil {
			return nil, err
		}
		targets = append(targets, t)
	}
	return targets, nil
}

// pingConn is a conversation of pings.
type pingConn struct{ *conversation }

func (c pingConn) Send() error { return brief(c.conversation.Send(pingLine)) }

func (c pingConn) Receive() error {
	_, err := c.reply(pingLine)
	return brief(err)
}

// brief returns the cause of an error of a conversation in a few words, without the address.
func brief(err error) error {
	var op *net.OpError
	var call *os.SyscallError
	var late *timeoutError
	if failed, ok := errors.AsType[*certs.HandshakeError](err); ok {
		return failed
	}
	if _, ok := errors.AsType[*closedError](err); ok {
		return errors.New("connection closed" + needsTLS)
	}
	switch {
	case errors.Is(err, client.ErrClosed):
		return errors.New("connection closed")
	case errors.As(err, &late):
		return fmt.Errorf("no reply in %s", formatDuration(late.After))
	case errors.As(err, &call):
		return call.Err
	case errors.As(err, &op):
		return op.Err
	}
	return err
}

// runPing pings until a signal comes or the pinger is done, and prints the results.
func runPing(w io.Writer, p *ping.Pinger, asJSON bool) error {
	ctx, stop := untilSignal()
	defer stop()
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.Run(ctx)
	}()
	t := pingTable{out: direct(w), live: !asJSON && isTerminal(w) && os.Getenv("TERM") != "dumb"}
	tick := time.NewTicker(redraw)
	defer tick.Stop()
	for running := true; running; {
		select {
		case <-tick.C:
			if t.live {
				if err := t.draw(p.Results()); err != nil {
					return err
				}
			}
		case <-done:
			running = false
		}
	}
	results := p.Results()
	if asJSON {
		e := view.NewJSON(w)
		for _, r := range results {
			if err := e.Encode(r); err != nil {
				return err
			}
		}
	} else if err := t.draw(results); err != nil {
		return err
	}
	for _, r := range results {
		if r.Lost > 0 || r.Answered == 0 {
			return errFailed
		}
	}
	return nil
}

// pingTable writes results as a table, on a terminal each over the one before.
type pingTable struct {
	out   io.Writer
	live  bool
	lines int // of the last table
}

func (t *pingTable) draw(results []ping.Result) error {
	// The columns stay where they are. "connection refused" fits within 80 columns.
	columns := []view.Column{{Head: "SERVER", Width: 8}, {Head: "REPLIES", Right: true}, {Head: "LOST", Right: true}}
	for _, head := range []string{"LAST", "MIN", "P50", "P99", "MAX ms"} {
		columns = append(columns, view.Column{Head: head, Right: true, Width: 5})
	}
	columns = append(columns, view.Column{}) // pingNote
	var rows [][]string
	for _, r := range results {
		times := []string{"-", "-", "-", "-", "-"}
		if r.Answered > 0 {
			times = []string{pingTime(r.Last), pingTime(r.Min), pingTime(r.P50), pingTime(r.P99), pingTime(r.Max)}
		}
		row := []string{view.OneLine(r.Server), strconv.FormatUint(r.Answered, 10), strconv.FormatUint(r.Lost, 10)}
		rows = append(rows, append(append(row, times...), pingNote(r)))
	}
	text := strings.Join(view.Table(columns, rows, nil), "\n") + "\n"
	if t.live {
		text = t.over(text)
	}
	_, err := io.WriteString(t.out, text)
	return err
}

// over returns a table that replaces the last one, cut to the terminal's size: a line that wraps, or has left
// the screen, could not be replaced.
func (t *pingTable) over(table string) string {
	width, height := 80, 24
	if f, ok := t.out.(*os.File); ok {
		if w, h, err := term.GetSize(int(f.Fd())); err == nil && w > 0 && h > 1 {
			width, height = w, h
		}
	}
	lines := strings.Split(strings.TrimSuffix(table, "\n"), "\n")
	lines = lines[:min(len(lines), height-1)]
	text := ""
	if t.lines > 0 {
		text = fmt.Sprintf("\r\x1b[%dA", min(t.lines, height-1))
	}
	for _, line := range lines {
		text += view.Cell(line, width-1) + "\x1b[K\n"
	}
	t.lines = len(lines)
	return text + "\x1b[J"
}

// pingNote says what is wrong with a server now.
func pingNote(r ping.Result) string {
	switch {
	case r.Error != "":
		return view.Cell(r.Error, 60)
	case r.Waiting >= 1:
		return fmt.Sprintf("no reply for %.0f s", r.Waiting)
	}
	return ""
}

// pingTime formats seconds as milliseconds, in five characters below a minute.
func pingTime(seconds float64) string {
	ms := seconds * 1000
	switch {
	case ms < 10:
		return strconv.FormatFloat(ms, 'f', 3, 64)
	case ms < 100:
		return strconv.FormatFloat(ms, 'f', 2, 64)
	case ms < 1000:
		return strconv.FormatFloat(ms, 'f', 1, 64)
	}
	return strconv.FormatFloat(ms, 'f', 0, 64)
}
