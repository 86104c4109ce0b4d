// Package parent lets a child process notice the end of its parent. A child inherits the read end of a pipe
// whose write end only the parent has. End of file means that the parent has ended, however it did.
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

// pipe is this process's pipe for its children. It is global so that neither end is garbage collected,
// which would close it.
var pipe = sync.OnceValues(func() (p struct{ theirs, ours *os.File }, err error) {
	p.theirs, p.ours, err = os.Pipe()
	return p, err
})

// End is the descriptor that all children inherit.
func End() (*os.File, error) {
	p, err := pipe()
	return p.theirs, err
}

// Watch calls gone, in another goroutine, when the parent has ended. It does nothing if Variable is not
// set.
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
