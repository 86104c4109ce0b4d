package google

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"serverherd/places"
	"serverherd/places/google/googletest"
)

// askingNew is asking for the new API.
func askingNew(t *testing.T, h http.HandlerFunc, more ...string) *Places {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	p, err := NewPlaces(Options{Key: marker, BaseURL: server.URL, Timeout: time.Minute, Fields: more})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.client.http.CloseIdleConnections)
	return p
}

const mask = "places.id,places.displayName,places.location,places.viewport,places.types," +
	"places.shortFormattedAddress,places.businessStatus,places.plusCode,places.iconMaskBaseUri," +
	"places.iconBackgroundColor"

func TestRequestOfTheNewAPI(t *testing.T) {
	for _, c := range []struct {
		q      places.Query
		circle string
		more   []string
	}{
		{ucla, `{"latitude":34.06893,"longitude":-118.445127},"radius":10000`, nil},
		{places.Query{}, `{"latitude":0,"longitude":0},"radius":1`, nil},
		{places.Query{Lat: -90, Lng: 180, RadiusM: 50_000}, `{"latitude":-90,"longitude":180},"radius":50000`, nil},
		{places.Query{Lat: 1e-7, RadiusM: 50_001}, `{"latitude":0.0000001,"longitude":0},"radius":50000`,
			[]string{"rating", "attributions"}},
	} {
		var asked []string
		p := askingNew(t, func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			asked = append(asked, r.Method+" "+r.URL.String()+" "+string(body))
			want := http.Header{
				"Content-Type": {"application/json"}, "X-Goog-Api-Key": {marker}, "User-Agent": {"serverherd"},
				"Accept-Encoding": {"gzip"}, "Content-Length": r.Header["Content-Length"],
				"X-Goog-Fieldmask": {mask},
			}
			for _, field := range c.more {
				want["X-Goog-Fieldmask"][0] += ",places." + field
			}
			for name := range want {
				if !slices.Equal(r.Header[name], want[name]) {
					t.Errorf("header %s is %q, want %q", name, r.Header[name], want[name])
				}
			}
			if len(r.Header) != len(want) {
				t.Errorf("headers %v", r.Header)
			}
			_, _ = io.WriteString(w, "{}")
		}, c.more...)
		if r, err := p.Nearby(t.Context(), c.q); err != nil || r.Status != "ZERO_RESULTS" {
			t.Fatalf("%+v, %v", r, err)
		}
		want := `POST /v1/places:searchNearby {"locationRestriction":{"circle":{"center":` + c.circle +
			`}},"maxResultCount":20,"rankPreference":"DISTANCE"}`
		if len(asked) != 1 || asked[0] != want {
			t.Errorf("asked %q\nwant  %q", asked, want)
		}
	}
	if _, err := NewPlaces(Options{Key: marker, Fields: []string{"reviews"}}); err == nil ||
		!strings.Contains(err.Error(), `places.fields: unknown field "reviews"; available: rating, `) {
		t.Error(err)
	}
}

func TestTranslation(t *testing.T) {
	r, err := askingNew(t, answering(googletest.New)).Nearby(t.Context(), ucla)
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("testdata/translated.json")
	if err != nil {
		t.Fatal(err)
	}
	if got := string(places.AppendJSON(nil, r, 20)) + "\n"; got != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if s, err := places.Summarize(r.Results[1]); err != nil || s.Lat != 0 || s.Lng != 0 {
		t.Errorf("on the equator: %+v, %v", s, err)
	}
}

// failure returns the error of a lookup.
func failure(t *testing.T, p places.Provider) places.Failure {
	t.Helper()
	r, err := p.Nearby(t.Context(), ucla)
	if err == nil {
		t.Fatalf("answered %+v", r)
	}
	checkText(t, err)
	f, ok := err.(*places.Failure)
	if !ok {
		t.Fatalf("%v is a %T", err, err)
	}
	return *f
}

