package service

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"serverherd/cmd/herd/e2e/processtest"
	"serverherd/cmd/herd/engines"
)

// started returns the notifier of a service that was started with this environment.
func started(t *testing.T, socket, usec, pid string) *Notifier {
	t.Helper()
	for i, value := range []string{socket, usec, pid} {
		t.Setenv(Variables[i], value)
	}
	n := New()
	t.Cleanup(n.Close)
	for _, name := range Variables {
		if _, ok := os.LookupEnv(name); ok {
			t.Errorf("%s is still in the environment", name)
		}
	}
	return n
}

// running returns an engine that runs until the test ends.
func running(t *testing.T, name string) engines.Engine {
	t.Helper()
	e := engines.New(name, engines.Options{Workers: 1})
	done := make(chan error, 1)
	go func() { done <- e.Run() }()
	t.Cleanup(func() {
		e.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return e
}

func monotonic(t *testing.T) int64 {
	t.Helper()
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		t.Fatal(err)
	}
	return now.Nano() / 1000
}

// States arrive in order, each with its status. A reload before the server is ready, or that ends while it stops, says
// nothing.
func TestStates(t *testing.T) {
	for _, kind := range []string{"", "@"} {
		manager := processtest.ListenNotify(t, processtest.NotifySocket(t, kind))
		n := started(t, manager.Socket, "", "")
		before := monotonic(t)
		n.Reloading()()
		n.Status("loading")
		n.Ready("listening on x\nREADY=0")
		n.Reloading()()
		late := n.Reloading()
		n.Stopping("stopping")
		late()
		n.Status("too late")
		n.Failed("it failed")
		n.Close()
		n.Status("closed")
		want := []string{
			"STATUS=loading", "READY=1 STATUS=listening on x READY=0", "RELOADING=1 STATUS=reloading",
			"READY=1 STATUS=listening on x READY=0", "RELOADING=1 STATUS=reloading", "STOPPING=1 STATUS=stopping",
			"STATUS=it failed",
		}
		processtest.Eventually(t, "all states", func() bool { return len(manager.All()) >= len(want) })
		if got := manager.States(); !slices.Equal(got, want) {
			t.Errorf("states %q, want %q", got, want)
		}
		var at int64
		if _, err := fmt.Sscanf(manager.All()[2], "RELOADING=1\nMONOTONIC_USEC=%d\n", &at); err != nil || at < before || at > monotonic(t) {
			t.Errorf("%q, %v, not since %d", manager.All()[2], err, before)
		}
	}
}

// The watchdog is for this process only.
func TestWatchdogVariables(t *testing.T) {
	manager := processtest.ListenNotify(t, processtest.NotifySocket(t, ""))
	self := fmt.Sprint(os.Getpid())
	for _, test := range []struct {
		usec, pid string
		want      time.Duration
		failure   string
	}{
		{"", "", 0, ""},
		{"", self, 0, ""},
		{"3000000", "", 3 * time.Second, ""},
		{"3000000", self, 3 * time.Second, ""},
		{"3000000", "1", 0, ""},
		{"-1", self, 0, "must be a positive number"},
		{"soon", self, 0, "invalid syntax"},
		{"3000000", "me", 0, "invalid syntax"},
	} {
		n := started(t, manager.Socket, test.usec, test.pid)
		failure := ""
		n.OnFailure(func(err error) { failure = err.Error() })
		if n.timeout != test.want || !strings.Contains(failure, test.failure) || failure != "" && test.failure == "" {
			t.Errorf("%q, %q: %v, failure %q", test.usec, test.pid, n.timeout, failure)
		}
	}
	if n := started(t, "", "3000000", self); n != nil {
		t.Error("there is a notifier without a socket")
	}
	var none *Notifier
	none.OnFailure(nil)
	none.Ready("")
	none.Watch(nil)
	none.Reloading()()
	none.Stopping("")
	none.Failed("")
}

// While the loop is stuck the watchdog hears nothing, although other goroutines run and the sender sends.
func TestStuckLoop(t *testing.T) {
	for _, engine := range engines.Names {
		t.Run(engine, func(t *testing.T) {
			const timeout = 90 * time.Millisecond
			manager := processtest.ListenNotify(t, processtest.NotifySocket(t, ""))
			n := started(t, manager.Socket, fmt.Sprint(timeout.Microseconds()), "")
			loop := running(t, engine)
			n.Watch(loop)
			alive := func() int { return manager.Count(processtest.Alive) }
			processtest.Eventually(t, "signs of life", func() bool { return alive() > 3 })
			stuck, release := make(chan struct{}), make(chan struct{})
			go loop.CallFromThread(func() { // an engine with a mutex calls it in this goroutine
				close(stuck)
				<-release
			})
			<-stuck
			n.Status("stuck")
			processtest.Eventually(t, "a status", func() bool { return manager.Count("STATUS=stuck") == 1 })
			before := alive()
			// Other goroutines run for longer than the timeout.
			for i := range 10 {
				text := fmt.Sprint("still ", i)
				n.Status(text)
				processtest.Eventually(t, "a status", func() bool { return manager.Count("STATUS="+text) == 1 })
				<-time.After(timeout / 3)
			}
			// The sender may have had one that was older than the call.
			if after := alive(); after > before+1 {
				t.Errorf("%d signs of life of a loop that is stuck", after-before)
			}
			close(release)
			processtest.Eventually(t, "signs of life again", func() bool { return alive() > before+3 })
		})
	}
}

// full returns the socket of a service manager that does not read, and has no room for another datagram.
func full(t *testing.T) (socket string, c *net.UnixConn) {
	t.Helper()
	socket = processtest.NotifySocket(t, "")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	processtest.FillSocket(t, socket)
	return socket, c
}

// A service manager that does not read stops neither the loop nor whoever reports a state nor Close.
func TestFullSocket(t *testing.T) {
	socket, c := full(t)
	n := started(t, socket, "3000", "")
	failures := make(chan error, 100)
	n.OnFailure(func(err error) { failures <- err })
	loop := running(t, engines.Names[0])
	n.Watch(loop)
	for range 1000 {
		n.Status("nobody reads this")
	}
	for range 100 {
		turned := make(chan struct{})
		loop.CallFromThread(func() { close(turned) })
		<-turned
	}
	if err := <-failures; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the failure is %v", err)
	}
	n.Stopping("stopping")
	n.Close()
	select {
	case <-n.finished:
		t.Error("the sender has sent all of it")
	default:
	}
	c.Close()
	<-n.finished
	if len(failures) > 0 {
		t.Errorf("another failure was reported: %v", <-failures)
	}
}

// A socket that is gone is reported once, and the server goes on. If the service manager makes it again, it is used.
func TestSocketIsGone(t *testing.T) {
	socket := processtest.NotifySocket(t, "")
	n := started(t, socket, "3000", "")
	n.Ready("before anybody asks")
	failures := make(chan error, 100)
	n.OnFailure(func(err error) { failures <- err })
	if err := <-failures; !errors.Is(err, syscall.ENOENT) {
		t.Errorf("the failure is %v", err)
	}
	n.Watch(running(t, engines.Names[0]))
	n.Status("still nobody")
	manager := processtest.ListenNotify(t, socket)
	processtest.Eventually(t, "signs of life", func() bool { return manager.Count(processtest.Alive) > 0 })
	if len(failures) > 0 {
		t.Errorf("another failure was reported: %v", <-failures)
	}
}
