package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"syscall"

	"serverherd/cmd/herd/certs"
	"serverherd/cmd/herd/client"
	"serverherd/cmd/herd/view"
	"serverherd/protocol"
)

// conversation is a client's connection to a server, for a command.
type conversation struct {
	*client.Conn
	target
}

func dial(o *options) (*conversation, error) {
	t, err := o.target()
	if err != nil {
		return nil, err
	}
	c, err := o.connect(context.Background(), t)
	if err != nil {
		return nil, unreachable(err)
	}
	return c, nil
}

// unreachable adds advice to an error of connect.
func unreachable(err error) error {
	if refused, ok := errors.AsType[*client.RefusedError](err); ok { // it runs
		if refused.Reason == protocol.TLSRequired.Error() {
			err = fmt.Errorf("%w"+seeTLS, err)
		}
		return err
	}
	if _, ok := errors.AsType[*certs.HandshakeError](err); ok {
		return err // likewise
	}
	return fmt.Errorf("%w"+isItRunning, err)
}

// connect connects to a server, and presents the token.
func (o *options) connect(ctx context.Context, t target) (*conversation, error) {
	c, err := client.Dial(ctx, t.addr, client.Options{Dialect: t.dialect, Timeout: o.timeout, Token: o.token, TLS: t.tls})
	if err != nil {
		return nil, ofFlag(t.withoutTLS(err))
	}
	return &conversation{Conn: c, target: t}, nil
}

// withoutTLS adds advice to the error of a connection without TLS that the server has closed before its first reply. A
// server that requires TLS may read nothing else.
func (t target) withoutTLS(err error) error {
	closed := func(reason error) bool { return errors.Is(err, reason) }
	if t.tls == nil && slices.ContainsFunc([]error{client.ErrClosed, io.EOF, syscall.ECONNRESET, syscall.EPIPE}, closed) {
		return &closedError{err}
	}
	return err
}

// closedError is the error of withoutTLS.
type closedError struct{ error }

func (e *closedError) Error() string { return e.error.Error() + needsTLS }

// Unwrap returns the reason.
func (e *closedError) Unwrap() error { return e.error }

// needsTLS is the advice of a closedError.
const needsTLS = "; does it need --tls?"

// ask sends a line and returns its reply without trailing LFs.
func (c *conversation) ask(line string) (string, error) {
	return c.noted(c.Ask(line))
}

// reply reads the reply to a request that begins with verb.
func (c *conversation) reply(verb string) (string, error) {
	return c.noted(c.Reply(verb))
}

func (c *conversation) noted(reply string, err error) (string, error) {
	if err != nil && !c.Received() {
		err = c.withoutTLS(err)
	}
	return reply, ofFlag(err)
}

// timeoutError is a --timeout that has passed.
type timeoutError struct{ *client.TimeoutError }

func (e *timeoutError) Error() string {
	return e.What + " " + formatDuration(e.After) + " (--timeout)"
}

// ofFlag names the flag in an error that is a timeout.
func ofFlag(err error) error {
	if late, ok := errors.AsType[*client.TimeoutError](err); ok {
		return &timeoutError{late}
	}
	return err
}

// refusal is the reason in a reply that is an error: without the request, which is the second line of some replies.
func refusal(reply string) string {
	if strings.HasPrefix(reply, "> ") {
		reply, _, _ = strings.Cut(reply, "\n? ")
	}
	switch reply {
	case tokenRequired:
		reply += "; see --token"
	case tlsRequired:
		reply += seeTLS
	}
	return view.Escape(reply)
}

var (
	tokenRequired = "> " + protocol.TokenRequired.Error()
	tlsRequired   = "> " + protocol.TLSRequired.Error()
)

// seeTLS is added to an error of a server that needs TLS.
const seeTLS = "; see --tls"

// checkFields returns an error if an argument is empty or contains white space, because it would not be one
// field of a request.
func checkFields(args []string) error {
	for _, a := range args {
		if f := client.Fields(a); len(f) != 1 || f[0] != a {
			return usage("%q is empty or contains white space", a)
		}
	}
	return nil
}

// printer writes replies.
type printer struct{ *bufio.Writer }

func newPrinter(out io.Writer) printer { return printer{bufio.NewWriter(out)} }

// #nosec G104 -- the error of a bufio.Writer stays until Flush, which handles it
func (p printer) print(reply string) {
	p.WriteString(reply)
	p.WriteByte('\n')
}
