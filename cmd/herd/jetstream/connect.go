package jetstream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"serverherd/herd/config"
	"serverherd/places"
)

const (
	// connectTimeout is for dialing and for the handshake with each server.
	connectTimeout = 5 * time.Second
	// requestTimeout is for requests of JetStream's API.
	requestTimeout = 10 * time.Second
	// heartbeat is how often the server says that a connection, and a consumer, is alive. After silence without a
	// sign of life, or without an ACK that is missing, it is taken for lost.
	heartbeat = 5 * time.Second
	silence   = 3 * heartbeat
)

// parseURLs checks URLs of servers, separated by commas. It returns them as nats.Connect takes them, and what hides
// their passwords in a text.
func parseURLs(text string) (urls string, redact *strings.Replacer, err error) {
	var all, hidden []string
	for s := range strings.SplitSeq(text, ",") {
		s = strings.TrimSpace(s)
		u, err := url.Parse(s)
		if err != nil || u.Host == "" { // the error would show a password
			return "", nil, errors.New("jetstream: expected URLs such as nats://127.0.0.1:4222, separated by commas")
		}
		password, ok := u.User.Password()
		if !ok {
			password = u.User.Username() // a token
		}
		if password != "" {
			hidden = append(hidden, password, "xxxxx", url.QueryEscape(password), "xxxxx")
			_, escaped, _ := strings.Cut(u.User.String(), ":")
			if escaped != "" {
				hidden = append(hidden, escaped, "xxxxx")
			}
		}
		all = append(all, s)
	}
	return strings.Join(all, ","), strings.NewReplacer(hidden...), nil
}

// connection is a connection to a NATS server. ctx is canceled when it is lost, and it is lost when ctx is canceled, see
// dialer. It is not dialed again.
type connection struct {
	*nats.Conn
	ctx    context.Context
	cancel context.CancelCauseFunc
}

// dialer dials for as long as a context lasts, and then closes what it has dialed. So no goroutine waits for a server
// that does not read or answer.
type dialer struct{ ctx context.Context }

// Dial implements nats.CustomDialer.
func (d dialer) Dial(network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(d.ctx, connectTimeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(d.ctx, func() { conn.Close() })
	return conn, nil
}

// connect connects to the first server that answers.
func (b *Bucket) connect(parent context.Context, name string) (*connection, error) {
	ctx, cancel := context.WithCancelCause(parent)
	c := &connection{ctx: ctx, cancel: cancel}
	lost := func(err error) { cancel(fmt.Errorf("connection lost: %w", orClosed(err))) }
	options := []nats.Option{
		nats.Name(name), nats.Timeout(connectTimeout), nats.FlusherTimeout(requestTimeout), nats.NoReconnect(),
		nats.SetCustomDialer(dialer{ctx}), nats.SkipHostLookup(),
		nats.PingInterval(heartbeat), nats.MaxPingsOutstanding(2),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { lost(err) }),
		nats.ClosedHandler(func(nc *nats.Conn) { lost(nc.LastError()) }),
		// A missing permission, or messages that were dropped. A message with a bad header is delivered without it.
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			if !errors.Is(err, nats.ErrBadHeaderMsg) {
				cancel(err)
			}
		}),
	}
	more, err := b.credentials()
	if err == nil {
		c.Conn, err = nats.Connect(b.urls, append(options, more...)...)
	}
	if err != nil {
		cancel(err)
		if cause := context.Cause(parent); cause != nil {
			err = cause
		}
		return nil, fmt.Errorf("connect: %w", err)
	}
	return c, nil
}

func orClosed(err error) error {
	if err == nil {
		return nats.ErrConnectionClosed
	}
	return err
}

// credentials reads the files of the configuration anew, as they may have been replaced.
func (b *Bucket) credentials() (options []nats.Option, err error) {
	c := &b.o.Config
	if c.Creds != "" {
		text, err := config.ReadSecret(c.Creds)
		if err != nil {
			return nil, err
		}
		options = append(options, user(text))
	}
	if c.TLSCA == "" && c.TLSCert == "" {
		return options, nil
	}
	t := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.TLSCA != "" {
		text, err := readFile(c.TLSCA)
		if err != nil {
			return nil, err
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%s has no certificate", c.TLSCA)
		}
	}
	if c.TLSCert != "" {
		cert, err := readFile(c.TLSCert)
		if err != nil {
			return nil, err
		}
		key, err := config.ReadSecret(c.TLSKey)
		if err != nil {
			return nil, err
		}
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("%s and %s: %w", c.TLSCert, c.TLSKey, err)
		}
		t.Certificates = []tls.Certificate{pair}
	}
	return append(options, nats.Secure(t)), nil
}

// user returns the option for the content of the file creds: NATS credentials, or user:password.
func user(text []byte) nats.Option {
	line := strings.TrimSpace(string(text))
	if name, password, ok := strings.Cut(line, ":"); ok && !strings.ContainsAny(line, "\r\n") {
		return nats.UserInfo(name, password)
	}
	return nats.UserCredentialBytes(text)
}

func readFile(name string) ([]byte, error) {
	f, _, err := places.OpenRegular(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, 1<<20))
}

// maxErrorText is the maximum number of bytes of an error's text. A NATS server may send any text.
const maxErrorText = 500

// printable returns a text as one line of printable characters and of at most maxErrorText bytes.
func printable(text string) string {
	if len(text) > maxErrorText {
		text = text[:maxErrorText-3] + "..."
	}
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, strings.ReplaceAll(text, "\n", "; "))
}

// explain returns an error of one line, without passwords, that says what the operator can do.
func (b *Bucket) explain(err error) error {
	text := printable(b.redact.Replace(err.Error()))
	switch {
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired), errors.Is(err, nats.ErrAuthRevoked),
		errors.Is(err, nats.ErrAccountAuthExpired):
		text += ": check the file creds"
	case errors.Is(err, nats.ErrNoServers): // nats.go does not say that they refused the connection
		text += ": is nats-server running at " + b.urls + "?"
	case errors.Is(err, nats.ErrPermissionViolation):
		text += ": allow it for the user of the file creds"
	case errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		text += ": enable it, or use an account that has it"
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled):
		text += ": start nats-server with -js"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout):
		text += ": no reply"
	}
	return errors.New(b.redact.Replace(text))
}
