// Package googletest is a server on loopback that speaks both of Google's Places dialects: recorded
// answers, every status, and everything else that a service may do instead of answering. It checks
// each request, and that the key stands where it must and nowhere else.
package googletest

import (
	_ "embed" // the recorded answers
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// Answers as the APIs give them, with beside what they write everything else that JSON may hold.
var (
	//go:embed answers/legacy.json
	Legacy string
	//go:embed answers/new.json
	New string
)

// Key is the only one that the server takes. Whoever finds it in a log has found a leak.
const Key = "AIzaSyMARKER-of-a-key_0123456789abcdefg"

// Dialect is one of the two APIs.
type Dialect string

// The dialects, by the names that herd.toml has for their providers.
const (
	LegacyAPI Dialect = "google-legacy"
	NewAPI    Dialect = "google"
)

// Answer answers a request in place of the recorded answer.
type Answer func(w http.ResponseWriter, r *http.Request)

// Server is such a server. Any goroutine.
type Server struct {
	URL   string
	t     testing.TB
	http  *httptest.Server
	next  atomic.Pointer[Answer]
	asked atomic.Int64
}

// Start starts a server that gives recorded answers and ends with the test.
func Start(t testing.TB) *Server {
	s := &Server{t: t}
	s.Set(nil)
	s.http = httptest.NewServer(s)
	t.Cleanup(s.http.Close)
	s.URL = s.http.URL
	return s
}

// Set chooses the answer to all further requests; nil for the recorded one.
func (s *Server) Set(a Answer) { s.next.Store(&a) }

// Asked is how many requests there have been.
func (s *Server) Asked() int { return int(s.asked.Load()) }

// Disconnect closes the connections that clients keep for further requests.
func (s *Server) Disconnect() { s.http.CloseClientConnections() }

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.asked.Add(1)
	recorded, err := check(r)
	if err != nil {
		s.t.Errorf("request: %v", err)
		http.Error(w, "what is this?", http.StatusBadRequest)
		return
	}
	if answer := *s.next.Load(); answer != nil {
		answer(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	_, _ = io.WriteString(w, recorded)
}

// check says what is wrong with a request, or what is the answer to it.
func check(r *http.Request) (recorded string, err error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return "", err
	}
	switch r.Method + " " + r.URL.Path {
	case "GET /maps/api/place/nearbysearch/json":
		recorded, err = Legacy, checkLegacy(r, body)
	case "POST /v1/places:searchNearby":
		recorded, err = New, checkNew(r, body)
	default:
		return "", fmt.Errorf("%s %s", r.Method, r.URL.Path)
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", r.URL.Path, err)
	}
	for _, name := range []string{"Cookie", "Authorization", "Referer"} {
		if r.Header.Get(name) != "" {
			return "", fmt.Errorf("header %s is sent", name)
		}
	}
	return recorded, nil
}

func checkLegacy(r *http.Request, body []byte) error {
	q := r.URL.Query()
	var lat, lng float64
	var radius int
	_, err1 := fmt.Sscanf(q.Get("location"), "%g,%g", &lat, &lng)
	_, err2 := fmt.Sscanf(q.Get("radius"), "%d", &radius)
	switch {
	case err1 != nil || err2 != nil || strings.Contains(q.Get("location"), "+") || outside(lat, lng, float64(radius)):
		return fmt.Errorf("location %q, radius %q", q.Get("location"), q.Get("radius"))
	case len(q) != 3 || q.Get("key") != Key:
		return fmt.Errorf("parameters %v", q)
	case len(body) > 0:
		return fmt.Errorf("body %q", body)
	}
	return keyOnlyIn(r, "")
}

func checkNew(r *http.Request, body []byte) error {
	var asked struct {
		LocationRestriction struct {
			Circle struct {
				Center struct{ Latitude, Longitude *float64 }
				Radius float64
			}
		}
		MaxResultCount int
		RankPreference string
	}
	d := json.NewDecoder(strings.NewReader(string(body)))
	d.DisallowUnknownFields()
	c := &asked.LocationRestriction.Circle
	switch err := d.Decode(&asked); {
	case err != nil:
		return fmt.Errorf("body %q: %w", body, err)
	case c.Center.Latitude == nil || c.Center.Longitude == nil ||
		outside(*c.Center.Latitude, *c.Center.Longitude, c.Radius):
		return fmt.Errorf("circle in %q", body)
	case asked.MaxResultCount != 20 || asked.RankPreference != "DISTANCE":
		return fmt.Errorf("body %q", body)
	case !strings.HasPrefix(r.Header.Get("X-Goog-FieldMask"), "places.id,"):
		return fmt.Errorf("field mask %q", r.Header.Get("X-Goog-FieldMask"))
	case r.Header.Get("X-Goog-Api-Key") != Key || r.Header.Get("Content-Type") != "application/json":
		return fmt.Errorf("headers %v", r.Header)
	case r.URL.RawQuery != "":
		return fmt.Errorf("query %q", r.URL.RawQuery)
	}
	return keyOnlyIn(r, "X-Goog-Api-Key")
}

// keyOnlyIn checks that no other header holds the key.
func keyOnlyIn(r *http.Request, header string) error {
	for name, values := range r.Header {
		if name != header && strings.Contains(strings.Join(values, " "), Key) {
			return fmt.Errorf("the key is in header %s", name)
		}
	}
	return nil
}

func outside(lat, lng, radius float64) bool {
	return !(lat >= -90 && lat <= 90 && lng >= -180 && lng <= 180 && radius >= 1 && radius <= 50_000)
}
