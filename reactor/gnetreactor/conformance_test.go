package gnetreactor_test

import (
	"testing"

	"serverherd/reactor"
	"serverherd/reactor/gnetreactor"
	"serverherd/reactor/reactortest"
)

func create() reactor.Reactor { return gnetreactor.New(gnetreactor.Options{}) }

func TestConformance(t *testing.T) {
	reactortest.Run(t, func(t *testing.T) reactortest.Harness {
		return reactortest.NewSockets(t, create())
	})
}

func TestConformanceSockets(t *testing.T) {
	reactortest.RunSockets(t, create)
}

func TestConformanceTLS(t *testing.T) { reactortest.RunTLS(t, create) }
