package herd

import (
	"time"

	"serverherd/reactor"
)

// PumpPause is the least time between two pumps, if the first one has sent records. What comes in meanwhile is sent
// together: otherwise every chunk from a client or neighbor would cost each neighbor a wake-up, a write and a MARK.
const PumpPause = time.Millisecond

// pump schedules when the links, the journal and the bridge send what is new. Loop only.
type pump struct {
	f         func()               // Server.pumpLinks
	scheduled bool                 // it will be called
	paused    *reactor.DelayedCall // when the pause is over; nil: at the end of this batch of events
	next      time.Duration        // end of the pause after the last pump, on the steady clock
}

// pumpSoon schedules a pump: at the end of this batch of events, so that updates that arrive together are sent
// together, or at the end of the pause after the last one.
func (srv *Server) pumpSoon() {
	if len(srv.neighbors) == 0 && srv.journal == nil && srv.bridge == nil {
		return // no followers
	}
	if p := &srv.pump; !p.scheduled {
		if wait := p.next - srv.reactor.Elapsed(); wait > 0 && !srv.drain.begun {
			p.scheduled = true
			p.paused = srv.reactor.CallLater(wait, p.f)
			return
		}
		srv.pumpNow()
	}
}

// pumpNow schedules a pump for the end of this batch of events.
func (srv *Server) pumpNow() {
	p := &srv.pump
	switch {
	case p.paused != nil:
		p.paused.Cancel()
		p.paused = nil
	case p.scheduled:
		return
	}
	p.scheduled = true
	srv.reactor.CallSoon(p.f)
}

// pumpLinks sends to each neighbor, to the journal and to the bridge what is new.
func (srv *Server) pumpLinks() {
	srv.pump.scheduled, srv.pump.paused = false, nil
	more, sent := false, false
	for _, n := range srv.neighbors {
		before := n.counters.atSent
		more = n.link.pump() || more
		sent = sent || n.counters.atSent > before
	}
	if srv.journal != nil {
		srv.journal.pump()
	}
	if srv.bridge != nil {
		srv.bridge.pump()
	}
	if sent {
		srv.pump.next = srv.reactor.Elapsed() + PumpPause
	}
	if more {
		srv.pumpNow()
	}
	srv.checkDrained() // the bridge may have passed the rest without a record to publish
}
