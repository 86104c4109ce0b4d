package reactor

import "time"

// Socket is an engine's side of a connection. The Conn calls it, on the loop.
type Socket interface {
	// Write takes as much of p as it can without waiting, possibly nothing. If that was not all,
	// the engine calls Conn.Writable once more can be taken. An error ends the connection.
	Write(p []byte) (int, error)
	// Unsent is how many bytes Write has taken and the kernel has not: of an engine that writes
	// after the event is over. With wait, the engine calls Conn.Writable once there are none.
	Unsent(wait bool) int
	// Unacked is how many bytes the kernel has taken and the peer has not acknowledged; 0 if the
	// system does not tell.
	Unacked() int
	// PauseReading makes the engine report neither input nor its end until ResumeReading, so that
	// the kernel's buffers fill up and the peer has to wait. A connection that breaks meanwhile is
	// reported. PauseReading is called during Conn.Input only.
	PauseReading()
	ResumeReading()
	// CloseWrite tells the peer that nothing more comes.
	CloseWrite()
	// Close closes the socket, with a reset if the peer must not take what it got for all there
	// was. It is the last call: the engine must not report anything more of this connection.
	Close(reset bool)
}

// Conn is one connection: the Transport of its Protocol, and the rules that hold for every
// engine's connections. The engine reports what happens on the socket by Input, EndOfInput,
// Broken and Writable; each is one event, at whose end all that was written in it leaves in one
// write. Loop only.
//
// A connection is open; then disconnecting (LoseConnection: it accepts no more writes, discards
// input and sends what it owes); then saying goodbye (all is sent, and so is our end of file; a
// moment for the peer to read it and close); then lost. Every step can be the last.
type Conn struct {
	loop       *Loop
	socket     Socket
	protocol   Protocol
	peer, host string
	index      int // in loop.conns

	out      []byte // accepted; out[sent:] is not yet taken by the kernel
	sent     int
	held     []byte // input that came while receiving was paused, from heldAt on
	heldAt   int
	written  uint64        // bytes accepted
	kept     int           // bytes that the Protocol keeps, by Keep
	counted  int           // this connection's part of loop.memory
	activity time.Duration // when bytes last moved in either direction
	progress time.Duration // when the kernel last took any of what is owed, or held input was delivered
	taken    uint64        // Taken when the timer looked last, or when the connection was lost
	read     func()        // Readable
	timer    *DelayedCall  // ends a connection that is closing, or unread, and makes no progress

	goodbyeIn int   // bytes discarded while saying goodbye
	aborted   error // why the connection is to be closed at once

	paused        bool // PauseReceiving
	unread        bool // the engine has been told to PauseReading, for so much is held
	eof           bool // the peer sends nothing more, and the Protocol knows
	eofHeld       bool // the same, but held input has to be delivered first
	deaf          bool // StopReceiving
	told          bool // the Protocol knows that no more input comes
	disconnecting bool
	saidGoodbye   bool
	lost          bool
	dirty         bool // in loop.dirty, or to be flushed at the end of this event
	queued        bool // in loop.first, fresh or ready
	pulling       bool // the engine has been asked to read
	first         bool // Prioritize
	full          bool // the backlog reached LowWater and the Producer has not heard since
}

// Accept begins a connection over s: f makes its Protocol, which hears of ConnectionMade before
// Accept returns. It returns nil if the connection is refused; the socket is the engine's to close
// then. Loop only.
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

// Backlog implements Transport.
func (c *Conn) Backlog() int {
	if c.socket == nil {
		return 0
	}
	return c.owed() + c.socket.Unsent(false)
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
	if c.saidGoodbye && unacked > 0 { // our end of file is the last of it
		unacked--
	}
	return uint64(max(0, int64(c.written)-int64(c.Backlog()+unacked)))
}

// Keep implements Transport.
func (c *Conn) Keep(n int) {
	if !c.lost {
		c.kept = n
		c.count()
	}
}

// count brings loop.memory up to date. It is called wherever a buffer may have changed, at the
// latest at the end of the event: in flush and lose.
func (c *Conn) count() {
	n := cap(c.out) + cap(c.held) + c.kept
	c.loop.memory += n - c.counted
	c.counted = n
	if c.loop.memory > c.loop.alarmAt {
		c.loop.memoryAlarm()
	}
}

// owed is what the socket has not taken.
func (c *Conn) owed() int { return len(c.out) - c.sent }

// Lost reports whether the connection has ended; the engine's Socket is closed then.
func (c *Conn) Lost() bool { return c.lost }

// Write implements Transport.
func (c *Conn) Write(p []byte) {
	if c.disconnecting || c.lost || len(p) == 0 {
		return
	}
	if c.out == nil {
		c.out = c.loop.buffers.take(len(p))
	} else if c.sent >= len(c.out)/2 && len(c.out)+len(p) > cap(c.out) {
		// Moving at most half of the buffer before it grows keeps the cost per byte constant.
		c.out = c.out[:copy(c.out, c.out[c.sent:])]
		c.sent = 0
	}
	c.out = append(c.out, p...)
	c.written += uint64(len(p))
	if c.Backlog() >= LowWater {
		c.full = true
	}
	c.soil()
}

// LoseConnection implements Transport.
func (c *Conn) LoseConnection() {
	if c.disconnecting || c.lost {
		return
	}
	c.disconnecting = true
	c.eof = c.eof || c.eofHeld
	c.release()
	c.soil()
}

// AbortConnection implements Transport.
func (c *Conn) AbortConnection() { c.abort(ErrConnectionAborted) }

func (c *Conn) abort(reason error) {
	if c.lost || c.aborted != nil {
		return
	}
	c.disconnecting = true
	c.aborted = reason
	c.soil()
}

// PauseReceiving implements Transport.
func (c *Conn) PauseReceiving() { c.paused = true }

// ResumeReceiving implements Transport.
func (c *Conn) ResumeReceiving() {
	c.paused = false
	if c.deliverable() {
		c.readySoon()
	}
}

// StopReceiving implements Transport.
func (c *Conn) StopReceiving() {
	if !c.deaf && !c.disconnecting && !c.lost {
		c.deaf = true
		c.readySoon()
	}
}

// soil marks the connection for a write or a close at the end of its own event or of the turn.
func (c *Conn) soil() {
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

// readySoon has the connection proceed in a turn, after those that wait already.
func (c *Conn) readySoon() { c.queue(&c.loop.ready) }

// queue has the connection proceed in a turn, as one of list unless it has priority.
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

// begin and end enclose each event. The Protocol is called between them and nowhere else, except
// for ConnectionLost.
func (c *Conn) begin() {
	c.loop.current = c
	c.loop.now = c.loop.engine.Elapsed()
}

func (c *Conn) end(what string) {
	c.loop.current = nil
	c.flush()
	c.loop.handled(what, c)
}
