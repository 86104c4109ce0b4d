package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"serverherd/cmd/processtest"
)

// startUp runs herd up on a herd whose ports are free, until it says that all are ready.
func startUp(t *testing.T, out *processtest.Output) (*processtest.Herd, *exec.Cmd) {
	t.Helper()
	h, listeners := processtest.NewHerd(t, "", processtest.Names...)
	for _, ls := range listeners {
		for _, l := range ls {
			l.Close()
		}
	}
	c := exec.Command(processtest.Binary, "up", "--config", h.Config())
	c.Dir, c.Stdout, c.Stderr = h.Dir, out, out
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // as a shell does
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	})
	processtest.Eventually(t, "up says what to type next", func() bool {
		return strings.Contains(out.String(), "5 servers are ready")
	})
	return h, c
}

func pid(h *processtest.Herd, name string) int {
	if s := h.Status(name); s != nil {
		return s.PID
	}
	return 0
}

func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

func TestUpRestartsWhatDiesAndStopsAll(t *testing.T) {
	out := &processtest.Output{}
	h, c := startUp(t, out)
	dead := pid(h, "Holiday")
	_ = syscall.Kill(dead, syscall.SIGKILL)
	processtest.Eventually(t, "Holiday is back", func() bool { p := pid(h, "Holiday"); return p != 0 && p != dead })
	if !strings.Contains(out.String(), "Holiday died: signal: killed; starting it again") {
		t.Errorf("up does not say that Holiday died: %s", out)
	}
	for _, line := range strings.Split(strings.TrimSpace(out.String()), "\n") {
		if name, _, ok := strings.Cut(line, " |"); !ok || strings.Contains(line, "\x1b") ||
			!strings.Contains("herd "+strings.Join(processtest.Names, " "), strings.TrimSpace(name)) {
			t.Errorf("line without its server's name, or with color: %q", line)
		}
	}
	var pids []int
	for _, name := range processtest.Names {
		pids = append(pids, pid(h, name))
	}
	// A terminal's Ctrl-C goes to all processes of the group, and the servers must not count two.
	_ = syscall.Kill(-c.Process.Pid, syscall.SIGINT)
	if err := c.Wait(); err != nil {
		t.Errorf("up after Ctrl-C: %v\n%s", err, out)
	}
	if n := strings.Count(out.String(), "\tstopped\t"); n != len(processtest.Names) || strings.Contains(out.String(), "stopped hard") {
		t.Errorf("%d servers stopped in good order, want %d:\n%s", n, len(processtest.Names), out)
	}
	for _, pid := range pids {
		if pid == 0 || alive(pid) {
			t.Errorf("process %d outlived up", pid)
		}
	}
}

func TestNoOrphansWhenUpIsKilled(t *testing.T) {
	h, c := startUp(t, &processtest.Output{})
	var pids []int
	for _, name := range processtest.Names {
		pids = append(pids, pid(h, name))
	}
	_ = c.Process.Kill()
	processtest.Eventually(t, fmt.Sprintf("processes %v are gone", pids), func() bool {
		for _, pid := range pids {
			if pid == 0 || alive(pid) {
				return false
			}
		}
		return true
	})
}

