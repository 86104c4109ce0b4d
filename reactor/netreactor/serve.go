package netreactor

import (
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"serverherd/reactor"
)

// begin serves a connection by a goroutine of its own.
func (r *Reactor) begin(c net.Conn, f reactor.Factory) {
	r.serving.Add(1)
	go func() {
		defer r.serving.Done()
		r.serve(c, f)
	}()
}

func (r *Reactor) serve(c net.Conn, f reactor.Factory) {
	s, err := r.newSocket(c)
	if err != nil {
		r.opts.Log(err.Error())
		c.Close()
		return
	}
	r.loop.do(&event{done: make(chan struct{}, 1), handle: func() {
		if !r.ending {
			s.attended = true
			s.conn = r.Accept(f, s, c.RemoteAddr().String(), c.LocalAddr().String())
			s.attended = false
		}
	}})
	if s.conn == nil {
		c.Close()
		return
	}
	s.sendOwn()
	s.readAll()
}

// readAll reads until the connection has ended.
func (s *socket) readAll() {
	for s.err == nil {
		if err := s.raw.Read(s.reading); err != nil { // we have closed it
			return
		}
		s.r.loop.do(&s.event)
		if s.in != nil {
			readBuffers.Put(s.in)
			s.in = nil
		}
		s.sendOwn()
	}
	if errors.Is(s.err, io.EOF) { // what is owed is sent; a reset is all that may still come
		if s.raw.Read(s.tryReset) == nil {
			s.r.loop.do(&s.event)
		}
	}
}

// handle tells the Conn what was read. On the loop.
func (s *socket) handle() {
	if s.closed {
		return
	}
	s.attended = true
	switch {
	case s.err == nil:
		s.conn.Input(s.in[:s.n])
	case errors.Is(s.err, io.EOF):
		s.conn.EndOfInput()
	default:
		s.conn.Broken(s.err)
	}
	s.attended = false
}

// port is a listener in use.
type port struct {
	r       *Reactor
	l       net.Listener
	factory reactor.Factory
	stopped chan struct{} // closed by StopListening
	closed  bool
}

// ListenTCP implements reactor.Reactor. The listener is a net.Listener, of TCP or Unix sockets.
func (r *Reactor) ListenTCP(l reactor.Listener, f reactor.Factory) (reactor.Port, error) {
	nl, ok := l.(net.Listener)
	if !ok {
		return nil, fmt.Errorf("netreactor: %T is not a net.Listener", l)
	}
	p := &port{r: r, l: nl, factory: f, stopped: make(chan struct{})}
	r.ports = append(r.ports, p)
	r.CallSoon(func() { // when the loop runs
		if !p.closed {
			r.accepting.Add(1)
			go p.accept()
		}
	})
	return p, nil
}

// Addr implements reactor.Port.
func (p *port) Addr() string { return p.l.Addr().String() }

// StopListening implements reactor.Port.
func (p *port) StopListening() {
	if !p.closed {
		p.closed = true
		close(p.stopped)
		p.l.Close()
	}
}

// accept takes connections in until StopListening.
func (p *port) accept() {
	defer p.r.accepting.Done()
	failing := false
	for {
		c, err := p.l.Accept()
		switch {
		case err == nil:
			failing = false
			p.r.begin(c, p.factory)
			continue
		case errors.Is(err, net.ErrClosed):
			return
		case !failing:
			failing = true
			p.r.opts.Log(fmt.Sprintf("accept at %s: %v", p.l.Addr(), err))
		}
		p.r.CallFromThread(p.r.AcceptFailed)
		select {
		case <-time.After(reactor.AcceptPause):
		case <-p.stopped:
			return
		}
	}
}
