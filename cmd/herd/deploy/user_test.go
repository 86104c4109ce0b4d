package deploy

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"serverherd/cmd/herd/e2e/processtest"
)

// A user of the machine who may read herd.toml, and not the secret, uses all commands that ask servers. What starts or
// checks servers says that it cannot read the secret.
func TestCommandsOfAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("NOT RUN: commands of a user who may not read the secret: as root")
		return
	}
	h, listeners := processtest.NewHerd(t, "[herd]\nsecret_file = \"secret\"\n[places]\nprovider = \"embedded\"\n", "Alford")
	if err := os.WriteFile(filepath.Join(h.Dir, "secret"), bytes.Repeat([]byte("x"), 32), 0o640); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Dir(processtest.Binary), filepath.Dir(h.Dir), h.Dir} {
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(h.Config(), 0o644); err != nil {
		t.Fatal(err)
	}
	h.Start("Alford", listeners["Alford"]...)
	h.UntilLive()
	h.Ask("Alford", "IAMAT kiwi +34.068930-118.445127 5\n")
	as := func(line string, groups ...uint32) (text string, code int) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), processtest.Patience)
		defer cancel()
		c := exec.CommandContext(ctx, processtest.Binary, append(strings.Fields(line), "--config", h.Config())...)
		c.Dir = "/"
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534, Groups: groups}}
		out, err := c.CombinedOutput()
		if c.ProcessState == nil {
			t.Fatal(err)
		}
		return string(out), c.ProcessState.ExitCode()
	}
	for _, line := range []string{
		"status", "status Alford", "ready", "top --once", "client kiwi", "trace kiwi", "export", "iamat lime +1+1", "whatsat kiwi 10 1",
		"send help", "shell", "ping -c 1", "loglevel", "reload", "places 34.06893,-118.445127",
	} {
		if out, code := as(line); code != 0 || strings.Contains(out, "secret") {
			t.Errorf("herd %s: exit code %d, %s", line, code, out)
		}
	}
	for _, line := range []string{"serve Alford", "up", "config"} {
		if out, code := as(line); code != 1 || !strings.Contains(out, "herd.secret_file: open "+filepath.Join(h.Dir, "secret")+": permission denied") {
			t.Errorf("herd %s: exit code %d, %s", line, code, out)
		}
	}
	// As in a container with the group of the files with secrets.
	const group = 54321
	if err := os.Chown(filepath.Join(h.Dir, "secret"), 0, group); err != nil {
		t.Fatal(err)
	}
	if out, code := as("config", group); code != 0 {
		t.Errorf("in the group of the secret: exit code %d, %s", code, out)
	}
}