func TestErrorsOfTheNewAPI(t *testing.T) {
	said := func(status, details string) string {
		return `{"error":{"code":0,"message":"Bad ` + marker + `","status":"` + status + `","details":[` + details + `]}}`
	}
	const invalidKey = `{"@type":"type.googleapis.com/google.rpc.Help"},{"reason":"API_KEY_INVALID"}`
	for _, c := range []struct {
		code   int
		body   string
		kind   places.FailureKind
		status string
	}{
		{400, said("INVALID_ARGUMENT", ""), places.Invalid, "INVALID_REQUEST"},
		{400, said("INVALID_ARGUMENT", invalidKey), places.Denied, "REQUEST_DENIED"},
		{401, said("UNAUTHENTICATED", ""), places.Denied, "REQUEST_DENIED"},
		{403, said("PERMISSION_DENIED", ""), places.Denied, "REQUEST_DENIED"},
		{403, "<html>", places.Denied, "REQUEST_DENIED"},
		{429, said("RESOURCE_EXHAUSTED", ""), places.OverLimit, "OVER_QUERY_LIMIT"},
		{500, said("INTERNAL", ""), places.Transient, "UNKNOWN_ERROR"},
		{503, "", places.Transient, "UNKNOWN_ERROR"},
		{404, said("NOT_FOUND", ""), places.Strange, ""},
		{400, "<html>", places.Strange, ""},
		{302, "", places.Strange, ""},
		{204, "", places.Strange, ""},
	} {
		p := askingNew(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/elsewhere")
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(c.code)
			if c.code != 204 {
				_, _ = io.WriteString(w, c.body)
			}
		})
		if f := failure(t, p); f.Kind != c.kind || f.Status != c.status || f.RetryAfter != 7*time.Second {
			t.Errorf("HTTP %d %s: %+v", c.code, c.body, f)
		}
	}
}

func TestBadAnswersOfTheNewAPI(t *testing.T) {
	for body, want := range map[string]string{
		"":                                notJSON + "unexpected end of JSON input",
		"<html>":                          notJSON + "invalid character '<' looking for beginning of value",
		"null":                            notObject,
		"[]":                              notObject,
		`{"places":null}`:                 "the answer's places are not a list of JSON objects",
		`{"places":{}}`:                   "the answer's places are not a list of JSON objects",
		`{"places":["a"]}`:                "the answer's places are not a list of JSON objects",
		`{"places":[null]}`:               "the answer's places are not a list of JSON objects",
		`{"places":[],"places":[]}`:       "the answer has duplicate places",
		`{"error":{"code":403}}`:          "the answer has status 200 and an error",
		`{"places":[{"id":7}]}`:           "unexpected type of id in the answer",
		`{"places":[{"types":""}]`:        notJSON + "unexpected end of JSON input",
		`{"places":[{"location":[1,2]}]}`: "unexpected type of location in the answer",
		`{"places":[{"location":{"latitude":"1"}}]}`:             "unexpected type of latitude in the answer",
		`{"places":[{"viewport":{"low":{"longitude":null}}}]}`:   "unexpected type of longitude in the answer",
		`{"places":[{"displayName":{"text":{}}}]}`:               "unexpected type of text in the answer",
		`{"places":[{"currentOpeningHours":{"openNow":"yes"}}]}`: "unexpected type of openNow in the answer",
		`{"places":[{"attributions":[7]}]}`:                      "unexpected type of attributions in the answer",
		deep(100_000):                                            notJSON + "invalid character '[' exceeded max depth",
	} {
		f := failure(t, askingNew(t, answering(body)))
		if f.Text != want || f.Kind != places.Strange {
			t.Errorf("%.60s: %+v, want %q", body, f, want)
		}
	}
}

// Members named like those that the translation adds do not replace them.
func TestTranslationIsNotLedAstray(t *testing.T) {
	body := `{"status":"NO","places":[{"id":"a","reference":"b","provider":"kept"}],"results":[],"html_attributions":["x"],"more":[1]}`
	r, err := askingNew(t, answering(body)).Nearby(t.Context(), ucla)
	if err != nil {
		t.Fatal(err)
	}
	got := places.AppendJSON(nil, r, 20)
	var compact []byte
	if b, err := json.Marshal(json.RawMessage(got)); err != nil {
		t.Fatal(err)
	} else {
		compact = b
	}
	const want = `{"html_attributions":[],"results":[{"place_id":"a","reference":"a","provider":"kept"}],"status":"OK","more":[1]}`
	if string(compact) != want {
		t.Errorf("got  %s\nwant %s", compact, want)
	}
}

