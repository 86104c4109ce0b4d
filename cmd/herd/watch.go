package main

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"serverherd/cmd/herd/ask"
	"serverherd/cmd/herd/console"
	"serverherd/cmd/herd/view"
	"serverherd/cmd/herd/view/style"
	"serverherd/cmd/herd/watch"
	"serverherd/protocol"
)

func newWatch(o *options) *cobra.Command {
	var asJSON bool
	var count int
	c := &cobra.Command{
		Use:   "watch [CLIENT]",
		Short: "Show updates as a server applies them, until Ctrl-C",
		Long: "Show the updates of a client, or of all clients, as a server applies them,\n" +
			"until Ctrl-C. Columns: when the server stored the update, in the local time\n" +
			"zone, the client, its position, the time since its own server received it, and\n" +
			"that server, with the neighbor that passed the update on if that is another\n" +
			"one. The time contains the difference between the two servers' clocks.\n\n" +
			"Of a CLIENT the record that the server has comes first, without a time. A\n" +
			"client that moves more often than 20 times a second is shown about 20 times. A\n" +
			"line says if more updates came than were read, and only the newest are shown.\n\n" +
			"If the server is restarted, watch connects again, and says so on standard\n" +
			"error. The exit code is 0 after Ctrl-C, and 1 if the server does not answer at\n" +
			"first, or does not take the token any more.",
		Example: "  herd watch kiwi.cs.ucla.edu\n" +
			"  herd watch --at Ball\n" +
			"  herd watch kiwi.cs.ucla.edu --count 1 --json",
		Args:              arguments(0, 1),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, args []string) error {
			path := "/watch"
			if len(args) > 0 {
				if err := protocol.CheckClientID([]byte(args[0])); err != nil {
					return usage("client id: %v", err)
				}
				path += "?id=" + url.QueryEscape(args[0])
			}
			s, cfg, err := o.consoleServer()
			if err != nil {
				return err
			}
			ctx, stop := untilSignal()
			defer stop()
			client := o.asker(cfg, o.timeout)
			p := newUpdatePrinter(c.OutOrStdout())
			w := watch.Options{
				Server: s.Name, Count: count, Begun: p.head, Line: p.print, Refused: ask.Refused,
				Open: func(ctx context.Context) (io.ReadCloser, error) { return client.Open(ctx, s, path) },
				Note: func(text string) {
					fmt.Fprintf(c.ErrOrStderr(), "herd: %s: %s\n", s.Name, view.OneLine(text))
				},
			}
			if asJSON {
				e := view.NewJSON(c.OutOrStdout())
				w.Begun = func() error { return nil }
				w.Line = func(l console.WatchLine) error { return e.Encode(l) }
			}
			if err := watch.Run(ctx, w); err != nil {
				return consoleError(s, err.Error())
			}
			return nil
		},
	}
	wholeFlag(c.Flags(), &count, "c/count", 0, 1, 1_000_000_000, "end after this number of updates (at Ctrl-C by default)")
	c.Flags().BoolVar(&asJSON, "json", false, "print the lines of /watch as JSON")
	o.consoleFlags(c)
	o.timeoutFlag(c, "how long to wait for the server to answer")
	return c
}

// updatePrinter prints updates, each as a line. On a terminal of 80 columns they fit, with a head line; elsewhere
// columns are as wide as what is in them, and nothing is cut.
type updatePrinter struct {
	out      io.Writer
	style    style.Styles
	terminal bool
}

func newUpdatePrinter(w io.Writer) *updatePrinter {
	out := direct(w)
	return &updatePrinter{out: out, style: style.For(out), terminal: isTerminal(out)}
}

// Widths of the columns.
const (
	watchTime     = 12
	watchClient   = 16
	watchPosition = 22
	watchNarrow   = 84 // of a terminal: below that, columns are one space apart
	watchTook     = 6
)

// head prints the head line, so that a person sees that the server has answered.
func (p *updatePrinter) head() error {
	if !p.terminal {
		return nil
	}
	_, err := io.WriteString(p.out, p.style.Bold(p.columns("TIME "+time.Now().Format("MST"), "CLIENT", "POSITION", "TOOK", "FROM"))+"\n")
	return err
}

func (p *updatePrinter) print(l console.WatchLine) error {
	text := ""
	if l.Behind > 0 {
		text += p.style.Level(view.Notice, behind(l)) + "\n"
	}
	if l.Record != nil {
		line := p.update(l)
		if l.Present {
			line = p.style.Faint(line)
		}
		text += line + "\n"
	}
	_, err := io.WriteString(p.out, text)
	return err
}

// behind says that updates were left out.
func behind(l console.WatchLine) string {
	text := "behind: " + view.Plural(l.Behind, "update", "updates") + " at once, only the newest of each client"
	if l.Lost > 0 {
		text += ", and none of " + view.Plural(l.Lost, "client", "clients")
	}
	return text
}

// update is an update in columns.
func (p *updatePrinter) update(l console.WatchLine) string {
	at := l.Applied.Local()
	when := at.Format("15:04:05.000")
	if l.Present && time.Since(at) > 12*time.Hour {
		when = at.Format(time.DateOnly)
	}
	took := ""
	if l.Took != nil {
		took = view.Latency(*l.Took, true)
	}
	return p.columns(when, l.ID, fmt.Sprintf("%10.6f,%.6f", l.Lat, l.Lng), took, cameFrom(l.Record))
}

// cameFrom names the server that a client told, and the neighbor that passed the record on if it is another one.
func cameFrom(r *console.Record) string {
	switch {
	case r.Source == "journal":
		return r.Origin + ", journal"
	case r.Source == "bucket":
		return r.Origin + ", bucket"
	case r.Neighbor != "" && r.Neighbor != r.Origin:
		return r.Origin + " via " + r.Neighbor
	}
	return r.Origin
}

func (p *updatePrinter) columns(when, client, position, took, from string) string {
	client, from = view.Cell(client, 4*protocol.MaxClientID), view.Cell(from, 100)
	width := 0
	if p.terminal {
		width = 80
		if f, ok := p.out.(*os.File); ok {
			if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
				width = w
			}
		}
	}
	room := watchClient + max(0, width-110)
	if p.terminal {
		client = view.Cut(client, room)
	}
	pad := func(text string, n int) string { return fmt.Sprintf("%s%*s", text, max(0, n-view.Width(text)), "") }
	gap := "  "
	if p.terminal && width < watchNarrow {
		gap = " "
	}
	line := pad(when, watchTime) + gap + pad(client, room) + gap + pad(position, watchPosition) + gap +
		fmt.Sprintf("%*s", watchTook, took) + gap + from
	if p.terminal {
		line = view.Cut(line, width)
	}
	return line
}
