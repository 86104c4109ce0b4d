package memreactor

import (
	"errors"
	"slices"
	"testing"

	"serverherd/reactor"
)

// secureEcho is a Protocol that begins TLS with the first bytes, and sends back the others.
type secureEcho struct {
	t      reactor.Transport
	begun  bool
	peer   reactor.Security
	in     string
	reason error
}

func (s *secureEcho) ConnectionMade(t reactor.Transport) { s.t = t }

func (s *secureEcho) DataReceived(p []byte) {
	if !s.begun && p[0] == 0x16 {
		s.begun = true
		s.t.StartTLS(p, TLS{Names: []string{"Ball"}})
		s.t.Write([]byte("hello "))
		return
	}
	s.peer, s.in = s.t.Security(), s.in+string(p)
	s.t.Write(p)
}

func (s *secureEcho) ConnectionLost(reason error) { s.reason = reason }

type one struct {
	reactor.Protocol
	failed *error
}

func (o one) BuildProtocol(string) reactor.Protocol { return o.Protocol }
func (o one) ConnectionFailed(reason error)         { *o.failed = reason }

// asking writes, and keeps what comes.
type asking struct {
	secureEcho
	line string
}

func (a *asking) ConnectionMade(t reactor.Transport) {
	a.peer = t.Security()
	t.Write([]byte(a.line))
}

func (a *asking) DataReceived(p []byte) { a.in += string(p) }

// TLS that is pretended tells both sides who the other one is, and fails if one side does not pretend.
func TestTLS(t *testing.T) {
	for chop := range 4 {
		w := NewWorld(1, Options{Chop: chop})
		here, there := w.NewReactor("Alford"), w.NewReactor("Ball")
		var failed error
		server := &secureEcho{}
		if _, err := there.ListenTCP(there.Listen("Ball:1"), one{Protocol: server}); err != nil {
			t.Fatal(err)
		}
		client := &asking{line: "kiwi"}
		here.ConnectTCP("Ball:1", 0, TLSFactory{one{client, &failed}, TLS{Names: []string{"Alford", "a"}}})
		w.RunFor(1e9)
		if client.in != "hello kiwi" || server.in != "kiwi" || failed != nil || !slices.Equal(client.peer.Names, []string{"Ball"}) ||
			!slices.Equal(server.peer.Names, []string{"Alford", "a"}) || server.peer.Version != version13 {
			t.Errorf("%q %q %v %+v %+v", client.in, server.in, failed, client.peer, server.peer)
		}
		plain := &asking{}
		if _, err := there.ListenTCP(there.Listen("Ball:2"), one{Protocol: plain}); err != nil {
			t.Fatal(err)
		}
		here.ConnectTCP("Ball:2", 0, TLSFactory{one{&asking{}, &failed}, TLS{}})
		w.RunFor(1e9)
		if failed != nil { // a server that answers nothing
			t.Errorf("failed: %v", failed)
		}
		var late error
		bad := &secureEcho{}
		if _, err := there.ListenTCP(there.Listen("Ball:3"), one{Protocol: bad}); err != nil {
			t.Fatal(err)
		}
		here.ConnectTCP("Ball:3", 0, one{&asking{line: "\x16\x04"}, &late})
		w.RunFor(1e9)
		if h := (*reactor.HandshakeError)(nil); !errors.As(bad.reason, &h) {
			t.Errorf("lost for %v", bad.reason)
		}
	}
}

// pausing is a secureEcho that takes no input until it is resumed.
type pausing struct{ secureEcho }

func (p *pausing) ConnectionMade(t reactor.Transport) {
	p.secureEcho.ConnectionMade(t)
	t.PauseReceiving()
}

// The end of input that has waited behind the beginning of TLS is the end of the handshake.
func TestEndBehindTheBeginningOfTLS(t *testing.T) {
	w := NewWorld(1, Options{})
	r := w.NewReactor("Ball")
	p := &pausing{}
	if _, err := r.ListenTCP(r.Listen("Ball:1"), one{Protocol: p}); err != nil {
		t.Fatal(err)
	}
	c := w.Dial("Ball:1")
	c.SendString("\x16\x03")
	c.CloseWrite()
	w.RunFor(1e9)
	r.CallSoon(p.t.ResumeReceiving)
	w.RunFor(1e9)
	if h := (*reactor.HandshakeError)(nil); !errors.As(p.reason, &h) {
		t.Errorf("lost for %v", p.reason)
	}
}
