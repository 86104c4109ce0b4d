// Package googletest is a server on loopback that speaks both of Google's Places dialects: recorded
// answers, every status, and everything else that a service may do instead of answering. It takes
// each request apart, and fails the test when one is not exactly as it must be, the key where it
// belongs and nowhere else.
package googletest

import (
	_ "embed" // the recorded answers
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"serverherd/places"
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

// Recorded is the answer that the server gives if it is not told otherwise.
func (d Dialect) Recorded() string {
	if d == NewAPI {
		return New
	}
	return Legacy
}

// Question is a request as the server understood it.
type Question struct {
	Dialect Dialect
	Query   places.Query
	Fields  []string // that the new API was asked for; the legacy one gives all
}

// Answer answers a request in place of the recorded answer.
type Answer func(w http.ResponseWriter, r *http.Request)

// Recorded answers as the server does by itself.
func Recorded(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	_, _ = io.WriteString(w, dialect(r).Recorded())
}

// InTurn gives one answer after the other, and the last one to whoever comes then.
func InTurn(answers ...Answer) Answer {
	var next atomic.Int32
	return func(w http.ResponseWriter, r *http.Request) {
		i := int(next.Add(1)) - 1
		answers[min(i, len(answers)-1)](w, r)
	}
}

// Server is such a server. Any goroutine.
type Server struct {
	URL      string
	t        testing.TB
	http     *httptest.Server
	listener *troubled

	mu        sync.Mutex
	answer    Answer
	asked     int
	questions []Question
}

// Start starts a server that gives recorded answers and ends with the test.
func Start(t testing.TB) *Server {
	s := unstarted(t)
	s.http.Start()
	s.URL = s.http.URL
	return s
}

// StartTLS starts such a server behind TLS, which speaks HTTP/2 as Google does.
func StartTLS(t testing.TB) *Server {
	s := unstarted(t)
	s.http.EnableHTTP2 = true
	s.http.Config.ErrorLog = log.New(io.Discard, "", 0) // of clients that do not like it
	s.http.StartTLS()
	s.URL = s.http.URL
	return s
}

func unstarted(t testing.TB) *Server {
	s := &Server{t: t, answer: Recorded}
	s.http = httptest.NewUnstartedServer(s)
	s.listener = &troubled{Listener: s.http.Listener}
	s.http.Listener = s.listener
	t.Cleanup(s.Close)
	return s
}

// Close ends the server before the test does. Nobody listens at its address any more.
func (s *Server) Close() { s.http.Close() }

// SetTrouble says what becomes of all further connections, and ends those that there are; nil for
// no trouble.
func (s *Server) SetTrouble(serve func(net.Conn)) {
	s.listener.mu.Lock()
	s.listener.serve = serve
	s.listener.mu.Unlock()
	s.Disconnect()
}

// Set chooses the answer to all further requests; nil for the recorded one.
func (s *Server) Set(a Answer) {
	if a == nil {
		a = Recorded
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = a
}

// Asked is how many requests there have been.
func (s *Server) Asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// Questions are what has been asked so far, in the order in which it came.
func (s *Server) Questions() []Question {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.questions)
}

// Disconnect closes the connections that clients keep for further requests.
func (s *Server) Disconnect() { s.http.CloseClientConnections() }

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q, err := understand(r)
	s.mu.Lock()
	s.asked++
	answer := s.answer
	if err == nil {
		s.questions = append(s.questions, q)
	}
	s.mu.Unlock()
	if err != nil {
		s.t.Errorf("request: %v", err)
		http.Error(w, "what is this?", http.StatusBadRequest)
		return
	}
	answer(w, r)
}
