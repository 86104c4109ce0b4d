// Package hangup takes SIGHUP as soon as a process has begun. It imports next to nothing, so that
// it is initialized before the larger packages: a server that is told to reload while it starts
// must not die of it.
package hangup

import (
	"os"
	"os/signal"
	"syscall"
)

// Signals receives SIGHUP, unless the process was started with it ignored. A command that SIGHUP is
// to end calls Default first.
var Signals = notify()

func notify() chan os.Signal {
	c := make(chan os.Signal, 1)
	if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(c, syscall.SIGHUP)
	}
	return c
}

// Default restores what SIGHUP does by default, and does it now if one has come.
func Default() {
	signal.Stop(Signals)
	select {
	case <-Signals:
		_ = syscall.Kill(os.Getpid(), syscall.SIGHUP)
	default:
	}
}
