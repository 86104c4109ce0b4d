package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"serverherd/cmd/herd/e2e/processtest"
)

// smallLogs makes servers rotate their logs after about 5,000 lines.
const smallLogs = placeless + "[log]\nmax_size = 1048576\nmax_files = 2\n"

// logPath returns the path of a server's log file.
func logPath(c *cluster, name string) string {
	return filepath.Join(c.Dir, "logs", "server-"+name+".log")
}

// logged sends an update of the client with the given number and waits until it is in the log file.
func logged(c *cluster, name string, number int) {
	c.T.Helper()
	c.update(name, number, number+1, number)
	want := fmt.Sprintf("client%07d +34.068930-118.445127 %d", number, number)
	processtest.Eventually(c.T, "what comes next is logged", func() bool {
		text, _ := os.ReadFile(logPath(c, name))
		return bytes.Contains(text, []byte(want))
	})
}

// mustBeEntries checks that a log file consists of complete entries.
func mustBeEntries(c *cluster, file string) {
	c.T.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		c.T.Fatal(err)
	}
	for i, line := range bytes.Split(bytes.TrimSuffix(text, []byte{'\n'}), []byte{'\n'}) {
		if !json.Valid(line) {
			c.T.Fatalf("%s:%d: %d bytes are not an entry: %.300q", file, i+1, len(line), line)
		}
	}
}

// mustHaveMode checks the mode of a log file, and that only the owner can use the directory.
func mustHaveMode(c *cluster, name string, mode fs.FileMode) {
	c.T.Helper()
	for path, want := range map[string]fs.FileMode{logPath(c, name): mode, filepath.Dir(logPath(c, name)): 0o700} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			c.T.Errorf("%s: %v, %v", path, info, err)
		}
	}
}

// waitForStderr waits until a server has written something to standard error.
func (c *cluster) waitForStderr(name, what string) {
	c.T.Helper()
	processtest.Eventually(c.T, name+" says "+what, func() bool {
		return strings.Contains(c.Running[name].Stderr.String(), what)
	})
}

func (c *cluster) reopened(name string) int { return int(c.now(name).Counters.LogReopened) }

// logrotate rotates one log file as a cron job would.
func logrotate(c *cluster, name string, directives ...string) {
	c.T.Helper()
	program, err := exec.LookPath("logrotate")
	if err != nil {
		program = "/usr/sbin/logrotate" // which is in few users' $PATH
	}
	if _, err := os.Stat(program); err != nil {
		notRun(c.T, "logrotate", "it is not installed: apt-get install logrotate")
	}
	config := filepath.Join(c.Dir, "logrotate.conf")
	text := fmt.Sprintf("%s {\nrotate 3\n%s\n}\n", logPath(c, name), strings.Join(directives, "\n"))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		c.T.Fatal(err)
	}
	out, err := exec.Command(program, "-v", "-f", "-s", filepath.Join(c.Dir, "logrotate.state"), config).CombinedOutput()
	if err != nil {
		c.T.Fatalf("%v: %s", err, out)
	}
}

// logrotate copies and truncates the file, which the server has rotated itself before.
func TestLogrotateCopytruncate(t *testing.T) {
	scenario(t)
	c := startCluster(t, smallLogs, "Alford")
	rotated := func() []string {
		all, _ := filepath.Glob(strings.TrimSuffix(logPath(c, "Alford"), ".log") + "-*.log")
		return all
	}
	for second := 1; len(rotated()) < 2; second++ {
		c.update("Alford", 0, 5_000, second)
	}
	logged(c, "Alford", 1_000_000)
	logrotate(c, "Alford", "copytruncate")
	logged(c, "Alford", 1_000_001)
	text, err := os.ReadFile(logPath(c, "Alford"))
	if err != nil || bytes.IndexByte(text, 0) >= 0 || len(text) > 64<<10 {
		t.Errorf("%v; %d bytes, %d of them NUL, after a few lines", err, len(text), bytes.Count(text, []byte{0}))
	}
	for _, file := range append(rotated(), logPath(c, "Alford")) {
		mustBeEntries(c, file)
	}
	if n := c.reopened("Alford"); n != 0 {
		t.Errorf("reopened %d times, although it is the same file", n)
	}
	// The size counts from the truncation, and the server continues to rotate.
	for second := 1; second <= 10; second++ {
		c.update("Alford", 0, 5_000, 2_000_000+second)
	}
	processtest.Eventually(t, "two rotated files are kept", func() bool { return len(rotated()) == 2 })
	for _, file := range append(rotated(), logPath(c, "Alford")) {
		if info, err := os.Stat(file); err != nil || info.Size() > 1<<20 {
			t.Errorf("%s: %v, %v", file, info, err)
		}
	}
}

