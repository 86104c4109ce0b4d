package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"serverherd/cmd/herd/e2e/processtest"
	"serverherd/cmd/herd/engines"
)

// A service manager is told of the start, of each reload and of the stop, and, while the process runs, that its loop turns.
func TestServiceManager(t *testing.T) {
	t.Parallel()
	for i, engine := range engines.Names {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			manager := processtest.ListenNotify(t, processtest.NotifySocket(t, []string{"", "@", ""}[i]))
			h, listeners := processtest.NewHerd(t, "[storage]\ndir = \"journal\"\n", "Alford")
			h.Flags = []string{"--engine", engine}
			h.Env = []string{"NOTIFY_SOCKET=" + manager.Socket, "WATCHDOG_USEC=300000"}
			r := h.Start("Alford", listeners["Alford"]...)
			pid := r.Cmd.Process.Pid
			self := h.Server("Alford")
			ready := fmt.Sprintf("READY=1 STATUS=listening on %s, console on %s", self.Listen, self.Console)
			want := []string{"STATUS=loading the journal in " + filepath.Join(h.Dir, "journal"), ready}
			expect := func() {
				t.Helper()
				processtest.Eventually(t, fmt.Sprintf("states %q, got %q", want, manager.States()), func() bool {
					return slices.Equal(manager.States(), want)
				})
			}
			expect()
			h.UntilLive()     // what listens before it is ready would do so after it, too
			alive := func() { // it says so again
				t.Helper()
				before := manager.Count(processtest.Alive)
				processtest.Eventually(t, "signs of life", func() bool { return manager.Count(processtest.Alive) > before+2 })
			}
			alive()
			for range 2 {
				_ = syscall.Kill(pid, syscall.SIGHUP)
				want = append(want, "RELOADING=1 STATUS=reloading", ready)
				expect()
			}
			processtest.Suspend(t, pid)
			before := len(manager.All())
			h.Status("Alford") // a request to a process that is stopped ends after some timeouts of the watchdog
			if after := len(manager.All()); after > before+1 {
				t.Errorf("a process that is stopped has sent %q", manager.All()[before:])
			}
			_ = syscall.Kill(pid, syscall.SIGCONT)
			alive()
			if code := h.Stop("Alford"); code != 0 {
				t.Errorf("exit code %d: %s", code, r.Stderr)
			}
			want = append(want, "STOPPING=1 STATUS=stopping (terminated): handing records over")
			expect()
		})
	}
}

// A server that cannot start tells a service manager why, and never that it is ready.
func TestServiceManagerOfAFailedStart(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ extra, want string }{
		{"[limits]\nmax_line = 3\n", "limits.max_line"},
		{"[clients]\ntokens = \"nowhere\"\n", "clients.tokens: "},
	} {
		manager := processtest.ListenNotify(t, processtest.NotifySocket(t, ""))
		h, listeners := processtest.NewHerd(t, test.extra, "Alford")
		h.Env = []string{"NOTIFY_SOCKET=" + manager.Socket}
		r := h.Start("Alford", listeners["Alford"]...)
		h.Wait(r)
		processtest.Eventually(t, "a status", func() bool { return len(manager.All()) > 0 })
		got := manager.States()
		if len(got) != 1 || !strings.HasPrefix(got[0], "STATUS=") || !strings.Contains(got[0], test.want) || r.Cmd.ProcessState.ExitCode() != 1 {
			t.Errorf("%q, exit code %d, want %s", got, r.Cmd.ProcessState.ExitCode(), test.want)
		}
	}
}

