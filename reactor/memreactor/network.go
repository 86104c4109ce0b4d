package memreactor

import (
	"hash/crc32"
	"time"

	"serverherd/reactor"
)

// sink receives the events of an end: a reactor.Conn or a Client.
type sink interface {
	Input(p []byte)
	EndOfInput()
	Broken(reason error)
	Writable()
}

// end is one end of a connection, a socket. It is the reactor.Socket of a Conn.
type end struct {
	w          *World
	r          *Reactor // nil for a Client
	host       string   // for faults between hosts
	addr, peer string
	out, in    *pipe
	sink       sink // nil until accepted: input waits in the pipe
	closed     bool
	readPaused bool // PauseReading: input waits in the pipe
}

// pipe is one direction of a connection: what was written and not yet read. It delivers bytes in order, then possibly
// an end of file. A reset discards what was not read.
type pipe struct {
	w        *World
	from, to *end
	id       uint64

	bytes    []byte // bytes[read:] were written and not read
	read     int
	arrived  int           // number of unread bytes that have arrived
	flight   []segment     // the others
	flown    int           // flight[flown:] have not arrived
	last     time.Duration // arrival time of the last segment
	arriveAt time.Duration // of the pending evArrive, or never

	fin       bool // an end of file follows the last segment
	finRead   bool
	reset     bool // a reset follows the last segment
	short     bool // the writer has more output than there was room for
	spaceSoon bool // an evSpace is pending
}

// segment is the length of bytes that were written together.
type segment struct {
	n  int
	at time.Duration // when they arrive
}

func (w *World) newEnd(host, addr, peer string) *end {
	return &end{w: w, host: host, addr: addr, peer: peer}
}

// join creates the two pipes between a and b.
func (w *World) join(a, b *end) {
	ab, ba := w.newPipe(a, b), w.newPipe(b, a)
	a.out, a.in, b.out, b.in = ab, ba, ba, ab
	w.pipes = append(w.pipes, ab, ba)
}

func (w *World) newPipe(from, to *end) *pipe {
	w.seq++
	return &pipe{w: w, from: from, to: to, id: w.seq, last: w.now, arriveAt: never}
}

// dial connects e to the listener at addr, with one round trip, and calls done once. During a cut it waits until the cut
// ends or the timeout expires.
func (w *World) dial(e *end, addr string, timeout time.Duration, done func(error)) {
	deadline := never
	if timeout > 0 {
		deadline = w.now + timeout
	}
	var try func()
	try = func() {
		l := w.listeners[addr]
		target := addr
		if l != nil {
			target = l.r.host
		}
		there, back := w.delay(e.host, target), w.delay(target, e.host)
		switch {
		case w.cut(e.host, target) || w.cut(target, e.host) || w.now+there+back > deadline:
			if again := w.now + dialRetry; again < deadline {
				w.add(event{at: again, kind: evScript, f: try})
			} else {
				w.add(event{at: deadline, kind: evScript, f: func() { done(ErrTimeout) }})
			}
		case l == nil || l.r.gone() || w.refused[addr]:
			w.add(event{at: w.now + there + back, kind: evScript, f: func() { done(ErrRefused) }})
		default:
			w.add(event{at: w.now + there, kind: evScript, f: func() { w.dialArrived(l, e, back, done) }})
		}
	}
	try()
}

// dialRetry is the interval at which a dial without an answer is retried, like a SYN.
const dialRetry = 50 * time.Millisecond

// dialArrived handles a dial that has reached its listener.
func (w *World) dialArrived(l *Listener, e *end, back time.Duration, done func(error)) {
	if l.closed || l.r.gone() {
		w.add(event{at: w.now + back, kind: evScript, f: func() { done(ErrRefused) }})
		return
	}
	far := w.newEnd(l.r.host, l.addr, e.addr)
	far.r = l.r
	w.join(e, far)
	l.r.ends = append(l.r.ends, far)
	w.add(event{at: w.now, kind: evReactor, r: l.r, f: func() { l.accept(far) }})
	w.add(event{at: w.now + back, kind: evScript, f: func() {
		if e.r != nil {
			if e.r.gone() {
				e.Close(true)
				return
			}
			e.r.ends = append(e.r.ends, e)
		}
		done(nil)
	}})
}

