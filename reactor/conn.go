package reactor

import "time"

// Limits of a connection that is coming to its end, and of one step of work.
const (
	// Linger is how long a connection that is closing, or whose peer sends nothing more, may owe
	// bytes of which its peer takes none.
	Linger = 10 * time.Second
	// goodbye and goodbyeBytes bound what is discarded after the last byte was sent: a socket
	// closed with unread input resets, and the reset destroys what the peer has not read yet.
	goodbye      = time.Second
	goodbyeBytes = 1 << 20
	// deliverBytes bounds one call of DataReceived with held input, and deliverTurn how much of it
	// a connection gets delivered in one turn.
	deliverBytes = 8 << 10
	deliverTurn  = 64 << 10
)

// Socket is an engine's side of a connection. The Conn calls it, on the loop.
type Socket interface {
	// Write takes as much of p as it can without waiting, possibly nothing. If that was not all,
	// the engine calls Conn.Writable once more can be taken. An error ends the connection.
	Write(p []byte) (int, error)
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
	activity time.Duration // when bytes last moved in either direction
	progress time.Duration // when the kernel last took any of what is owed
	timer    *DelayedCall  // ends a closing connection that makes no progress

	goodbyeIn int   // bytes discarded while saying goodbye
	aborted   error // why the connection is to be closed at once

	paused        bool // PauseReceiving
	eof           bool // the peer sends nothing more, and the Protocol knows
	eofHeld       bool // the same, but held input has to be delivered first
	disconnecting bool
	saidGoodbye   bool
	lost          bool
	dirty         bool // in loop.dirty, or to be flushed at the end of this event
	ready         bool // in loop.ready
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
func (c *Conn) Backlog() int { return len(c.out) - c.sent }

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
	c.held, c.heldAt = nil, 0
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
	if len(c.held) > 0 || c.eofHeld {
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

func (c *Conn) readySoon() {
	if !c.ready && !c.lost {
		c.ready = true
		c.loop.ready = append(c.loop.ready, c)
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

// Input reports bytes from the peer. They are the engine's again when it returns.
func (c *Conn) Input(p []byte) {
	if c.lost {
		return
	}
	c.begin()
	c.activity = c.loop.now
	c.loop.stats.BytesIn += uint64(len(p))
	switch {
	case c.disconnecting:
		c.discard(len(p))
	case c.paused || len(c.held) > 0:
		c.hold(p)
	default:
		c.protocol.DataReceived(p)
	}
	c.end("data received from")
}

// hold keeps input that must not be delivered yet.
func (c *Conn) hold(p []byte) {
	if len(c.held)-c.heldAt+len(p) > MaxHeldInput {
		c.abort(ErrHeldInput)
		return
	}
	if c.heldAt >= len(c.held)/2 {
		c.held = c.held[:copy(c.held, c.held[c.heldAt:])]
		c.heldAt = 0
	}
	c.held = append(c.held, p...)
}

// discard counts input that nobody wants. While bytes are still owed it is without bound, as
// Linger and the program's own limits see to the end; afterwards a peer has only so much patience
// coming to it.
func (c *Conn) discard(n int) {
	if !c.saidGoodbye {
		return
	}
	if c.goodbyeIn += n; c.goodbyeIn > goodbyeBytes {
		c.lose(ErrConnectionDone, false)
	}
}

// EndOfInput reports that the peer sends nothing more.
func (c *Conn) EndOfInput() {
	if c.lost || c.eof || c.eofHeld {
		return
	}
	c.begin()
	switch {
	case c.disconnecting:
		c.eof = true
		if c.saidGoodbye {
			c.lose(ErrConnectionDone, false)
		}
	case c.paused || len(c.held) > 0:
		c.eofHeld = true
	default:
		c.readLost()
	}
	c.end("end of input from")
}

// readLost tells the Protocol that its peer sends nothing more.
func (c *Conn) readLost() {
	c.eof, c.eofHeld = true, false
	if h, ok := c.protocol.(HalfCloser); ok {
		h.ReadConnectionLost()
	} else {
		c.LoseConnection()
	}
}

// Broken reports that the connection has failed.
func (c *Conn) Broken(reason error) {
	if !c.lost {
		c.begin()
		c.lose(reason, true)
		c.end("connection lost:")
	}
}

// Writable reports that the socket can take more.
func (c *Conn) Writable() {
	c.loop.now = c.loop.engine.Elapsed()
	c.flush()
}

// proceed is what a connection does in a turn of its own accord: it delivers held input, as far
// as it goes, and calls a Producer.
func (c *Conn) proceed() {
	c.ready = false
	if c.lost {
		return
	}
	c.begin()
	for budget := deliverTurn; budget > 0 && c.deliver(); budget -= deliverBytes {
	}
	if !c.paused && !c.disconnecting && len(c.held) > 0 {
		c.readySoon()
	}
	if c.full && !c.disconnecting && c.Backlog() < LowWater {
		c.full = false
		if p, ok := c.protocol.(Producer); ok {
			p.ResumeProducing()
		}
	}
	c.end("held input of")
}

// deliver hands over the next piece of held input, or the end of it, and reports whether there
// may be more.
func (c *Conn) deliver() bool {
	switch {
	case c.paused || c.disconnecting:
		return false
	case len(c.held) == 0:
		if c.eofHeld {
			c.readLost()
		}
		return false
	}
	p := c.held[c.heldAt:min(c.heldAt+deliverBytes, len(c.held))]
	c.heldAt += len(p)
	c.protocol.DataReceived(p)
	if c.heldAt == len(c.held) {
		c.held, c.heldAt = nil, 0
	}
	return true
}

// flush writes once what can be written, and goes on with closing. It is called outside of any
// call of the Protocol.
func (c *Conn) flush() {
	c.dirty = false
	if c.lost {
		return
	}
	if c.aborted != nil {
		c.lose(c.aborted, true)
		return
	}
	if c.Backlog() > 0 && !c.write() {
		return
	}
	if c.full && c.Backlog() < LowWater && !c.disconnecting {
		c.readySoon()
	}
	switch {
	case c.Backlog() > 0 && (c.disconnecting || c.eof || c.eofHeld):
		c.linger()
	case c.Backlog() == 0 && c.disconnecting && !c.saidGoodbye:
		c.sayGoodbye()
	}
}

// write gives the kernel what it takes and reports whether the connection has survived it.
func (c *Conn) write() bool {
	n, err := c.socket.Write(c.out[c.sent:])
	if n > 0 {
		c.sent += n
		c.activity, c.progress = c.loop.now, c.loop.now
		c.loop.stats.BytesOut += uint64(n)
	}
	if err != nil {
		c.lose(err, true)
		return false
	}
	if c.Backlog() == 0 {
		c.stopTimer()
		c.loop.buffers.giveBack(c.out)
		c.out, c.sent = nil, 0
	} else {
		c.out, c.sent = c.loop.buffers.shrink(c.out, c.sent)
	}
	return true
}

// linger sees to it that a peer that takes nothing of what is owed to it is given up.
func (c *Conn) linger() {
	if c.timer == nil {
		c.progress = c.loop.now
		c.timer = c.loop.CallLater(Linger, c.lingered)
	}
}

func (c *Conn) lingered() {
	c.timer = nil
	switch stalled := c.loop.engine.Elapsed() - c.progress; {
	case c.Backlog() == 0:
	case stalled >= Linger:
		c.lose(ErrLinger, true)
	default:
		c.timer = c.loop.CallLater(Linger-stalled, c.lingered)
	}
}

// sayGoodbye ends our side after the last byte and waits a moment for the peer's. Where nothing
// can be under way any more, there is nothing to wait for.
func (c *Conn) sayGoodbye() {
	if c.eof || c.loop.now-c.activity >= goodbye {
		c.lose(ErrConnectionDone, false)
		return
	}
	c.saidGoodbye = true
	c.socket.CloseWrite()
	c.timer = c.loop.CallLater(goodbye, func() { c.lose(ErrConnectionDone, false) })
}

func (c *Conn) stopTimer() {
	if c.timer != nil {
		c.timer.Cancel()
		c.timer = nil
	}
}

// lose ends the connection: the one place that calls ConnectionLost, once.
func (c *Conn) lose(reason error, reset bool) {
	if c.lost {
		return
	}
	c.lost = true
	c.stopTimer()
	l := c.loop
	last := l.conns[len(l.conns)-1]
	l.conns[c.index], last.index = last, c.index
	l.conns[len(l.conns)-1] = nil
	l.conns = l.conns[:len(l.conns)-1]
	l.buffers.giveBack(c.out)
	c.out, c.sent, c.held, c.heldAt = nil, 0, nil, 0
	s := c.socket
	c.socket = nil
	s.Close(reset)
	c.protocol.ConnectionLost(reason)
}
