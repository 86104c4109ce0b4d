package reactor

// deliverBytes is the maximum of held input per call of DataReceived. A chunk of up to lightBytes, a few lines,
// never waits for other connections.
const (
	deliverBytes = 8 << 10
	lightBytes   = 256
)

// Input reports bytes from the peer. p may be reused when Input returns.
func (c *Conn) Input(p []byte) {
	if c.lost {
		return
	}
	c.begin()
	c.activity = c.loop.now
	c.loop.stats.BytesIn += uint64(len(p))
	switch {
	case c.disconnecting || c.readClosed:
		c.discard(len(p))
	case c.paused || len(c.held) > 0 || c.upgrade != nil:
		c.hold(p)
	case len(p) > lightBytes && !c.inRead && (c.queued || c.loop.overShare()):
		c.loop.stats.InputWaits++
		c.hold(p)
		c.queue(&c.loop.fresh)
	default:
		c.protocol.DataReceived(p)
	}
	c.end("data received from")
}

// hold buffers input that must not be delivered yet. From MaxHeldInput on, the socket is not read until all of it was
// delivered or dropped.
func (c *Conn) hold(p []byte) {
	if c.heldAt >= len(c.held)/2 {
		c.held = c.held[:copy(c.held, c.held[c.heldAt:])]
		c.heldAt = 0
	}
	c.held = append(c.held, p...)
	if len(c.held)-c.heldAt >= MaxHeldInput && !c.readPaused {
		c.readPaused = true
		c.socket.PauseReading()
		c.closeIfStalled(HeldInputTimeout, ErrHeldInput)
	}
}

// dropHeld drops held input and resumes reading.
func (c *Conn) dropHeld() {
	c.held, c.heldAt = nil, 0
	if c.readPaused {
		c.readPaused = false
		c.stopTimer()
		c.socket.ResumeReading()
	}
}

// discard counts discarded input. While output is pending it is not limited, because Linger and the program's limits
// end the connection; after that a peer may send at most maxDiscard bytes.
func (c *Conn) discard(n int) {
	if !c.writeClosed {
		return
	}
	if c.discarded += n; c.discarded > maxDiscard {
		c.lose(ErrConnectionDone, false)
	}
}

// EndOfInput reports the peer's end of file.
func (c *Conn) EndOfInput() {
	if c.lost || c.eof || c.eofHeld {
		return
	}
	c.begin()
	switch {
	case c.disconnecting:
		c.eof = true
		if c.writeClosed {
			c.lose(ErrConnectionDone, false)
		}
	case c.paused || len(c.held) > 0:
		c.eofHeld = true
	default:
		c.readLost()
	}
	c.end("end of input from")
}

// readLost handles the peer's end of file after all input was delivered.
func (c *Conn) readLost() {
	c.eof, c.eofHeld = true, false
	c.notifyEnd()
}

// notifyEnd tells the Protocol, once, that no more input comes.
func (c *Conn) notifyEnd() {
	if c.endNotified {
		return
	}
	c.endNotified = true
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

// Readable reports that there is input, or its end, which the engine has not read yet. The Conn calls read once, in a
// later turn. The engine then reports what it has read, and calls Readable again if there may be more.
func (c *Conn) Readable(read func()) {
	if !c.lost {
		c.read = read
		c.queue(&c.loop.fresh)
	}
}

// proceed does what a connection has to do in a turn: it reads or delivers a piece of held input, and calls a
// Producer. A connection that was served stays queued for another round, so that its next input waits in line.
func (c *Conn) proceed() {
	if !c.lost && c.read != nil && (len(c.held) == 0 || c.paused) {
		read := c.read
		c.read, c.inRead = nil, true
		read()
		c.inRead = false
	}
	c.queued = false
	if c.lost {
		return
	}
	c.begin()
	served := c.deliver()
	if c.deliverable() || c.read != nil || served && c.loop.limited {
		c.queueReady()
	}
	if c.full && !c.disconnecting && c.Backlog() < LowWater {
		c.full = false
		if p, ok := c.protocol.(Producer); ok {
			p.ResumeProducing()
		}
	}
	c.end("held input of")
}

// deliverable reports whether held input, or the end of input, can be delivered now. The end counts by itself: the
// last piece may have used up this turn's budget.
func (c *Conn) deliverable() bool {
	ended := c.eofHeld || c.readClosed && !c.endNotified
	return (len(c.held) > 0 || ended) && !c.paused && !c.disconnecting
}

// deliver delivers the next piece of held input, and the end of input once nothing more is held. It reports whether
// there was a piece.
func (c *Conn) deliver() (served bool) {
	if len(c.held) > 0 && c.deliverable() {
		served = true
		p := c.held[c.heldAt:min(c.heldAt+deliverBytes, len(c.held))]
		c.heldAt += len(p)
		c.progress = c.loop.now
		c.protocol.DataReceived(p)
		if c.heldAt == len(c.held) {
			c.dropHeld()
		}
	}
	if len(c.held) == 0 && c.deliverable() && c.upgrade == nil { // after StartTLS, the next socket reports the end
		if c.eofHeld {
			c.readLost()
		} else {
			c.notifyEnd()
		}
	}
	return served
}
