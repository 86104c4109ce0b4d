package reactor

import "time"

// Linger is how long a peer may take none of the pending output of a connection that is closing or half-closed.
const Linger = 10 * time.Second

// closeWait and maxDiscard limit how long, and how many bytes of, input is discarded after the last byte was sent:
// closing a socket with unread input sends a reset, which destroys what the peer has not read yet.
const (
	closeWait  = time.Second
	maxDiscard = 1 << 20
)

// flush writes once what can be written, and continues closing. It must not be called while the Protocol is running.
func (c *Conn) flush() {
	c.dirty = false
	if c.lost {
		return
	}
	if c.aborted != nil {
		c.lose(c.aborted, true)
		return
	}
	if c.upgrade != nil && !c.startTLS() {
		return
	}
	if c.pending() > 0 && !c.write() {
		return
	}
	c.count()
	ending := c.disconnecting || c.eof || c.eofHeld
	if !ending && !c.full {
		return
	}
	backlog := c.pending() + c.socket.Unsent(true)
	if c.full && backlog < LowWater && !c.disconnecting {
		c.queueReady()
	}
	switch {
	case backlog > 0 && ending:
		c.linger()
	case backlog == 0 && ending && !c.writeClosed:
		c.stopTimer()
		if c.disconnecting {
			c.closeWrite()
		}
	}
}

// Progress reports that the kernel has taken some of the bytes counted by Unsent.
func (c *Conn) Progress() { c.progress = c.loop.engine.Elapsed() }

// write offers pending output to the kernel and reports whether the connection still exists.
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
	if c.pending() == 0 {
		c.loop.buffers.put(c.out)
		c.out, c.sent = nil, 0
	} else {
		c.out, c.sent = c.loop.buffers.shrink(c.out, c.sent)
	}
	return true
}

// linger closes the connection if the peer takes none of the pending output for Linger.
func (c *Conn) linger() {
	if c.timer == nil {
		c.closeIfStalled(Linger, ErrLinger)
	}
}

// closeIfStalled closes the connection with reason once it has made no progress for limit.
//
// The kernel accepts more output only when the peer has acknowledged a large part of its buffer. So the number of
// acknowledged bytes is checked ten times within limit, and each change counts as progress.
func (c *Conn) closeIfStalled(limit time.Duration, reason error) {
	c.progress, c.taken = c.loop.now, c.Taken()
	var check func()
	check = func() {
		c.timer = nil
		if c.Backlog() == 0 && !c.readPaused {
			return
		}
		now := c.loop.engine.Elapsed()
		if taken := c.Taken(); taken != c.taken {
			c.taken, c.progress = taken, now
		}
		stalled := now - c.progress
		if stalled >= limit {
			c.lose(reason, true)
			return
		}
		c.timer = c.loop.CallLater(min(limit-stalled, limit/10), check)
	}
	c.timer = c.loop.CallLater(limit/10, check)
}

// closeWrite sends an end of file after the last byte and waits up to closeWait for the peer's. If the peer has closed
// already, or nothing was sent or received for closeWait, there is nothing to wait for.
func (c *Conn) closeWrite() {
	if c.eof || c.loop.now-c.activity >= closeWait {
		c.lose(ErrConnectionDone, false)
		return
	}
	c.writeClosed = true
	c.socket.CloseWrite()
	c.timer = c.loop.CallLater(closeWait, func() { c.lose(ErrConnectionDone, false) })
}

func (c *Conn) stopTimer() {
	if c.timer != nil {
		c.timer.Cancel()
		c.timer = nil
	}
}

// lose ends the connection. It is the only caller of ConnectionLost.
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
	if reason != ErrConnectionDone { // after ErrConnectionDone nobody calls Taken
		c.taken = c.Taken()
	}
	l.buffers.put(c.out)
	c.out, c.sent, c.held, c.heldAt, c.kept = nil, 0, nil, 0, 0
	c.count()
	s := c.socket
	c.socket = nil
	s.Close(reset)
	c.protocol.ConnectionLost(reason)
}
