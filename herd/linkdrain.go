package herd

// linkDrain is a link's part of its server's shutdown.
//
// A link that is up hands over the rest of the feed. One that is down is dialed once, at once: the
// neighbor may have been restarted, and then it lacks everything, whatever its process before had
// acknowledged. If that dial or its handshake fails, there is nobody to hand anything to. A link that is
// lost is dialed in the same way, and once more after each connection on which something was
// acknowledged: a neighbor that detects a difference closes the link to request everything again.
//
// A neighbor that was connected when the shutdown began, and whose connection was reset, has crashed, and
// its next process may need a moment until it listens. It is dialed until the shutdown ends, and the
// shutdown does not end while there are records that no neighbor has: see Server.retriesCrashed. A
// neighbor that closed its connection in order is probably stopping, too: it is not waited for.
type linkDrain struct {
	wasUp         bool // when the shutdown began
	closedCleanly bool // the last connection was closed in order, not reset
	lastDial      bool // a dial has been made since the last progress: no further one
	unreachable   bool // the last dial or handshake failed
	// For a legacy neighbor: everything up to delivered has been written, and the connection is closing, or
	// was closed in order.
	closing   bool
	delivered uint64
}

// crashed reports whether the neighbor was connected when the shutdown began, and did not close its
// connection in order.
func (ld *linkDrain) crashed() bool { return ld.wasUp && !ld.closedCleanly }

// beginDrain begins the link's part of a shutdown.
func (o *outbound) beginDrain() {
	o.proofsRefused = 0
	o.drain.wasUp = o.up()
	o.client.ResetDelay()
	switch {
	case o.t == nil:
		// A dial in progress may have been refused before the neighbor was started. If it fails, there is one
		// more.
		o.drain.lastDial = o.client.DialNow()
	case o.state == linkGreeting:
		o.drain.lastDial = true
	}
}

// dialsInDrain reports whether a link that ended during a shutdown is dialed at once. If not, it is not
// dialed again, unless the neighbor has crashed: then it is dialed after reactor.MinRetryDelay, repeatedly.
func (o *outbound) dialsInDrain() bool {
	if !o.drain.lastDial && !o.drain.closing {
		o.drain.lastDial = true
		return true
	}
	o.drain.unreachable = true
	if o.drain.crashed() {
		o.client.ResetDelay()
	} else {
		o.client.Stop()
	}
	return false
}

// up reports whether the link has a neighbor at its other end.
func (o *outbound) up() bool { return o.sending() || o.state == linkLegacy }

// drained reports whether everything has been handed over to the neighbor, or the neighbor cannot be reached.
func (o *outbound) drained() bool {
	if !o.up() {
		return o.drain.unreachable
	}
	return o.sender.drained()
}
