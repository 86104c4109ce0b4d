// Package engines creates the event loop of a server by the name that --engine takes.
package engines

import (
	"time"

	"serverherd/reactor"
	"serverherd/reactor/gnetreactor"
	"serverherd/reactor/netreactor"
)

// Engine is a reactor that can run a server.
type Engine interface {
	reactor.Reactor
	Stats() reactor.Stats // loop only
}

// Names are the names of all engines. The first is the default; the others are for comparison.
var Names = []string{"loop", netreactor.Goroutines.String(), netreactor.Owner.String()}

// Options are the same for all engines.
type Options struct {
	Workers int // of CallInThread
	Log     func(message string)
	Slow    func(what string, d time.Duration) // called after a slow turn
}

// New creates the engine with the given name.
func New(name string, o Options) Engine {
	mode := netreactor.Goroutines
	switch name {
	case Names[0]:
		return gnetreactor.New(gnetreactor.Options{Workers: o.Workers, Log: o.Log, OnSlowTurn: o.Slow})
	case netreactor.Owner.String():
		mode = netreactor.Owner
	}
	return netreactor.New(netreactor.Options{Mode: mode, Workers: o.Workers, Log: o.Log, OnSlowTurn: o.Slow})
}
