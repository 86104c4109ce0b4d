package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"serverherd/cmd/herd/client"
	"serverherd/cmd/herd/console"
	"serverherd/protocol/bom"
)

func newIamat(o *options) *cobra.Command {
	var skipInvalid, quiet bool
	c := &cobra.Command{
		Use:   "iamat CLIENT COORDS [TIME] | -",
		Short: "Update the location of a client",
		Long: "Send the location of a client to a server. COORDS are LAT,LNG as 34.06,-118.44\n" +
			"or -33.9,18.4, or ISO 6709 as +34.06-118.44. TIME is in POSIX seconds, by\n" +
			"default now.\n\n" +
			"With - it reads lines of CLIENT COORDS [TIME], or of herd export, from standard\n" +
			"input and stops at the first invalid line, unless --continue is given. At the\n" +
			"end it says on standard error how many lines were sent and answered: if that\n" +
			"is a terminal, with --quiet, and if a line was refused or invalid.\n\n" +
			"Replies go to standard output. Error replies, which begin with \"? \" or \"> \", and\n" +
			"invalid lines go to standard error with their line numbers, and the exit code\n" +
			"is 1. It is also 1 if the server does not answer within --timeout.",
		Example: "  herd iamat kiwi.cs.ucla.edu +34.068930-118.445127\n" +
			"  herd iamat puma -33.4489,-70.6693 $(date +%s) --at Ball\n" +
			"  echo 'tui -36.848461+174.763336' | herd iamat - --continue",
		Args:              arguments(1, 3),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 1 && args[0] == "-" {
				return iamat(o, &updates{lines: bufio.NewReaderSize(c.InOrStdin(), maxLine), skipInvalid: skipInvalid, quiet: quiet}, c)
			}
			for name, set := range map[string]bool{"continue": skipInvalid, "quiet": quiet} {
				if set {
					return usage("--%s requires -; see %s --help", name, c.CommandPath())
				}
			}
			if len(args) > 1 {
				coords, err := requestCoords(args[1])
				if err != nil {
					return usage("%v", err)
				}
				args[1] = coords
			}
			if err := checkFields(args); err != nil {
				return err
			}
			if len(args) < 2 {
				return usage("usage: %s; see %s --help", c.UseLine(), c.CommandPath())
			}
			return iamat(o, &updates{fields: args}, c)
		},
	}
	c.Flags().BoolVar(&skipInvalid, "continue", false, "skip invalid lines of standard input")
	c.Flags().BoolVarP(&quiet, "quiet", "q", false, "print no replies to valid lines, only the summary")
	o.serverFlags(c)
	o.timeoutFlag(c, "how long to wait for the connection and for each reply")
	return c
}

// requestCoords returns coordinates as IAMAT takes them. It checks only the form LAT,LNG; the server checks
// all others.
func requestCoords(text string) (string, error) {
	coords, _, _, ok := parsePosition(text)
	switch {
	case ok:
		return coords, nil
	case strings.Contains(text, ","):
		return "", fmt.Errorf("%s is not a position: want %s", shown(text), positionForms)
	}
	return text, nil
}

const (
	inFlight = 1024     // requests that iamat sends before it reads their replies
	maxLine  = 64 << 10 // of a line of standard input, in bytes
)

// iamat sends requests, pipelined, and prints the replies. Error replies go to standard error.
func iamat(o *options, u *updates, cmd *cobra.Command) error {
	c, err := dial(o)
	if err != nil {
		return err
	}
	defer c.Close()
	u.maxLine = c.maxLine
	u.out, u.steps, u.done = bufio.NewWriterSize(c, 32<<10), make(chan step, inFlight), make(chan error, 1)
	go u.sendAll()
	p, errOut := newPrinter(cmd.OutOrStdout()), cmd.ErrOrStderr()
	defer p.Flush()
	for s := range u.steps {
		text, reply := s.invalid, ""
		if text == "" {
			if reply, err = c.reply("IAMAT"); err != nil {
				return u.ended(err)
			}
			u.answered++
			if client.Refused(reply) {
				u.refused++
				text = refusal(reply) + s.hint
			}
		} else {
			u.bad++
		}
		switch {
		case text == "" && u.quiet:
		case text == "":
			p.print(reply)
		case u.fields != nil:
			return &exitError{exitFailed, text}
		}
		if text != "" || len(u.steps) == 0 {
			if err := p.Flush(); err != nil {
				return err
			}
		}
		if text != "" {
			fmt.Fprintf(errOut, "herd: standard input, line %d: %s\n", s.line, oneLine(text))
		}
	}
	if err := <-u.done; err != nil {
		return u.ended(err)
	}
	summary := u.ended(nil)
	if u.refused+u.bad == 0 && summary != nil {
		if u.quiet || isTerminal(errOut) {
			if err := p.Flush(); err != nil {
				return err
			}
			fmt.Fprintln(errOut, "herd: "+summary.Error())
		}
		return nil
	}
	return summary
}

// updates are the requests of one iamat command, from its arguments or from standard input. One goroutine
// sends them (sendAll). The other reads the replies: it receives a step for each request.
type updates struct {
	fields      []string      // the arguments
	lines       *bufio.Reader // if there are no arguments
	skipInvalid bool          // --continue
	quiet       bool          // --quiet
	out         *bufio.Writer
	// maxLine is the longest request that the server accepts, in bytes.
	maxLine int
	steps   chan step // closed after the last
	done    chan error

	sent                   atomic.Int64
	answered, refused, bad int
}

// step is a request that was sent, or a line that is invalid.
type step struct {
	line    int
	invalid string // why it was not sent; "" if it was
	hint    string // is appended to an error reply
}

