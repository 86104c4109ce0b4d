package reactor

import "time"

// Linger is how long a connection that is closing, or whose peer sends nothing more, may owe bytes
// of which its peer takes none.
const Linger = 10 * time.Second

// goodbye and goodbyeBytes bound what is discarded after the last byte was sent: a socket closed
// with unread input resets, and the reset destroys what the peer has not read yet.
const (
	goodbye      = time.Second
	goodbyeBytes = 1 << 20
)

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
	if c.owed() > 0 && !c.write() {
		return
	}
	c.count()
	ending := c.disconnecting || c.eof || c.eofHeld
	if !ending && !c.full {
		return
	}
	backlog := c.owed() + c.socket.Unsent(true)
	if c.full && backlog < LowWater && !c.disconnecting {
		c.readySoon()
	}
	switch {
	case backlog > 0 && ending:
		c.linger()
	case backlog == 0 && ending && !c.saidGoodbye:
		c.stopTimer()
		if c.disconnecting {
			c.sayGoodbye()
		}
	}
}

// Progress reports that the kernel has taken some of what is Unsent.
func (c *Conn) Progress() { c.progress = c.loop.engine.Elapsed() }

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
	if c.owed() == 0 {
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
		c.giveUpAfter(Linger, ErrLinger)
	}
}

// giveUpAfter ends the connection, for the reason given, once it has made no progress for limit.
//
// The kernel makes room for more only when the peer has taken a good part of what it holds. So what
// the peer has taken is looked at ten times within limit, and each change counts as progress then.
func (c *Conn) giveUpAfter(limit time.Duration, reason error) {
	c.progress, c.taken = c.loop.now, c.Taken()
	var look func()
	look = func() {
		c.timer = nil
		if c.Backlog() == 0 && !c.unread {
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
		c.timer = c.loop.CallLater(min(limit-stalled, limit/10), look)
	}
	c.timer = c.loop.CallLater(limit/10, look)
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
	if reason != ErrConnectionDone { // then it is not asked for
		c.taken = c.Taken()
	}
	l.buffers.giveBack(c.out)
	c.out, c.sent, c.held, c.heldAt, c.kept = nil, 0, nil, 0, 0
	c.count()
	s := c.socket
	c.socket = nil
	s.Close(reset)
	c.protocol.ConnectionLost(reason)
}
