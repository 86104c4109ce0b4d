// Package parent ties a process to the one that started it. A child inherits the reading end of a pipe
// whose writing end only the parent has: at its end of file the parent is gone, however it ended.
package parent

import (
	"io"
	"os"
	"strconv"
	"sync"
	"syscall"
)

// Variable is the environment variable with the number of the descriptor that a child watches.
const Variable = "HERD_PARENT_FD"

// pipe is this process's. Neither end is closed before the process ends: a garbage collected file is.
var pipe = sync.OnceValues(func() (p struct{ theirs, ours *os.File }, err error) {
	p.theirs, p.ours, err = os.Pipe()
	return p, err
})

// End is the descriptor for children to inherit, one for all.
func End() (*os.File, error) {
	p, err := pipe()
	return p.theirs, err
}

// Watch calls gone, in a goroutine of its own, when the parent is gone. Without Variable there is no
// parent to watch.
func Watch(gone func()) {
	fd, err := strconv.Atoi(os.Getenv(Variable))
	if err != nil {
		return
	}
	end := os.NewFile(uintptr(fd), "parent")
	syscall.CloseOnExec(fd)
	go func() {
		_, _ = io.Copy(io.Discard, end)
		gone()
	}()
}
