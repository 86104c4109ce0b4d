package herd

import (
	"strings"
	"testing"
	"time"

	"serverherd/herd/config"
	"serverherd/herd/link"
	"serverherd/protocol"
)

// impostor is a connection that speaks a dialer's part by hand.
type impostor struct {
	client
	transcript link.Transcript
	secrets    []string
}

// impostor dials a server as from would.
func (w *world) impostor(server, from string, secrets ...string) *impostor {
	c := w.net.DialFrom(from, w.servers[server].self.Address)
	return &impostor{client: client{c, w}, secrets: secrets}
}

// line returns the next line that the server sends.
func (p *impostor) line() string {
	p.w.t.Helper()
	p.w.until("a line", func() bool { return strings.Contains(string(p.Received()), "\r\n") || p.Closed() })
	line, rest, _ := strings.Cut(p.Take(), "\r\n")
	if rest != "" {
		p.w.t.Fatalf("more than a line: %q", rest)
	}
	return line
}

func (p *impostor) say(line string) {
	p.transcript.Add([]byte(line))
	p.SendString(line + "\r\n")
}

// hello goes through the handshake as far as it goes and returns the last answer.
func (p *impostor) hello(hello string) string {
	p.w.t.Helper()
	p.say(hello)
	answer := p.line()
	if !strings.HasPrefix(answer, "CHALLENGE ") {
		return answer
	}
	p.transcript.Add([]byte(answer))
	p.say("PROOF " + string(p.transcript.SignProof(p.secrets, 0)))
	return p.line()
}

const (
	welshHello = "HELLO herd/1 ucla Welsh Alford 00000000000000aa 000102030405060708090a0b0c0d0e0f"
)

// ringOf starts only some of the ring's servers.
func ringOf(t *testing.T, secrets []string, names ...string) *world {
	cfg := testConfig(ring...)
	cfg.Herd.Secrets = secrets
	w := newWorld(t, cfg)
	for _, n := range names {
		w.start(n)
	}
	return w
}

func TestHandshakesThatAreRefused(t *testing.T) {
	secret := []string{"one", "two"}
	tests := []struct {
		name    string
		hello   string
		secrets []string
		want    string
	}{
		{"good", welshHello, []string{"one"}, "WELCOME "},
		{"good, with the older secret", welshHello, []string{"two"}, "WELCOME "},
		{"a wrong secret", welshHello, []string{"three"}, "REFUSE proof"},
		{"no secret", welshHello, nil, "REFUSE proof"},
		{"another version", strings.Replace(welshHello, "herd/1", "herd/2", 1), secret, "REFUSE version: herd/2 instead of herd/1"},
		{"another herd", strings.Replace(welshHello, "ucla", "usc", 1), secret, "REFUSE herd: usc instead of ucla"},
		{"another server", strings.Replace(welshHello, "Alford", "Ball", 1), secret, "REFUSE to: this is Alford, not Ball"},
		{"a version for terminals", strings.Replace(welshHello, "herd/1", "\u202e\u009b31m", 1), secret, `REFUSE version: \u202e\u009b31m instead of herd/1`},
		{"itself", strings.Replace(welshHello, "Welsh", "Alford", 1), secret, "REFUSE from: Alford is this server"},
		{"no neighbor", strings.Replace(welshHello, "Welsh", "Ball", 1), secret, "REFUSE from: Ball is not a neighbor of Alford"},
		{"a stranger", strings.Replace(welshHello, "Welsh", "Kiwi", 1), secret, "REFUSE from: Kiwi is not a neighbor of Alford"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := ringOf(t, secret, "Alford")
			p := w.impostor("Alford", "Welsh", test.secrets...)
			if got := p.hello(test.hello); !strings.HasPrefix(got, test.want) {
				t.Fatalf("answered %q, want %q", got, test.want)
			}
			n := w.servers["Alford"].neighbor([]byte("Welsh"))
			if good := test.want == "WELCOME "; good != (n.heard.Epoch() != 0) || good != (len(n.inbounds) == 1) {
				t.Errorf("epoch %v, %d inbounds", n.heard.Epoch(), len(n.inbounds))
			}
			if test.want != "WELCOME " {
				w.until("closed", p.Closed)
			}
		})
	}
}

func TestAWelcomeProvesTheAcceptor(t *testing.T) {
	w := ringOf(t, []string{"one"}, "Alford")
	p := w.impostor("Alford", "Welsh", "one")
	welcome := p.hello(welshHello)
	l, err := protocol.ParseLink([]byte(welcome))
	if err != nil {
		t.Fatal(err)
	}
	if !p.transcript.CheckWelcome([]string{"one"}, l.Welcome) {
		t.Errorf("its mac is wrong: %s", welcome)
	}
}

// A recorded handshake is worth nothing: the nonce is another.
func TestAReplayedHandshakeIsRefused(t *testing.T) {
	w := ringOf(t, []string{"one"}, "Alford")
	p := w.impostor("Alford", "Welsh", "one")
	p.say(welshHello)
	p.transcript.Add([]byte(p.line()))
	proof := "PROOF " + string(p.transcript.SignProof(p.secrets, 0))
	replay := w.impostor("Alford", "Welsh")
	replay.say(welshHello)
	replay.line()
	replay.say(proof)
	if got := replay.line(); got != "REFUSE proof" {
		t.Errorf("answered %q", got)
	}
	p.say(proof)
	if got := p.line(); !strings.HasPrefix(got, "WELCOME ") {
		t.Errorf("the real one is answered %q", got)
	}
}

func TestHalfOpenHandshakesAreCut(t *testing.T) {
	w := ringOf(t, nil, "Alford")
	var all []*impostor
	for range 90 {
		p := w.impostor("Alford", "Welsh")
		p.say(welshHello)
		all = append(all, p)
	}
	w.start("Welsh")
	w.until("the real neighbor joins", func() bool {
		return w.servers["Welsh"].neighbor([]byte("Alford")).link.state == linkLive
	})
	for _, p := range all {
		w.until("cut", p.Closed)
	}
	if d := w.net.Elapsed(); d > 3*time.Second {
		t.Errorf("cut after %v", d)
	}
}

// Secrets are changed without a moment at which servers do not understand each other.
func TestRotationOfSecrets(t *testing.T) {
	cfg := func(secrets ...string) *config.Config {
		c := testConfig(ring...)
		c.Herd.Secrets = secrets
		return c
	}
	w := newWorld(t, cfg("old"))
	w.startWith("Alford", cfg("old"))
	w.startWith("Welsh", cfg("new", "old"))
	w.until("live with the common secret", w.live)
	w.crash("Alford")
	w.startWith("Alford", cfg("new", "old"))
	w.until("live with both", w.live)
	w.crash("Welsh")
	w.startWith("Welsh", cfg("new"))
	w.until("live with the new one", w.live)
}

// welcomed is an impostor that has been taken for Welsh.
func (w *world) welcomed(hello string) *impostor {
	w.t.Helper()
	p := w.impostor("Alford", "Welsh")
	if got := p.hello(hello); !strings.HasPrefix(got, "WELCOME ") {
		w.t.Fatalf("answered %q", got)
	}
	return p
}
