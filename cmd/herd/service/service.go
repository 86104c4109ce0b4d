// Package service tells the service manager that started a server, such as systemd, how the server is, as
// sd_notify(3) says: when it is ready, reloads and stops, a line of status, and, from the event loop, that the loop
// turns.
package service

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"

	"serverherd/reactor"
)

// Variables are the environment variables of the protocol. They are about one process: they must not be passed on to its
// children.
var Variables = []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}

const (
	// sendTimeout is how long one attempt to send may wait for a service manager that does not read, and at least the
	// time between two attempts if the first one fails.
	sendTimeout = time.Second
	// closeTimeout is how long Close waits for what has not been sent.
	closeTimeout = 250 * time.Millisecond
	// minTimeout and maxTimeout bound the timeout of the watchdog: the loop has other things to do than to show that it
	// turns, and the library's product of a longer one overflows.
	minTimeout = 100 * time.Millisecond
	maxTimeout = 365 * 24 * time.Hour
	// maxStatus is the number of bytes of a line of status. systemd ignores a datagram of more than 4 KiB.
	maxStatus = 1024
	// ticksPerTimeout is how often the loop shows within the timeout of the watchdog that it turns.
	ticksPerTimeout = 3
)

// Notifier sends notifications. A nil Notifier, where no service manager asks for any, does nothing. No method waits for
// the service manager, except Close. Any goroutine.
type Notifier struct {
	socket     string
	timeout    time.Duration // of the watchdog; 0: there is none
	noWatchdog error
	wake       chan struct{} // has one element if there may be a new state
	turns      chan struct{} // has one element if the loop has turned since the last WATCHDOG=1
	closing    chan struct{} // closed by Close
	finished   chan struct{} // closed when the sender has ended

	mu     sync.Mutex
	states []string // not sent yet, in order; see add for how many there can be
	ready  string   // the state of a server that is ready; "" before
	closed bool     // by Stopping or Close: later states are out of date
	ended  bool     // by Close
	report func(error)
	unsaid error // a failure before there was a report
}

// New takes Variables out of the environment. It returns nil if there is no socket. Without a valid timeout for this
// process there is no watchdog.
func New() *Notifier {
	socket := os.Getenv(Variables[0])
	timeout, err := watchdog()
	os.Unsetenv(Variables[0])
	if socket == "" {
		return nil
	}
	n := &Notifier{
		socket: socket, timeout: timeout, noWatchdog: err, wake: make(chan struct{}, 1), turns: make(chan struct{}, 1),
		closing: make(chan struct{}), finished: make(chan struct{}),
	}
	go n.send()
	return n
}

// watchdog returns the timeout of the watchdog; 0 without one for this process. An error says why there is none although
// the environment asks for one.
func watchdog() (time.Duration, error) {
	usec, err := strconv.ParseInt(os.Getenv(Variables[1]), 10, 64)
	tooLong := err == nil && usec > maxTimeout.Microseconds() // the result of the library may be anything then, also 0
	timeout, err := daemon.SdWatchdogEnabled(true)
	switch {
	case err != nil:
		return 0, err
	case tooLong || timeout > 0 && timeout < minTimeout:
		return 0, fmt.Errorf("%s must be from %d to %d, got %d", Variables[1], minTimeout.Microseconds(),
			maxTimeout.Microseconds(), usec)
	}
	return timeout, nil
}

// NoWatchdog returns why there is no watchdog although the environment asks for one; else nil.
func (n *Notifier) NoWatchdog() error {
	if n == nil {
		return nil
	}
	return n.noWatchdog
}

// OnFailure sets what is called when notifications cannot be sent, and not again until one was sent. A failure that has
// happened is reported now.
func (n *Notifier) OnFailure(report func(error)) {
	if n == nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.report = report; n.unsaid != nil {
		report(n.unsaid)
	}
}

// Status changes the line of status.
func (n *Notifier) Status(text string) { n.change(func() string { return status(text) }) }

// Ready reports that the server listens.
func (n *Notifier) Ready(text string) {
	n.change(func() string {
		n.ready = daemon.SdNotifyReady + "\n" + status(text)
		return n.ready
	})
}

// Reloading reports that a reload begins, and done that it has ended. Before Ready a reload is part of the start.
func (n *Notifier) Reloading() (done func()) {
	n.change(func() string {
		if n.ready == "" {
			return ""
		}
		// By this time the service manager knows which reload it is.
		var now unix.Timespec
		_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now)
		return fmt.Sprintf("%s\nMONOTONIC_USEC=%d\n%s", daemon.SdNotifyReloading, now.Nano()/1000, status("reloading"))
	})
	return func() { n.change(func() string { return n.ready }) }
}

// Stopping reports that the server begins to stop. What is reported later, except by Failed, is dropped: the end of a
// reload would say that the server is ready.
func (n *Notifier) Stopping(text string) {
	n.change(func() string {
		n.closed = true
		return daemon.SdNotifyStopping + "\n" + status(text)
	})
}

