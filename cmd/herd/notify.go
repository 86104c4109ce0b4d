package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"

	"serverherd/cmd/herd/view"
)

// notifyVariable is the environment variable with the number of a descriptor on which a server reports the
// result of its start to the process that started it, as one of
//
//	READY             it listens; it may fail later
//	FAILED <reason>   it cannot start now; a later start may succeed
//	FATAL <reason>    it cannot start, and starting it again does not help
const notifyVariable = "HERD_NOTIFY_FD"

// notifier is the server's end of the notify pipe; nil if there is none. One goroutine.
type notifier struct {
	w    *os.File
	done bool
}

// newNotifier takes over the descriptor in notifyVariable.
func newNotifier() *notifier {
	fd, err := strconv.Atoi(os.Getenv(notifyVariable))
	if err != nil {
		return nil
	}
	syscall.CloseOnExec(fd)
	return &notifier{w: os.NewFile(uintptr(fd), "notify")}
}

func (n *notifier) say(line string) {
	if n == nil || n.done {
		return
	}
	n.done = true
	_, _ = fmt.Fprintln(n.w, line) // the parent may be gone
	n.w.Close()
}

// ready reports that the server listens.
func (n *notifier) ready() { n.say("READY") }

// failed reports an error at start and returns the error that is left to print.
func (n *notifier) failed(err error) error {
	if n == nil || n.done || err == nil {
		return err
	}
	how := "FATAL "
	if isTransient(err) {
		how = "FAILED "
	}
	n.say(how + oneLine(err.Error()))
	return errFailed
}

// isTransient reports whether an error at start may go away without a change of the configuration: a port,
// lock or resource in use, or a disk that is full or fails.
func isTransient(err error) bool {
	for _, errno := range []syscall.Errno{
		syscall.EADDRINUSE, syscall.EADDRNOTAVAIL, syscall.EAGAIN, syscall.EBUSY, syscall.EDQUOT, syscall.EIO,
		syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.ENOSPC, syscall.ESTALE, syscall.ETIMEDOUT,
	} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// oneLine makes an error text, which may contain text of others, a single line that is safe for a terminal.
func oneLine(text string) string {
	return view.OneLine(strings.ReplaceAll(strings.TrimSpace(text), "\n", " "))
}

// outcome is how a server's process ended.
type outcome struct {
	ready  bool   // it had listened
	fatal  bool   // FATAL: see notifyVariable
	reason string // why it could not start, as it reported
	err    error  // of the process
}

// signal is the signal that ended the process; 0 if it exited or never ran.
func (o *outcome) signal() syscall.Signal {
	var exit *exec.ExitError
	if errors.As(o.err, &exit) {
		if status := exit.Sys().(syscall.WaitStatus); status.Signaled() {
			return status.Signal()
		}
	}
	return 0
}

// permanent reports whether another start would fail, too. If the process reported nothing, an exit, such
// as after a panic, counts as permanent, and an end by a signal does not.
func (o *outcome) permanent() bool {
	var exit *exec.ExitError
	switch {
	case o.ready:
		return false
	case o.reason != "":
		return o.fatal
	case errors.As(o.err, &exit):
		return exit.Exited()
	}
	return o.err != nil && !isTransient(o.err) // the process could not be started
}

// String describes the outcome.
func (o *outcome) String() string {
	switch {
	case o.reason != "":
		return o.reason
	case o.err != nil:
		return o.err.Error()
	}
	return "exit status 0"
}

// maxReason is the longest reason that is kept, in bytes.
const maxReason = 4 << 10

// readNotifications reads a server's notifications from r until end of file. It calls ready on READY.
func (o *outcome) readNotifications(r io.Reader, ready func()) {
	for lines := bufio.NewReaderSize(r, maxReason); ; {
		line, cut, err := lines.ReadLine()
		text := string(line)
		for cut && err == nil { // skip the rest of a long line
			_, cut, err = lines.ReadLine()
		}
		if err != nil && text == "" {
			return
		}
		switch how, reason, _ := strings.Cut(text, " "); how {
		case "READY":
			o.ready = true
			ready()
		case "FATAL":
			o.fatal, o.reason = true, reason
		case "FAILED":
			o.reason = reason
		}
	}
}
