package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"serverherd/protocol/bom"
)

func newIamat(o *options) *cobra.Command {
	var goOn bool
	c := &cobra.Command{
		Use:   "iamat CLIENT COORDS [TIME] | -",
		Short: "Tell a server where a client is",
		Long: "Tell a server where a client is, at a POSIX time, by default now. COORDS are\n" +
			positionForms + ".\n" +
			"With - it reads lines CLIENT COORDS [TIME] from standard input and ends at the\n" +
			"first that is not one, or with --continue goes on behind it.\n\n" +
			"Replies go to standard output. A reply that begins with \"? \" or \"> \" and lines\n" +
			"that were not sent go to standard error, with their numbers, and at the end how\n" +
			"many there were. The exit code is then 1. It is also 1 if the server does not\n" +
			"answer within --timeout.",
		Example: "  herd iamat kiwi.cs.ucla.edu +34.068930-118.445127\n" +
			"  herd iamat puma -33.4489,-70.6693 $(date +%s) --at Ball\n" +
			"  echo 'tui -36.848461+174.763336' | herd iamat - --continue",
		Args:              arguments(1, 3),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 1 && args[0] == "-" {
				return iamat(o, &updates{lines: bufio.NewReaderSize(c.InOrStdin(), maxLine), goOn: goOn}, c)
			}
			if goOn {
				return usage("--continue goes with -; see %s --help", c.CommandPath())
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
	c.Flags().BoolVar(&goOn, "continue", false, "go on behind lines of standard input that are wrong")
	o.serverFlags(c)
	o.timeoutFlag(c, "how long to wait for the connection and for each reply")
	return c
}

// requestCoords are coordinates as IAMAT has them. What is not LAT,LNG is for the server to judge.
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
	inFlight = 1024     // lines that iamat sends ahead of their replies
	maxLine  = 64 << 10 // bytes of a line of standard input
)

// iamat sends requests, many ahead of their replies, and prints the replies: what the server did not
// accept to standard error.
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
		text, reply := s.fault, ""
		if text == "" {
			if reply, err = c.reply("IAMAT"); err != nil {
				return u.ended(err)
			}
			u.answered++
			if refused(reply) {
				u.refused++
				text = forTerminal(reply) + s.hint
			}
		} else {
			u.bad++
		}
		switch {
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
	if u.refused+u.bad > 0 {
		return u.ended(nil)
	}
	return nil
}

// updates are requests on their way to a server, from the arguments or from lines. One goroutine sends
// them; the other, which reads the replies, takes a step for each.
type updates struct {
	fields []string      // the arguments
	lines  *bufio.Reader // if there are no arguments
	goOn   bool          // behind lines that are wrong
	out    *bufio.Writer
	// The server closes the connection behind a longer request.
	maxLine int
	steps   chan step // closed after the last
	done    chan error

	sent                   atomic.Int64
	answered, refused, bad int
}

// step is a request that was sent, or a line that was not.
type step struct {
	line  int
	fault string // why it was not sent; "" if it was
	hint  string // how an error about it ends if the server does not accept it
}

// ended is an error after which no more is sent, or nil, with what has become of the lines until then.
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
		text += fmt.Sprintf(", %d wrong and not sent", u.bad)
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
	// What is buffered leaves in any case, because its steps have been given out.
	if flushed := u.out.Flush(); err == nil {
		err = flushed
	}
	close(u.steps)
	u.done <- err
}

// send sends a request for each line of standard input.
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
		fault := fmt.Errorf("longer than %d bytes", maxLine)
		if !tooLong {
			if bytes.IndexByte(line, 0) >= 0 {
				return fmt.Errorf("standard input, line %d: %w", n, errNotText)
			}
			fault = u.line(n, fields(string(line)))
		}
		switch {
		case fault == nil:
		case u.goOn:
			u.give(step{line: n, fault: fault.Error()})
		default:
			return fmt.Errorf("standard input, line %d: %w", n, fault)
		}
		if err != nil {
			return nil
		}
	}
}

var errNotText = errors.New("this is not text, as it holds a NUL byte; if it is UTF-16, save it as UTF-8")

// checkText refuses a file that is not text before anything of it is sent. It waits for one byte.
func (u *updates) checkText() error {
	_, _ = u.lines.Peek(1)
	if ahead, _ := u.lines.Peek(u.lines.Buffered()); bytes.IndexByte(ahead, 0) >= 0 {
		return errNotText
	}
	return nil
}

// line sends a request of the fields of a line, or says what is wrong with them. An empty line is none.
func (u *updates) line(n int, f []string) error {
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
	return fmt.Errorf("%.200q is not CLIENT COORDS [TIME]", strings.Join(f, " "))
}

// request sends one request, or says why it is not sent. An error of the connection stays until Flush.
func (u *updates) request(n int, f []string) error {
	if len(f) == 2 {
		now := time.Now()
		f = append(f, fmt.Sprintf("%d.%09d", now.Unix(), now.Nanosecond()))
	}
	text := "IAMAT " + strings.Join(f, " ")
	if len(text) > u.maxLine {
		return fmt.Errorf("its request is of %d bytes, and the server takes %d (limits.max_line)", len(text), u.maxLine)
	}
	hint := ""
	if _, _, _, ok := parsePosition(f[1]); !ok {
		hint = "; want " + positionForms
	}
	u.out.WriteString(text + "\n")
	u.sent.Add(1)
	u.give(step{line: n, hint: hint})
	return nil
}

// give gives out a step. What is buffered leaves before anything may block: the reading of the next
// line, or the wait for a reply that makes room.
func (u *updates) give(s step) {
	ahead := []byte(nil)
	if u.lines != nil {
		ahead, _ = u.lines.Peek(u.lines.Buffered())
	}
	if bytes.IndexByte(ahead, '\n') < 0 || len(u.steps) == cap(u.steps) {
		_ = u.out.Flush() // an error stays
	}
	u.steps <- s
}
