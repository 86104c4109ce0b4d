package google

import (
	"compress/flate"
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"serverherd/places"
)

// Key is an API key. Every format verb and encoder prints a placeholder instead.
type Key string

const redacted = "[key]"

// Format implements fmt.Formatter, for every verb.
func (Key) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, redacted) }

// String implements fmt.Stringer, which loggers ask for.
func (Key) String() string { return redacted }

// MarshalText implements encoding.TextMarshaler.
func (Key) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// check returns an error if the key cannot be valid. Keys consist of printable ASCII characters.
func (k Key) check() error {
	switch {
	case k == "":
		return errors.New("no API key: set $GOOGLE_PLACES_API_KEY or places.key_file")
	case strings.ContainsFunc(string(k), func(r rune) bool { return r <= ' ' || r > '~' }):
		return errors.New("invalid API key: expected one line of printable ASCII characters without spaces")
	}
	return nil
}

// Options configure a client.
type Options struct {
	Key     Key
	BaseURL string        // scheme and host; "" for Google's own
	Timeout time.Duration // of a lookup, including the body; 0 for 5 s
	// Fields are additional fields to request, from MoreFields. Each may raise the price of every lookup.
	// The legacy API always returns all fields.
	Fields []string
}

const (
	defaultTimeout = 5 * time.Second
	// maxBody is the maximum size of an answer after decompression, in bytes: a gzip bomb must not exhaust
	// memory. Google's answers are about 30 KB.
	maxBody    = 1 << 20
	maxHeaders = 64 << 10
	// maxIdle is the number of idle connections kept: as many as a server has lookups in flight.
	maxIdle = 64
	// maxConnections is the maximum number of connections. A dial or TLS handshake continues after its
	// lookup was canceled, and clients that disconnect must not exhaust the server's descriptors.
	maxConnections = 256
	// pingTimeout is how long an HTTP/2 connection may be silent before a PING is sent, and how long the
	// answer may take. All lookups share one connection: without PINGs a dead one would fail them until the
	// kernel's timeout, about 15 minutes.
	pingTimeout = 5 * time.Second
)

// parseBase checks a base URL. The API key is sent only over https or to this machine.
func parseBase(text, otherwise string) (url.URL, error) {
	if text == "" {
		text = otherwise
	}
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" ||
		u.Path != "" && u.Path != "/" {
		return url.URL{}, errors.New("places.base_url: expected a scheme and a host, such as " + otherwise)
	}
	if u.Scheme != "https" && !(u.Scheme == "http" && isLoopback(u.Hostname())) {
		return url.URL{}, errors.New("places.base_url: https is required, except for this machine")
	}
	return url.URL{Scheme: u.Scheme, Host: u.Host}, nil
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return strings.EqualFold(strings.TrimSuffix(host, "."), "localhost") || err == nil && ip.IsLoopback()
}

// client sends requests with a timeout and a size limit for the answer. Any goroutine.
type client struct {
	http    *http.Client
	timeout time.Duration
}

// newClient returns a client that follows no redirects, which would send the API key to another host, and
// uses no proxy, which would see it.
func newClient(timeout time.Duration) client {
	if timeout == 0 {
		timeout = defaultTimeout
	}
	return client{timeout: timeout, http: &http.Client{
		Transport: &http.Transport{
			Proxy: nil,
			// net/http continues a dial and a TLS handshake after the lookup ended, for the next one. They
			// need timeouts of their own.
			DialContext:            (&net.Dialer{Timeout: 2 * timeout}).DialContext,
			TLSHandshakeTimeout:    2 * timeout,
			HTTP2:                  &http.HTTP2Config{SendPingTimeout: pingTimeout, PingTimeout: pingTimeout},
			ForceAttemptHTTP2:      true,
			MaxIdleConnsPerHost:    maxIdle,
			MaxConnsPerHost:        maxConnections,
			IdleConnTimeout:        90 * time.Second,
			MaxResponseHeaderBytes: maxHeaders,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}}
}

// reply is the response to a request.
type reply struct {
	code int // HTTP status code
	body []byte
	wait time.Duration // Retry-After; 0 for none
}

// fetch sends one request. Its error is a places.Failure without the text of net/http's error, which
// contains the URL and so the key; or ctx's error if ctx was canceled.
func (c *client) fetch(ctx context.Context, req *http.Request) (reply, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	req.Header.Set("User-Agent", "serverherd")
	resp, err := c.http.Do(req.WithContext(ctx))
	if err != nil {
		return reply{}, c.failure(ctx, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	switch {
	case err != nil && ctx.Err() != nil:
		return reply{}, c.failure(ctx, err)
	case isGarbled(err):
		return reply{}, strange("the answer has invalid gzip data")
	case err != nil:
		return reply{}, transient("the connection broke during the answer")
	case len(body) > maxBody:
		return reply{}, strange("the answer is longer than 1 MiB")
	}
	return reply{resp.StatusCode, body, retryAfter(resp.Header.Get("Retry-After"))}, nil
}

// isGarbled reports whether the body was received and is not gzip. A retry would not help.
func isGarbled(err error) bool {
	var corrupt flate.CorruptInputError
	return errors.Is(err, gzip.ErrHeader) || errors.Is(err, gzip.ErrChecksum) ||
		errors.As(err, &corrupt)
}

// failure converts an error of net/http.
func (c *client) failure(ctx context.Context, err error) error {
	var name *net.DNSError
	var certificate *tls.CertificateVerificationError
	var op *net.OpError
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return transient(places.NoAnswer(c.timeout))
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &name):
		return transient("cannot resolve the server's name")
	case errors.As(err, &certificate):
		return transient("invalid TLS certificate of the server")
	case errors.As(err, &op) && op.Op == "dial":
		return transient("cannot connect to the server")
	}
	return transient("the connection to the server failed")
}