// ended adds a summary of the lines of standard input to err, which may be nil.
func (u *updates) ended(err error) error {
	if u.fields != nil {
		return err
	}
	text := "standard input: "
	if err != nil {
		text = err.Error() + "; "
	}
	sent, lines := u.sent.Load(), "lines"
	if sent == 1 {
		lines = "line"
	}
	text += fmt.Sprintf("%d %s sent, %d answered", sent, lines, u.answered)
	if u.refused > 0 {
		text += fmt.Sprintf(", %d of them refused", u.refused)
	}
	if u.bad > 0 {
		text += fmt.Sprintf(", %d invalid and not sent", u.bad)
	}
	return &exitError{exitFailed, text}
}

func (u *updates) sendAll() {
	var err error
	if u.fields != nil {
		err = u.request(0, u.fields)
	} else {
		err = u.send()
	}
	// Flush in any case: steps of buffered requests have been passed on.
	if flushed := u.out.Flush(); err == nil {
		err = flushed
	}
	close(u.steps)
	u.done <- err
}

// send sends a request for each line of standard input. An error ends it.
func (u *updates) send() error {
	err := bom.Skip(u.lines)
	if err == nil {
		err = u.checkText()
	}
	if err != nil {
		return fmt.Errorf("standard input: %w", err)
	}
	for n := 1; ; n++ {
		line, err := u.lines.ReadSlice('\n')
		tooLong := errors.Is(err, bufio.ErrBufferFull)
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = u.lines.ReadSlice('\n')
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("standard input, line %d: %w", n, err)
		}
		invalid := fmt.Errorf("longer than %d bytes", maxLine)
		if !tooLong {
			if bytes.IndexByte(line, 0) >= 0 {
				return fmt.Errorf("standard input, line %d: %w", n, errNotText)
			}
			invalid = u.line(n, line)
		}
		switch {
		case invalid == nil:
		case u.skipInvalid:
			u.pass(step{line: n, invalid: invalid.Error()})
		default:
			return fmt.Errorf("standard input, line %d: %w", n, invalid)
		}
		if err != nil {
			return nil
		}
	}
}

var errNotText = errors.New("not text: contains a NUL byte; if it is UTF-16, save it as UTF-8")

// checkText returns an error for binary input before any request is sent. It blocks until there is input.
func (u *updates) checkText() error {
	_, _ = u.lines.Peek(1)
	if ahead, _ := u.lines.Peek(u.lines.Buffered()); bytes.IndexByte(ahead, 0) >= 0 {
		return errNotText
	}
	return nil
}

// line sends a request with the fields of a line, or returns why they are invalid. It ignores an empty
// line.
func (u *updates) line(n int, line []byte) error {
	if text := bytes.TrimSpace(line); bytes.HasPrefix(text, []byte("{")) && bytes.HasSuffix(text, []byte("}")) {
		f, err := exportedFields(text)
		if err != nil || f == nil {
			return err
		}
		return u.request(n, f)
	}
	f := client.Fields(string(line))
	switch len(f) {
	case 0:
		return nil
	case 2, 3:
		coords, err := requestCoords(f[1])
		if err != nil {
			return err
		}
		f[1] = coords
		return u.request(n, f)
	}
	return fmt.Errorf("expected CLIENT COORDS [TIME], got %.200q", client.Redact(strings.Join(f, " ")))
}

// exportedFields returns client, coords and time of a line of herd export; nil for the first and the last line of
// /clients.ndjson, which have no client.
func exportedFields(line []byte) ([]string, error) {
	var l struct {
		console.ClientsMark
		ID     []byte `json:"id_b64"`
		Coords string `json:"coords"`
		Time   string `json:"time"`
	}
	if err := json.Unmarshal(line, &l); err != nil {
		return nil, fmt.Errorf("not a line of herd export: %w", err)
	}
	f := []string{string(l.ID), l.Coords, l.Time}
	if l.ID == nil && l.Epoch != "" {
		return nil, nil
	}
	for i, name := range []string{"id_b64", "coords", "time"} {
		if alone := client.Fields(f[i]); len(alone) != 1 || alone[0] != f[i] {
			return nil, fmt.Errorf("%s is missing, or contains white space", name)
		}
	}
	return f, nil
}

// request sends one request, or returns why it is invalid. The bufio.Writer keeps an error of the
// connection until Flush.
func (u *updates) request(n int, f []string) error {
	if len(f) == 2 {
		now := time.Now()
		f = append(f, fmt.Sprintf("%d.%09d", now.Unix(), now.Nanosecond()))
	}
	text := "IAMAT " + strings.Join(f, " ")
	if len(text) > u.maxLine {
		return fmt.Errorf("the request has %d bytes; the server accepts at most %d (limits.max_line)", len(text), u.maxLine)
	}
	hint := ""
	if _, _, _, ok := parsePosition(f[1]); !ok {
		hint = "; want " + positionForms
	}
	// #nosec G104 -- the error of a bufio.Writer stays until Flush, which handles it
	u.out.WriteString(text + "\n")
	u.sent.Add(1)
	u.pass(step{line: n, hint: hint})
	return nil
}

// pass passes a step to the goroutine that reads the replies. It flushes first if reading the next line or
// the send on steps may block.
func (u *updates) pass(s step) {
	ahead := []byte(nil)
	if u.lines != nil {
		ahead, _ = u.lines.Peek(u.lines.Buffered())
	}
	if bytes.IndexByte(ahead, '\n') < 0 || len(u.steps) == cap(u.steps) {
		_ = u.out.Flush() // the bufio.Writer keeps the error
	}
	u.steps <- s
}
