package google

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"time"

	"serverherd/places"
)

// Key is an API key. It prints as a placeholder, whatever it is printed with.
type Key string

// String implements fmt.Stringer.
func (Key) String() string { return "[key]" }

// GoString implements fmt.GoStringer.
func (Key) GoString() string { return "[key]" }

// MarshalText implements encoding.TextMarshaler.
func (Key) MarshalText() ([]byte, error) { return []byte("[key]"), nil }

// Options are what a client needs.
type Options struct {
	Key     Key
	BaseURL string        // replaces scheme and host; "" for Google's own
	Timeout time.Duration // of a whole lookup, body included
}

const (
	legacyBase = "https://maps.googleapis.com"
	legacyPath = "/maps/api/place/nearbysearch/json"
	// maxBody bounds an answer after decompression. Google's are some 30 KB.
	maxBody = 1 << 20
)

// Legacy asks the legacy Nearby Search API. Any goroutine.
// https://developers.google.com/maps/documentation/places/web-service/search-nearby
type Legacy struct {
	base    url.URL
	key     Key
	timeout time.Duration
	client  *http.Client
}

var _ places.Provider = (*Legacy)(nil)

// NewLegacy returns a client. Its error says what is missing from the options.
func NewLegacy(o Options) (*Legacy, error) {
	if o.Key == "" {
		return nil, errors.New("a key is needed: set $GOOGLE_PLACES_API_KEY or places.key_file")
	}
	base, err := parseBase(o.BaseURL, legacyBase)
	if err != nil {
		return nil, err
	}
	return &Legacy{base: base, key: o.Key, timeout: o.Timeout, client: newClient()}, nil
}

// parseBase checks the address of a service. A key goes over https, or to this machine.
func parseBase(text, otherwise string) (url.URL, error) {
	if text == "" {
		text = otherwise
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" ||
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

// newClient is an http.Client that goes where it is sent and nowhere else.
func newClient() *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy:               nil,
			DialContext:         (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
			ForceAttemptHTTP2:   true,
			MaxIdleConnsPerHost: 64,
			IdleConnTimeout:     90 * time.Second,
			TLSHandshakeTimeout: 5 * time.Second,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Nearby implements places.Provider. OK and ZERO_RESULTS are answers; everything else is an error
// that names the status. It asks for one page and never for another.
func (l *Legacy) Nearby(ctx context.Context, q places.Query) (places.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	body, err := l.fetch(ctx, q)
	if err != nil {
		return places.Result{}, err
	}
	r, err := places.Parse(body)
	if err != nil {
		return places.Result{}, err
	}
	if r.Status != "OK" && r.Status != "ZERO_RESULTS" {
		return places.Result{}, errors.New("the answer was " + known(r.Status))
	}
	return r, nil
}

// known keeps what a stranger put into the status out of our replies and logs.
func known(status string) string {
	switch status {
	case "OVER_QUERY_LIMIT", "REQUEST_DENIED", "INVALID_REQUEST", "UNKNOWN_ERROR", "NOT_FOUND":
		return status
	}
	return "an unknown status"
}

// fetch gets the body of an answer.
func (l *Legacy) fetch(ctx context.Context, q places.Query) ([]byte, error) {
	u := l.base
	u.Path = legacyPath
	u.RawQuery = url.Values{
		"location": {degrees(q.Lat) + "," + degrees(q.Lng)},
		"radius":   {strconv.Itoa(max(1, min(q.RadiusM, 50_000)))}, // 0 is "missing" to Google
		"key":      {string(l.key)},
	}.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, errors.New("request could not be made")
	}
	req.Header.Set("User-Agent", "serverherd")
	resp, err := l.client.Do(req)
	if err != nil {
		return nil, l.failure(ctx, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the answer was HTTP %d", resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	switch {
	case err != nil:
		return nil, l.failure(ctx, err)
	case len(body) > maxBody:
		return nil, errors.New("the answer is longer than 1 MiB")
	}
	return body, nil
}

func degrees(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// failure names what went wrong without the words of net/http, which quote the URL and so the key.
func (l *Legacy) failure(ctx context.Context, err error) error {
	var dns *net.DNSError
	var op *net.OpError
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("no answer within %v", l.timeout)
	case errors.Is(ctx.Err(), context.Canceled):
		return context.Canceled
	case errors.As(err, &dns):
		return errors.New("the name of Google's server could not be resolved")
	case errors.As(err, &op) && op.Op == "dial":
		return errors.New("the server of Google could not be reached")
	case errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF):
		return errors.New("the answer broke off")
	}
	return errors.New("the connection to Google failed")
}
