// Package natstest runs nats-servers for tests. It is a module of its own, so that the product does not depend on
// nats-server.
package natstest

import (
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
	o.Host, o.NoSigs, o.NoLog = "127.0.0.1", true, true
	o.JetStream = true
	if o.Port == 0 {
		o.Port = server.RANDOM_PORT
	}
	if o.StoreDir == "" {
		o.StoreDir = t.TempDir()
	}
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { Stop(s) })
	if !s.ReadyForConnections(time.Minute) {
		t.Fatal("nats-server is not ready")
	}
	return s
}

// Stop stops a server and waits until it has stopped. It may be called again.
func Stop(s *server.Server) {
	s.Shutdown()
	s.WaitForShutdown()
}
