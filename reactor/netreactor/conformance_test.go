package netreactor_test

import (
	"testing"

	"serverherd/reactor"
	"serverherd/reactor/netreactor"
	"serverherd/reactor/reactortest"
)

var modes = []netreactor.Mode{netreactor.Goroutines, netreactor.Owner}

func create(m netreactor.Mode) func() reactor.Reactor {
	return func() reactor.Reactor { return netreactor.New(netreactor.Options{Mode: m}) }
}

func TestConformance(t *testing.T) {
	for _, m := range modes {
		t.Run(m.String(), func(t *testing.T) {
			t.Parallel() // some tests wait
			reactortest.Run(t, func(t *testing.T) reactortest.Harness {
				return reactortest.NewSockets(t, create(m)())
			})
		})
	}
}

func TestConformanceSockets(t *testing.T) {
	for _, m := range modes {
		t.Run(m.String(), func(t *testing.T) { reactortest.RunSockets(t, create(m)) })
	}
}

// Only StartTLS concerns the engine: a connection that begins with TLS is the same for all, see gnetreactor.
func TestConformanceTLS(t *testing.T) {
	for _, m := range modes {
		t.Run(m.String(), func(t *testing.T) {
			t.Parallel() // some tests wait
			reactortest.RunStartTLS(t, create(m))
		})
	}
}
