// Package console serves one server's HTTP endpoints: health and status, and the records of clients. Each
// endpoint has a file of its own, and a line in the table of routes.go, which also has what all of them share:
// methods, limits and errors. Package door decides who may do what.
//
// Handlers run in net/http's goroutines. They read the server's state only by OnLoop, and keep only copies.
package console

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"runtime"
	"time"

	"golang.org/x/time/rate"

	"serverherd/cmd/herd/console/door"
	"serverherd/cmd/herd/console/follow"
	"serverherd/cmd/herd/console/metrics"
	"serverherd/herd"
	"serverherd/herd/config"
)

const (
	// loopTimeout is how long a request waits for the loop.
	loopTimeout = 2 * time.Second
	// writeTimeout is for clients that do not read. It begins with the request. A handler that takes longer
	// sets a deadline of its own (http.ResponseController), as net/http/pprof does.
	writeTimeout = herd.ConsoleStall
)

// Options configure a console.
type Options struct {
	// Status returns the server's status, or false if ctx ends first.
	Status func(ctx context.Context) (herd.Status, bool)
	// Stopping reports whether the server has begun to stop; nil: it never stops.
	Stopping func() bool
	// Do runs functions on the server's event loop, see NewLoop.
	Do Loop
	// Config and Name are the herd.toml and the server's name in it. Without them there is no /herd.json.
	Config *config.Config
	Name   string
	// Follower is for /watch, see NewFollower; nil: there is no such path. Close it before the console: its
	// streams end then, and Close lets them write their end.
	Follower *Follower
	// Pages is the page and /ws, which need Config, see NewPages; nil: there are no such paths. Close it before the
	// console, which does not close WebSocket connections.
	Pages *Pages
	Pprof bool // serve /debug/pprof
	// Door decides who may do what; nil: a door without tokens.
	Door *door.Door
	// Reload makes the server read its files again; nil: there is no /reload. By says for the log who wants it.
	Reload func(by string) *PendingReload
	// Log is the server's log, whose level can be changed; nil: there is no /loglevel. It needs Config.
	Log interface {
		Level() string
		SetLevel(level, by string) (was string, err error)
	}
	// ClientTLS is for connections to other servers and their consoles; nil without TLS.
	ClientTLS func(server string) *tls.Config
}

// console is one server's console.
type console struct {
	Options
	exposed  *metrics.Page
	herdWide *herdWide // nil without Config
	flights  *flights  // likewise
	// walks has a value for each walk that may begin a turn: memory for it, or nil. See turn.
	walks    chan *follow.Batch
	dotsRate *rate.Limiter // bytes of dots of all pages
	turning  nextTurn
	// encoders has an element for each answer that is being encoded.
	encoders chan struct{}
	sends    chan struct{} // likewise, for each line that is being sent
	reloads  reloadSlots
	levels   levelLimits
	// sendTimeout is herd.ConsoleSendTimeout, but in tests.
	sendTimeout time.Duration
}

// New returns the console's HTTP server, for Serve. Health checks answer no matter what other
// connections do: see limited.
func New(o Options) *http.Server {
	c := &console{Options: o, dotsRate: rate.NewLimiter(herd.DotsRate, herd.DotsBurst), exposed: metrics.NewPage(), sendTimeout: herd.ConsoleSendTimeout}
	c.encoders = make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))
	c.sends = make(chan struct{}, herd.ConsoleSends)
	c.reloads = newReloadSlots(herd.ConsoleReloads)
	c.levels = newLevelLimits()
	c.walks = make(chan *follow.Batch, herd.ConsoleWalks)
	for range herd.ConsoleWalks {
		c.walks <- nil
	}
	if o.Stopping == nil {
		c.Stopping = func() bool { return false }
	}
	if o.Door == nil {
		c.Door = door.New(door.Options{Config: o.Config, Name: o.Name})
	}
	if o.Config != nil {
		c.herdWide = newHerdWide(o)
		c.flights = newFlights(c.herdWide, o.Do)
	}
	return &http.Server{
		Handler:        noted(c.serve(c.routes())),
		ConnContext:    withConn,
		ReadTimeout:    5 * time.Second,
		WriteTimeout:   writeTimeout,
		IdleTimeout:    time.Minute,
		MaxHeaderBytes: herd.ConsoleHeader,
		ErrorLog:       log.New(io.Discard, "", 0), // errors of clients are not logged
	}
}

// Serve serves until the server is closed, with at most herd.ConsoleConnections connections.
func Serve(s *http.Server, l net.Listener) error { return ServeTLS(s, l, TLS{}) }

// ServeTLS is Serve with TLS.
func ServeTLS(s *http.Server, l net.Listener, t TLS) error {
	if err := s.Serve(t.layer(limit(l))); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Close closes a console. Requests in progress may end within herd.ConsoleClose; what is left is cut off. A request
// that waits for a loop that has stopped is.
func Close(s *http.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), herd.ConsoleClose)
	defer cancel()
	_ = s.Shutdown(ctx)
	_ = s.Close()
}
