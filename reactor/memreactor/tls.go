package memreactor

import (
	"bytes"
	"errors"
	"strconv"
	"strings"

	"serverherd/reactor"
)

// TLS is a reactor.TLSConfig. It pretends: each side of a connection sends one line that looks like the beginning of TLS,
// with its version and names, and nothing is encrypted. What a name is worth is up to who makes the World.
type TLS struct {
	Version uint16   // that this side speaks; 0: 1.3
	Names   []string // of this side's certificate; nil: none
}

// TLSFactory is a ClientFactory whose connections begin with TLS, for ConnectTCP.
type TLSFactory struct {
	reactor.ClientFactory
	TLS TLS
}

const (
	helloMark = "\x16\x03"
	maxHello  = 1024
	version13 = 0x0304
)

// hello is the line that one side sends.
func (t TLS) hello() []byte {
	version := t.Version
	if version == 0 {
		version = version13
	}
	return []byte(helloMark + strconv.Itoa(int(version)) + " " + strings.Join(t.Names, ",") + "\n")
}

// errHello is the failure of a handshake with a side that does not pretend.
var errHello = errors.New("this is not TLS")

// parseHello takes a hello off p. It is incomplete if rest is nil and there is no error.
func parseHello(p []byte) (s reactor.Security, rest []byte, err error) {
	if n := min(len(p), len(helloMark)); string(p[:n]) != helloMark[:n] {
		return s, nil, errHello
	}
	line, rest, ok := bytes.Cut(p, []byte{'\n'})
	if !ok {
		if len(p) > maxHello {
			return s, nil, errHello
		}
		return s, nil, nil
	}
	version, names, _ := strings.Cut(string(line[len(helloMark):]), " ")
	v, err := strconv.ParseUint(version, 10, 16)
	if err != nil {
		return s, nil, errHello
	}
	s = reactor.Security{TLS: true, Version: uint16(v)}
	if names != "" {
		s.Names = strings.Split(names, ",")
	}
	return s, rest, nil
}

// secured is an end over TLS. It is the sink of the end until the handshake is done.
type secured struct {
	*end
	peer   reactor.Security // its zero value until the handshake is done
	got    []byte
	done   func(rest []byte)
	failed func(error)
	wanted bool
}

// StartTLS implements reactor.Upgrader.
func (e *end) StartTLS(data []byte, config reactor.TLSConfig) (reactor.Socket, error) {
	conn := e.sink.(*reactor.Conn)
	s := &secured{end: e, failed: func(err error) { conn.Broken(&reactor.HandshakeError{Reason: err}) }}
	s.done = func(rest []byte) {
		e.out.write(config.(TLS).hello())
		e.sink = conn
		if s.wanted {
			conn.Writable()
		}
		if len(rest) > 0 {
			conn.Input(rest)
		}
	}
	e.sink, e.readPaused = s, false
	ended := e.in.finRead // the Conn held it
	e.r.CallSoon(func() {
		s.Input(data)
		if ended && !e.closed {
			e.sink.EndOfInput()
		}
	})
	return s, nil
}

// connected begins the handshake of a dial.
func (e *end) connected(f TLSFactory) {
	s := &secured{end: e}
	s.failed = func(err error) {
		e.Close(true)
		f.ConnectionFailed(&reactor.HandshakeError{Reason: err})
	}
	s.done = func(rest []byte) {
		e.accept(f.ClientFactory, s)
		if c, ok := e.sink.(*reactor.Conn); ok && len(rest) > 0 {
			c.Input(rest)
		}
	}
	timeout := e.r.CallLater(reactor.TLSHandshakeTime, func() {
		if e.sink == s {
			s.failed(reactor.ErrTLSTimeout)
		}
	})
	done, failed := s.done, s.failed
	s.done = func(rest []byte) { timeout.Cancel(); done(rest) }
	s.failed = func(err error) { timeout.Cancel(); failed(err) }
	e.sink = s
	e.out.write(f.TLS.hello())
	e.in.arriveSoon(e.w.now)
}

// Security implements reactor.Secured.
func (s *secured) Security() reactor.Security { return s.peer }

// Input implements sink.
func (s *secured) Input(p []byte) {
	if s.closed {
		return
	}
	s.got = append(s.got, p...)
	peer, rest, err := parseHello(s.got)
	switch {
	case err != nil:
		s.failed(err)
	case rest != nil:
		s.peer, s.got = peer, nil
		s.done(rest)
	}
}

// EndOfInput implements sink.
func (s *secured) EndOfInput() {
	s.failed(errors.New("the peer closed the connection within the handshake"))
}

// Broken implements sink.
func (s *secured) Broken(reason error) { s.failed(reason) }

// Writable implements sink.
func (s *secured) Writable() {}

// Write implements reactor.Socket. Output waits for the handshake.
func (s *secured) Write(p []byte) (int, error) {
	if !s.peer.TLS {
		s.wanted = true
		return 0, nil
	}
	return s.end.Write(p)
}
