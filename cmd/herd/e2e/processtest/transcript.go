package processtest

import (
	"io"
	"net"
	"testing"
	"time"

	"serverherd/herd/herdtest"
)

// Dial connects to a real process to play a transcript. The connection is closed at the end of the test.
func Dial(t *testing.T, addr string) herdtest.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &transcriptConn{t: t, TCPConn: c.(*net.TCPConn)}
}

type transcriptConn struct {
	t *testing.T
	*net.TCPConn
	closed bool
}

func (c *transcriptConn) Send(p []byte) {
	if _, err := c.Write(p); err != nil {
		c.t.Fatal(err)
	}
}

func (c *transcriptConn) CloseWrite() { _ = c.TCPConn.CloseWrite() }

func (c *transcriptConn) Await(done func([]byte) bool) (received []byte) {
	_ = c.SetReadDeadline(time.Now().Add(Patience))
	buf := make([]byte, 64<<10)
	for !c.closed && !done(received) {
		n, err := c.Read(buf)
		received = append(received, buf[:n]...)
		if err != nil {
			c.closed = true
			if err != io.EOF {
				c.t.Errorf("read: %v", err)
			}
		}
	}
	return received
}

func (c *transcriptConn) Closed() bool   { return c.closed }
func (c *transcriptConn) Now() time.Time { return time.Now() }
