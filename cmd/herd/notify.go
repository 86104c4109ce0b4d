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
)

// notifyVariable names a descriptor on which a server tells the process that started it how its
// start went. It says one of
//
//	READY             it listens; it may fail later
//	FAILED <reason>   it cannot start now; a later start may succeed
//	FATAL <reason>    it cannot start, and starting it again does not help
const notifyVariable = "HERD_NOTIFY_FD"

// notifier is the server's end; nil if nobody wants to know. One goroutine.
type notifier struct {
	w    *os.File
	done bool
}

// newNotifier takes the descriptor over.
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
	_, _ = fmt.Fprintln(n.w, line) // whoever wanted to know may be gone
	n.w.Close()
}

// ready tells that the server listens.
func (n *notifier) ready() { n.say("READY") }

// failed tells of the error of a start, and returns the error that is left to be printed.
func (n *notifier) failed(err error) error {
	if n == nil || n.done || err == nil {
		return err
	}
	how := "FATAL "
	if mayHeal(err) {
		how = "FAILED "
	}
	n.say(how + oneLine(err.Error()))
	return errFailed
}

// mayHeal says whether the cause of an error at start may go away without a change of the
// configuration: a port, a lock or a resource that is taken, or a disk that is full or fails.
func mayHeal(err error) bool {
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

// oneLine is an error as one line.
func oneLine(text string) string { return strings.ReplaceAll(strings.TrimSpace(text), "\n", " ") }

// outcome is how a server's process ended.
type outcome struct {
	ready  bool   // it had listened
	fatal  bool   // it cannot start: see notifyVariable
	reason string // why it could not start, as it said itself
	err    error  // of the process
}

// signal is what ended the process; 0 if it ended by itself, or never ran.
func (o *outcome) signal() syscall.Signal {
	var exit *exec.ExitError
	if errors.As(o.err, &exit) {
		if status := exit.Sys().(syscall.WaitStatus); status.Signaled() {
			return status.Signal()
		}
	}
	return 0
}

// hopeless says whether another start would end alike. What a process does not say itself is judged
// by its end: one that a signal ended may have been in the way, one that exits by itself, as after a
// panic, does so again.
func (o *outcome) hopeless() bool {
	var exit *exec.ExitError
	switch {
	case o.ready:
		return false
	case o.reason != "":
		return o.fatal
	case errors.As(o.err, &exit):
		return exit.Exited()
	}
	return o.err != nil && !mayHeal(o.err) // it could not be run
}

// String is the outcome in words.
func (o *outcome) String() string {
	switch {
	case o.reason != "":
		return o.reason
	case o.err != nil:
		return o.err.Error()
	}
	return "exit status 0"
}

// maxReason is how much of a line hear takes, in bytes.
const maxReason = 4 << 10

// hear takes what a server says from r, to the end, and calls ready when it does.
func (o *outcome) hear(r io.Reader, ready func()) {
	for lines := bufio.NewReaderSize(r, maxReason); ; {
		line, cut, err := lines.ReadLine()
		text := string(line)
		for cut && err == nil { // the rest of a line that is too long
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
