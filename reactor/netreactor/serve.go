package netreactor

import (
	"errors"
	"io"
	"net"
	"os"
	"time"

	"serverherd/reactor"
)

// take accepts a connection on the loop, and serves it by a goroutine of its own.
func (r *Reactor) take(c net.Conn, f reactor.Factory) error {
	s, err := r.newSocket(c)
	if err != nil {
		c.Close()
		return err
	}
	r.loop.do(&event{done: make(chan struct{}, 1), handle: func() {
		if r.Ending() {
			err = reactor.ErrConnectionAborted
			return
		}
		s.inEvent = true
		s.conn = r.Accept(f, s, c.RemoteAddr().String(), c.LocalAddr().String())
		s.inEvent = false
	}})
	if s.conn == nil {
		c.Close()
		return err
	}
	r.serving.Go(func() {
		s.sendOwn()
		s.readAll()
		if s.handedOver.Load() {
			_ = s.net.SetReadDeadline(time.Time{})
			close(s.readEnded)
		}
	})
	return nil
}

// readAll reads until the connection has ended. While reading is paused it waits for ResumeReading, or for the connection
// to break.
func (s *socket) readAll() {
	for s.err == nil && !s.handedOver.Load() {
		await := s.reading
		if s.waiting {
			await = s.tryReset
		}
		switch err := s.raw.Read(await); {
		case errors.Is(err, os.ErrDeadlineExceeded): // ResumeReading
			_ = s.net.SetReadDeadline(time.Time{})
			s.waiting = false
			continue
		case err != nil: // closed by this side
			return
		}
		s.r.loop.do(&s.event)
		if s.in != nil {
			readBuffers.Put(s.in)
			s.in = nil
		}
		s.sendOwn()
	}
	if s.handedOver.Load() {
		return
	}
	if errors.Is(s.err, io.EOF) { // pending output is still sent; only a reset can still be reported
		if s.raw.Read(s.tryReset) == nil {
			s.r.loop.do(&s.event)
		}
	}
}

// handle reports to the Conn what was read. On the loop.
func (s *socket) handle() {
	if s.closed {
		return
	}
	if s.handedOver.Load() {
		if s.err == nil { // what has failed fails again
			s.rest = append(s.rest, s.in[:s.n]...)
		}
		return
	}
	s.inEvent = true
	switch {
	case s.err == nil:
		s.conn.Input(s.in[:s.n])
	case errors.Is(s.err, io.EOF):
		s.conn.EndOfInput()
	default:
		s.conn.Broken(s.err)
	}
	s.inEvent = false
	s.waiting = s.readPaused
}
