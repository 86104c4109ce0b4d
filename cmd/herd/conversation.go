package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"serverherd/cmd/herd/view"
	"serverherd/protocol"
)

// maxReply is the largest reply that is accepted, in bytes.
const maxReply = 64 << 20

// conversation is a client's connection to a server.
type conversation struct {
	net.Conn
	target
	in      *bufio.Reader
	timeout time.Duration // of connecting, and of each reply
}

func dial(o *options) (*conversation, error) {
	t, err := o.target()
	if err != nil {
		return nil, err
	}
	c, err := t.dial(context.Background(), o.timeout)
	if err != nil {
		return nil, fmt.Errorf("%w"+isItRunning, err)
	}
	return c, nil
}

// dial connects to a server.
func (t target) dial(ctx context.Context, timeout time.Duration) (*conversation, error) {
	d := net.Dialer{Timeout: timeout}
	c, err := d.DialContext(ctx, "tcp", t.addr)
	if os.IsTimeout(err) {
		return nil, &timeoutError{"connect to " + t.addr + ": timeout after", timeout}
	}
	if err != nil {
		return nil, err
	}
	return &conversation{c, t, bufio.NewReaderSize(c, 64<<10), timeout}, nil
}

// ask sends a line and returns its reply without trailing LFs.
func (c *conversation) ask(line string) (string, error) {
	if err := c.send(line); err != nil {
		return "", err
	}
	return c.reply(verbOf(line))
}

// send sends a line.
func (c *conversation) send(line string) error {
	if err := c.SetWriteDeadline(time.Now().Add(c.timeout)); err != nil {
		return err
	}
	_, err := io.WriteString(c, line+"\n")
	return err
}

// verbOf returns the first field of a line, which determines the form of the reply.
func verbOf(line string) string {
	if f := fields(line); len(f) > 0 {
		return f[0]
	}
	return ""
}

var errClosed = errors.New("the server closed the connection before a complete reply")

// timeoutError is a --timeout that has passed.
type timeoutError struct {
	what  string
	after time.Duration
}

func (e *timeoutError) Error() string { return e.what + " " + formatDuration(e.after) + " (--timeout)" }

// reply reads the reply to a request that begins with verb and returns it without trailing LFs.
func (c *conversation) reply(verb string) (string, error) {
	if err := c.SetReadDeadline(time.Now().Add(c.timeout)); err != nil {
		return "", err
	}
	var text []byte
	for {
		part, err := c.in.ReadSlice('\n')
		text = append(text, part...)
		switch {
		case (err == nil || errors.Is(err, bufio.ErrBufferFull)) && !isReply(verb, text):
			return "", fmt.Errorf("%s is not a herd server: unexpected reply %q", c.addr, firstLine(text))
		case len(text) > maxReply:
			return "", fmt.Errorf("the reply is longer than %d bytes", maxReply)
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF):
			return "", errClosed
		case errors.Is(err, os.ErrDeadlineExceeded):
			return "", &timeoutError{"no complete reply from " + c.addr + " within", c.timeout}
		case err != nil:
			return "", err
		case c.complete(verb, text):
			return strings.TrimRight(string(text), "\n"), nil
		}
	}
}

// complete reports whether text, which ends with LF, is a complete reply. A reply ends with an empty line.
// In the cs131 dialect it is one line, unless it answers a WHATSAT.
func (c *conversation) complete(verb string, text []byte) bool {
	if c.dialect == protocol.CS131 && (verb != "WHATSAT" || bytes.HasPrefix(text, []byte("? "))) {
		return true
	}
	return bytes.HasSuffix(text, []byte("\n\n"))
}

// isReply reports whether a text begins like a reply of a herd server to a request that begins with verb. It
// has at least one line, unless that is long.
func isReply(verb string, text []byte) bool {
	return bytes.HasPrefix(text, []byte("AT ")) || refused(string(text[:min(2, len(text))])) ||
		verb == "help" && bytes.HasPrefix(text, helpHead)
}

// helpHead is the first line of the reply to help.
var helpHead = firstLine(protocol.Paper.AppendHelp(nil, nil))

// failed reports whether the reply to a request that begins with verb is an error. The reply to quit begins
// like one.
func failed(verb, reply string) bool {
	return refused(reply) && !(verb == "quit" && strings.HasPrefix(reply, goodbye))
}

var goodbye = string(firstLine(protocol.Paper.AppendGoodbye(nil, nil)))

// firstLine is the beginning of the first line of a text, for a message.
func firstLine(text []byte) []byte {
	line, _, _ := bytes.Cut(text[:min(len(text), 200)], []byte("\n"))
	return bytes.TrimRight(line, "\r")
}

// refused reports whether a reply is an error.
func refused(reply string) bool {
	return strings.HasPrefix(reply, "? ") || strings.HasPrefix(reply, "> ")
}

// refusal is the reason in a reply that is an error: without the request, which is the second line of some replies.
func refusal(reply string) string {
	if strings.HasPrefix(reply, "> ") {
		reply, _, _ = strings.Cut(reply, "\n? ")
	}
	return view.Escape(reply)
}

// fields splits a line as servers do: at ASCII white space only, unlike strings.Fields.
func fields(line string) []string {
	return strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(" \t\r\n\f\v", r) })
}

// checkFields returns an error if an argument is empty or contains white space, because it would not be one
// field of a request.
func checkFields(args []string) error {
	for _, a := range args {
		if f := fields(a); len(f) != 1 || f[0] != a {
			return usage("%q is empty or contains white space", a)
		}
	}
	return nil
}

// printer writes replies.
type printer struct{ *bufio.Writer }

func newPrinter(out io.Writer) printer { return printer{bufio.NewWriter(out)} }

func (p printer) print(reply string) {
	p.WriteString(reply)
	p.WriteByte('\n')
}
