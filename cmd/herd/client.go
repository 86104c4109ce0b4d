package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"serverherd/protocol"
)

// maxReply is the largest reply that is accepted, in bytes.
const maxReply = 64 << 20

// conversation is a client's connection to a server.
type conversation struct {
	net.Conn
	in      *bufio.Reader
	dialect protocol.Dialect
	addr    string
	maxLine int           // bytes of a request without its LF
	timeout time.Duration // of connecting, and of each reply
}

func dial(o *options) (*conversation, error) {
	addr, dialect, maxLine, err := o.target()
	if err != nil {
		return nil, err
	}
	c, err := net.DialTimeout("tcp", addr, o.timeout)
	if os.IsTimeout(err) {
		err = fmt.Errorf("connect to %s: timeout after %s (--timeout)", addr, formatDuration(o.timeout))
	}
	if err != nil {
		return nil, fmt.Errorf("%w; is the server running? see herd status", err)
	}
	return &conversation{c, bufio.NewReaderSize(c, 64<<10), dialect, addr, maxLine, o.timeout}, nil
}

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
		case (err == nil || errors.Is(err, bufio.ErrBufferFull)) && !answered(text) && !refused(string(text[:min(2, len(text))])):
			return "", fmt.Errorf("%s is not a herd server: unexpected reply %q", c.addr, firstLine(text))
		case len(text) > maxReply:
			return "", fmt.Errorf("the reply is longer than %d bytes", maxReply)
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF):
			return "", errors.New("the server closed the connection before a complete reply")
		case errors.Is(err, os.ErrDeadlineExceeded):
			return "", fmt.Errorf("no complete reply from %s within %s (--timeout)", c.addr, formatDuration(c.timeout))
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

// answered reports whether a reply is an AT line.
func answered(reply []byte) bool { return bytes.HasPrefix(reply, []byte("AT ")) }

// firstLine is the beginning of the first line of a text, for a message.
func firstLine(text []byte) []byte {
	line, _, _ := bytes.Cut(text[:min(len(text), 200)], []byte("\n"))
	return bytes.TrimRight(line, "\r")
}

// refused reports whether a reply is an error.
func refused(reply string) bool {
	return strings.HasPrefix(reply, "? ") || strings.HasPrefix(reply, "> ")
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
