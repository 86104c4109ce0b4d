package e2e

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"serverherd/cmd/herd/e2e/processtest"
)

// manyFiles makes servers create every kind of file: journal, log, rotated and compressed logs, count of lookups.
const manyFiles = smallLogs + "compress = true\n[storage]\ndir = \"state/journal\"\n"

// withoutUmask is a command of the binary that is started with the umask 0.
func withoutUmask(c *cluster, args ...string) *exec.Cmd {
	argv := append([]string{"-c", `umask 0; exec "$@"`, "sh", processtest.Binary}, args...)
	command := exec.Command("sh", append(argv, "--config", c.Config())...)
	command.Dir = c.Dir
	return command
}

// modes returns the mode of everything in a directory, by path.
func modes(t *testing.T, dir string) map[string]fs.FileMode {
	t.Helper()
	all := map[string]fs.FileMode{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		all[name] = info.Mode()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Whatever a herd and its commands create is for its owner only, but for certificates. What the user has made stays.
func TestModes(t *testing.T) {
	scenario(t)
	c := newCluster(t, manyFiles, "Alford", "Hamilton")
	if err := errors.Join(os.Mkdir(filepath.Join(c.Dir, "state"), 0o755), os.Chmod(filepath.Join(c.Dir, "state"), 0o755),
		os.WriteFile(filepath.Join(c.Dir, "state", "mine"), nil, 0o644), os.Chmod(filepath.Join(c.Dir, "state", "mine"), 0o664)); err != nil {
		t.Fatal(err)
	}
	before := modes(t, c.Dir)
	up := withoutUmask(c, "up")
	var said processtest.Output
	up.Stdout, up.Stderr = &said, &said
	if err := up.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- up.Wait() }()
	stop := func() {
		_ = up.Process.Signal(syscall.SIGTERM)
		if err := <-ended; err != nil {
			t.Errorf("herd up: %v: %s", err, said.String())
		}
	}
	running := true
	t.Cleanup(func() {
		if running {
			stop()
		}
	})
	for _, name := range []string{"Alford", "Hamilton"} {
		c.now(name)
	}
	c.Ask("Alford", "IAMAT kiwi +1-1 1\nWHATSAT kiwi 10 1\n") // the count of lookups
	zipped := func() []string {
		all, _ := filepath.Glob(strings.TrimSuffix(logPath(c, "Alford"), ".log") + "-*.gz")
		return all
	}
	second := 0
	processtest.Eventually(t, "a compressed log", func() bool {
		second++
		c.update("Alford", 0, 5_000, second)
		return len(zipped()) > 0
	})
	running = false
	stop()
	c.Change(manyFiles + "[clients]\ntokens = \"tokens.toml\"\n")
	for _, args := range [][]string{{"token", "fleet7", "--read", "--add"}, {"cert"}} {
		if out, err := withoutUmask(c, args...).CombinedOutput(); err != nil {
			t.Fatalf("herd %s: %v: %s", args[0], err, out)
		}
	}

	after := modes(t, c.Dir)
	for name, mode := range after {
		was, existed := before[name]
		want := fs.FileMode(0o600)
		public := strings.HasPrefix(name, "tls/") && strings.HasSuffix(name, ".pem") && !strings.HasSuffix(name, "-key.pem")
		switch {
		case existed:
			want = was
		case mode.IsDir():
			want = fs.ModeDir | 0o700
		case public:
			want = 0o644
		}
		if mode != want {
			t.Errorf("%s: %v, want %v", name, mode, want)
		}
	}
	for _, pattern := range []string{"logs/server-Alford.log", "logs/server-Alford-*.log.gz", "logs/server-Hamilton.log",
		"state/journal/Alford/*.log", "state/journal/Hamilton/LOCK", "places-state/*Alford*", "tokens.toml", "tls/ca.pem",
		"tls/ca-key.pem", "tls/Alford.pem", "tls/Alford-key.pem"} {
		found := false
		for name := range after {
			match, err := filepath.Match(pattern, name)
			found = found || match && err == nil
		}
		if !found {
			t.Errorf("no %s: the test is void; there are %v", pattern, after)
		}
	}
	figure(t, !t.Failed(), "what a herd creates with umask 0: for its owner only", "%d files and directories", len(after))
}

// With group_readable a group reads the logs of a directory that it has, also those that come later, whoever the server is.
func TestLogsForAGroup(t *testing.T) {
	const required, shippers = "a group may read new logs", 54321
	scenario(t)
	if os.Geteuid() != 0 {
		notRun(t, required, "only root can give a directory to another group")
	}
	c := newCluster(t, strings.Replace(smallLogs, "= 2", "= 5", 1)+"compress = true\ngroup_readable = true\n", "Alford")
	c.Unprivileged()
	dir := filepath.Dir(logPath(c, "Alford"))
	if err := errors.Join(os.Mkdir(dir, 0o700), os.Chown(dir, processtest.Nobody, shippers), os.Chmod(dir, fs.ModeSetgid|0o750)); err != nil {
		t.Fatal(err)
	}
	c.Start("Alford")
	c.now("Alford")
	rotated := func() []string {
		all, _ := filepath.Glob(strings.TrimSuffix(logPath(c, "Alford"), ".log") + "-*.log.gz")
		return all
	}
	second := 0
	processtest.Eventually(t, "two rotated logs", func() bool {
		second++
		c.update("Alford", 0, 5_000, second)
		return len(rotated()) >= 2
	})
	for _, file := range append(rotated(), logPath(c, "Alford")) {
		info, err := os.Stat(file)
		if err != nil || info.Mode() != 0o640 || info.Sys().(*syscall.Stat_t).Gid != shippers {
			t.Errorf("%s: %v, %v, want mode 0640 of group %d", file, info, err, shippers)
		}
	}
	figure(t, !t.Failed(), required, "%d files", len(rotated())+1)
}

// Who makes a log file read-only and moves it does not keep the server from writing the next one, nor from its next start.
func TestLogThatIsMadeReadOnly(t *testing.T) {
	scenario(t)
	c := newCluster(t, "", "Alford")
	c.Unprivileged()
	c.Start("Alford")
	c.now("Alford")
	log := logPath(c, "Alford")
	moved := filepath.Join(filepath.Dir(log), "old.log")
	if err := errors.Join(os.Chmod(log, 0o440), os.Rename(log, moved)); err != nil {
		t.Fatal(err)
	}
	processtest.Eventually(t, "there is a new log", func() bool { return c.reopened("Alford") > 0 })
	if info, err := os.Stat(log); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v, want mode 600", info, err)
	}
	c.Stop("Alford")
	c.Start("Alford")
	c.now("Alford")
}
