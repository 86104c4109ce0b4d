package gnetreactor

import (
	"errors"
	"net"

	"serverherd/reactor"
)

// ticket accompanies a connection on its way to the loop.
type ticket struct {
	factory    reactor.Factory
	peer, host string
	outcome    error // OnOpen sets it
}

var errNotTaken = errors.New("event loop did not take the connection")

// enroll hands c to the loop and returns when that has taken it or refused; gnet closes c either way
// and goes on with a duplicate. TCP_NODELAY and keepalive are set already: package net does so for
// each connection that it makes.
func (r *Reactor) enroll(c net.Conn, f reactor.Factory) error {
	t := &ticket{
		factory: f, peer: c.RemoteAddr().String(), host: c.LocalAddr().String(), outcome: errNotTaken,
	}
	clearZone(c.RemoteAddr())
	clearZone(c.LocalAddr())
	if _, err := r.client.EnrollContext(c, t); err != nil {
		return err
	}
	return t.outcome
}

// clearZone removes an IPv6 zone, whose string gnet would put into a pool of byte slices when the
// connection closes. The ticket has it in its text.
func clearZone(a net.Addr) {
	if a, ok := a.(*net.TCPAddr); ok {
		a.Zone = ""
	}
}
