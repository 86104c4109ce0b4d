package google

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"serverherd/places"
)

const (
	legacyBase = "https://maps.googleapis.com"
	legacyPath = "/maps/api/place/nearbysearch/json"
)

// Legacy is a client of the legacy Nearby Search API. Any goroutine.
// https://developers.google.com/maps/documentation/places/web-service/search-nearby
type Legacy struct {
	client client
	base   url.URL
	key    *Key // a pointer, so that printing a Legacy does not print the key
}

var _ places.Provider = (*Legacy)(nil)

// NewLegacy returns a client. Its error does not contain the key.
func NewLegacy(o Options) (*Legacy, error) {
	if err := o.Key.check(); err != nil {
		return nil, err
	}
	base, err := parseBase(o.BaseURL, legacyBase)
	if err != nil {
		return nil, err
	}
	base.Path = legacyPath
	return &Legacy{client: newClient(o.Timeout), base: base, key: &o.Key}, nil
}

// Nearby implements places.Provider. A status other than OK and ZERO_RESULTS is an error. It requests only
// the first page of results.
func (l *Legacy) Nearby(ctx context.Context, q places.Query) (places.Result, error) {
	req, err := http.NewRequest(http.MethodGet, l.url(q), nil)
	if err != nil {
		return places.Result{}, strange("cannot create the request")
	}
	answer, err := l.client.fetch(ctx, req)
	if err != nil {
		return places.Result{}, err
	}
	r, err := parse(answer.body, answer.wait)
	if answer.code == http.StatusOK {
		return r, err
	}
	// A status in the body says more than the HTTP status, unless it is OK.
	var failure *places.Failure
	if errors.As(err, &failure) && failure.Status != "" {
		return places.Result{}, err
	}
	return places.Result{}, unexpected(answer)
}

// parse parses an answer in the form of the legacy API.
func parse(body []byte, wait time.Duration) (places.Result, error) {
	r, err := places.Parse(body)
	if err != nil {
		return places.Result{}, strange(err.Error())
	}
	if r.Status != "OK" && r.Status != "ZERO_RESULTS" {
		return places.Result{}, statusFailure(r.Status, wait)
	}
	return r, nil
}

// url is the URL of a request. It contains the API key.
func (l *Legacy) url(q places.Query) string {
	u := l.base
	u.RawQuery = url.Values{
		"location": {degrees(q.Lat) + "," + degrees(q.Lng)},
		"radius":   {strconv.Itoa(max(1, min(q.RadiusM, 50_000)))}, // Google treats 0 as missing
		"key":      {string(*l.key)},
	}.Encode()
	return u.String()
}

// degrees formats v as the shortest exact decimal, without exponent or plus sign.
func degrees(v float64) string {
	if v == 0 {
		v = 0 // not -0
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}
