package console

import (
	"bytes"
	"context"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"

	"serverherd/cmd/herd/console/site"
	"serverherd/herd"
)

// This file is /ws, the WebSocket of the page: what a page shows is sent to it when it changes. The other side is
// site/assets/connection.js.
//
// # Protocol
//
// Version liveProtocol. A page that is told another version says so and is loaded again.
//
//	server  {"type":"hello","protocol":1,"page":"5f0c...","herd":"ucla","server":"Ball",...}   LiveHello, once
//	server  {"type":"herd","answered":5,"of":5,"servers":[...],"links":[...],...}              LiveHerd
//	server  {"type":"herd",...}                                                                all of it, when it has changed
//	server  {"type":"idle"}                                                                    nothing has for 5 s
//
// A text message is a JSON object; "type" says what it is, and a page ignores a type or a member that it does not know.
// A binary message begins with a byte that says what it is; in version 1 there is none. The page sends nothing in
// version 1: if it does, the connection is closed with 1008.
//
// The server follows each message with a ping, and sends the next one when the pong has come. So at most one message is
// on its way, whatever the buffers between the two hold, and a page that is slow misses states instead of getting
// old ones. All pages share the questions to the servers, see herdWide: a state comes at most every
// herd.ConsoleHerdPause. A page that takes nothing for herd.ConsoleStall is disconnected. The server closes with 1001
// when it stops.
//
// An Origin other than the console's own address is refused with 403.

// liveProtocol is the version of the protocol. It changes when a page of the version before would misunderstand.
const liveProtocol = 1

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
	case !sameOrigin(r):
		fail(w, http.StatusForbidden, "only a page of this console may connect")
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
	defer socket.CloseNow()
	viewer{c, socket}.run(socket.CloseRead(c.Pages.alive), hello)
}

// sameOrigin reports whether a request is from a page of this console, or from a program that is not a browser.
func sameOrigin(r *http.Request) bool {
	origins := r.Header.Values("Origin")
	if len(origins) == 0 {
		return true
	}
	u, err := url.Parse(origins[0])
	return len(origins) == 1 && err == nil && strings.EqualFold(u.Host, r.Host)
}

func (c *console) hello(r *http.Request) []byte {
	s, _ := c.currentStatus(r) // a loop that is stuck has no epoch
	h := LiveHello{
		Type: "hello", Protocol: liveProtocol, Page: c.Pages.files.Version(), Herd: c.Config.Herd.Name,
		Server: c.Name, Epoch: s.Epoch, Servers: []LiveTopology{},
	}
	for _, s := range c.Config.Servers {
		h.Servers = append(h.Servers, LiveTopology{s.Name, s.Console != "", append([]string{}, s.Neighbors...)})
	}
	return encodeLive(h)
}

// viewer is the connection of one page.
type viewer struct {
	*console
	socket *websocket.Conn
}

// run sends messages until the page or the server ends. ctx ends with the connection.
func (v viewer) run(ctx context.Context, hello []byte) {
	if v.send(ctx, hello) != nil {
		return
	}
	var last []byte
	sent := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		f := v.herdWide.current()
		if !v.wait(ctx, f.done) {
			return
		}
		text := f.live
		if bytes.Equal(text, last) {
			text = nil
			if time.Since(sent) >= herd.WatchHeartbeat {
				text = []byte(`{"type":"idle"}`)
			}
		} else {
			last = text
		}
		if text != nil {
			sent = time.Now()
			if v.send(ctx, text) != nil {
				return
			}
		}
		timer.Reset(herd.ConsoleHerdPause - time.Since(f.over))
		select {
		case <-timer.C:
		case <-v.Pages.ended:
		case <-ctx.Done():
		}
	}
}

// wait waits for a channel that is closed. It returns false if the connection has ended, and ends it if the server
// stops.
func (v viewer) wait(ctx context.Context, closed <-chan struct{}) bool {
	select {
	case <-v.Pages.ended:
	default:
		select {
		case <-closed:
			return true
		case <-ctx.Done():
			return false
		case <-v.Pages.ended:
		}
	}
	_ = v.socket.Close(websocket.StatusGoingAway, "the server is stopping")
	return false
}

// send sends a message and waits until it has been received.
func (v viewer) send(ctx context.Context, text []byte) error {
	ctx, cancel := context.WithTimeout(ctx, herd.ConsoleStall)
	defer cancel()
	if err := v.socket.Write(ctx, websocket.MessageText, text); err != nil {
		return err
	}
	return v.socket.Ping(ctx)
}
