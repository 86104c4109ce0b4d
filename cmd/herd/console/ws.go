package console

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"

	"serverherd/cmd/herd/console/door"
	"serverherd/cmd/herd/console/site"
	"serverherd/cmd/herd/console/viewer"
	"serverherd/herd"
)

// This file is /ws, the WebSocket of the page. Package viewer describes the protocol; what a page gets is in streams.

// Pages is the page and its WebSocket connections, for Options.Pages.
type Pages struct {
	files *site.Files
	ended chan struct{}   // closed by Close
	alive context.Context // of the connections
	kill  context.CancelFunc

	mu     sync.Mutex
	closed bool
	open   sync.WaitGroup // connections
}

// NewPages returns Pages without a connection.
func NewPages() *Pages {
	p := &Pages{files: site.New(), ended: make(chan struct{})}
	p.alive, p.kill = context.WithCancel(context.Background())
	return p
}

// Close closes all connections. It returns when that is done, after herd.ConsoleClose or a little more.
func (p *Pages) Close() {
	p.mu.Lock()
	if !p.closed {
		p.closed = true
		close(p.ended)
	}
	p.mu.Unlock()
	defer time.AfterFunc(herd.ConsoleClose, p.kill).Stop()
	p.open.Wait()
	p.kill()
}

// begin reports whether a connection may be opened. If so, the caller calls p.open.Done when it has ended.
func (p *Pages) begin() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.open.Add(1)
	}
	return !p.closed
}

// ws is /ws.
func (c *console) ws(w http.ResponseWriter, r *http.Request) {
	switch {
	case !strings.EqualFold(r.Header.Get("Upgrade"), "websocket"):
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "websocket")
		fail(w, http.StatusUpgradeRequired, "this path is for WebSocket connections")
		return
	case !c.Pages.begin():
		fail(w, http.StatusServiceUnavailable, "the server is stopping")
		return
	}
	defer c.Pages.open.Done()
	hello := c.hello(r)
	socket, err := websocket.Accept(w, r, &websocket.AcceptOptions{CompressionMode: websocket.CompressionDisabled})
	if err != nil {
		return // Accept has answered
	}
	wake := make(chan struct{}, 1)
	viewer.Serve(c.Pages.alive, socket, c.Pages.ended, r.Context().Done(), hello, wake, c.streams(wake))
}

// streams are what a page gets.
func (c *console) streams(wake chan struct{}) []viewer.Stream {
	all := []viewer.Stream{
		&herdStream{herdWide: c.herdWide, wake: wake},
		&flightsStream{flights: c.flights, wake: wake},
	}
	if c.Follower != nil {
		all = append(all,
			&dotsStream{follower: c.Follower, wake: wake, rate: c.dotsRate},
			&clientStream{follower: c.Follower, wake: wake})
	}
	return all
}

func (c *console) hello(r *http.Request) viewer.Message {
	s, _ := c.currentStatus(r) // a loop that is stuck has no epoch
	h := LiveHello{
		Type: "hello", Protocol: viewer.Protocol, Page: c.Pages.files.Version(), Herd: c.Config.Herd.Name,
		Server: c.Name, Epoch: s.Epoch, Places: c.Config.Places.Provider, Servers: []LiveTopology{},
	}
	if who := door.Of(r); who.Session {
		h.User = who.Name
	}
	for _, s := range c.Config.Servers {
		h.Servers = append(h.Servers, LiveTopology{s.Name, s.Console != "", append([]string{}, s.Neighbors...)})
	}
	return viewer.Text(h)
}
