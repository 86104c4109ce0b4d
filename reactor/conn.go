package reactor

import (
	"bytes"
	"errors"
	"time"
)

// Socket is an engine's side of a connection. The Conn calls it, on the loop.
type Socket interface {
	// Write takes as much of p as it can without blocking, possibly nothing. If it takes less than p, the engine calls
	// Conn.Writable when it can take more. An error ends the connection.
	Write(p []byte) (int, error)
	// Unsent returns the number of bytes that Write has taken and the kernel has not; for engines that write
	// after the event. With wait, the engine calls Conn.Writable once the number is 0.
	Unsent(wait bool) int
	// Unacked returns the number of bytes that the kernel has taken and the peer has not acknowledged; 0 if the
	// system does not report it.
	Unacked() int
	// PauseReading stops the engine from reporting input or its end until ResumeReading, so that the kernel's
	// buffers fill up and the peer has to wait. A broken connection is still reported. PauseReading is called
	// during Conn.Input only.
	PauseReading()
	ResumeReading()
	// CloseWrite sends an end of file to the peer.
	CloseWrite()
	// Close closes the socket, with a reset if the peer must not mistake what it has received for the complete
	// output. It is the last call: the engine must not report anything more for this connection.
	Close(reset bool)
}

// Conn is one connection: the Transport of its Protocol, and the rules for the connections of all engines. The
// engine reports what happens on the socket by Input, EndOfInput, Broken and Writable. Each call is one event; all
// that was written during an event is sent in one write at its end. Loop only.
//
// A connection is in one of four states, in this order, of which it may skip any but the last:
//
//  1. open
//  2. disconnecting, after LoseConnection: it accepts no more writes, discards input and sends pending output
//  3. writeClosed: all output and an end of file are sent, and it waits for the peer to close
//  4. lost
type Conn struct {
	loop       *Loop
	socket     Socket
	protocol   Protocol
	peer, host string
	index      int // in loop.conns

	out      []byte // accepted; out[sent:] is not yet taken by the kernel
	sent     int
	held     []byte // input received while receiving was paused, from heldAt on
	heldAt   int
	written  uint64        // bytes accepted
	kept     int           // bytes kept by the Protocol, see Keep
	counted  int           // this connection's part of loop.memory
	activity time.Duration // when bytes were last received or sent
	progress time.Duration // when the kernel last took output, or held input was delivered
	taken    uint64        // Taken when the timer last fired, or when the connection was lost
	read     func()        // see Readable
	timer    *DelayedCall  // ends a connection that makes no progress while closing or while reading is paused

	discarded int   // bytes of input discarded in state writeClosed
	aborted   error // why the connection is to be closed at once
	upgrade   *upgrade

	paused        bool // PauseReceiving
	readPaused    bool // PauseReading was called, because MaxHeldInput bytes are held
	eof           bool // the peer has closed its side, and all of its input was delivered
	eofHeld       bool // the peer has closed its side, but held input must be delivered first
	readClosed    bool // StopReceiving
	endNotified   bool // the Protocol was told that no more input comes
	disconnecting bool
	writeClosed   bool // an end of file was sent
	lost          bool
	dirty         bool // in loop.dirty, or to be flushed at the end of this event
	queued        bool // in loop.first, fresh or ready
	inRead        bool // read is running
	first         bool // Prioritize
	full          bool // the backlog reached LowWater and ResumeProducing was not called since
}

// Accept begins a connection over s. f makes its Protocol, whose ConnectionMade is called before Accept returns.
// Accept returns nil if the connection is refused; the engine then closes the socket. Loop only.
func (l *Loop) Accept(f Factory, s Socket, peer, host string) *Conn {
	if l.closed {
		return nil
	}
	p := f.BuildProtocol(peer)
	if p == nil {
		return nil
	}
	c := &Conn{loop: l, socket: s, protocol: p, peer: peer, host: host, index: len(l.conns)}
	l.conns = append(l.conns, c)
	c.begin()
	c.activity = l.now
	p.ConnectionMade(c)
	c.end("connection made:")
	return c
}

// Peer implements Transport.
func (c *Conn) Peer() string { return c.peer }

// Host implements Transport.
func (c *Conn) Host() string { return c.host }

// Security implements Transport.
func (c *Conn) Security() Security {
	if s, ok := c.socket.(Secured); ok {
		return s.Security()
	}
	return Security{}
}

// upgrade is a StartTLS that is done at the end of the event.
type upgrade struct {
	data   []byte
	config TLSConfig
}

// StartTLS implements Transport.
func (c *Conn) StartTLS(data []byte, config TLSConfig) {
	if c.disconnecting || c.lost || c.upgrade != nil {
		return
	}
	if c.written > 0 {
		c.abort(&HandshakeError{errors.New("output was sent before TLS")})
		return
	}
	c.upgrade = &upgrade{bytes.Clone(data), config}
	c.loop.stats.BytesIn -= uint64(len(data)) // BytesIn is without what TLS adds
	c.markDirty()
}

