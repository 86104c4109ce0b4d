package client

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"

	"serverherd/protocol"
)

// Verb of the line that has a token.
const tokenVerb = "TOKEN"

// CheckToken returns an error if a text cannot be a token: one field of a line, and of an HTTP header. The error does
// not have the text.
func CheckToken(token string) error {
	switch {
	case token == "":
		return errors.New("the token is empty")
	case len(token) > protocol.MaxToken:
		return fmt.Errorf("the token is longer than %d bytes", protocol.MaxToken)
	case strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r == 0x7f }):
		return errors.New("the token contains white space or a control character")
	}
	return nil
}

// IsToken reports whether a line begins like TOKEN, see protocol.IsToken.
func IsToken(line string) bool { return protocol.IsToken([]byte(line)) }

// secrets are the texts that Redact hides, and that whatever answers might repeat.
func secrets(line string) (all []string) {
	if IsToken(line) {
		verb := strings.TrimSuffix(Redact(line), " [redacted]")
		return Fields(line[len(verb):])
	}
	for _, field := range Fields(line) {
		if IsSecret(field) {
			all = append(all, field)
		}
	}
	return all
}

// IsSecret reports whether a line has a token, or begins as if it had one.
func IsSecret(line string) bool { return Redact(line) != line }

// Redact returns a line without its token, see protocol.Redact.
func Redact(line string) string { return string(protocol.Redact([]byte(line))) }

// redactLines is Redact for each line of a reply that repeats a line.
func redactLines(reply string) string {
	lines := strings.Split(reply, "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, "? ") {
			lines[i] = Redact(line)
		}
	}
	return strings.Join(lines, "\n")
}

// Handshake presents a token at the beginning of a connection. The caller sends Request, and passes each reply to Reply
// until that says that it is over. The exchange, on a server that takes the token:
//
//	paper: TOKEN herd_x         > Welcome fleet7
//	cs131: TOKEN herd_x, help   ? help
//
// A server without tokens replies "> TOKEN: this server needs none" or "? TOKEN [redacted]". In cs131 a server that
// refuses the token replies likewise, but then closes the connection. Therefore help is sent behind the token: its
// reply says that the connection goes on.
type Handshake struct {
	Dialect protocol.Dialect
	Token   string
	refused bool // cs131: the reply was "? TOKEN"
}

// Request returns the lines to send.
func (h *Handshake) Request() string {
	text := tokenVerb + " " + h.Token + "\n"
	if h.Dialect == protocol.CS131 {
		text += probe + "\n"
	}
	return text
}

// probe has a reply in cs131, also without a token, and changes nothing.
const probe = "help"

// Replies in the exchange.
var (
	welcome     = string(bytes.TrimRight(protocol.Paper.AppendWelcome(nil, ""), "\n"))
	unused      = "> " + protocol.TokenUnused.Error()
	notKnown    = "? " + tokenVerb
	probed      = "? " + probe
	refusedMark = "> " + tokenVerb
)

// Reply takes a reply, without its LFs, and reports whether the exchange is over. An error ends it: *RefusedError, or
// the reply is not one of a herd server.
func (h *Handshake) Reply(reply string) (done bool, err error) {
	first, _, _ := strings.Cut(reply, "\n")
	switch {
	case h.Dialect == protocol.CS131 && first == probed:
		return true, nil
	case strings.HasPrefix(first, notKnown):
		h.refused = true
		return h.Dialect == protocol.Paper, nil // in paper: a server of a version without tokens
	case strings.HasPrefix(first, welcome), first == unused:
		return true, nil
	case strings.HasPrefix(first, "> "):
		reason := firstLine([]byte(hide(first[len("> "):], h.Token)))
		return true, &RefusedError{strings.HasPrefix(first, refusedMark), protocol.Escape(reason)}
	}
	return true, fmt.Errorf("unexpected reply %q to %s", firstLine([]byte(hide(first, h.Token))), tokenVerb)
}

// Lost returns the error of a connection that was closed before the exchange was over.
func (h *Handshake) Lost() error {
	if h.refused {
		return &RefusedError{Token: true}
	}
	return ErrClosed
}

// hide removes a token, which something that is no server of a herd may repeat.
func hide(text, token string) string {
	if token == "" {
		return text
	}
	return strings.ReplaceAll(text, token, "[redacted]")
}

// RefusedError says that a server refused a token or, before it, the connection.
type RefusedError struct {
	Token  bool   // it is about the token
	Reason string // "" in cs131
}

func (e *RefusedError) Error() string {
	what := "the connection"
	if e.Token {
		what = "the token"
	}
	if e.Reason == "" {
		return "the server refused " + what
	}
	return "the server refused " + what + ": " + strings.TrimPrefix(e.Reason, tokenVerb+": ")
}

// Present presents Options.Token on a connection that the caller has made, and removes its deadlines. Nothing may come
// unasked: what is read behind the replies is lost.
func Present(ctx context.Context, c net.Conn, o Options) error {
	if o.MaxReply == 0 {
		o.MaxReply = MaxReply
	}
	conn := &Conn{Conn: c, addr: c.RemoteAddr().String(), in: bufio.NewReaderSize(c, 4<<10), o: o, secrets: []string{o.Token}}
	return conn.present(ctx)
}

// present presents Options.Token.
func (c *Conn) present(ctx context.Context) (err error) {
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer func() {
		if !stop() && err != nil {
			err = context.Cause(ctx)
		}
	}()
	h := Handshake{Dialect: c.o.Dialect, Token: c.o.Token}
	if err := c.send(h.Request()); err != nil {
		return err
	}
	for {
		reply, err := c.Reply(tokenVerb)
		if err != nil {
			if closed(err) {
				err = h.Lost()
			}
			return err
		}
		if done, err := h.Reply(reply); err != nil {
			return err
		} else if done {
			return c.SetDeadline(time.Time{}) // some callers write without Send
		}
	}
}

// askToken is Ask for a line TOKEN in cs131, where a valid one has no reply: the reply is empty then.
func (c *Conn) askToken(line string) (string, error) {
	if err := c.send(line + "\n" + probe + "\n"); err != nil {
		return "", err
	}
	reply, err := c.Reply(tokenVerb)
	switch {
	case err != nil:
		return "", err
	case reply == probed:
		return "", nil
	}
	if _, err := c.Reply(probe); err != nil && !closed(err) {
		return "", err
	}
	return reply, nil
}

// closed reports whether an error means that the server closed the connection, also with lines that it had not read.
func closed(err error) bool { return errors.Is(err, ErrClosed) || errors.Is(err, syscall.ECONNRESET) }
