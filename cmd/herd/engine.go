package main

import (
	"strings"
	"time"

	"github.com/spf13/cobra"

	"serverherd/reactor"
	"serverherd/reactor/gnetreactor"
	"serverherd/reactor/netreactor"
)

// engine is what runs a server.
type engine interface {
	reactor.Reactor
	Stats() reactor.Stats // loop only
}

// engines are the names of all there are. The first is for use, the others are for comparison.
var engines = []string{"loop", netreactor.Goroutines.String(), netreactor.Owner.String()}

// engineOptions are what all engines are told.
type engineOptions struct {
	workers int // of CallInThread
	log     func(message string)
	slow    func(what string, d time.Duration)
}

// newEngine makes the engine of that name.
func newEngine(name string, o engineOptions) engine {
	mode := netreactor.Goroutines
	switch name {
	case engines[0]:
		return gnetreactor.New(gnetreactor.Options{Workers: o.workers, Log: o.log, OnSlowTurn: o.slow})
	case netreactor.Owner.String():
		mode = netreactor.Owner
	}
	return netreactor.New(netreactor.Options{Mode: mode, Workers: o.workers, Log: o.log, OnSlowTurn: o.slow})
}

// engineFlag adds --engine.
func engineFlag(c *cobra.Command, name *string) {
	choiceFlag(c, name, "engine", engines[0], engines,
		"what runs a server: "+strings.Join(engines, ", ")+"; the first is for use, the others to compare")
}
