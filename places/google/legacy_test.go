package google

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"serverherd/places"
	"serverherd/places/google/googletest"
)

// marker is a key that must not appear in an error.
const marker = "AIzaMARKERKEY"

var ucla = places.Query{Lat: 34.06893, Lng: -118.445127, RadiusM: 10_000}

// asking returns a client of a loopback server with the handler h.
func asking(t *testing.T, h http.HandlerFunc) *Legacy {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return newLegacy(t, server.URL, time.Minute)
}

func newLegacy(t *testing.T, base string, timeout time.Duration) *Legacy {
	t.Helper()
	l, err := NewLegacy(Options{Key: marker, BaseURL: base, Timeout: timeout})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.client.http.CloseIdleConnections)
	return l
}

// answering is a handler that answers all requests with the same body.
func answering(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) }
}

// fails makes a lookup and checks its error.
func fails(t *testing.T, l *Legacy, want string) {
	t.Helper()
	r, err := l.Nearby(t.Context(), ucla)
	if err == nil {
		t.Fatalf("answered %+v, want %q", r, want)
	}
	checkText(t, err)
	if err.Error() != want {
		t.Errorf("got  %q\nwant %q", err, want)
	}
}

// checkText checks that an error is short, one line, and without secrets.
func checkText(t *testing.T, err error) {
	t.Helper()
	for e := err; e != nil; {
		for _, secret := range []string{marker, "http:", "https:", "127.0.0.1", "key="} {
			if strings.Contains(e.Error(), secret) {
				t.Errorf("error %q holds %q", e, secret)
			}
		}
		u, ok := e.(interface{ Unwrap() error })
		if !ok {
			break
		}
		e = u.Unwrap()
	}
	if text := err.Error(); len(text) > 100 || strings.ContainsAny(text, "\r\n") {
		t.Errorf("error %q is not one short line", text)
	}
}

func TestRequest(t *testing.T) {
	for _, c := range []struct {
		q    places.Query
		want string
	}{
		{ucla, "key=AIzaMARKERKEY&location=34.06893%2C-118.445127&radius=10000"},
		{places.Query{}, "key=AIzaMARKERKEY&location=0%2C0&radius=1"},
		{places.Query{Lat: negativeZero(), Lng: negativeZero()},
			"key=AIzaMARKERKEY&location=0%2C0&radius=1"},
		{places.Query{Lat: -90, Lng: 180, RadiusM: 50_000},
			"key=AIzaMARKERKEY&location=-90%2C180&radius=50000"},
		{places.Query{Lat: 1e-7, Lng: -1e-7, RadiusM: 1},
			"key=AIzaMARKERKEY&location=0.0000001%2C-0.0000001&radius=1"},
		{places.Query{RadiusM: 50_001}, "key=AIzaMARKERKEY&location=0%2C0&radius=50000"},
	} {
		var asked []*http.Request
		l := asking(t, func(w http.ResponseWriter, r *http.Request) {
			asked = append(asked, r)
			answering(`{"results":[],"status":"ZERO_RESULTS","next_page_token":"more"}`)(w, r)
		})
		if _, err := l.Nearby(t.Context(), c.q); err != nil {
			t.Fatal(err)
		}
		if len(asked) != 1 {
			t.Fatalf("%d requests for one question", len(asked))
		}
		r := asked[0]
		want := "GET /maps/api/place/nearbysearch/json?" + c.want
		if got := r.Method + " " + r.URL.String(); got != want {
			t.Errorf("asked %s\nwant  %s", got, want)
		}
		if len(r.Header) != 2 || r.UserAgent() != "serverherd" ||
			r.Header.Get("Accept-Encoding") != "gzip" || r.ContentLength != 0 {
			t.Errorf("asked with headers %v and a body of %d", r.Header, r.ContentLength)
		}
	}
}

func negativeZero() float64 { var v float64; return -v }

// An answer with Google's members and everything else that JSON allows is passed on unchanged except for
// white space.
func TestPassesThrough(t *testing.T) {
	body := []byte(googletest.Legacy)
	r, err := asking(t, answering(string(body))).Nearby(t.Context(), ucla)
	if err != nil {
		t.Fatal(err)
	}
	if r.Status != "OK" || len(r.Results) != 3 || len(r.Before) != 2 || len(r.After) != 2 {
		t.Fatalf("%d results between %v and %v", len(r.Results), r.Before, r.After)
	}
	text := places.AppendJSON(nil, r, 20)
	var got, want bytes.Buffer
	if err := json.Compact(&got, text); err != nil {
		t.Fatal(err)
	}
	if err := json.Compact(&want, body); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want.Bytes()) {
		t.Errorf("got  %s\nwant %s", &got, &want)
	}
	s, err := places.Summarize(r.Results[0])
	if want := (places.Summary{Name: "東京駅 <Marunouchi & Yaesu> 東京🚉", Type: "train_station",
		Lat: 35.6812405, Lng: 139.7649361, Located: true}); err != nil || s != want {
		t.Errorf("summary %+v, %v, want %+v", s, err, want)
	}
}

func TestStatus(t *testing.T) {
	for status, want := range map[string]string{
		"OVER_QUERY_LIMIT": "the answer was OVER_QUERY_LIMIT",
		"REQUEST_DENIED":   "the answer was REQUEST_DENIED",
		"INVALID_REQUEST":  "the answer was INVALID_REQUEST",
		"UNKNOWN_ERROR":    "the answer was UNKNOWN_ERROR",
		"NOT_FOUND":        "the answer was NOT_FOUND",
		"ok":               "unknown status in the answer",
		"key=" + marker:    "unknown status in the answer",
		"a\\nb":            "unknown status in the answer",
	} {
		for _, results := range []string{`"html_attributions":[],"results":[],`, ""} {
			message := `,"error_message":"The key ` + marker + ` is bad."}`
			fails(t, asking(t, answering(`{`+results+`"status":"`+status+`"`+message)), want)
		}
	}
	for _, status := range []string{"OK", "ZERO_RESULTS"} {
		l := asking(t, answering(`{"results":[],"status":"`+status+`"}`))
		if r, err := l.Nearby(t.Context(), ucla); err != nil || r.Status != status {
			t.Errorf("%s: %+v, %v", status, r, err)
		}
	}
}

func TestManyAtOnce(t *testing.T) {
	l := asking(t, func(w http.ResponseWriter, r *http.Request) {
		answering(`{"results":[{"asked":"`+r.FormValue("location")+`"}],"status":"OK"}`)(w, r)
	})
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			q := places.Query{Lat: float64(i), Lng: float64(-i)}
			r, err := l.Nearby(context.Background(), q)
			want := `"` + degrees(q.Lat) + "," + degrees(q.Lng) + `"`
			if err != nil || !strings.Contains(string(r.Results[0]), want) {
				t.Errorf("question %s: %+v, %v", want, r, err)
			}
		})
	}
	wg.Wait()
}
