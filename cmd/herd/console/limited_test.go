package console

import (
	"errors"
	"net"
	"testing"
	"testing/synctest"

	"serverherd/herd"
)

// pipes is a listener that always has somebody who wants in.
type pipes struct{ accepted int }

func (p *pipes) Accept() (net.Conn, error) {
	if p.accepted++; p.accepted > 1000 {
		return nil, net.ErrClosed
	}
	c, _ := net.Pipe()
	return c, nil
}

func (p *pipes) Close() error   { return nil }
func (p *pipes) Addr() net.Addr { return nil }

// Connections beyond the limit are left to the kernel until one is closed, however often that is.
func TestConnectionsAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pipes{}
		l := limit(p, 3)
		conns := make(chan net.Conn, 10)
		ended := make(chan error)
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					ended <- err
					return
				}
				conns <- c
			}
		}()
		for want := 3; want < 6; want++ {
			synctest.Wait()
			if p.accepted != want {
				t.Fatalf("%d accepted, want %d", p.accepted, want)
			}
			c := <-conns
			c.Close()
			c.Close()
		}
		synctest.Wait()
		l.Close()
		if err := <-ended; !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestAConsoleIsLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s := &pipes{}, New(Options{})
		ended := make(chan error)
		go func() { ended <- Serve(s, p) }()
		synctest.Wait()
		if p.accepted != herd.ConsoleConnections {
			t.Errorf("%d accepted, want %d", p.accepted, herd.ConsoleConnections)
		}
		s.Close()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