// logrotate moves the file and creates another one. The server is notified by a signal, or detects it.
func TestLogrotateCreate(t *testing.T) {
	scenario(t)
	c := startCluster(t, placeless, "Alford")
	logged(c, "Alford", 1)
	logrotate(c, "Alford", "create 0640")
	processtest.Eventually(t, "the server detects it", func() bool { return c.reopened("Alford") == 1 })
	logged(c, "Alford", 2)

	hangup := fmt.Sprintf("postrotate\nkill -HUP %d\nendscript", c.Running["Alford"].Cmd.Process.Pid)
	logrotate(c, "Alford", "nocreate", "delaycompress", "compress", hangup)
	processtest.Eventually(t, "the server is notified", func() bool { return c.reopened("Alford") == 2 })
	logged(c, "Alford", 3)
	mustHaveMode(c, "Alford", 0o600)
	all := ""
	for i, file := range []string{".2", ".1", ""} { // the older ones first
		file = logPath(c, "Alford") + file
		if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
			if out, err := exec.Command("gunzip", file+".gz").CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		}
		mustBeEntries(c, file)
		text, _ := os.ReadFile(file)
		all += string(text)
		if want := fmt.Sprintf("client%07d", i+1); !bytes.Contains(text, []byte(want)) {
			t.Errorf("%s does not contain %s", file, want)
		}
	}
	if n := strings.Count(all, `"line":"IAMAT `); n != 3 {
		t.Errorf("%d updates are logged, of 3", n)
	}
	text, err := os.ReadFile(logPath(c, "Alford"))
	if err != nil || !bytes.Contains(text, []byte(`"msg":"reloading","by":"SIGHUP"`)) {
		t.Errorf("%v; the new file does not begin at the hang-up: %s", err, text)
	}
	if strings.Count(all, `"msg":"log file reopened"`) != 2 {
		t.Error("the log does not contain an entry about it")
	}
}

// Logs are moved and deleted. Each time the server detects it within seconds, although nothing is logged meanwhile.
func TestLogFileMovedOrDeleted(t *testing.T) {
	scenario(t)
	c := startCluster(t, placeless, "Alford")
	file := logPath(c, "Alford")
	for i, step := range []struct {
		name string
		do   func() error
	}{
		{"rm", func() error { return os.Remove(file) }},
		{"mv", func() error { return os.Rename(file, file+".old") }},
		{"rm -rf logs", func() error { return processtest.RemoveAll(filepath.Dir(file)) }},
		{"mv logs", func() error { return os.Rename(filepath.Dir(file), filepath.Dir(file)+".old") }},
		{"another in its place", func() error {
			return errors.Join(os.WriteFile(file+".new", nil, 0o600), os.Rename(file+".new", file))
		}},
	} {
		logged(c, "Alford", 10*i)
		begun := time.Now()
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		processtest.Eventually(t, step.name+" is noticed", func() bool { return c.reopened("Alford") == i+1 })
		took := time.Since(begun)
		figure(t, took < 3*time.Second, step.name+" of the log: noticed within 3 s", "%.1f s", took.Seconds())
		logged(c, "Alford", 10*i+1)
		mustBeEntries(c, file)
		mustHaveMode(c, "Alford", 0o600)
	}
	s := c.now("Alford")
	if s.Counters.LogDropped != 0 || s.Log.File != file {
		t.Errorf("%d entries dropped; %+v", s.Counters.LogDropped, s.Log)
	}
	processtest.Eventually(t, "standard error reports each", func() bool {
		return strings.Count(c.Running["Alford"].Stderr.String(), "log file reopened") == 5
	})
}

// A symbolic link in place of the log is not followed. Entries that cannot be logged are counted and reported on standard
// error.
func TestLogFileBecomesALink(t *testing.T) {
	scenario(t)
	c := startCluster(t, placeless, "Alford")
	file, victim := logPath(c, "Alford"), filepath.Join(c.Dir, "victim")
	logged(c, "Alford", 1)
	if err := errors.Join(os.WriteFile(victim, nil, 0o600), os.Remove(file), os.Symlink(victim, file)); err != nil {
		t.Fatal(err)
	}
	processtest.Eventually(t, "entries are counted as dropped", func() bool {
		c.update("Alford", 2, 3, 2)
		return c.now("Alford").Counters.LogDropped > 0
	})
	c.waitForStderr("Alford", "is a symbolic link, which is not followed")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	processtest.Eventually(t, "it is opened again", func() bool { return c.reopened("Alford") == 1 })
	logged(c, "Alford", 3)
	mustBeEntries(c, file)
	if text, err := os.ReadFile(victim); err != nil || len(text) > 0 {
		t.Errorf("%v; the link was followed: %.100q", err, text)
	}
}

// On a full disk the log is deleted, which frees the space, and logging continues.
func TestLogDeletedOnAFullDisk(t *testing.T) {
	scenario(t)
	const required = "log disk full, log deleted: logging continues"
	c := newCluster(t, placeless, "Alford")
	disk := filepath.Dir(logPath(c, "Alford"))
	if err := os.Mkdir(disk, 0o750); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("herd", disk, "tmpfs", 0, "size=1m,mode=750"); err != nil {
		notRun(t, required, "no tmpfs can be mounted: "+err.Error())
	}
	t.Cleanup(func() { _ = syscall.Unmount(disk, syscall.MNT_DETACH) })
	c.startAll()
	second := 1
	processtest.Eventually(t, "the disk is full", func() bool {
		second++
		c.update("Alford", 0, 1_000, second)
		return c.now("Alford").Counters.LogDropped > 0
	})
	c.waitForStderr("Alford", "no space left on device")
	if err := os.Remove(logPath(c, "Alford")); err != nil {
		t.Fatal(err)
	}
	processtest.Eventually(t, "it is opened again", func() bool { return c.reopened("Alford") == 1 })
	logged(c, "Alford", 3)
	processtest.Eventually(t, "the log says what it lacks", func() bool {
		text, _ := os.ReadFile(logPath(c, "Alford"))
		return bytes.Contains(text, []byte("dropped log entries"))
	})
	dropped := c.now("Alford").Counters.LogDropped
	figure(t, true, required, "%d entries dropped and reported", dropped)
}
