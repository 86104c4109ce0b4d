// Package googletest has a loopback server for both of Google's Places APIs, with recorded answers, error
// statuses and other faults. It checks every request and fails the test if one is not exactly as expected,
// with the key in its place and nowhere else.
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

// Answers of the APIs, extended by everything else that JSON allows.
var (
	//go:embed answers/legacy.json
	Legacy string
	//go:embed answers/new.json
	New string
)

// Key is the only key that the server accepts. In a log it is a leak.
// #nosec G101 -- a made-up key of a made-up Google
const Key = "AIzaSyMARKER-of-a-key_0123456789abcdefg"

// Dialect is one of the two APIs.
type Dialect string

// The dialects, by the names of their providers in herd.toml.
const (
	LegacyAPI Dialect = "google-legacy"
	NewAPI    Dialect = "google"
)

// Recorded is the default answer of the server.
func (d Dialect) Recorded() string {
	if d == NewAPI {
		return New
	}
	return Legacy
}

// Question is a parsed request.
type Question struct {
	Dialect Dialect
	Query   places.Query
	Fields  []string // requested fields, in the new API only
}

// Answer handles a request in place of the recorded answer.
type Answer func(w http.ResponseWriter, r *http.Request)

// Recorded is the default Answer.
func Recorded(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	_, _ = io.WriteString(w, dialect(r).Recorded())
}

// InTurn uses the answers in turn, and then repeats the last one.
func InTurn(answers ...Answer) Answer {
	var next atomic.Int32
	return func(w http.ResponseWriter, r *http.Request) {
		i := int(next.Add(1)) - 1
		answers[min(i, len(answers)-1)](w, r)
	}
}

// Server is a fake Google server. Any goroutine.
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

// Start starts a server with recorded answers. It ends with the test.
func Start(t testing.TB) *Server {
	s := unstarted(t)
	s.http.Start()
	s.URL = s.http.URL
	return s
}

// StartTLS starts a server with TLS and HTTP/2, like Google's.
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

// Close stops the server before the end of the test. Its address then refuses connections.
func (s *Server) Close() { s.http.Close() }

// SetTrouble sets how new connections are handled, and closes the existing ones; nil for no trouble.
func (s *Server) SetTrouble(serve func(net.Conn)) {
	s.listener.mu.Lock()
	s.listener.serve = serve
	s.listener.mu.Unlock()
	s.Disconnect()
}

// Set sets the answer to further requests; nil for the recorded one.
func (s *Server) Set(a Answer) {
	if a == nil {
		a = Recorded
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = a
}

// Asked returns the number of requests so far.
func (s *Server) Asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// Questions returns all requests so far, in order of arrival.
func (s *Server) Questions() []Question {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.questions)
}

// Disconnect closes idle connections of clients.
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
