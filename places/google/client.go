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

// Key is an API key. It prints as a placeholder, whatever it is printed with.
type Key string

const redacted = "[key]"

// Format implements fmt.Formatter, for every verb.
func (Key) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, redacted) }

// String implements fmt.Stringer, which loggers ask for.
func (Key) String() string { return redacted }

// MarshalText implements encoding.TextMarshaler.
func (Key) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// check says why a key cannot be one. A header takes no other bytes, and a key has no others.
func (k Key) check() error {
	switch {
	case k == "":
		return errors.New("a key is needed: set $GOOGLE_PLACES_API_KEY or places.key_file")
	case strings.ContainsFunc(string(k), func(r rune) bool { return r <= ' ' || r > '~' }):
		return errors.New("the key holds spaces or signs that no key has; it is one line of text")
	}
	return nil
}

// Options are what a client needs.
type Options struct {
	Key     Key
	BaseURL string        // scheme and host; "" for Google's own
	Timeout time.Duration // of a whole lookup, body included; 0 for 5 s
	// Fields are further ones that Nearby is to ask for, of MoreFields. Each may raise the price of
	// every lookup. The legacy API gives all it has.
	Fields []string
}

const (
	defaultTimeout = 5 * time.Second
	// maxBody bounds an answer after decompression, so that neither a stranger nor a gzip bomb
	// fills the memory. Google's are some 30 KB.
	maxBody    = 1 << 20
	maxHeaders = 64 << 10
	// maxIdle is how many connections are kept: as many as a server has lookups in flight.
	maxIdle = 64
	// maxConnections is how many there are at most. A dial or a handshake goes on when nobody waits
	// for it any longer, and clients that ask and go must not use up the server's descriptors.
	maxConnections = 256
	// silence is how long nothing need come on an HTTP/2 connection before it is asked for a sign
	// of life, and how long that may take. All lookups share one such connection: without this a
	// dead one would fail them until the kernel gives it up, a quarter of an hour later.
	silence = 5 * time.Second
)

// parseBase checks the address of a service. A key goes over https, or to this machine.
func parseBase(text, otherwise string) (url.URL, error) {
	if text == "" {
		text = otherwise
	}
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" ||
		u.Path != "" && u.Path != "/" {
		return url.URL{}, errors.New("places.base_url is not a scheme and a host, as " + otherwise)
	}
	if u.Scheme != "https" && !(u.Scheme == "http" && isLoopback(u.Hostname())) {
		return url.URL{}, errors.New("places.base_url is not https, and its host is not this machine")
	}
	return url.URL{Scheme: u.Scheme, Host: u.Host}, nil
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return strings.EqualFold(strings.TrimSuffix(host, "."), "localhost") || err == nil && ip.IsLoopback()
}

// client fetches answers within a time and a size. Any goroutine.
type client struct {
	http    *http.Client
	timeout time.Duration
}

// newClient returns a client that goes where it is sent and nowhere else: a redirect would take
// the key to another host, and a proxy of the environment would see it.
func newClient(timeout time.Duration) client {
	if timeout == 0 {
		timeout = defaultTimeout
	}
	return client{timeout: timeout, http: &http.Client{
		Transport: &http.Transport{
			Proxy: nil,
			// net/http goes on to dial and to shake hands when the lookup that wanted the
			// connection is over: another may want it. These have to end by themselves, a little
			// later.
			DialContext:            (&net.Dialer{Timeout: 2 * timeout}).DialContext,
			TLSHandshakeTimeout:    2 * timeout,
			HTTP2:                  &http.HTTP2Config{SendPingTimeout: silence, PingTimeout: silence},
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

// reply is what a request brought home.
type reply struct {
	code int // HTTP's
	body []byte
	wait time.Duration // Retry-After; 0 for none
}

// fetch makes one request. Its errors are places.Failure in our own words, for those of net/http
// quote the URL and so the key; or ctx's error when nobody waits any longer.
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
		return reply{}, strange("the answer is not the gzip that it says it is")
	case err != nil:
		return reply{}, transient("the answer broke off")
	case len(body) > maxBody:
		return reply{}, strange("the answer is longer than 1 MiB")
	}
	return reply{resp.StatusCode, body, retryAfter(resp.Header.Get("Retry-After"))}, nil
}

// isGarbled says that bytes came and were no gzip. They would come again.
func isGarbled(err error) bool {
	var corrupt flate.CorruptInputError
	return errors.Is(err, gzip.ErrHeader) || errors.Is(err, gzip.ErrChecksum) ||
		errors.As(err, &corrupt)
}

// failure is err in words of our own.
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
		return transient("the name of the server could not be resolved")
	case errors.As(err, &certificate):
		return transient("the certificate of the server is not valid for it")
	case errors.As(err, &op) && op.Op == "dial":
		return transient("the server could not be reached")
	}
	return transient("the connection to the server failed")
}
