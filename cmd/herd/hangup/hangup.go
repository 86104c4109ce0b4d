// Package hangup takes SIGHUP when its variables are initialized, before main begins: a server that is
// told to reload while it starts must not die of it.
//
// Until then SIGHUP ends the process, unless it was started with SIGHUP ignored, as nohup does. That
// cannot be mended here: Go initializes the packages that are ready in the order of their import paths,
// so that those of other modules come first, and it unblocks SIGHUP where that was blocked.
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
