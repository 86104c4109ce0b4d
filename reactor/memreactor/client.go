package memreactor

import "errors"

// Client is the dialing end of a connection without a reactor, for tests: it records what it receives and sends what
// the test sends. It makes progress whenever the World is run.
type Client struct {
	end      *end
	made     bool   // connected
	out      []byte // not yet taken by the network
	fin      bool   // CloseWrite was called
	received []byte
	eof      bool
	err      error
	stalled  bool
}

// Dial connects a Client to addr. If the dial is refused, Err returns the error.
func (w *World) Dial(addr string) *Client { return w.DialFrom("client", addr) }

// DialFrom is Dial from a host with the given name, for faults between hosts.
func (w *World) DialFrom(host, addr string) *Client {
	c := &Client{end: w.newEnd(host, w.name(host), addr)}
	w.dial(c.end, addr, 0, func(err error) {
		if c.err != nil { // reset in the meantime
			c.end.Close(true)
			return
		}
		if c.err = err; err != nil {
			return
		}
		c.made = true
		c.end.sink = c
		c.Writable()
		c.end.in.arriveSoon(w.now)
	})
	return c
}

// Send writes a copy of p, as fast as the connection takes it.
func (c *Client) Send(p []byte) {
	c.out = append(c.out, p...)
	c.Writable()
}

// SendString is Send for text.
func (c *Client) SendString(s string) { c.Send([]byte(s)) }

// CloseWrite sends an end of file after pending output: a half-close.
func (c *Client) CloseWrite() {
	c.fin = true
	c.Writable()
}

// Close closes the connection. Output that the network has not taken is dropped.
func (c *Client) Close() { c.close(false) }

// Reset breaks the connection.
func (c *Client) Reset() { c.close(true) }

func (c *Client) close(reset bool) {
	if c.err == nil {
		c.err = errClosed
	}
	if c.made {
		c.end.Close(reset)
	}
}

var errClosed = errors.New("closed by this side")

// Received returns what was received since the last Take.
func (c *Client) Received() []byte { return c.received }

// Take returns what was received since the last Take and clears it.
func (c *Client) Take() string {
	s := string(c.received)
	c.received = c.received[:0]
	return s
}

// Stall stops reading, so that the other side's output piles up, until Unstall.
func (c *Client) Stall() { c.stalled = true }

// Unstall resumes reading.
func (c *Client) Unstall() {
	c.stalled = false
	if c.end.in != nil {
		c.end.in.arriveSoon(c.end.w.now)
	}
}

// EOF reports whether the other side has closed its side.
func (c *Client) EOF() bool { return c.eof }

// Connected reports whether the dial has succeeded.
func (c *Client) Connected() bool { return c.made }

// Closed reports whether nothing more can be received: after an end of file, a reset, or a failed dial.
func (c *Client) Closed() bool { return c.eof || c.err != nil }

// Err returns what broke the connection; nil after a clean end of file.
func (c *Client) Err() error { return c.err }

// Unsent returns the number of bytes that the connection has not taken yet.
func (c *Client) Unsent() int { return len(c.out) }

// Addr returns this end's address, which is the Peer of the other side's Transport.
func (c *Client) Addr() string { return c.end.addr }

// Input implements sink.
func (c *Client) Input(p []byte) { c.received = append(c.received, p...) }

// EndOfInput implements sink.
func (c *Client) EndOfInput() { c.eof = true }

// Broken implements sink.
func (c *Client) Broken(reason error) { c.err = reason }

// Writable implements sink.
func (c *Client) Writable() {
	if !c.made || c.err != nil {
		return
	}
	if n, _ := c.end.Write(c.out); n == len(c.out) {
		c.out = c.out[:0]
	} else {
		c.out = c.out[n:]
	}
	if c.fin && len(c.out) == 0 {
		c.end.CloseWrite()
	}
}
