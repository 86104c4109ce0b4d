// Package client speaks to a server as its clients do: one line, one reply. The commands and the console use it.
//
// What listens at an address may be anything. So a reply must begin like one of a herd server, and is bounded in time
// and size.
package client

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"serverherd/cmd/herd/certs"
	"serverherd/protocol"
)

// MaxReply is the largest reply that is accepted, in bytes, unless Options say otherwise.
const MaxReply = 64 << 20

// Options say how to speak to a server.
type Options struct {
	Dialect  protocol.Dialect
	Timeout  time.Duration // of connecting, of sending a line, and of each complete reply
	MaxReply int           // bytes; 0: MaxReply
	// Token is presented first, see Handshake; CheckToken has accepted it. Empty: none. Whatever listens at the address
	// learns it.
	Token string
	// TLS is for a connection over TLS; nil: none. It has the name that the certificate must have, or checks it itself.
	TLS *tls.Config
}

// Conn is a connection. One goroutine may send while another one receives.
type Conn struct {
	net.Conn
	addr string
	in   *bufio.Reader
	o    Options
	// secrets are texts that no message has, because something that is no server of a herd may repeat them.
	secrets []string

	received bool
}

// Received reports whether anything has come from the server as a reply. It is for the goroutine that receives.
func (c *Conn) Received() bool { return c.received }

// Dial connects to a server. With a token the error is *RefusedError if the server refuses it.
func Dial(ctx context.Context, addr string, o Options) (*Conn, error) {
	if o.MaxReply == 0 {
		o.MaxReply = MaxReply
	}
	d := net.Dialer{Timeout: o.Timeout}
	c, err := d.DialContext(ctx, "tcp", addr)
	if os.IsTimeout(err) {
		return nil, &TimeoutError{"connect to " + addr + ": timeout after", o.Timeout}
	}
	if err != nil {
		return nil, err
	}
	if c, err = Secure(ctx, c, o); err != nil {
		return nil, fmt.Errorf("%s: %w", addr, err)
	}
	conn := &Conn{Conn: c, addr: addr, in: bufio.NewReaderSize(c, 64<<10), o: o, secrets: []string{o.Token}}
	if o.Token != "" {
		if err := conn.present(ctx); err != nil {
			conn.Close()
			return nil, err
		}
	}
	return conn, nil
}

// Secure makes the TLS handshake of Options on a connection, if they have TLS. It closes c if that fails.
func Secure(ctx context.Context, c net.Conn, o Options) (net.Conn, error) {
	if o.TLS == nil {
		return c, nil
	}
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	t := tls.Client(c, o.TLS)
	if err := t.HandshakeContext(ctx); err != nil {
		c.Close()
		if ctx.Err() != nil {
			return nil, &TimeoutError{"TLS handshake: timeout after", o.Timeout}
		}
		return nil, &certs.HandshakeError{Reason: err}
	}
	return t, nil
}

// Ask sends a line and returns its reply without trailing LFs. In cs131 the reply to a TOKEN that is valid is empty.
// The reply to a line with a token, and its error, do not have the token, whatever the server repeats.
func (c *Conn) Ask(line string) (string, error) {
	if !IsSecret(line) {
		return c.ask(line)
	}
	c.secrets = append(c.secrets, secrets(line)...)
	reply, err := "", error(nil)
	if c.o.Dialect == protocol.CS131 && Verb(line) == tokenVerb {
		reply, err = c.askToken(line)
	} else {
		reply, err = c.ask(line)
	}
	return redactLines(reply), err
}

func (c *Conn) ask(line string) (string, error) {
	if err := c.Send(line); err != nil {
		return "", err
	}
	return c.Reply(Verb(line))
}

// Send sends a line.
func (c *Conn) Send(line string) error {
	return c.send(line + "\n")
}

func (c *Conn) send(text string) error {
	if err := c.SetWriteDeadline(time.Now().Add(c.o.Timeout)); err != nil {
		return err
	}
	_, err := io.WriteString(c, text)
	return err
}

