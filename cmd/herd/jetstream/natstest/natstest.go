// Package natstest runs nats-servers for tests. It is a module of its own, so that the product does not depend on
// nats-server.
package natstest

import (
	"errors"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// Start starts a nats-server with JetStream, whose files are in a temporary directory unless o has one. o may be nil. It
// is stopped when the test ends.
func Start(t testing.TB, o *server.Options) *server.Server {
	t.Helper()
	if o == nil {
		o = &server.Options{}
	}
	if o.StoreDir == "" {
		o.StoreDir = t.TempDir()
	}
	o.NoLog = true
	s, err := Run(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { Stop(s) })
	return s
}

// Run starts a nats-server with JetStream, on the loopback interface unless o says another one. Port 0 is a free one.
func Run(o *server.Options) (*server.Server, error) {
	o.NoSigs, o.JetStream = true, true
	if o.Host == "" {
		o.Host = "127.0.0.1"
	}
	if o.Port == 0 {
		o.Port = server.RANDOM_PORT
	} else if o.Port > 0 { // a nats-server that cannot listen only logs it
		l, err := net.Listen("tcp", net.JoinHostPort(o.Host, strconv.Itoa(o.Port)))
		if err != nil {
			return nil, err
		}
		l.Close()
	}
	s, err := server.NewServer(o)
	if err != nil {
		return nil, err
	}
	s.ConfigureLogger()
	s.Start()
	if !s.ReadyForConnections(time.Minute) {
		Stop(s)
		return nil, errors.New("nats-server is not ready")
	}
	return s, nil
}

// Stop stops a server and waits until it has stopped. It may be called again.
func Stop(s *server.Server) {
	s.Shutdown()
	s.WaitForShutdown()
}
