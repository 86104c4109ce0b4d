package netreactor

import "sync"

// event is something that happened to a connection, on its way onto the loop.
type event struct {
	handle func()        // the Protocol is called
	done   chan struct{} // holds one token: it has been dealt with; the owner's only
}

// loop is how goroutines come onto the loop.
type loop interface {
	// do has an event handled and returns after that.
	do(e *event)
	// run takes turns until the last connection has gone.
	run()
}

// mutex is the loop of mode Goroutines.
type mutex struct {
	r  *Reactor
	mu sync.Mutex
}

func (m *mutex) do(e *event) { m.with(e.handle) }

// with calls f on the loop. What f wrote to connections other than the caller's is sent after that.
func (m *mutex) with(f func()) {
	m.mu.Lock()
	f()
	foreign := m.r.foreign
	m.r.foreign = nil
	m.mu.Unlock()
	for _, s := range foreign {
		s.send()
	}
}

func (m *mutex) run() {
	for {
		select {
		case <-m.r.wakeup:
			m.with(m.r.turn)
		case <-m.r.gone:
			return
		}
	}
}

// maxBatch bounds the events that are handled before turns and other goroutines get theirs.
const maxBatch = 256

// owner is the loop of mode Owner.
type owner struct {
	r      *Reactor
	events chan *event
	batch  []*event
}

func (o *owner) do(e *event) {
	o.events <- e
	<-e.done
}

func (o *owner) run() {
	for {
		select {
		case e := <-o.events:
			o.handle(e)
			select {
			case <-o.r.wakeup:
				o.turn()
			default:
			}
		case <-o.r.wakeup:
			o.turn()
		case <-o.r.gone:
			return
		}
	}
}

// handle takes e and all that waits behind it. Whoever sent them goes on when they all have been
// handled: one who went on at once would only wait for a processor.
func (o *owner) handle(e *event) {
	for more := true; more; {
		e.handle()
		o.batch = append(o.batch, e)
		if len(o.batch) == maxBatch {
			break
		}
		select {
		case e = <-o.events:
		default:
			more = false
		}
	}
	for i, e := range o.batch {
		o.batch[i] = nil
		e.done <- struct{}{}
	}
	o.batch = o.batch[:0]
	o.send()
}

func (o *owner) turn() {
	o.r.turn()
	o.send()
}

// send sends what was written to connections whose goroutine is elsewhere.
func (o *owner) send() {
	for i, s := range o.r.foreign {
		o.r.foreign[i] = nil
		s.send()
	}
	o.r.foreign = o.r.foreign[:0]
}