func TestRetryAfter(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, "-7": 0, "soon": 0, "99999999999": longestRetryAfter,
		"999999999999999999999999": 0, "Mon, 02 Jan 2006 15:04:05 GMT": 0,
		"Fri, 02 Jan 2899 15:04:05 GMT": longestRetryAfter,
	} {
		if got := retryAfter(text); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

func TestFailureKindsOfTheLegacyAPI(t *testing.T) {
	for status, want := range map[string]places.FailureKind{
		"OVER_QUERY_LIMIT": places.OverLimit, "REQUEST_DENIED": places.Denied,
		"INVALID_REQUEST": places.Invalid, "UNKNOWN_ERROR": places.Transient, "NEW": places.Strange,
	} {
		if f := failure(t, asking(t, answering(`{"status":"`+status+`"}`))); f.Kind != want {
			t.Errorf("%s: %+v, want kind %d", status, f, want)
		}
	}
	for code, want := range map[int]places.FailureKind{
		400: places.Strange, 401: places.Denied, 403: places.Denied, 404: places.Strange,
		429: places.Transient, 500: places.Transient, 503: places.Transient, 301: places.Strange,
	} {
		f := failure(t, asking(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "2")
			w.WriteHeader(code)
		}))
		if f.Kind != want || f.RetryAfter != 2*time.Second {
			t.Errorf("HTTP %d: %+v, want kind %d", code, f, want)
		}
	}
	for _, c := range []struct {
		code   int
		status string
		kind   places.FailureKind
	}{
		{429, "OVER_QUERY_LIMIT", places.OverLimit}, {400, "INVALID_REQUEST", places.Invalid},
		{403, "REQUEST_DENIED", places.Denied}, {503, "UNKNOWN_ERROR", places.Transient},
	} {
		f := failure(t, asking(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(c.code)
			_, _ = io.WriteString(w, `{"status":"`+c.status+`"}`)
		}))
		if f.Kind != c.kind || f.Status != c.status {
			t.Errorf("HTTP %d with a reason: %+v, want %+v", c.code, f, c)
		}
	}
	for _, body := range []string{`{"results":[],"status":"OK"}`, `{"status":"NEW"}`, "{}"} {
		f := failure(t, asking(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(500)
			_, _ = io.WriteString(w, body)
		}))
		if f.Kind != places.Transient || f.Text != "the answer was HTTP 500" {
			t.Errorf("HTTP 500 with %s: %+v", body, f)
		}
	}
	hangsUp := asking(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	if f := failure(t, hangsUp); f.Kind != places.Transient {
		t.Errorf("hangs up: %+v", f)
	}
	if f := failure(t, asking(t, answering("<html>"))); f.Kind != places.Strange {
		t.Errorf("HTML: %+v", f)
	}
}

func TestKeysThatAreNone(t *testing.T) {
	for _, key := range []Key{"", "a b", "a\nb", "\x00", "schlüssel"} {
		_, err1 := NewLegacy(Options{Key: key})
		_, err2 := NewPlaces(Options{Key: key})
		if err1 == nil || err2 == nil || key != "" && strings.Contains(err1.Error(), string(key)) {
			t.Errorf("%q: %v, %v", string(key), err1, err2)
		}
	}
}

// Twenty places as from Google, about 20 KB.
func BenchmarkTranslate(b *testing.B) {
	const place = `{"id":"ChIJLQjF8X6LGGARVaYYiaVzCoA","types":["cafe","food_store","establishment"],
      "location":{"latitude":35.6812405,"longitude":139.7649361},"viewport":{
        "low":{"latitude":35.6798915197085,"longitude":139.7635871197085},
        "high":{"latitude":35.6825894802915,"longitude":139.7662850802915}},
      "iconMaskBaseUri":"https://maps.gstatic.com/mapfiles/place_api/icons/v2/train_rail_1",
      "iconBackgroundColor":"#10BDFF","plusCode":{"globalCode":"8Q7XMQJ7+FX",
        "compoundCode":"MQJ7+FX Chiyoda City, Tokyo, Japan"},
      "displayName":{"text":"A place in Chiyoda City","languageCode":"en"},
      "businessStatus":"OPERATIONAL","shortFormattedAddress":"1 Chome Marunouchi, Chiyoda City"}`
	body := []byte(`{"places":[` + strings.Repeat(place+",", 19) + place + "]}")
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		text, err := translate(body)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := parse(text, 0); err != nil {
			b.Fatal(err)
		}
	}
}
