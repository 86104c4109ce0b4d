package googletest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"serverherd/places"
)

const (
	legacyPath = "/maps/api/place/nearbysearch/json"
	newPath    = "/v1/places:searchNearby"
)

// Fields are the fields in every request to the new API, in this order.
var Fields = []string{
	"id", "displayName", "location", "viewport", "types", "shortFormattedAddress", "businessStatus",
	"plusCode", "iconMaskBaseUri", "iconBackgroundColor",
}

// moreFields are the optional fields.
var moreFields = []string{
	"rating", "userRatingCount", "priceLevel", "currentOpeningHours.openNow", "attributions",
}

func dialect(r *http.Request) Dialect {
	if r.URL.Path == newPath {
		return NewAPI
	}
	return LegacyAPI
}

// understand parses a request. It then builds the expected request from the result and compares, so that
// any other byte in the request is an error.
func understand(r *http.Request) (q Question, err error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return q, err
	}
	q.Dialect = dialect(r)
	headers := http.Header{"User-Agent": {"serverherd"}, "Accept-Encoding": {"gzip"}}
	wantMethod, wantURL, wantBody := http.MethodGet, "", ""
	if q.Dialect == LegacyAPI {
		q.Query, err = understandQuery(r.URL.Query())
		wantURL = legacyPath + "?" + legacyQuery(q.Query)
	} else {
		mask := r.Header.Get("X-Goog-FieldMask")
		if q.Query, err = understandBody(body); err == nil {
			q.Fields, err = understandMask(mask)
		}
		wantMethod, wantURL, wantBody = http.MethodPost, newPath, newBody(q.Query)
		headers["Content-Type"] = []string{"application/json"}
		headers["Content-Length"] = []string{strconv.Itoa(len(body))}
		headers["X-Goog-Api-Key"] = []string{Key}
		headers["X-Goog-Fieldmask"] = []string{mask}
	}
	switch {
	case err != nil:
		return q, err
	case r.Method != wantMethod || r.RequestURI != wantURL || string(body) != wantBody:
		return q, fmt.Errorf("%s %s %s\nwant  %s %s %s", r.Method, r.RequestURI, body,
			wantMethod, wantURL, wantBody)
	case fmt.Sprint(r.Header) != fmt.Sprint(headers): // which sorts both
		return q, fmt.Errorf("headers %v, want %v", r.Header, headers)
	case len(r.Trailer) > 0 || strings.Contains(r.Host, Key):
		return q, fmt.Errorf("host %s, trailer %v", r.Host, r.Trailer)
	}
	return q, check(q.Query)
}

// check returns an error if Google would reject the request.
func check(q places.Query) error {
	if q.Lat >= -90 && q.Lat <= 90 && q.Lng >= -180 && q.Lng <= 180 &&
		q.RadiusM >= 1 && q.RadiusM <= 50_000 {
		return nil
	}
	return fmt.Errorf("question %+v", q)
}

func understandQuery(v url.Values) (q places.Query, err error) {
	lat, lng, _ := strings.Cut(v.Get("location"), ",")
	var errs [3]error
	q.Lat, errs[0] = strconv.ParseFloat(lat, 64)
	q.Lng, errs[1] = strconv.ParseFloat(lng, 64)
	q.RadiusM, errs[2] = strconv.Atoi(v.Get("radius"))
	return q, errors.Join(errs[:]...)
}

func legacyQuery(q places.Query) string {
	return fmt.Sprintf("key=%s&location=%s%%2C%s&radius=%d",
		Key, decimal(q.Lat), decimal(q.Lng), q.RadiusM)
}

func understandBody(body []byte) (q places.Query, err error) {
	var asked struct {
		LocationRestriction struct {
			Circle struct {
				Center struct{ Latitude, Longitude float64 }
				Radius int
			}
		}
	}
	err = json.Unmarshal(body, &asked)
	c := asked.LocationRestriction.Circle
	return places.Query{Lat: c.Center.Latitude, Lng: c.Center.Longitude, RadiusM: c.Radius}, err
}

func newBody(q places.Query) string {
	return fmt.Sprintf(`{"locationRestriction":{"circle":{"center":{"latitude":%s,"longitude":%s},`+
		`"radius":%d}},"maxResultCount":20,"rankPreference":"DISTANCE"}`,
		decimal(q.Lat), decimal(q.Lng), q.RadiusM)
}

// decimal formats v without an exponent, and zero without a sign.
func decimal(v float64) string { return strconv.FormatFloat(v+0, 'f', -1, 64) }

func understandMask(mask string) (fields []string, err error) {
	for path := range strings.SplitSeq(mask, ",") {
		field, ok := strings.CutPrefix(path, "places.")
		known := slices.Contains(Fields, field) || slices.Contains(moreFields, field)
		if !ok || !known || slices.Contains(fields, field) {
			return nil, fmt.Errorf("field mask %q", mask)
		}
		fields = append(fields, field)
	}
	if len(fields) < len(Fields) || !slices.Equal(fields[:len(Fields)], Fields) {
		return nil, fmt.Errorf("field mask %q", mask)
	}
	return fields, nil
}
