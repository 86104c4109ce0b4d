package gnetreactor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"serverherd/reactor"
)

// Listen binds addr, host:port, with SO_REUSEADDR and without SO_REUSEPORT: a port in use is an
// error that names it.
func Listen(addr string) (net.Listener, error) {
	var lc net.ListenConfig
	lc.SetMultipathTCP(false) // its sockets differ in options, and nobody here speaks it
	return lc.Listen(context.Background(), "tcp", addr)
}

// ListenFDs returns the listeners that the parent process has opened for this one, as systemd's
// socket activation hands them over (sd_listen_fds(3)): LISTEN_FDS of them, from descriptor 3 on,
// meant for LISTEN_PID if that is set. There are none if LISTEN_FDS is not set. The variables are
// removed, so that children do not take them for theirs.
func ListenFDs() ([]net.Listener, error) {
	fds, pid := os.Getenv("LISTEN_FDS"), os.Getenv("LISTEN_PID")
	os.Unsetenv("LISTEN_FDS")
	os.Unsetenv("LISTEN_PID")
	os.Unsetenv("LISTEN_FDNAMES")
	if fds == "" || pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return nil, nil
	}
	n, err := strconv.Atoi(fds)
	if err != nil || n < 0 {
		return nil, fmt.Errorf("LISTEN_FDS: %q is not a number of descriptors", fds)
	}
	var all []net.Listener
	for fd := 3; fd < 3+n; fd++ {
		unix.CloseOnExec(fd)
		f := os.NewFile(uintptr(fd), "LISTEN_FD_"+strconv.Itoa(fd))
		l, err := net.FileListener(f)
		f.Close()
		if err != nil {
			for _, l := range all {
				l.Close()
			}
			return nil, fmt.Errorf("LISTEN_FDS: descriptor %d: %w", fd, err)
		}
		all = append(all, l)
	}
	return all, nil
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
		return nil, fmt.Errorf("gnetreactor: %T is not a net.Listener", l)
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

// accept takes connections in until StopListening. It holds an enroller's token while it waits,
// so that what the loop cannot take in yet waits in the kernel's queue.
func (p *port) accept() {
	defer p.r.accepting.Done()
	failing := false
	for {
		c, err := p.l.Accept()
		switch {
		case err == nil:
			failing = false
			p.r.enrolling <- struct{}{}
			p.r.connecting.Add(1)
			go p.enroll(c)
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

// enroll takes in a connection that was accepted.
func (p *port) enroll(c net.Conn) {
	if p.r.enroll(c, newTicket(c, p.factory)) != nil {
		p.r.CallFromThread(p.r.AcceptFailed)
	}
}

// ticket accompanies a connection on its way to the loop.
type ticket struct {
	factory    reactor.Factory
	peer, host string
	opened     bool // OnOpen was called
}

func newTicket(c net.Conn, f reactor.Factory) *ticket {
	return &ticket{factory: f, peer: c.RemoteAddr().String(), host: c.LocalAddr().String()}
}

var errNotTaken = errors.New("event loop did not take the connection")

// enroll hands c to the loop and returns when that has taken it or refused. TCP_NODELAY and
// keepalive are set already: package net does so for each connection that it makes.
func (r *Reactor) enroll(c net.Conn, t *ticket) error {
	defer r.connecting.Done()
	defer func() { <-r.enrolling }()
	clearZone(c.RemoteAddr())
	clearZone(c.LocalAddr())
	_, err := r.client.EnrollContext(c, t)
	if err == nil && !t.opened {
		err = errNotTaken
	}
	if err != nil {
		r.opts.Log(fmt.Sprintf("connection of %s: %v", t.peer, err))
	}
	return err
}

// clearZone removes an IPv6 zone, whose string gnet would put into a pool of byte slices when the
// connection closes. The ticket has it in its text.
func clearZone(a net.Addr) {
	if a, ok := a.(*net.TCPAddr); ok {
		a.Zone = ""
	}
}

// ConnectTCP implements reactor.Reactor.
func (r *Reactor) ConnectTCP(addr string, timeout time.Duration, f reactor.ClientFactory) {
	r.CallSoon(func() { // when the loop runs
		if r.ending {
			f.ConnectionFailed(fmt.Errorf("dial %s: %w", addr, reactor.ErrConnectionAborted))
			return
		}
		r.connecting.Add(1)
		go r.connect(addr, timeout, f)
	})
}

// connect dials, and enrolls the connection or posts what failed.
func (r *Reactor) connect(addr string, timeout time.Duration, f reactor.ClientFactory) {
	dialer := net.Dialer{Timeout: timeout}
	if r.opts.Source != nil {
		dialer.LocalAddr = r.opts.Source(addr)
	}
	c, err := dialer.DialContext(r.dials, "tcp", addr)
	if err == nil {
		r.enrolling <- struct{}{}
		err = r.enroll(c, newTicket(c, f))
	} else {
		r.connecting.Done()
	}
	if err != nil {
		r.CallFromThread(func() { f.ConnectionFailed(err) })
	}
}