// A herd without a terminal hands a hang-up to its servers, and one without a places file lives
// through it.
func TestUpPassesHangupsOn(t *testing.T) {
	h, listeners := processtest.NewHerd(t, "", "Alford")
	for _, l := range listeners["Alford"] {
		l.Close()
	}
	out := &processtest.Output{}
	c := exec.Command(processtest.Binary, "up", "--config", h.Config())
	c.Dir, c.Stdout, c.Stderr = h.Dir, out, out
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill() })
	processtest.Eventually(t, "up is ready", func() bool { return strings.Contains(out.String(), "are ready") })
	_ = c.Process.Signal(syscall.SIGHUP)
	processtest.Eventually(t, "Alford has heard of it", func() bool {
		return strings.Contains(out.String(), "provider embedded reads no file")
	})
	if reply := h.Ask("Alford", "IAMAT kiwi +1+2 5\n"); !strings.HasPrefix(reply, "AT Alford ") {
		t.Errorf("%q", reply)
	}
	_ = c.Process.Signal(syscall.SIGTERM)
	if err := c.Wait(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// A herd whose terminal is gone lives on, on the engine that was asked for.
func TestUpOutlivesItsOutput(t *testing.T) {
	h, listeners := processtest.NewHerd(t, "", "Alford")
	for _, l := range listeners["Alford"] {
		l.Close()
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(processtest.Binary, "up", "--engine", "owner", "--config", h.Config())
	c.Dir, c.Stdout, c.Stderr = h.Dir, w, w
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	r.Close() // from now on its output is a broken pipe
	processtest.Eventually(t, "Alford answers", func() bool { return h.Status("Alford") != nil })
	if s := h.Status("Alford"); s == nil || s.Engine != "owner" {
		t.Errorf("Alford's status is %+v", s)
	}
	if got := h.Ask("Alford", "IAMAT kiwi +1-1 1\n"); !strings.HasPrefix(got, "AT Alford ") {
		t.Errorf("Alford answered %q", got)
	}
	_ = c.Process.Signal(syscall.SIGTERM)
	done := make(chan error, 1)
	go func() { done <- c.Wait() }()
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("up after SIGTERM: %v", err)
		}
	case <-time.After(processtest.Patience):
		_ = c.Process.Kill()
		t.Fatal("up does not stop")
	}
}

// A server that does not stop is no reason to wait for ever: the second Ctrl-C ends it.
func TestUpSecondSignal(t *testing.T) {
	out := &processtest.Output{}
	h, c := startUp(t, out)
	stuck := pid(h, "Welsh")
	_ = syscall.Kill(stuck, syscall.SIGSTOP)
	_ = c.Process.Signal(os.Interrupt)
	processtest.Eventually(t, "up says that it stops", func() bool { return strings.Contains(out.String(), "stopping") })
	_ = c.Process.Signal(os.Interrupt)
	if err := c.Wait(); err != nil {
		t.Errorf("up after two times Ctrl-C: %v\n%s", err, out)
	}
	if alive(stuck) {
		t.Error("Welsh outlived up")
	}
}

// Some of the servers, and what cannot be.
func TestUpOfSome(t *testing.T) {
	h, listeners := processtest.NewHerd(t, "", processtest.Names...)
	for _, ls := range listeners {
		for _, l := range ls {
			l.Close()
		}
	}
	for _, bad := range [][]string{{"up", "Ball", "Ball"}, {"up", "Kiwi"}} {
		if _, stderr, code := h.Command("", bad...); code != exitUsage || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%q: exit code %d, %q", bad, code, stderr)
		}
	}
	out := &processtest.Output{}
	c := exec.Command(processtest.Binary, "up", "Ball", "Welsh", "--config", h.Config())
	c.Dir, c.Stdout, c.Stderr = h.Dir, out, out
	c.Env = append(os.Environ(), "LISTEN_FDS=1") // somebody else's
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	processtest.Eventually(t, "up says what to type next", func() bool {
		return strings.Contains(out.String(), "2 servers are ready")
	})
	if pid(h, "Ball") == 0 || pid(h, "Welsh") == 0 || pid(h, "Alford") != 0 {
		t.Errorf("running: Ball %d, Welsh %d, Alford %d", pid(h, "Ball"), pid(h, "Welsh"), pid(h, "Alford"))
	}
	_ = c.Process.Signal(syscall.SIGTERM)
	if err := c.Wait(); err != nil {
		t.Errorf("up after SIGTERM: %v", err)
	}
	if n := strings.Count(out.String(), "\tstopped\t"); n != 2 {
		t.Errorf("%d servers had their last word, want 2: %s", n, out)
	}
}
