// Package console is a server's HTTP endpoint for health, readiness and status. Its handlers run in
// net/http's goroutines and read the server's state only by a call posted to the loop.
package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/pprof"
	"strings"
	"time"

	"serverherd/herd"
	"serverherd/herd/config"
)

const (
	// loopTimeout is how long a request waits for the loop.
	loopTimeout = 2 * time.Second
	// writeTimeout is for clients that do not read. It begins with the request; net/http/pprof adds the
	// duration of a profile.
	writeTimeout = 10 * time.Second
)

// Options configure a console.
type Options struct {
	// Status returns the server's status, or false if ctx ends first.
	Status func(ctx context.Context) (herd.Status, bool)
	Pprof  bool // serve /debug/pprof
}

// New returns the console's HTTP server, for Serve. /healthz and /readyz answer no matter what other
// connections do: see limited.
func New(o Options) *http.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("ok\n"))
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if s, ok := o.ask(w, r); ok {
			if !s.Ready {
				http.Error(w, "not ready: "+s.Waiting, http.StatusServiceUnavailable)
				return
			}
			_, _ = w.Write([]byte("ready\n"))
			if s.Journal != nil && !s.Journal.OK { // it serves clients anyway
				_, _ = fmt.Fprintf(w, "journal: behind by %d records: %s\n", s.Journal.Behind, s.Journal.Error)
			}
		}
	})
	mux.HandleFunc("GET /status.json", page(func(w http.ResponseWriter, r *http.Request) {
		if s, ok := o.ask(w, r); ok {
			w.Header().Set("Content-Type", "application/json")
			e := json.NewEncoder(w)
			e.SetIndent("", "  ")
			_ = e.Encode(s)
		}
	}))
	if o.Pprof {
		mux.HandleFunc("/debug/pprof/", page(pprof.Index))
		mux.HandleFunc("/debug/pprof/cmdline", page(pprof.Cmdline))
		mux.HandleFunc("/debug/pprof/profile", page(pprof.Profile))
		mux.HandleFunc("/debug/pprof/symbol", page(pprof.Symbol))
		mux.HandleFunc("/debug/pprof/trace", page(pprof.Trace))
	}
	return &http.Server{
		Handler:        noted(local(mux)),
		ConnContext:    withConn,
		ReadTimeout:    5 * time.Second,
		WriteTimeout:   writeTimeout,
		IdleTimeout:    time.Minute,
		MaxHeaderBytes: 16 << 10,
		ErrorLog:       log.New(io.Discard, "", 0), // errors of clients are not logged
	}
}

func (o *Options) ask(w http.ResponseWriter, r *http.Request) (herd.Status, bool) {
	ctx, cancel := context.WithTimeout(r.Context(), loopTimeout)
	defer cancel()
	s, ok := o.Status(ctx)
	if !ok {
		http.Error(w, "the event loop did not answer within 2 s", http.StatusServiceUnavailable)
	}
	return s, ok
}

// local rejects requests to a loopback address with another Host: it prevents DNS rebinding, by which a web
// page could read the console.
func local(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		bound, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
		if bound != nil && config.IsLoopback(bound.String()) && !isLocal(r.Host) {
			http.Error(w, "this console accepts requests for localhost only", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// isLocal reports whether a Host header, with or without a port, is localhost or a loopback address.
func isLocal(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return strings.EqualFold(strings.TrimSuffix(host, "."), "localhost") || ip != nil && ip.IsLoopback()
}

// Serve serves until the server is closed, with at most herd.ConsoleConnections connections.
func Serve(s *http.Server, l net.Listener) error {
	if err := s.Serve(limit(l)); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
