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

// fields are those that every lookup asks for, all of them of one price.
// https://developers.google.com/maps/documentation/places/web-service/nearby-search#fieldmask
var fields = []string{
	"id", "displayName", "location", "viewport", "types", "shortFormattedAddress", "businessStatus",
	"plusCode", "iconMaskBaseUri", "iconBackgroundColor",
}

// MoreFields are those that a lookup may ask for in addition, at a higher price.
var MoreFields = []string{
	"rating", "userRatingCount", "priceLevel", "currentOpeningHours.openNow", "attributions",
}

// Places asks the Places API (New) and answers in the form of the legacy one. Any goroutine.
// https://developers.google.com/maps/documentation/places/web-service/nearby-search
type Places struct {
	client client
	url    string
	mask   string
	key    *Key // behind a pointer, so that whoever prints a Places prints an address
}

var _ places.Provider = (*Places)(nil)

// NewPlaces returns a client. Its error says what is wrong with the options, and never the key.
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
			return nil, fmt.Errorf("places.fields: %q is not available; what is: %s", field,
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

// Nearby implements places.Provider. It makes one request.
func (p *Places) Nearby(ctx context.Context, q places.Query) (places.Result, error) {
	req, err := http.NewRequest(http.MethodPost, p.url, strings.NewReader(question(q)))
	if err != nil {
		return places.Result{}, strange("the request could not be made")
	}
	// A POST whose connection dies is not repeated behind our back: it may have been charged.
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

// question is the body of a request. A circle has a radius of more than nothing and no more than 50
// km; beyond that the service refuses it.
func question(q places.Query) string {
	return `{"locationRestriction":{"circle":{"center":{"latitude":` + degrees(q.Lat) +
		`,"longitude":` + degrees(q.Lng) + `},"radius":` +
		strconv.Itoa(max(1, min(q.RadiusM, 50_000))) + `}},"maxResultCount":20,"rankPreference":"DISTANCE"}`
}

// explained is what an answer with another HTTP status than 200 says of itself, in the legacy API's
// words. https://cloud.google.com/apis/design/errors
func explained(r reply) error {
	var said struct {
		Error struct {
			Status  string
			Details []struct{ Reason string }
		}
	}
	_ = json.Unmarshal(r.body, &said) // whatever it is, there is the HTTP status
	status := ""
	switch {
	case r.code == http.StatusUnauthorized, r.code == http.StatusForbidden:
		status = "REQUEST_DENIED"
	case r.code == http.StatusTooManyRequests:
		status = "OVER_QUERY_LIMIT"
	case r.code >= 500:
		status = "UNKNOWN_ERROR"
	case said.Error.Status == "INVALID_ARGUMENT":
		status = "INVALID_REQUEST"
		for _, d := range said.Error.Details {
			if d.Reason == "API_KEY_INVALID" {
				status = "REQUEST_DENIED"
			}
		}
	default:
		return unexpected(r)
	}
	return refusal(status, r.wait)
}
