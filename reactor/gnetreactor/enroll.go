package gnetreactor

import (
	"errors"
	"net"

	"serverherd/reactor"
)

// ticket describes a connection that is being enrolled.
type ticket struct {
	factory    reactor.Factory
	peer, host string
	outcome    error // set by OnOpen
}

var errNotTaken = errors.New("event loop refused the connection")

// enroll hands c to the loop and returns when the loop has accepted or refused it. gnet closes c in either case and
// continues with a duplicate. TCP_NODELAY and keepalive are already set: package net does that for each connection.
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

// clearZone removes an IPv6 zone, whose string gnet would put into a pool of byte slices when the connection closes. The
// ticket keeps the text of the address.
func clearZone(a net.Addr) {
	if a, ok := a.(*net.TCPAddr); ok {
		a.Zone = ""
	}
}
