// Package service tells the service manager that started a server, such as systemd, how the server is, as
// sd_notify(3) says: when it is ready, reloads and stops, a line of status, and, from the event loop, that the loop
// turns.
package service

import (
	"fmt"
	"net"
	"os"
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
	// sendTimeout is how long a notification may wait for a service manager that does not read. Then it is dropped.
	sendTimeout = time.Second
	// closeTimeout is how long Close waits for what has not been sent.
	closeTimeout = 250 * time.Millisecond
	// maxWaiting is how many notifications may wait for the sender. There are two for a reload.
	maxWaiting = 16
	// ticksPerTimeout is how often the loop shows within the timeout of the watchdog that it turns.
	ticksPerTimeout = 3
)

// Notifier sends notifications. A nil Notifier, where no service manager asks for any, does nothing. No method waits for
// the service manager, except Close. Any goroutine.
type Notifier struct {
	socket   string
	timeout  time.Duration // of the watchdog; 0: there is none
	states   chan string   // for the sender, in order
	turns    chan struct{} // has one element if the loop has turned since the last WATCHDOG=1
	finished chan struct{} // closed when the sender has ended

	mu     sync.Mutex
	ready  string // the status of a server that is ready; "" before
	closed bool   // by Stopping or Close: later states are out of date
	ended  bool   // by Close
	report func(error)
	unsaid error // a failure before there was a report
}

// New takes Variables out of the environment. It returns nil if there is no socket. Without a valid timeout for this
// process there is no watchdog.
func New() *Notifier {
	socket := os.Getenv(Variables[0])
	timeout, err := daemon.SdWatchdogEnabled(true)
	os.Unsetenv(Variables[0])
	if socket == "" {
		return nil
	}
	n := &Notifier{
		socket: socket, timeout: timeout, states: make(chan string, maxWaiting),
		turns: make(chan struct{}, 1), finished: make(chan struct{}), unsaid: err,
	}
	go n.send()
	return n
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
	n.enqueue(status(text))
}

// Close waits a moment for what has not been sent, and then ends the sender. The watchdog ends, too.
func (n *Notifier) Close() {
	if n == nil {
		return
	}
	n.mu.Lock()
	if !n.ended {
		n.closed, n.ended = true, true
		close(n.states)
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
		n.enqueue(state)
	}
}

// enqueue needs the mutex.
func (n *Notifier) enqueue(state string) {
	if n.ended {
		return
	}
	select {
	case n.states <- state:
	default: // the service manager has not read for many seconds
	}
}

// send is the sender, the only goroutine that waits for the service manager.
func (n *Notifier) send() {
	defer close(n.finished)
	failing := false
	for {
		var state string
		open := true
		select { // what the server says is older than a turn of its loop that came in between
		case state, open = <-n.states:
		default:
			select {
			case state, open = <-n.states:
			case <-n.turns:
				state = daemon.SdNotifyWatchdog
			}
		}
		if !open {
			return
		}
		err := n.write(state)
		if err != nil && !failing {
			n.mu.Lock()
			if n.report == nil {
				n.unsaid = err
			} else {
				n.report(err)
			}
			n.mu.Unlock()
		}
		failing = err != nil
	}
}

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

// status is the assignment of a line of status.
func status(text string) string { return "STATUS=" + strings.ReplaceAll(text, "\n", " ") }
