// Package hangup catches SIGHUP during package initialization, before main begins: a server that gets
// SIGHUP while it starts must not die.
//
// Before that, SIGHUP ends the process, unless it was started with SIGHUP ignored, as by nohup. This cannot
// be avoided: Go initializes packages in the order of their import paths, so those of other modules come
// first, and it unblocks SIGHUP if that was blocked.
package hangup

import (
	"os"
	"os/signal"
	"syscall"
)

// Signals receives SIGHUP, unless the process was started with it ignored. A command that SIGHUP should end
// calls Default first.
var Signals = notify()

func notify() chan os.Signal {
	c := make(chan os.Signal, 1)
	if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(c, syscall.SIGHUP)
	}
	return c
}

// Default restores the default action of SIGHUP, and takes it now if a signal has been received.
func Default() {
	signal.Stop(Signals)
	select {
	case <-Signals:
		_ = syscall.Kill(os.Getpid(), syscall.SIGHUP)
	default:
	}
}