// Failed reports why the server ends with an error.
func (n *Notifier) Failed(text string) {
	if n == nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed = true
	n.add(status(text))
}

// Close waits a moment for what has not been sent, and then ends the sender. The watchdog ends, too.
func (n *Notifier) Close() {
	if n == nil {
		return
	}
	n.mu.Lock()
	if !n.ended {
		n.closed, n.ended = true, true
		close(n.closing)
	}
	n.mu.Unlock()
	select {
	case <-n.finished:
	case <-time.After(closeTimeout):
	}
}

// Watch lets the event loop show that it turns, if the service manager has a watchdog: a loop that is stuck shows
// nothing, whatever other goroutines do.
func (n *Notifier) Watch(loop reactor.Reactor) {
	if n == nil || n.timeout == 0 {
		return
	}
	var turn func()
	turn = func() {
		select {
		case n.turns <- struct{}{}:
		default: // the sender has not sent the last one yet
		}
		loop.CallLater(n.timeout/ticksPerTimeout, turn)
	}
	loop.CallFromThread(turn)
}

// change sends the result of f, which runs under the mutex, unless it is "" or the server stops.
func (n *Notifier) change(f func() string) {
	if n == nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return
	}
	if state := f(); state != "" {
		n.add(state)
	}
}

// add adds a state to those that are not sent yet. What is out of date is left out: a line of status with another one
// behind it, and a reload, with its end, before another reload or the stop. So there are a few states at most: one READY,
// one RELOADING with its READY, one STOPPING, and a line of status between any two of these. It needs the mutex.
func (n *Notifier) add(state string) {
	if n.ended {
		return
	}
	if is(state, daemon.SdNotifyReloading) || is(state, daemon.SdNotifyStopping) {
		if i := slices.IndexFunc(n.states, func(s string) bool { return is(s, daemon.SdNotifyReloading) }); i >= 0 {
			n.states = n.states[:i]
		}
	}
	last := len(n.states) - 1
	switch {
	case last >= 0 && n.states[last] == state: // reloads that run at the same time have the same end
	case last >= 0 && droppable(n.states[last]) && droppable(state):
		n.states[last] = state
	default:
		n.states = append(n.states, state)
	}
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// send is the sender, the only goroutine that waits for the service manager. A state is sent again until it has arrived,
// and what comes behind it waits. After Close the sender ends when all is sent, or with the first attempt that fails.
func (n *Notifier) send() {
	defer close(n.finished)
	failing := false
	for {
		state, ended := n.next()
		if state == "" {
			return
		}
		begun := time.Now()
		err := n.write(state)
		n.sent(state, err, failing)
		if failing = err != nil; !failing {
			continue
		}
		if ended {
			return
		}
		select { // one that fails at once is not tried again at once
		case <-time.After(time.Until(begun.Add(sendTimeout))):
		case <-n.closing:
		}
	}
}

// next waits for something to send, and reports whether Close was called before. It is "" if there is nothing more.
func (n *Notifier) next() (state string, ended bool) {
	for {
		n.mu.Lock()
		ended = n.ended
		if len(n.states) > 0 {
			state = n.states[0]
		}
		n.mu.Unlock()
		if state != "" || ended {
			return state, ended
		}
		select {
		case <-n.wake:
		case <-n.closing:
		case <-n.turns:
			return daemon.SdNotifyWatchdog, false
		}
	}
}

// sent takes note of an attempt. Meanwhile the state may have become out of date, so that another one is the first.
func (n *Notifier) sent(state string, err error, failing bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	first := len(n.states) > 0 && n.states[0] == state
	if first && (err == nil || droppable(state) && len(n.states) > 1) {
		n.states = slices.Delete(n.states, 0, 1)
	}
	switch {
	case err == nil || failing:
	case n.report == nil:
		n.unsaid = err
	default:
		n.report(err)
	}
}

// is reports whether a state has an assignment.
func is(state, assignment string) bool {
	return state == assignment || strings.HasPrefix(state, assignment+"\n")
}

// droppable reports whether a state is a line of status and nothing else. What is in force does not depend on it.
func droppable(state string) bool { return strings.HasPrefix(state, "STATUS=") }

// write sends one datagram. It connects each time, as the service manager may have made its socket again.
func (n *Notifier) write(state string) error {
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: n.socket, Net: "unixgram"})
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetWriteDeadline(time.Now().Add(sendTimeout))
	_, err = c.Write([]byte(state))
	return err
}

// status is the assignment of a line of status, which may be cut.
func status(text string) string {
	text = strings.ReplaceAll(text, "\n", " ")
	return "STATUS=" + strings.ToValidUTF8(text[:min(len(text), maxStatus)], "")
}