// ErrClosed is the error of a reply that the server did not complete.
var ErrClosed = errors.New("the server closed the connection before a complete reply")

// TimeoutError says that Options.Timeout has passed.
type TimeoutError struct {
	What  string
	After time.Duration
}

func (e *TimeoutError) Error() string { return e.What + " " + e.After.String() }

// Reply reads the reply to a request that begins with verb and returns it without trailing LFs.
func (c *Conn) Reply(verb string) (string, error) {
	if err := c.SetReadDeadline(time.Now().Add(c.o.Timeout)); err != nil {
		return "", err
	}
	var text []byte
	for {
		part, err := c.in.ReadSlice('\n')
		text = append(text, part...)
		c.received = c.received || len(part) > 0
		switch {
		case (err == nil || errors.Is(err, bufio.ErrBufferFull)) && !isReply(verb, text):
			return "", fmt.Errorf("%s is not a herd server: unexpected reply %q", c.addr, c.shown(text))
		case len(text) > c.o.MaxReply:
			return "", fmt.Errorf("the reply is longer than %d bytes", c.o.MaxReply)
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF):
			return "", ErrClosed
		case errors.Is(err, os.ErrDeadlineExceeded):
			return "", &TimeoutError{"no complete reply from " + c.addr + " within", c.o.Timeout}
		case err != nil:
			return "", err
		case c.complete(verb, text):
			return strings.TrimRight(string(text), "\n"), nil
		}
	}
}

// complete reports whether text, which ends with LF, is a complete reply. A reply ends with an empty line.
// In the cs131 dialect it is one line, unless it answers a WHATSAT.
func (c *Conn) complete(verb string, text []byte) bool {
	if c.o.Dialect == protocol.CS131 && (verb != "WHATSAT" || bytes.HasPrefix(text, []byte("? "))) {
		return true
	}
	return bytes.HasSuffix(text, []byte("\n\n"))
}

// isReply reports whether a text begins like a reply of a herd server to a request that begins with verb. It
// has at least one line, unless that is long.
func isReply(verb string, text []byte) bool {
	return bytes.HasPrefix(text, []byte("AT ")) || Refused(string(text[:min(2, len(text))])) ||
		verb == "help" && bytes.HasPrefix(text, helpHead)
}

// helpHead is the first line of the reply to help.
var helpHead = firstLine(protocol.Paper.AppendHelp(nil, nil))

// Failed reports whether the reply to a request that begins with verb is an error. The reply to quit begins
// like one, and so does the one to a valid token.
func Failed(verb, reply string) bool {
	return Refused(reply) && !(verb == "quit" && strings.HasPrefix(reply, goodbye)) &&
		!(verb == tokenVerb && strings.HasPrefix(reply, welcome))
}

var goodbye = string(firstLine(protocol.Paper.AppendGoodbye(nil, nil)))

// shown is the beginning of a reply for a message, without a token.
func (c *Conn) shown(text []byte) []byte {
	shown := string(text)
	for _, secret := range c.secrets {
		shown = hide(shown, secret)
	}
	return firstLine(protocol.Redact([]byte(shown)))
}

// firstLine is the beginning of the first line of a text, for a message.
func firstLine(text []byte) []byte {
	line, _, _ := bytes.Cut(text[:min(len(text), 200)], []byte("\n"))
	return bytes.TrimRight(line, "\r")
}

// Refused reports whether a reply is an error.
func Refused(reply string) bool {
	return strings.HasPrefix(reply, "? ") || strings.HasPrefix(reply, "> ")
}

// Verb returns the first field of a line, which determines the form of the reply.
func Verb(line string) string {
	if f := Fields(line); len(f) > 0 {
		return f[0]
	}
	return ""
}

// Fields splits a line as servers do: at ASCII white space only, unlike strings.Fields.
func Fields(line string) []string {
	return strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(" \t\r\n\f\v", r) })
}