// accepted connects e to a Protocol made by f.
func (e *end) accepted(f reactor.Factory) { e.accept(f, e) }

// accept is accepted with another socket than the end itself.
func (e *end) accept(f reactor.Factory, s reactor.Socket) {
	if e.closed {
		return
	}
	c := e.r.Accept(f, s, e.peer, e.addr)
	if c == nil {
		e.Close(false)
		return
	}
	if !c.Lost() {
		e.sink = c
		e.in.arriveSoon(e.w.now)
	}
}

// Write implements reactor.Socket.
func (e *end) Write(p []byte) (int, error) {
	return e.out.write(p), nil
}

// Unsent implements reactor.Socket.
func (e *end) Unsent(bool) int { return 0 }

// Unacked implements reactor.Socket: a receiver acknowledges what it reads. As in a kernel, an end of file counts as one
// byte.
func (e *end) Unacked() int {
	n := e.out.unread()
	if e.out.fin && !e.out.finRead {
		n++
	}
	return n
}

// PauseReading implements reactor.Socket. The pipe fills up, and its writer cannot write more.
func (e *end) PauseReading() { e.readPaused = true }

// ResumeReading implements reactor.Socket.
func (e *end) ResumeReading() {
	e.readPaused = false
	e.in.arriveSoon(e.w.now)
}

// CloseWrite implements reactor.Socket.
func (e *end) CloseWrite() {
	if !e.out.fin {
		e.out.fin = true
		e.out.send(0)
	}
}

// Close implements reactor.Socket. As in a kernel, it sends a reset if there is unread input.
func (e *end) Close(reset bool) {
	if e.closed {
		return
	}
	e.closed = true
	e.sink = nil
	if e.out != nil {
		if !e.w.cut(e.in.from.host, e.host) {
			e.in.land()
		}
		if reset || e.in.arrived > 0 {
			e.out.sendReset()
		} else {
			e.CloseWrite()
		}
		e.in.arriveSoon(e.w.now)
		e.w.forget(e)
	}
	if e.r != nil {
		e.r.forget(e)
	}
}

func (r *Reactor) forget(e *end) {
	for i, x := range r.ends {
		if x == e {
			r.ends = append(r.ends[:i], r.ends[i+1:]...)
			return
		}
	}
}

// forget removes the pipes of a connection when both of its ends are closed.
func (w *World) forget(e *end) {
	if !e.out.to.closed {
		return
	}
	kept := w.pipes[:0]
	for _, p := range w.pipes {
		if p != e.out && p != e.in {
			kept = append(kept, p)
		}
	}
	clear(w.pipes[len(kept):])
	w.pipes = kept
}

func (p *pipe) unread() int { return len(p.bytes) - p.read }

// write takes as many bytes as there is room for in the window.
func (p *pipe) write(b []byte) int {
	n := max(0, min(len(b), p.w.opts.Window-p.unread()))
	if n < len(b) {
		p.short = true
	}
	if n == 0 {
		return 0
	}
	if p.read > 0 && p.read >= len(p.bytes)/2 && len(p.bytes)+n > cap(p.bytes) {
		p.bytes = p.bytes[:copy(p.bytes, p.bytes[p.read:])]
		p.read = 0
	}
	p.bytes = append(p.bytes, b[:n]...)
	p.send(n)
	return n
}

// send schedules the arrival of the last n bytes written, or of an end of file.
func (p *pipe) send(n int) {
	p.last = max(p.last, p.w.now+p.w.delay(p.from.host, p.to.host))
	if n > 0 {
		if last := len(p.flight) - 1; last >= p.flown && p.flight[last].at == p.last {
			p.flight[last].n += n
		} else {
			p.flight = append(p.flight, segment{n, p.last})
		}
	}
	p.arriveSoon(p.last)
}

// sendReset breaks the connection for the receiver. The reset arrives behind all segments: a receiver that reads in time
// gets what was sent before.
func (p *pipe) sendReset() {
	if !p.reset {
		p.reset = true
		p.last = max(p.last, p.w.now) + p.w.delay(p.from.host, p.to.host)
		p.send(0)
	}
}