// Whatever is wrong with the socket, the server starts, answers, reloads and stops, and says once that it cannot notify.
func TestServiceManagerThatIsNoUse(t *testing.T) {
	t.Parallel()
	full, _ := processtest.FullNotify(t, processtest.NotifySocket(t, ""))
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for what, socket := range map[string]string{
		"it does not read": full.Socket, "it is gone": processtest.NotifySocket(t, ""), "it is an abstract one, and gone": processtest.NotifySocket(t, "@"),
		"it is a file": file, "its name is too long": "/" + strings.Repeat("x", 200), "it has another family": "vsock:2:1",
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			h, listeners := processtest.NewHerd(t, "", "Alford")
			h.Env = []string{"NOTIFY_SOCKET=" + socket, "WATCHDOG_USEC=100000"}
			h.Start("Alford", listeners["Alford"]...)
			h.UntilLive()
			_ = h.Running["Alford"].Cmd.Process.Signal(syscall.SIGHUP)
			for range 20 {
				if got := h.Ask("Alford", "IAMAT kiwi +1+1 5\n"); !strings.HasPrefix(got, "AT Alford ") {
					t.Errorf("the reply is %q", got)
				}
			}
			logged := func(message string) int {
				_, all := entries(h, "Alford")
				return strings.Count(all, message)
			}
			processtest.Eventually(t, "a reload and an entry", func() bool {
				return logged(`"reloading"`) == 1 && logged(`"service manager not notified"`) == 1
			})
			if code := h.Stop("Alford"); code != 0 || logged(`"service manager not notified"`) != 1 {
				_, all := entries(h, "Alford")
				t.Errorf("exit code %d\n%s", code, all)
			}
		})
	}
}

// A service manager that does not read for a while is told then that the server is ready, and of a reload, in order.
func TestServiceManagerThatReadsLate(t *testing.T) {
	t.Parallel()
	manager, read := processtest.FullNotify(t, processtest.NotifySocket(t, ""))
	h, listeners := processtest.NewHerd(t, "", "Alford")
	h.Env = []string{"NOTIFY_SOCKET=" + manager.Socket, "WATCHDOG_USEC=300000"}
	h.Start("Alford", listeners["Alford"]...)
	h.UntilLive()
	logged := func(message string) bool {
		_, all := entries(h, "Alford")
		return strings.Contains(all, message)
	}
	processtest.Eventually(t, "an attempt that failed", func() bool { return logged(`"service manager not notified"`) })
	_ = h.Running["Alford"].Cmd.Process.Signal(syscall.SIGHUP)
	processtest.Eventually(t, "a reload", func() bool { return logged(`"reload finished"`) })
	read()
	self := h.Server("Alford")
	ready := fmt.Sprintf("READY=1 STATUS=listening on %s, console on %s", self.Listen, self.Console)
	want := []string{ready, "RELOADING=1 STATUS=reloading", ready}
	processtest.Eventually(t, fmt.Sprintf("states %q", want), func() bool { return slices.Equal(manager.States(), want) })
	processtest.Eventually(t, "signs of life", func() bool { return manager.Count(processtest.Alive) > 2 })
}

// A timeout of the watchdog that makes no sense is named in the log, and nothing else changes.
func TestWatchdogThatMakesNoSense(t *testing.T) {
	t.Parallel()
	for _, usec := range []string{"0", "1", "9223372036854775807", "abc"} {
		manager := processtest.ListenNotify(t, processtest.NotifySocket(t, ""))
		h, listeners := processtest.NewHerd(t, "", "Alford")
		h.Env = []string{"NOTIFY_SOCKET=" + manager.Socket, "WATCHDOG_USEC=" + usec}
		h.Start("Alford", listeners["Alford"]...)
		h.UntilLive()
		if code := h.Stop("Alford"); code != 0 {
			t.Errorf("%s: exit code %d", usec, code)
		}
		processtest.Eventually(t, "start and stop", func() bool { return len(manager.States()) == 2 })
		_, all := entries(h, "Alford")
		if alive := manager.Count(processtest.Alive); alive > 0 || strings.Contains(all, "service manager not notified") ||
			strings.Count(all, `"msg":"no watchdog","reason":`) != 1 || !strings.Contains(all, "WATCHDOG_USEC") {
			t.Errorf("%s: %d signs of life\n%s", usec, alive, all)
		}
	}
}
