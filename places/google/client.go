package google

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"
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

// Options are what a client needs.
type Options struct {
	Key     Key
	BaseURL string        // scheme and host; "" for Google's own
	Timeout time.Duration // of a whole lookup, body included; 0 for 5 s
}

const (
	defaultTimeout = 5 * time.Second
	// maxBody bounds an answer after decompression, so that neither a stranger nor a gzip bomb
	// fills the memory. Google's are some 30 KB.
	maxBody    = 1 << 20
	maxHeaders = 64 << 10
	// maxIdle is how many connections are kept: as many as a server has lookups in flight.
	maxIdle = 64
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
	return host == "localhost" || err == nil && ip.IsLoopback()
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
			Proxy:                  nil,
			ForceAttemptHTTP2:      true,
			MaxIdleConnsPerHost:    maxIdle,
			IdleConnTimeout:        90 * time.Second,
			MaxResponseHeaderBytes: maxHeaders,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}}
}

// fetch is the body of the answer to a request. Its errors are its own words: those of net/http
// quote the URL and so the key.
func (c *client) fetch(ctx context.Context, method, url string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return nil, errors.New("the request could not be made")
	}
	req.Header.Set("User-Agent", "serverherd")
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.failure(ctx, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the answer was HTTP %d", resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	switch {
	case err != nil && ctx.Err() == nil:
		return nil, errors.New("the answer broke off")
	case err != nil:
		return nil, c.failure(ctx, err)
	case len(body) > maxBody:
		return nil, errors.New("the answer is longer than 1 MiB")
	}
	return body, nil
}

// failure is err in words of our own.
func (c *client) failure(ctx context.Context, err error) error {
	var name *net.DNSError
	var certificate *tls.CertificateVerificationError
	var op *net.OpError
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("no answer within %v", c.timeout)
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &name):
		return errors.New("the name of the server could not be resolved")
	case errors.As(err, &certificate):
		return errors.New("the certificate of the server is not valid for it")
	case errors.As(err, &op) && op.Op == "dial":
		return errors.New("the server could not be reached")
	}
	return errors.New("the connection to the server failed")
}
