package reactor

// deliverBytes bounds one call of DataReceived with held input. A chunk of up to lightBytes, a few
// lines, never waits for other connections.
const (
	deliverBytes = 8 << 10
	lightBytes   = 256
)

// Input reports bytes from the peer. They are the engine's again when it returns.
func (c *Conn) Input(p []byte) {
	if c.lost {
		return
	}
	c.begin()
	c.activity = c.loop.now
	c.loop.stats.BytesIn += uint64(len(p))
	switch {
	case c.disconnecting || c.deaf:
		c.discard(len(p))
	case c.paused || len(c.held) > 0:
		c.hold(p)
	case len(p) > lightBytes && !c.pulling && (c.queued || c.loop.late()):
		c.loop.stats.InputWaits++
		c.hold(p)
		c.queue(&c.loop.fresh)
	default:
		c.protocol.DataReceived(p)
	}
	c.end("data received from")
}

// hold keeps input that must not be delivered yet. When it is enough, the socket is not read until
// all of it has been delivered or dropped.
func (c *Conn) hold(p []byte) {
	if c.heldAt >= len(c.held)/2 {
		c.held = c.held[:copy(c.held, c.held[c.heldAt:])]
		c.heldAt = 0
	}
	c.held = append(c.held, p...)
	if len(c.held)-c.heldAt >= MaxHeldInput && !c.unread {
		c.unread = true
		c.socket.PauseReading()
		c.giveUpAfter(HeldInputTimeout, ErrHeldInput)
	}
}

// release forgets held input and goes on reading.
func (c *Conn) release() {
	c.held, c.heldAt = nil, 0
	if c.unread {
		c.unread = false
		c.stopTimer()
		c.socket.ResumeReading()
	}
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

// readLost is the end of the peer's input, all of which has been delivered.
func (c *Conn) readLost() {
	c.eof, c.eofHeld = true, false
	c.tell()
}

// tell tells the Protocol, once, that no more input comes.
func (c *Conn) tell() {
	if c.told {
		return
	}
	c.told = true
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

// Readable reports that there is input, or its end, which the engine has not read. The Conn calls read
// once, in one of its turns, and the engine then reports what it has read, and Readable again if there
// may be more.
func (c *Conn) Readable(read func()) {
	if !c.lost {
		c.read = read
		c.queue(&c.loop.fresh)
	}
}

// proceed is what a connection does in a turn of its own accord: it delivers a piece of held input or
// reads, and calls a Producer. One that was served stays queued for another round, so that input which
// comes meanwhile waits for its turn.
func (c *Conn) proceed() {
	if !c.lost && c.read != nil && (len(c.held) == 0 || c.paused) {
		read := c.read
		c.read, c.pulling = nil, true
		read()
		c.pulling = false
	}
	c.queued = false
	if c.lost {
		return
	}
	c.begin()
	served := c.deliver()
	if c.deliverable() || c.read != nil || served && c.loop.limited {
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

// deliverable reports whether there is held input, or the end of it, that the Protocol may have now.
// The end counts by itself: the last piece may have used up this turn's budget.
func (c *Conn) deliverable() bool {
	ended := c.eofHeld || c.deaf && !c.told
	return (len(c.held) > 0 || ended) && !c.paused && !c.disconnecting
}

// deliver hands over the next piece of held input, and the end of it once nothing more is held. It
// reports whether there was a piece.
func (c *Conn) deliver() (served bool) {
	if len(c.held) > 0 && c.deliverable() {
		served = true
		p := c.held[c.heldAt:min(c.heldAt+deliverBytes, len(c.held))]
		c.heldAt += len(p)
		c.progress = c.loop.now
		c.protocol.DataReceived(p)
		if c.heldAt == len(c.held) {
			c.release()
		}
	}
	if len(c.held) == 0 && c.deliverable() {
		if c.eofHeld {
			c.readLost()
		} else {
			c.tell()
		}
	}
	return served
}
