package viewer

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/coder/websocket"

	"serverherd/cmd/herd/view"
	"serverherd/herd"
)

// Protocol is the version of the protocol. It changes when a page of the version before would misunderstand.
const Protocol = 1

// Stream makes the messages of one kind for one page. Its methods are called by one goroutine, and must not wait.
type Stream interface {
	// Requests are the types of requests that are for it.
	Requests() []string
	// Request is such a request of the page.
	Request(r Request)
	// Next returns the next message, or one without data if there is none now. Its data is used until the next call. Next
	// is called again after a message, at the latest at again if that is not zero, and when something was sent to the
	// connection's wake channel, see Serve.
	Next(now time.Time) (m Message, again time.Time)
	// Close is called once, at the end.
	Close()
}

// Message is a message to a page.
type Message struct {
	Binary bool
	Data   []byte
}

// Text is a message of an object.
func Text(object any) Message {
	text, err := json.Marshal(object)
	if err != nil {
		panic(err) // all numbers are finite
	}
	return Message{Data: view.JSON(text)}
}

// Revoked is the code with which a connection is closed when its token or its login has ended.
const Revoked websocket.StatusCode = 4401

// Serve sends hello and then what streams have, until the page has gone, or ended or revoked is closed. Of several streams that have
// messages each sends one in turn. Wake, with a capacity of 1, is the channel by which streams say that they may have
// something: without waiting, if there is no room. Alive ends the connection at once.
func Serve(alive context.Context, socket *websocket.Conn, ended, revoked <-chan struct{}, hello Message, wake chan struct{}, streams []Stream) {
	c := &connection{socket: socket, ended: ended, revoked: revoked, wake: wake, streams: streams, byType: make(map[string]Stream)}
	for _, s := range streams {
		for _, t := range s.Requests() {
			c.byType[t] = s
		}
		defer s.Close()
	}
	ctx, cancel := context.WithCancel(alive)
	var reading sync.WaitGroup
	reading.Go(func() {
		defer cancel()
		c.read(alive, &reading)
	})
	c.write(ctx, hello)
	_ = socket.CloseNow()
	reading.Wait()
}

// connection is the connection of one page. Two goroutines use it: read, and write with the streams.
type connection struct {
	socket  *websocket.Conn
	ended   <-chan struct{}
	revoked <-chan struct{}
	wake    chan struct{}
	streams []Stream
	turn    int               // of streams: the one that is asked first for the next message
	byType  map[string]Stream // of requests

	mu    sync.Mutex
	inbox []Request // that write has not looked at
}

// read reads requests, and pongs, until the connection has ended. After an invalid request it goes on, for the answer to
// the closing of the connection.
func (c *connection) read(ctx context.Context, reading *sync.WaitGroup) {
	c.socket.SetReadLimit(-1) // see below
	for reason := ""; ; {
		kind, r, err := c.socket.Reader(ctx)
		if err != nil {
			return
		}
		text, err := io.ReadAll(io.LimitReader(r, herd.PageRequest+1))
		if err == nil && reason == "" {
			if reason = c.accept(kind, text); reason != "" {
				reading.Go(func() { _ = c.socket.Close(websocket.StatusPolicyViolation, reason) })
			}
		}
		if _, err := io.Copy(io.Discard, r); err != nil {
			return
		}
	}
}

// accept puts a request into the inbox, or returns why it is not one.
func (c *connection) accept(kind websocket.MessageType, text []byte) (reason string) {
	if kind != websocket.MessageText {
		return "a request is text"
	}
	if len(text) > herd.PageRequest {
		return fmt.Sprintf("a request has at most %d bytes", herd.PageRequest)
	}
	r, err := ParseRequest(text)
	if err != nil {
		return err.Error()
	}
	if c.byType[r.Type] == nil {
		return "this console has no " + r.Type
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	same, oldest := 0, 0
	for i := len(c.inbox) - 1; i >= 0; i-- {
		if c.inbox[i].Type == r.Type {
			same, oldest = same+1, i
		}
	}
	if same == herd.PageRequests {
		c.inbox = slices.Delete(c.inbox, oldest, oldest+1)
	}
	c.inbox = append(c.inbox, r)
	select {
	case c.wake <- struct{}{}:
	default:
	}
	return ""
}

// requests gives the requests that have come to their streams.
func (c *connection) requests() {
	c.mu.Lock()
	all := c.inbox
	c.inbox = nil
	c.mu.Unlock()
	for _, r := range all {
		c.byType[r.Type].Request(r)
	}
}

var idle = Text(map[string]string{"type": "idle"})

// write sends messages until the page or the server ends.
func (c *connection) write(ctx context.Context, m Message) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for c.send(ctx, m) == nil {
		silent := time.Now().Add(herd.WatchHeartbeat)
		for m.Data = nil; m.Data == nil; {
			c.requests()
			now := time.Now()
			var again time.Time
			if m, again = c.next(now); m.Data == nil {
				if !now.Before(silent) {
					m = idle
				} else if again.IsZero() || again.After(silent) {
					again = silent
				}
			}
			select {
			case <-c.ended:
				_ = c.socket.Close(websocket.StatusGoingAway, "the server is stopping")
				return
			case <-c.revoked:
				_ = c.socket.Close(Revoked, "the token or the login has ended")
				return
			default:
			}
			if m.Data != nil {
				break
			}
			timer.Reset(again.Sub(now))
			select {
			case <-timer.C:
			case <-c.wake:
			case <-c.ended:
			case <-c.revoked:
			case <-ctx.Done():
				return
			}
		}
	}
}

// next returns the next message, of the stream whose turn it is, or when to call it again if there is none; zero: when
// woken.
func (c *connection) next(now time.Time) (m Message, first time.Time) {
	for i := range c.streams {
		at := (c.turn + i) % len(c.streams)
		m, again := c.streams[at].Next(now)
		if m.Data != nil {
			c.turn = at + 1
			return m, now
		}
		if !again.IsZero() && (first.IsZero() || again.Before(first)) {
			first = again
		}
	}
	return Message{}, first
}

// send sends a message and waits until it has been received.
func (c *connection) send(ctx context.Context, m Message) error {
	ctx, cancel := context.WithTimeout(ctx, herd.ConsoleStall)
	defer cancel()
	kind := websocket.MessageText
	if m.Binary {
		kind = websocket.MessageBinary
	}
	if err := c.socket.Write(ctx, kind, m.Data); err != nil {
		return err
	}
	return c.socket.Ping(ctx)
}
