package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"serverherd/cmd/herd/ask"
	"serverherd/cmd/herd/console"
	"serverherd/cmd/herd/view"
	"serverherd/herd"
	"serverherd/herd/config"
	"serverherd/protocol"
)

const (
	exportAttempts = 5                      // in a row without a record
	exportPause    = 500 * time.Millisecond // before the second attempt; it doubles
	exportRedraw   = 500 * time.Millisecond
)

func newExport(o *options) *cobra.Command {
	var prefix string
	c := &cobra.Command{
		Use:   "export",
		Short: "Write the records of all clients of a server as JSON lines",
		Long: "Write the records of all clients that a server knows to standard output, one\n" +
			"JSON object a line, in the order in which the server stored them. `herd iamat\n" +
			"-` reads them back. Clients may move meanwhile: then a client is there twice,\n" +
			"the newer record behind the older one, and none is missing. The server that is\n" +
			"told by `herd iamat -` becomes the origin of the records.\n\n" +
			"If the connection breaks, the export continues where it was. If the server is\n" +
			"restarted, it begins again, and all clients are there twice. The exit code is 1\n" +
			"if it is not complete: after five attempts in a row without a record.",
		Example:           "  herd export\n  herd export --at Ball --prefix kiwi\n  herd export | herd iamat - --at Ball",
		Args:              arguments(0, 0),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, _ []string) error {
			s, cfg, err := o.consoleServer()
			if err != nil {
				return err
			}
			e := &export{
				server: s, client: o.asker(cfg, o.timeout), prefix: prefix, timeout: o.timeout,
				pause: exportPause, out: bufio.NewWriterSize(c.OutOrStdout(), 64<<10), say: func(string) {},
			}
			if errOut := c.ErrOrStderr(); isTerminal(errOut) && !isTerminal(c.OutOrStdout()) {
				e.say = func(text string) { fmt.Fprint(direct(errOut), "\r"+text+"\x1b[K") }
				defer fmt.Fprintln(errOut)
			}
			return e.run(c.Context())
		},
	}
	checkedFlag(c.Flags(), &prefix, "prefix", "", "the beginning of a client id", "only clients whose id begins with `text`",
		func(text string) bool { return protocol.CheckClientID([]byte(text)) == nil })
	o.consoleFlags(c)
	o.timeoutFlag(c, "how long to wait for the answer, and then for its next part")
	return c
}

// export is one run of the command.
type export struct {
	server  config.Server
	client  *ask.Client
	prefix  string
	timeout time.Duration
	pause   time.Duration // before the second attempt
	out     *bufio.Writer
	say     func(progress string)

	epoch   string // of the server's process; "" before its first answer
	after   uint64 // position of the last record
	records uint64 // written
	known   uint64 // clients, as the server said last
	said    time.Time
}

// errOutput is an error of standard output: no further attempt helps.
var errOutput = errors.New("standard output")

// run exports everything, in several attempts if need be.
func (e *export) run(ctx context.Context) error {
	pause := e.pause
	for failed := 0; ; {
		before := e.records
		err := e.attempt(ctx)
		if flushed := e.out.Flush(); flushed != nil {
			return flushed
		}
		e.progress(true)
		if e.records > before {
			failed, pause = 0, e.pause
		}
		failed++
		switch {
		case err == nil:
			return nil
		case e.epoch == "" || failed == exportAttempts || errors.Is(err, errOutput):
			return &exitError{exitFailed, fmt.Sprintf("%v; not complete: %s written", consoleError(e.server, err.Error()),
				view.Plural(e.records, "record", "records"))}
		}
		time.Sleep(pause)
		pause *= 2
	}
}

// attempt reads records from the last position on. It returns nil at the end of the feed.
func (e *export) attempt(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if e.after > 0 { // the position is of a process that may not be there any more
		s := ask.StatusOf(ctx, e.client, e.server)
		if s.Status == nil {
			return errors.New(s.Error)
		}
		e.sameProcess(s.Status.Epoch)
	}
	path := fmt.Sprintf("/clients.ndjson?after=%d", e.after)
	if e.prefix != "" {
		path += "&prefix=" + url.QueryEscape(e.prefix)
	}
	body, err := e.client.Open(ctx, e.server, path)
	if err != nil {
		return err
	}
	defer body.Close()
	silent := time.AfterFunc(e.timeout, func() {
		cancel(fmt.Errorf("no answer at %s within %s", e.server.Console, formatDuration(e.timeout)))
	})
	defer silent.Stop()
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, herd.ConsoleAnswer)
	for lines.Scan() {
		silent.Reset(e.timeout)
		complete, err := e.line(lines.Bytes())
		if err != nil || complete {
			return err
		}
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if err := lines.Err(); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, syscall.ECONNRESET) {
		return fmt.Errorf("the connection broke: %w", err)
	}
	return errors.New("the server closed the connection")
}

// sameProcess begins again if the server's process is a new one.
func (e *export) sameProcess(epoch string) {
	if e.epoch != epoch {
		e.epoch, e.after = epoch, 0
	}
}

// line takes one line of the answer. It reports whether it is the last one.
func (e *export) line(text []byte) (complete bool, err error) {
	var l struct {
		console.ClientsMark
		Base64 []byte `json:"id_b64"`
		Seq    uint64 `json:"seq"`
	}
	if err := json.Unmarshal(text, &l); err != nil {
		return false, fmt.Errorf("console at %s: %w", e.server.Console, err)
	}
	if len(l.Base64) == 0 {
		if l.Server != e.server.Name || l.Epoch == "" {
			return false, fmt.Errorf("console at %s: not an answer of %s", e.server.Console, e.server.Name)
		}
		if e.known = l.Records; e.after == 0 {
			e.epoch = l.Epoch
		}
		if l.Epoch != e.epoch {
			return false, errors.New("the server was restarted")
		}
		return l.Complete, nil
	}
	if l.Seq <= e.after {
		return false, fmt.Errorf("console at %s: position %d behind %d", e.server.Console, l.Seq, e.after)
	}
	// #nosec G104 -- the error of a bufio.Writer stays until the next call, which handles it
	e.out.Write(view.JSON(bytes.TrimSpace(text)))
	if err := e.out.WriteByte('\n'); err != nil {
		return false, fmt.Errorf("%w: %w", errOutput, err)
	}
	e.after, e.records = l.Seq, e.records+1
	e.progress(false)
	return false, nil
}

// progress says how far it is, not too often.
func (e *export) progress(now bool) {
	if e.records%1000 != 0 && !now || !now && time.Since(e.said) < exportRedraw {
		return
	}
	e.said = time.Now()
	text := view.Plural(e.records, "record", "records")
	if e.prefix == "" { // else it is unknown how many there are
		text = view.Count(e.records) + " of " + view.Plural(e.known, "client", "clients")
	}
	e.say(text)
}
