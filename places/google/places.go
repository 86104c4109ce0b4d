package google

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"serverherd/places"
)

const (
	placesBase = "https://places.googleapis.com"
	placesPath = "/v1/places:searchNearby"
)

// fields are the fields of every request. They are all in the same price class.
// https://developers.google.com/maps/documentation/places/web-service/nearby-search#fieldmask
var fields = []string{
	"id", "displayName", "location", "viewport", "types", "shortFormattedAddress", "businessStatus",
	"plusCode", "iconMaskBaseUri", "iconBackgroundColor",
}

// MoreFields are additional fields, at a higher price.
var MoreFields = []string{
	"rating", "userRatingCount", "priceLevel", "currentOpeningHours.openNow", "attributions",
}

// Places is a client of the Places API (New) with answers in the legacy form. Any goroutine.
// https://developers.google.com/maps/documentation/places/web-service/nearby-search
type Places struct {
	client client
	url    string
	mask   string
	key    *Key // a pointer, so that printing a Places does not print the key
}

var _ places.Provider = (*Places)(nil)

// NewPlaces returns a client. Its error does not contain the key.
func NewPlaces(o Options) (*Places, error) {
	if err := o.Key.check(); err != nil {
		return nil, err
	}
	base, err := parseBase(o.BaseURL, placesBase)
	if err != nil {
		return nil, err
	}
	mask := slices.Clone(fields)
	for _, field := range o.Fields {
		if !slices.Contains(MoreFields, field) {
			return nil, fmt.Errorf("places.fields: unknown field %q; available: %s", field,
				strings.Join(MoreFields, ", "))
		}
		mask = append(mask, field)
	}
	u := url.URL{Scheme: base.Scheme, Host: base.Host, Path: placesPath}
	return &Places{
		client: newClient(o.Timeout), url: u.String(), key: &o.Key,
		mask: "places." + strings.Join(mask, ",places."),
	}, nil
}

// Nearby implements places.Provider. It sends one request.
func (p *Places) Nearby(ctx context.Context, q places.Query) (places.Result, error) {
	req, err := http.NewRequest(http.MethodPost, p.url, strings.NewReader(requestBody(q)))
	if err != nil {
		return places.Result{}, strange("cannot create the request")
	}
	// Without GetBody net/http does not repeat a POST whose connection broke: the first may have been
	// charged.
	req.GetBody = nil
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Goog-Api-Key", string(*p.key))
	req.Header.Set("X-Goog-FieldMask", p.mask)
	answer, err := p.client.fetch(ctx, req)
	if err != nil {
		return places.Result{}, err
	}
	if answer.code != http.StatusOK {
		return places.Result{}, explained(answer)
	}
	text, err := translate(answer.body)
	if err != nil {
		return places.Result{}, strange(err.Error())
	}
	return parse(text, answer.wait)
}

// requestBody is the body of a request. The service rejects a radius of 0 or above 50 km.
func requestBody(q places.Query) string {
	return `{"locationRestriction":{"circle":{"center":{"latitude":` + degrees(q.Lat) +
		`,"longitude":` + degrees(q.Lng) + `},"radius":` +
		strconv.Itoa(max(1, min(q.RadiusM, 50_000))) + `}},"maxResultCount":20,"rankPreference":"DISTANCE"}`
}

// explained converts an answer with an HTTP status other than 200 to an error with a status of the legacy
// API. https://cloud.google.com/apis/design/errors
func explained(r reply) error {
	var body struct {
		Error struct {
			Status  string
			Details []struct{ Reason string }
		}
	}
	_ = json.Unmarshal(r.body, &body) // if it is invalid, the HTTP status remains
	status := ""
	switch {
	case r.code == http.StatusUnauthorized, r.code == http.StatusForbidden:
		status = "REQUEST_DENIED"
	case r.code == http.StatusTooManyRequests:
		status = "OVER_QUERY_LIMIT"
	case r.code >= 500:
		status = "UNKNOWN_ERROR"
	case body.Error.Status == "INVALID_ARGUMENT":
		status = "INVALID_REQUEST"
		for _, d := range body.Error.Details {
			if d.Reason == "API_KEY_INVALID" {
				status = "REQUEST_DENIED"
			}
		}
	default:
		return unexpected(r)
	}
	return statusFailure(status, r.wait)
}
