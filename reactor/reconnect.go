package reactor

import (
	"math/rand/v2"
	"time"
)

// ReconnectingClient keeps one connection to an address: whenever there is none, it dials again, after a delay that
// grows with each failure. There is never more than one connection or dial. Set the fields, then call Connect. Loop
// only.
type ReconnectingClient struct {
	Reactor Reactor
	Rand    *rand.Rand    // for the jitter, so that a simulation is deterministic
	Addr    string        // host:port
	Timeout time.Duration // of one dial
	// Factory makes the Protocol of each connection and is notified of each failed dial. Its Protocols may
	// implement HalfCloser and Producer.
	Factory ClientFactory
	// Dialing, unless it is nil, is called before each dial. It returns f or one that wraps it, as for TLS.
	Dialing func(f ClientFactory) ClientFactory

	// The delay before the first retry, its growth per retry and its maximum. Zero means MinRetryDelay, 2 and
	// MaxRetryDelay.
	Initial time.Duration
	Factor  float64
	Max     time.Duration
	// Jitter is the part of the delay by which it is varied at random, so that the servers of a herd do not dial a
	// restarted server at the same time. Zero means 0.5; negative means none.
	Jitter float64

	started bool
	busy    bool          // dialing or connected
	delay   time.Duration // before the next retry, without jitter
	retry   *DelayedCall
}

// The default delays between two dials of a ReconnectingClient.
const (
	MinRetryDelay = 250 * time.Millisecond
	MaxRetryDelay = 5 * time.Second
)

// Connect starts dialing.
func (r *ReconnectingClient) Connect() {
	if r.started {
		return
	}
	r.started = true
	r.Initial = orElse(r.Initial, MinRetryDelay)
	r.Factor = orElse(r.Factor, 2)
	r.Max = orElse(r.Max, MaxRetryDelay)
	r.Jitter = orElse(r.Jitter, 0.5)
	r.ResetDelay()
	r.DialNow()
}

func orElse[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// Stop stops dialing. An existing connection must be closed by its Protocol; a pending dial is refused when it
// succeeds.
func (r *ReconnectingClient) Stop() {
	r.started = false
	r.cancelRetry()
}

// ResetDelay resets the delay of the next retry to Initial. A Protocol calls it when its connection has proven useful.
// It is also called for a connection that has lasted for Max.
func (r *ReconnectingClient) ResetDelay() { r.delay = r.Initial }

// DialNow dials without further delay, unless there is a dial or a connection. It reports whether it dials.
func (r *ReconnectingClient) DialNow() bool {
	if !r.started || r.busy {
		return false
	}
	r.cancelRetry()
	r.busy = true
	f := ClientFactory(r)
	if r.Dialing != nil {
		f = r.Dialing(f)
	}
	r.Reactor.ConnectTCP(r.Addr, r.Timeout, f)
	return true
}

// ConnectionFailed implements ClientFactory, for the reactor to call.
func (r *ReconnectingClient) ConnectionFailed(reason error) {
	r.again()
	r.Factory.ConnectionFailed(reason)
}

// BuildProtocol implements Factory, for the reactor to call.
func (r *ReconnectingClient) BuildProtocol(peer string) Protocol {
	if r.started {
		if p := r.Factory.BuildProtocol(peer); p != nil {
			return &reconnecting{Protocol: p, client: r, since: r.Reactor.Now()}
		}
	}
	r.again()
	return nil
}

// again schedules the next dial.
func (r *ReconnectingClient) again() {
	r.busy = false
	if !r.started {
		return
	}
	d := float64(r.delay)
	if r.Jitter > 0 {
		d *= 1 + r.Jitter*(2*r.Rand.Float64()-1)
	}
	r.delay = min(time.Duration(float64(r.delay)*r.Factor), r.Max)
	r.retry = r.Reactor.CallLater(time.Duration(d), func() { r.DialNow() })
}

func (r *ReconnectingClient) cancelRetry() {
	if r.retry != nil {
		r.retry.Cancel()
		r.retry = nil
	}
}

// reconnecting wraps the Protocol of one connection to detect its loss.
type reconnecting struct {
	Protocol
	client *ReconnectingClient
	since  time.Time
	t      Transport
}

func (p *reconnecting) ConnectionMade(t Transport) {
	p.t = t
	p.Protocol.ConnectionMade(t)
}

// ReadConnectionLost implements HalfCloser, also for a Protocol that does not, as Conn does.
func (p *reconnecting) ReadConnectionLost() {
	if h, ok := p.Protocol.(HalfCloser); ok {
		h.ReadConnectionLost()
	} else {
		p.t.LoseConnection()
	}
}

// ResumeProducing implements Producer.
func (p *reconnecting) ResumeProducing() {
	if h, ok := p.Protocol.(Producer); ok {
		h.ResumeProducing()
	}
}

func (p *reconnecting) ConnectionLost(reason error) {
	if p.client.Reactor.Now().Sub(p.since) >= p.client.Max {
		p.client.ResetDelay()
	}
	p.client.again()
	p.Protocol.ConnectionLost(reason)
}
