package memreactor

import "time"

// Faults. Hosts are named as in NewReactor and DialFrom, so that a fault outlives the reactors on them. Within a
// connection that is not reset, no byte is lost or reordered.

func (w *World) cut(from, to string) bool { return len(w.cuts) > 0 && w.cuts[[2]string{from, to}] }

// Cut blocks all traffic between a and b, in both directions, until Heal: sent bytes wait, and dials get no answer.
func (w *World) Cut(a, b string) {
	w.CutOneWay(a, b)
	w.CutOneWay(b, a)
}

// CutOneWay blocks all traffic from one host to another. Dials fail in both directions, as each needs an answer.
func (w *World) CutOneWay(from, to string) { w.cuts[[2]string{from, to}] = true }

// Heal ends the cuts between a and b. Waiting bytes arrive.
func (w *World) Heal(a, b string) {
	delete(w.cuts, [2]string{a, b})
	delete(w.cuts, [2]string{b, a})
	w.arriveAll()
}

// HealAll ends every cut, stall, delay and refusal, and resumes every paused reactor. All bytes in flight arrive now.
func (w *World) HealAll() {
	clear(w.cuts)
	clear(w.delays)
	clear(w.refused)
	for _, p := range w.pipes {
		p.last = min(p.last, w.now)
		for i := range p.flight {
			p.flight[i].at = min(p.flight[i].at, w.now)
		}
	}
	w.arriveAll()
	for _, r := range w.reactors {
		r.Resume()
	}
}

func (w *World) arriveAll() {
	for _, p := range w.pipes {
		if !w.cut(p.from.host, p.to.host) {
			p.arriveSoon(w.now)
		}
	}
}

// Slow adds d to the delay of everything that is sent between a and b from now on; zero ends it.
func (w *World) Slow(a, b string, d time.Duration) {
	w.delays[[2]string{a, b}] = d
	w.delays[[2]string{b, a}] = d
}

// Stall delays what is sent on existing connections between a and b: it arrives in d or later.
func (w *World) Stall(a, b string, d time.Duration) {
	for _, p := range w.between(a, b) {
		p.last = max(p.last, w.now+d)
	}
}

// Refuse makes dials to addr fail as if nobody listened, until it is called with false.
func (w *World) Refuse(addr string, refuse bool) {
	if refuse {
		w.refused[addr] = true
	} else {
		delete(w.refused, addr)
	}
}

// Reset breaks all connections between a and b, for both ends, and returns their number.
func (w *World) Reset(a, b string) int {
	pipes := w.between(a, b)
	for _, p := range pipes {
		p.sendReset()
	}
	return len(pipes) / 2
}

func (w *World) between(a, b string) []*pipe {
	var found []*pipe
	for _, p := range w.pipes {
		if from, to := p.from.host, p.to.host; from == a && to == b || from == b && to == a {
			found = append(found, p)
		}
	}
	return found
}

// Crash ends the reactor's process at once, as kill -9 does: its delayed calls are dropped and its addresses are free.
// Its connections end as a kernel ends them: output that they had taken still arrives, followed by an end of file, or
// by a reset if there was unread input.
func (r *Reactor) Crash() {
	if r.gone() {
		return
	}
	r.crashed = true
	r.Seal()
	for _, l := range r.ports {
		l.Close()
	}
	for len(r.ends) > 0 {
		r.ends[0].Close(false)
	}
	r.deferred = nil
}

// Pause stops the reactor's process, as SIGSTOP does. Its kernel keeps receiving.
func (r *Reactor) Pause() { r.paused = true }

// Resume resumes a paused process: first it reads what its sockets hold, then it takes a turn, in which delayed calls
// may be late.
func (r *Reactor) Resume() {
	if !r.paused {
		return
	}
	r.paused = false
	w := r.world
	deferred := r.deferred
	r.deferred = nil
	for _, f := range deferred {
		w.add(event{at: w.now, kind: evReactor, r: r, f: f})
	}
	for _, e := range r.ends {
		e.in.arriveSoon(w.now)
	}
	r.catchingUp = true
	w.add(event{at: w.now, kind: evScript, f: r.catchUp})
}

// catchUp ends a pause once everything that arrived during it has been read.
func (r *Reactor) catchUp() {
	for _, e := range r.ends {
		if p := e.in; e.sink != nil && p.arrived > 0 && !p.stopped() && !r.world.cut(p.from.host, p.to.host) {
			r.world.add(event{at: r.world.now, kind: evScript, f: r.catchUp})
			return
		}
	}
	r.catchingUp = false
	r.turn()
}
