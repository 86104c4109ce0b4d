package e2e

import (
	"bufio"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"serverherd/cmd/herd/e2e/processtest"
)

// peer is one end of a connection between servers, played by the test. One goroutine.
type peer struct {
	net.Conn
	r      *bufio.Reader
	secret string // "": none
	said   string // the handshake so far, each line followed by LF
}

// Labels of the MACs.
const (
	dialer   = "herd/1 dialler"
	acceptor = "herd/1 acceptor"
)

const nonce = "000102030405060708090a0b0c0d0e0f"

func newPeer(c net.Conn, secret string) *peer {
	_ = c.SetDeadline(time.Now().Add(2 * processtest.Patience))
	return &peer{Conn: c, r: bufio.NewReaderSize(c, 64<<10), secret: secret}
}

// say sends a line of the handshake.
func (p *peer) say(line string) {
	p.said += line + "\n"
	_, _ = p.Write([]byte(line + "\r\n"))
}

// readLine returns the next line, "" at the end.
func (p *peer) readLine() string {
	line, _ := p.r.ReadString('\n')
	line = strings.TrimRight(line, "\r\n")
	p.said += line + "\n"
	return line
}

// mac signs the handshake so far, for the given line.
func (p *peer) mac(label, line string) string {
	if p.secret == "" {
		return "-"
	}
	h := hmac.New(sha256.New, []byte(p.secret))
	h.Write([]byte(label + "\n" + p.said + line))
	return hex.EncodeToString(h.Sum(nil))
}

// hello begins a handshake and returns the answer.
func (p *peer) hello(from, to, epoch string) string {
	p.say(fmt.Sprintf("HELLO herd/1 ucla %s %s %s %s", from, to, epoch, nonce))
	return p.readLine()
}

// prove continues it.
func (p *peer) prove() string {
	p.say("PROOF " + p.mac(dialer, "PROOF"))
	return p.readLine()
}

// join connects to a server as the process epoch of one of its neighbors.
func (c *cluster) join(t *testing.T, from, to, epoch string) *peer {
	t.Helper()
	p := newPeer(c.dial(to), "")
	if got := p.hello(from, to, epoch); !strings.HasPrefix(got, "CHALLENGE ") {
		t.Fatalf("the answer to HELLO is %q", got)
	}
	if got := p.prove(); !strings.HasPrefix(got, "WELCOME ") {
		t.Fatalf("the answer to PROOF is %q", got)
	}
	return p
}

// impersonate accepts the connections of neighbors to a server that is not running, up to WELCOME with the given resume
// point, and passes them to serve, each in a goroutine. The returned function stops that.
func (c *cluster) impersonate(name, epoch, since string, serve func(*peer)) (stop func()) {
	c.T.Helper()
	l, err := net.Listen("tcp", c.Server(name).Listen)
	if err != nil {
		c.T.Fatal(err)
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				p := newPeer(conn, "")
				p.readLine()
				p.say("CHALLENGE " + nonce)
				p.readLine()
				p.say(fmt.Sprintf("WELCOME %s - %s", epoch, since))
				serve(p)
			}()
		}
	}()
	return func() { l.Close() }
}
