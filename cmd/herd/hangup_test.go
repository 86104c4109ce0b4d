package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"serverherd/cmd/herd/e2e/processtest"
)

// serveHerd returns a herd with one server and a serve command that is not started yet.
func serveHerd(t *testing.T, out io.Writer) (*processtest.Herd, *exec.Cmd) {
	// Where tests run under nohup, the server would ignore SIGHUP, too: what a process catches, its children do not ignore.
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, syscall.SIGHUP)
	t.Cleanup(func() { signal.Stop(caught) })
	h, c := upHerd(t, out, "", []string{"Alford"})
	c.Args = []string{c.Path, "serve", "Alford", "--config", h.Config()}
	return h, c
}

// aliveAndHungUp waits until Alford has handled SIGHUP, and stops it.
func aliveAndHungUp(t *testing.T, h *processtest.Herd, c *exec.Cmd, out *processtest.Output) {
	t.Helper()
	processtest.Eventually(t, "Alford has handled SIGHUP", func() bool { return logged(h, "reloading") > 0 })
	_ = c.Process.Signal(syscall.SIGTERM)
	if code := waitUp(t, c); code != 0 {
		t.Errorf("exit code %d: %s", code, out)
	}
}

// A server handles SIGHUP while it reads its configuration.
func TestHangupBeforeTheConfigurationIsRead(t *testing.T) {
	out := &processtest.Output{}
	h, c := serveHerd(t, out)
	text, err := os.ReadFile(h.Config())
	if err != nil {
		t.Fatal(err)
	}
	fifo := filepath.Join(h.Dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	c.Args[len(c.Args)-1] = fifo
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	var w *os.File
	processtest.Eventually(t, "it opens its configuration", func() bool {
		w, err = os.OpenFile(fifo, os.O_WRONLY|unix.O_NONBLOCK, 0)
		return err == nil
	})
	_ = c.Process.Signal(syscall.SIGHUP)
	if _, err := w.Write(text); err != nil {
		t.Fatal(err)
	}
	w.Close()
	aliveAndHungUp(t, h, c, out)
}

// Under nohup a server survives SIGHUP from the first instant, and handles it later.
func TestHangupUnderNohup(t *testing.T) {
	out := &processtest.Output{}
	h, c := serveHerd(t, out)
	c.Args = append([]string{"sh", "-c", `trap "" HUP; exec "$0" "$@"`}, c.Args...)
	c.Path = "/bin/sh"
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	processtest.Eventually(t, "Alford answers, hung up on all the while", func() bool {
		if ignored(t, c.Process.Pid) {
			_ = c.Process.Signal(syscall.SIGHUP)
		}
		return pid(h, "Alford") != 0
	})
	_ = c.Process.Signal(syscall.SIGHUP)
	aliveAndHungUp(t, h, c, out)
}

// ignored reports whether a process ignores SIGHUP.
func ignored(t *testing.T, pid int) bool {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if mask, ok := strings.CutPrefix(line, "SigIgn:"); ok {
			bits, err := strconv.ParseUint(strings.TrimSpace(mask), 16, 64)
			return err == nil && bits&(1<<(syscall.SIGHUP-1)) != 0
		}
	}
	return false
}

// A server with a very low descriptor limit does not start.
func TestFewDescriptors(t *testing.T) {
	h, _ := upHerd(t, io.Discard, "", []string{"Alford"})
	for _, args := range []string{"serve Alford", "up"} {
		c := exec.Command("sh", "-c", `ulimit -n 16 && exec "$0" `+args+` --config "$1"`, processtest.Binary, h.Config())
		var out processtest.Output
		c.Dir, c.Stdout, c.Stderr = h.Dir, &out, &out
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		code := waitUp(t, c)
		if want := "open file limit is 16, a server needs at least 256"; code != exitFailed ||
			!strings.Contains(out.String(), want) || strings.Contains(out.String(), "retrying") {
			t.Errorf("%s: exit code %d, %s", args, code, &out)
		}
	}
}
