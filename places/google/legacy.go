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

// Legacy asks the legacy Nearby Search API. Any goroutine.
// https://developers.google.com/maps/documentation/places/web-service/search-nearby
type Legacy struct {
	client client
	base   url.URL
	key    *Key // behind a pointer, so that whoever prints a Legacy prints an address
}

var _ places.Provider = (*Legacy)(nil)

// NewLegacy returns a client. Its error says what is wrong with the options, and never the key.
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

// Nearby implements places.Provider. OK and ZERO_RESULTS are answers; everything else is an error
// that names the status. It asks for one page and never for another.
func (l *Legacy) Nearby(ctx context.Context, q places.Query) (places.Result, error) {
	req, err := http.NewRequest(http.MethodGet, l.url(q), nil)
	if err != nil {
		return places.Result{}, strange("the request could not be made")
	}
	answer, err := l.client.fetch(ctx, req)
	if err != nil {
		return places.Result{}, err
	}
	r, err := parse(answer.body, answer.wait)
	if answer.code == http.StatusOK {
		return r, err
	}
	// A body that gives a reason is better than a number, and one that says OK is not believed.
	var said *places.Failure
	if errors.As(err, &said) && said.Status != "" {
		return places.Result{}, err
	}
	return places.Result{}, unexpected(answer)
}

// parse is an answer in the form of the legacy API.
func parse(body []byte, wait time.Duration) (places.Result, error) {
	r, err := places.Parse(body)
	if err != nil {
		return places.Result{}, strange(err.Error())
	}
	if r.Status != "OK" && r.Status != "ZERO_RESULTS" {
		return places.Result{}, refusal(r.Status, wait)
	}
	return r, nil
}

// url is the question. It holds the key.
func (l *Legacy) url(q places.Query) string {
	u := l.base
	u.RawQuery = url.Values{
		"location": {degrees(q.Lat) + "," + degrees(q.Lng)},
		"radius":   {strconv.Itoa(max(1, min(q.RadiusM, 50_000)))}, // 0 is "missing" to Google
		"key":      {string(*l.key)},
	}.Encode()
	return u.String()
}

// degrees is the shortest decimal that is v, without exponent or plus sign.
func degrees(v float64) string {
	if v == 0 {
		v = 0 // and not -0
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}
