// Package console is a server's HTTP side door: health, readiness and status for people and
// programs. Its handlers run in net/http's goroutines and reach the server's state only by a
// posted call that they wait for.
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
	// patience is how long a request waits for the loop.
	patience = 2 * time.Second
	// writeTimeout is for a reader that does not read. It begins with the request; net/http/pprof adds
	// the time that a profile takes.
	writeTimeout = 10 * time.Second
)

// Options are what a console shows.
type Options struct {
	// Status asks the loop; it returns false when ctx ends first.
	Status func(ctx context.Context) (herd.Status, bool)
	Pprof  bool // serve /debug/pprof
}

// New returns the console's server, to be given a listener. /healthz and /readyz answer whatever other
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
			if s.Journal != nil && !s.Journal.OK { // it serves all the same
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
		ErrorLog:       log.New(io.Discard, "", 0), // what clients do wrong is theirs to see
	}
}

func (o *Options) ask(w http.ResponseWriter, r *http.Request) (herd.Status, bool) {
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	s, ok := o.Status(ctx)
	if !ok {
		http.Error(w, "the event loop did not answer within 2 s", http.StatusServiceUnavailable)
	}
	return s, ok
}

// local refuses requests that reached a loopback address under another name: a web page whose
// name was made to resolve to 127.0.0.1 must not read the console.
func local(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		bound, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
		if bound != nil && config.IsLoopback(bound.String()) && !isLocal(r.Host) {
			http.Error(w, "this console answers to localhost only", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// isLocal says whether a Host header, with or without a port, names this machine to itself.
func isLocal(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return strings.EqualFold(strings.TrimSuffix(host, "."), "localhost") || ip != nil && ip.IsLoopback()
}

// Serve serves until the server is closed, on herd.ConsoleConnections connections at most.
func Serve(s *http.Server, l net.Listener) error {
	if err := s.Serve(limit(l)); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
