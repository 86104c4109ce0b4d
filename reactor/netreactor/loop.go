package netreactor

import "sync"

// event is an event of a connection to be handled on the loop.
type event struct {
	handle func()        // calls the Protocol
	done   chan struct{} // receives one token when it was handled; only with an owner
}

// loop is how goroutines run calls on the loop.
type loop interface {
	// do handles an event and returns after that.
	do(e *event)
	// run takes turns until the last connection has ended.
	run()
}

// mutex is the loop of mode Goroutines.
type mutex struct {
	r  *Reactor
	mu sync.Mutex
}

func (m *mutex) do(e *event) { m.with(e.handle) }

// with calls f on the loop, and then sends what f wrote to other connections than the caller's.
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

// maxBatch is the maximum number of events that are handled before a turn and before their goroutines continue.
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

// handle handles e and all waiting events. Their goroutines are released only when all are handled: earlier they would
// only compete for the processor.
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

// send sends what was written to connections whose own goroutine is not in an event.
func (o *owner) send() {
	for i, s := range o.r.foreign {
		o.r.foreign[i] = nil
		s.send()
	}
	o.r.foreign = o.r.foreign[:0]
}