// arriveSoon schedules evArrive at the given time or earlier.
func (p *pipe) arriveSoon(at time.Duration) {
	if at < p.arriveAt {
		p.arriveAt = at
		p.w.add(event{at: at, kind: evArrive, p: p})
	}
}

// arrive handles evArrive: it moves what has arrived to the receiver's kernel and delivers one piece.
func (p *pipe) arrive() {
	w, to := p.w, p.to
	if w.cut(p.from.host, to.host) || to.r != nil && to.r.paused {
		return // Heal and Resume schedule it again
	}
	p.land()
	over := p.flown == len(p.flight) && p.last <= w.now
	switch {
	case to.closed:
		if p.arrived > 0 {
			to.out.sendReset() // bytes for a closed socket
			p.drop()
		}
	case to.sink == nil: // not accepted yet
	case p.reset && over:
		p.drop()
		w.mix(p.id)
		s := to.sink
		s.Broken(ErrReset)
		to.Close(true)
	case p.arrived > 0:
		p.deliver()
	case p.fin && over && !p.finRead && !to.readPaused:
		p.finRead = true
		w.mix(p.id)
		to.sink.EndOfInput()
	}
	p.next()
}

// land moves segments that have arrived into the receiver's kernel.
func (p *pipe) land() {
	for p.flown < len(p.flight) && p.flight[p.flown].at <= p.w.now {
		p.arrived += p.flight[p.flown].n
		p.flown++
	}
	if p.flown == len(p.flight) {
		p.flight, p.flown = p.flight[:0], 0
	}
}

// next schedules the next evArrive.
func (p *pipe) next() {
	switch closed := p.to.closed; {
	case p.to.sink == nil && !closed: // accepted schedules it
	case p.arrived > 0 && !p.stopped():
		p.arriveSoon(p.w.now)
	case p.flown < len(p.flight):
		p.arriveSoon(p.flight[p.flown].at)
	case !closed && (p.reset || p.fin && !p.finRead && p.arrived == 0 && !p.to.readPaused):
		p.arriveSoon(max(p.last, p.w.now))
	}
}

// stopped reports whether the receiver does not read at the moment.
func (p *pipe) stopped() bool {
	c, ok := p.to.sink.(*Client)
	return p.to.readPaused || ok && c.stalled
}

// deliver passes one piece to the receiver.
func (p *pipe) deliver() {
	if p.stopped() {
		return
	}
	n := min(p.arrived, readSize)
	if chop := p.w.opts.Chop; chop > 0 {
		n = min(n, 1+p.w.rand.IntN(chop))
	}
	p.w.mix(p.id)
	p.w.mix(uint64(n))
	b := p.bytes[p.read : p.read+n : p.read+n]
	p.w.mix(uint64(crc32.Checksum(b, castagnoli)))
	p.arrived -= n
	p.read += n
	p.to.sink.Input(b)
	if p.unread() == 0 {
		p.release()
	}
	p.roomSoon()
}

// castagnoli has hardware support.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// readSize is the maximum size of one read, as in the engines with sockets.
const readSize = 8 << 10

// roomSoon schedules evSpace for a writer that could not write everything, after the way back.
func (p *pipe) roomSoon() {
	if p.short && !p.spaceSoon && !p.from.closed {
		p.short = false
		p.spaceSoon = true
		at := p.w.now + p.w.delay(p.to.host, p.from.host)
		p.w.add(event{at: at, kind: evSpace, p: p})
	}
}

// space handles evSpace.
func (p *pipe) space() {
	if p.from.sink == nil {
		return
	}
	if r := p.from.r; r != nil && r.paused {
		r.deferred = append(r.deferred, p.space)
		return
	}
	p.from.sink.Writable()
}

// drop discards everything that was not read.
func (p *pipe) drop() {
	p.arrived, p.flight, p.flown = 0, nil, 0
	p.bytes, p.read = nil, 0
}

// release resets the empty buffer, and frees it if it has grown.
func (p *pipe) release() {
	p.read = 0
	if p.bytes = p.bytes[:0]; cap(p.bytes) > readSize {
		p.bytes = nil
	}
}
