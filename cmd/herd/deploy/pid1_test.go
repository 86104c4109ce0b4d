package deploy

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"serverherd/cmd/herd/e2e/processtest"
	"serverherd/cmd/herd/load"
)

// inPID1 runs the binary as a container of the image does: as PID 1 of a namespace, in a root directory with the binary
// and nothing else, as another user than root. args follow the binary.
func inPID1(t *testing.T, root string, args ...string) *exec.Cmd {
	t.Helper()
	argv := append([]string{"--pid", "--fork", "--kill-child", "--root", root, "--wd", "/", "--setuid", "65532", "--setgid", "65532", "/herd"}, args...)
	return exec.Command("unshare", argv...)
}

// container root: a directory with the binary and nothing else.
func emptyRoot(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for dir := root; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	binary, err := os.ReadFile(processtest.Binary)
	if err == nil {
		err = os.WriteFile(filepath.Join(root, "herd"), binary, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// mayUnshare reports whether a container can be imitated here.
func mayUnshare(t *testing.T) bool {
	t.Helper()
	if out, err := inPID1(t, emptyRoot(t), "version").CombinedOutput(); err != nil {
		t.Logf("NOT RUN: a server as PID 1 in an empty root: as root on Linux, with unshare of util-linux: %v: %s", err, out)
		return false
	}
	return true
}

// A server is PID 1 in a root directory with nothing but the binary: it starts, answers, reloads, hands its records over
// to a neighbor outside and exits with 0.
func TestPID1(t *testing.T) {
	if !mayUnshare(t) {
		return
	}
	for _, forced := range []bool{false, true} {
		extra := "[places]\nprovider = \"embedded\"\n"
		if forced { // a stop that waits for somebody takes long enough for a second signal
			extra += "[limits]\ndrain = \"20s\"\n"
		}
		h, listeners := processtest.NewHerd(t, extra, "Alford", "Hamilton")
		for _, l := range listeners["Alford"] { // it binds them itself
			l.Close()
		}
		h.Start("Hamilton", listeners["Hamilton"]...)
		root := emptyRoot(t)
		if err := os.WriteFile(filepath.Join(root, "herd.toml"), []byte(read(t, h.Config())), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(root, "logs"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(filepath.Join(root, "logs"), 65532, 65532); err != nil {
			t.Fatal(err)
		}
		c := inPID1(t, root, instruction(t, "CMD")...)
		c.Env = []string{"HERD_SERVER=Alford", "HERD_CONFIG=/herd.toml", "PATH=" + os.Getenv("PATH")}
		var output processtest.Output
		c.Stdout, c.Stderr = &output, &output
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Process.Kill() })
		processtest.Eventually(t, "it is ready", func() bool {
			_, _, code := h.Command("", "ready", "Alford")
			return code == 0
		})
		if s := h.Status("Alford"); s == nil || s.PID != 1 {
			t.Fatalf("it is not PID 1: %+v", s)
		}
		// Beside it, in the same root, as a health check of the image does.
		check := exec.Command("unshare", append([]string{"--root", root, "--wd", "/", "--setuid", "65532", "/herd"}, instruction(t, "HEALTHCHECK")[1:]...)...)
		check.Env = c.Env
		if out, err := check.CombinedOutput(); err != nil || string(out) != "Alford: ready\n" {
			t.Errorf("the health check beside it: %v, %s", err, out)
		}
		h.UntilLive()
		if !forced {
			checkCPU(t, h)
		}
		pid := child(t, c.Process.Pid)
		if err := syscall.Kill(pid, syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		log := filepath.Join(root, "logs", "server-Alford.log")
		processtest.Eventually(t, "a reload", func() bool { return strings.Contains(read(t, log), `"reload finished"`) })
		if forced {
			processtest.Suspend(t, h.Running["Hamilton"].Cmd.Process.Pid)
		}
		say(t, h.Server("Alford").Listen, "IAMAT kiwi +34.068930-118.445127 5\n")
		if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if forced {
			processtest.Eventually(t, "a stop", func() bool { return strings.Contains(read(t, log), `"stopping"`) })
			<-time.After(300 * time.Millisecond) // signals that come closer together count as one
			if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
		}
		_ = c.Wait()
		code := c.ProcessState.ExitCode()
		switch {
		case forced && (code != 1 || !strings.Contains(read(t, log), "second signal")):
			t.Errorf("after a second signal: exit code %d, %s", code, output.String())
		case !forced && code != 0:
			t.Errorf("exit code %d, %s", code, output.String())
		case !forced && h.Status("Hamilton").Records == 0:
			t.Error("the neighbor has no records")
		}
		if forced {
			_ = h.Running["Hamilton"].Cmd.Process.Signal(syscall.SIGCONT)
		}
	}
}

// checkCPU checks that herd load does not take the machine's PID 1 for the server.
func checkCPU(t *testing.T, h *processtest.Herd) {
	t.Helper()
	for name, known := range map[string]bool{"Alford": false, "Hamilton": true} {
		_, errOut, code := h.Command("", "load", "--at", name, "-d", "500ms", "--warmup", "0", "--json", "r.json")
		var r load.Report
		if err := json.Unmarshal([]byte(read(t, filepath.Join(h.Dir, "r.json"))), &r); err != nil || code != 0 {
			t.Fatalf("exit code %d, %v, %s", code, err, errOut)
		}
		if (r.ServerPerLine > 0) != known {
			t.Errorf("%s: CPU %g s a line", name, r.ServerPerLine)
		}
	}
}

// child returns the only child of a process.
func child(t *testing.T, pid int) int {
	t.Helper()
	text := read(t, fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	one, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil {
		t.Fatalf("the children are %q: %v", text, err)
	}
	return one
}

func say(t *testing.T, addr, lines string) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, lines); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 100)); n == 0 || err != nil {
		t.Fatal(n, err)
	}
}