// startTLS replaces the socket. Input that is held follows what the Protocol was given. It reports whether the
// connection still exists.
func (c *Conn) startTLS() bool {
	up := c.upgrade
	c.upgrade = nil
	u, ok := c.socket.(Upgrader)
	if !ok {
		c.lose(&HandshakeError{errors.New("the engine has no TLS")}, true)
		return false
	}
	up.data = append(up.data, c.held[c.heldAt:]...)
	c.loop.stats.BytesIn -= uint64(len(c.held) - c.heldAt)
	c.held, c.heldAt, c.readPaused, c.eofHeld, c.read = nil, 0, false, false, nil
	c.stopTimer()
	next, err := u.StartTLS(up.data, up.config)
	if err != nil {
		c.lose(&HandshakeError{err}, true)
		return false
	}
	c.socket = next
	return true
}

// Backlog implements Transport.
func (c *Conn) Backlog() int {
	if c.socket == nil {
		return 0
	}
	return c.pending() + c.socket.Unsent(false)
}

// Memory implements Transport.
func (c *Conn) Memory() int {
	if c.socket == nil {
		return 0
	}
	c.count()
	return c.counted + c.socket.Unsent(false)
}

// Taken implements Transport.
func (c *Conn) Taken() uint64 {
	if c.socket == nil {
		return c.taken
	}
	unacked := c.socket.Unacked()
	if c.writeClosed && unacked > 0 { // the end of file counts as a byte
		unacked--
	}
	// #nosec G115 -- bytes of one connection stay below 1<<63
	return uint64(max(0, int64(c.written)-int64(c.Backlog()+unacked)))
}

// Keep implements Transport.
func (c *Conn) Keep(n int) {
	if !c.lost {
		c.kept = n
		c.count()
	}
}

// count updates loop.memory. It is called wherever a buffer may have changed, at the latest at the end of the event:
// in flush and lose.
func (c *Conn) count() {
	n := cap(c.out) + cap(c.held) + c.kept
	c.loop.memory += n - c.counted
	c.counted = n
	if c.loop.memory > c.loop.alarmAt {
		c.loop.memoryAlarm()
	}
}

// pending returns the number of bytes that the socket has not taken.
func (c *Conn) pending() int { return len(c.out) - c.sent }

// Lost reports whether the connection has ended. The engine's Socket is closed then.
func (c *Conn) Lost() bool { return c.lost }

// Write implements Transport.
func (c *Conn) Write(p []byte) {
	if c.disconnecting || c.lost || len(p) == 0 {
		return
	}
	if c.out == nil {
		c.out = c.loop.buffers.take(len(p))
	} else if c.sent >= len(c.out)/2 && len(c.out)+len(p) > cap(c.out) {
		// Moving at most half of the buffer before growing it keeps the cost per byte constant.
		c.out = c.out[:copy(c.out, c.out[c.sent:])]
		c.sent = 0
	}
	c.out = append(c.out, p...)
	c.written += uint64(len(p))
	if c.Backlog() >= LowWater {
		c.full = true
	}
	c.markDirty()
}

// LoseConnection implements Transport.
func (c *Conn) LoseConnection() {
	if c.disconnecting || c.lost {
		return
	}
	c.disconnecting = true
	c.eof = c.eof || c.eofHeld
	c.dropHeld()
	c.markDirty()
}

// AbortConnection implements Transport.
func (c *Conn) AbortConnection() { c.abort(ErrConnectionAborted) }

func (c *Conn) abort(reason error) {
	if c.lost || c.aborted != nil {
		return
	}
	c.disconnecting = true
	c.aborted = reason
	c.markDirty()
}

// PauseReceiving implements Transport.
func (c *Conn) PauseReceiving() { c.paused = true }

// ResumeReceiving implements Transport.
func (c *Conn) ResumeReceiving() {
	c.paused = false
	if c.deliverable() {
		c.queueReady()
	}
}

// StopReceiving implements Transport.
func (c *Conn) StopReceiving() {
	if !c.readClosed && !c.disconnecting && !c.lost {
		c.readClosed = true
		c.queueReady()
	}
}

// markDirty schedules a flush at the end of the connection's own event or of the turn.
func (c *Conn) markDirty() {
	if c.dirty {
		return
	}
	c.dirty = true
	if c.loop.current == c {
		return
	}
	c.loop.dirty = append(c.loop.dirty, c)
	c.loop.wake()
}

// Prioritize implements Transport.
func (c *Conn) Prioritize() { c.first = true }

// queueReady schedules a call of proceed behind the connections that are already waiting.
func (c *Conn) queueReady() { c.queue(&c.loop.ready) }

// queue schedules a call of proceed: in list, or in loop.first if the connection has priority.
func (c *Conn) queue(list *[]*Conn) {
	if !c.queued && !c.lost {
		c.queued = true
		if c.first {
			list = &c.loop.first
		}
		*list = append(*list, c)
		c.loop.wake()
	}
}

// begin and end enclose each event. The Protocol is called only between them, except for ConnectionLost.
func (c *Conn) begin() {
	c.loop.current = c
	c.loop.now = c.loop.engine.Elapsed()
}

func (c *Conn) end(what string) {
	c.loop.current = nil
	c.flush()
	c.loop.eventDone(what, c)
}
