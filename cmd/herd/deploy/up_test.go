package deploy

import (
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"serverherd/cmd/herd/e2e/processtest"
)

// herd up is PID 1 of a namespace: it starts its servers, restarts one that dies, leaves no zombie of it, and stops all of
// them at SIGTERM.
func TestUpAsPID1(t *testing.T) {
	container := []string{"--pid", "--fork", "--kill-child", "--mount-proc"}
	if out, err := exec.Command("unshare", append(container, "true")...).CombinedOutput(); err != nil {
		t.Logf("NOT RUN: herd up as PID 1: as root on Linux, with unshare of util-linux: %v: %s", err, out)
		return
	}
	h, listeners := processtest.NewHerd(t, "", "Alford", "Hamilton")
	for _, all := range listeners {
		for _, l := range all { // they bind them themselves
			l.Close()
		}
	}
	c := exec.Command("unshare", append(container, processtest.Binary, "up", "--config", h.Config())...)
	var output processtest.Output
	c.Stdout, c.Stderr = &output, &output
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill() })
	ready := func() bool {
		_, _, code := h.Command("", "ready")
		return code == 0
	}
	processtest.Eventually(t, "both are ready", ready)
	up := child(t, c.Process.Pid)
	first := h.Status("Alford")
	if first == nil || first.PID == 1 {
		t.Fatalf("Alford is %+v", first)
	}
	var killed int
	for _, pid := range children(t, up) { // the number in the namespace is the last one
		if strings.HasSuffix(strings.TrimSpace(inStatus(t, pid, "NSpid")), "\t"+strconv.Itoa(first.PID)) {
			killed = pid
		}
	}
	if killed == 0 {
		t.Fatal("no process of Alford")
	}
	if err := syscall.Kill(killed, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	processtest.Eventually(t, "Alford is another process", func() bool {
		s := h.Status("Alford")
		return s != nil && s.Epoch != first.Epoch && ready()
	})
	all := children(t, up)
	for _, pid := range all {
		if state := inStatus(t, pid, "State"); strings.Contains(state, "Z") {
			t.Errorf("process %d is a zombie", pid)
		}
	}
	if len(all) != 2 {
		t.Errorf("the children are %d", all)
	}
	if err := syscall.Kill(up, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait()
	if code := c.ProcessState.ExitCode(); code != 0 || !strings.Contains(output.String(), "all servers have stopped") {
		t.Errorf("exit code %d, %s", code, output.String())
	}
}

// children returns the children of a process, whichever thread started them.
func children(t *testing.T, pid int) (all []int) {
	t.Helper()
	out, _, _ := processtest.Run(t, t.TempDir(), "", "sh", "-c", fmt.Sprintf("cat /proc/%d/task/*/children", pid))
	for _, text := range strings.Fields(out) {
		one, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, one)
	}
	return all
}

// inStatus returns a line of a process's status.
func inStatus(t *testing.T, pid int, name string) string {
	t.Helper()
	for line := range strings.Lines(read(t, fmt.Sprintf("/proc/%d/status", pid))) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return value
		}
	}
	t.Fatalf("process %d has no %s", pid, name)
	return ""
}
