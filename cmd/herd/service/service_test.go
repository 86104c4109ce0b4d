package service

import (
	"errors"
	"fmt"
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
		arrived := func(count int) { // what has not arrived may become out of date
			t.Helper()
			processtest.Eventually(t, "states", func() bool { return len(manager.All()) == count })
		}
		before := monotonic(t)
		n.Reloading()()
		n.Status("loading")
		n.Ready("listening on x\nREADY=0")
		n.Reloading()()
		arrived(4)
		late := n.Reloading()
		arrived(5)
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

// The watchdog is for this process only, and has a timeout that makes sense.
func TestWatchdogVariables(t *testing.T) {
	manager := processtest.ListenNotify(t, processtest.NotifySocket(t, ""))
	self := fmt.Sprint(os.Getpid())
	const year = 365 * 24 * time.Hour
	for _, test := range []struct {
		usec, pid string
		want      time.Duration
		reason    string
	}{
		{"", "", 0, ""},
		{"", self, 0, ""},
		{"3000000", "", 3 * time.Second, ""},
		{"3000000", self, 3 * time.Second, ""},
		{"3000000", "1", 0, ""},
		{"1", "1", 0, ""},
		{"-1", self, 0, "must be a positive number"},
		{"0", "", 0, "must be a positive number"},
		{"soon", self, 0, "invalid syntax"},
		{"3000000", "me", 0, "invalid syntax"},
		{"100000", "", 100 * time.Millisecond, ""},
		{"99999", "", 0, "must be from 100000 to 31536000000000, got 99999"},
		{"1", self, 0, "got 1"},
		{fmt.Sprint(year.Microseconds()), "", year, ""},
		{fmt.Sprint(year.Microseconds() + 1), "", 0, "got 31536000000001"},
		{"9223372036854775807", self, 0, "got 9223372036854775807"},
		{"18446744073709551615", self, 0, "out of range"},
		// Of these the product is 0, and a second and some more.
		{"2305843009213693952", self, 0, "got 2305843009213693952"},
		{"18446744073710552", self, 0, "got 18446744073710552"},
	} {
		n := started(t, manager.Socket, test.usec, test.pid)
		n.OnFailure(func(err error) { t.Errorf("%q, %q: a failure: %v", test.usec, test.pid, err) })
		reason := ""
		if err := n.NoWatchdog(); err != nil {
			reason = err.Error()
		}
		if n.timeout != test.want || !strings.Contains(reason, test.reason) || (reason == "") != (test.reason == "") {
			t.Errorf("%q, %q: %v, no watchdog: %q", test.usec, test.pid, n.timeout, reason)
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
	if err := none.NoWatchdog(); err != nil {
		t.Error(err)
	}
}

// While the loop is stuck the watchdog hears nothing, although other goroutines run and the sender sends.
func TestStuckLoop(t *testing.T) {
	for _, engine := range engines.Names {
		t.Run(engine, func(t *testing.T) {
			const timeout = 120 * time.Millisecond
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

// What could not be sent arrives later, however long that takes: the states that still matter, in order.
func TestNothingIsLost(t *testing.T) {
	manager, read := processtest.FullNotify(t, processtest.NotifySocket(t, ""))
	n := started(t, manager.Socket, "", "")
	failures := make(chan error, 100)
	n.OnFailure(func(err error) { failures <- err })
	n.Ready("listening")                                            // not a line of status, so that this is what the attempt is about
	if err := <-failures; !errors.Is(err, os.ErrDeadlineExceeded) { // one attempt is over
		t.Errorf("the failure is %v", err)
	}
	var newest int64
	for range 100 {
		newest = monotonic(t)
		n.Reloading()()
		n.Status("something")
	}
	late := n.Reloading()
	later := n.Reloading()
	n.mu.Lock()
	waiting := len(n.states)
	n.mu.Unlock()
	if waiting > 7 {
		t.Errorf("%d states wait", waiting)
	}
	read()
	want := []string{"READY=1 STATUS=listening", "RELOADING=1 STATUS=reloading"}
	expect := func() {
		t.Helper()
		ok := func() bool { return slices.Equal(withoutLines(manager), want) }
		processtest.Eventually(t, fmt.Sprintf("states %q", want), ok)
	}
	expect()
	all := manager.All()
	var at int64
	if _, err := fmt.Sscanf(all[len(all)-1], "RELOADING=1\nMONOTONIC_USEC=%d\n", &at); err != nil || at < newest {
		t.Errorf("%q, %v, older than %d", all, err, newest)
	}
	late()
	later()
	processtest.Eventually(t, "the end of the reload", func() bool { return len(withoutLines(manager)) > len(want) })
	n.Stopping("stopping")
	n.Close()
	want = append(want, "READY=1 STATUS=listening", "STOPPING=1 STATUS=stopping")
	processtest.Eventually(t, "the stop", func() bool {
		got := withoutLines(manager)
		return got[len(got)-1] == want[3]
	})
	if got := slices.Compact(withoutLines(manager)); !slices.Equal(got, want) { // two reloads may end twice
		t.Errorf("%q, want %q", got, want)
	}
}

// withoutLines returns the states but those that are only a line of status.
func withoutLines(manager *processtest.Notifications) []string {
	return slices.DeleteFunc(manager.States(), func(state string) bool { return strings.HasPrefix(state, "STATUS=") })
}

// A stop makes a reload that was not sent out of date, and nothing else.
func TestStopBeforeAnythingIsSent(t *testing.T) {
	manager, read := processtest.FullNotify(t, processtest.NotifySocket(t, ""))
	n := started(t, manager.Socket, "", "")
	n.Ready("listening")
	n.Reloading()()
	n.Reloading()
	n.Stopping("stopping")
	n.Failed("it failed")
	read()
	n.Close()
	want := []string{"READY=1 STATUS=listening", "STOPPING=1 STATUS=stopping", "STATUS=it failed"}
	processtest.Eventually(t, fmt.Sprintf("states %q", want), func() bool { return slices.Equal(manager.States(), want) })
}

// A line of status is sent again until it arrives or there is something newer. It is short enough for a datagram.
func TestLineOfStatus(t *testing.T) {
	manager, read := processtest.FullNotify(t, processtest.NotifySocket(t, ""))
	n := started(t, manager.Socket, "", "")
	failed := make(chan error, 100)
	n.OnFailure(func(err error) { failed <- err })
	n.Status("old")
	<-failed
	n.Status(strings.Repeat("x", maxStatus-1) + "é" + strings.Repeat("x", 1<<20))
	read()
	want := "STATUS=" + strings.Repeat("x", maxStatus-1)
	processtest.Eventually(t, "the last line of status", func() bool { return manager.Count(want) == 1 })
}

// A service manager that does not read stops neither the loop nor whoever reports a state nor Close.
func TestFullSocket(t *testing.T) {
	manager, read := processtest.FullNotify(t, processtest.NotifySocket(t, ""))
	n := started(t, manager.Socket, "100000", "")
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
	read()
	<-n.finished
	if len(failures) > 0 {
		t.Errorf("another failure was reported: %v", <-failures)
	}
}

// A socket that is gone is reported once, and the server goes on. If the service manager makes it again, it is used.
func TestSocketIsGone(t *testing.T) {
	socket := processtest.NotifySocket(t, "")
	n := started(t, socket, "100000", "")
	n.Ready("before anybody asks")
	failures := make(chan error, 100)
	n.OnFailure(func(err error) { failures <- err })
	if err := <-failures; !errors.Is(err, syscall.ENOENT) {
		t.Errorf("the failure is %v", err)
	}
	n.Watch(running(t, engines.Names[0]))
	n.Reloading()()
	n.Status("still nobody")
	manager := processtest.ListenNotify(t, socket)
	processtest.Eventually(t, "all states, in order", func() bool {
		return slices.Equal(manager.States(), []string{
			"READY=1 STATUS=before anybody asks", "RELOADING=1 STATUS=reloading", "READY=1 STATUS=before anybody asks",
			"STATUS=still nobody",
		})
	})
	processtest.Eventually(t, "signs of life", func() bool { return manager.Count(processtest.Alive) > 0 })
	if len(failures) > 0 {
		t.Errorf("another failure was reported: %v", <-failures)
	}
}
