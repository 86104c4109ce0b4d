package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"serverherd/cmd/herd/e2e/processtest"
	"serverherd/cmd/herd/parent"
)

// upHerd returns a herd with free ports and a herd up command that is not started yet. extra is prepended
// to its herd.toml, args are appended to the command line.
func upHerd(
	t *testing.T, out io.Writer, extra string, names []string, args ...string,
) (*processtest.Herd, *exec.Cmd) {
	t.Helper()
	h, listeners := processtest.NewHerd(t, extra, names...)
	for _, ls := range listeners {
		for _, l := range ls {
			l.Close()
		}
	}
	c := exec.Command(processtest.Binary, append([]string{"up", "--config", h.Config()}, args...)...)
	c.Dir, c.Stdout, c.Stderr = h.Dir, out, out
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // like a shell
	t.Cleanup(func() {
		if c.Process != nil && c.ProcessState == nil {
			_ = c.Process.Kill()
			_ = c.Wait()
		}
		if text, ok := out.(*processtest.Output); ok && t.Failed() {
			t.Logf("up says:\n%s", text)
		}
	})
	return h, c
}

// welcomed is the last line that up prints when all servers are ready and linked.
const welcomed = "Ctrl-C stops the herd."

// Reasons of a link to a server that has died or stopped. A machine that is busy with something else can
// cause others.
const lostReason, refusedReason = "neighbor closed the connection", "connection refused"

// startUp runs herd up on a herd of five and waits until all are ready.
func startUp(t *testing.T, out *processtest.Output) (*processtest.Herd, *exec.Cmd) {
	t.Helper()
	h, c := upHerd(t, out, "", processtest.Names)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	processtest.Eventually(t, "up says what to type next", func() bool {
		return strings.Contains(out.String(), welcomed)
	})
	return h, c
}

// logged counts the entries of a message in the logs of all servers.
func logged(h *processtest.Herd, message string) (n int) {
	for _, s := range h.Servers {
		text, _ := os.ReadFile(filepath.Join(h.Dir, "logs", "server-"+s.Name+".log"))
		n += strings.Count(string(text), `"msg":"`+message+`"`)
	}
	return n
}

// waitUp waits for up to end and returns its exit code.
func waitUp(t *testing.T, c *exec.Cmd) int {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- c.Wait() }()
	select {
	case <-done:
		return c.ProcessState.ExitCode()
	case <-time.After(processtest.Patience):
		_ = c.Process.Kill()
		t.Fatal("up does not stop")
		return -1
	}
}

func pid(h *processtest.Herd, name string) int {
	if s := h.Status(name); s != nil {
		return s.PID
	}
	return 0
}

func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

func TestUpRestartsWhatDiesAndStopsAll(t *testing.T) {
	t.Parallel()
	out := &processtest.Output{}
	h, c := startUp(t, out)
	dead := pid(h, "Holiday")
	_ = syscall.Kill(dead, syscall.SIGKILL)
	processtest.Eventually(t, "Holiday is back", func() bool { p := pid(h, "Holiday"); return p != 0 && p != dead })
	processtest.Eventually(t, "up says that the herd is whole again", func() bool {
		return strings.Contains(out.String(), "herd     | 5 servers, 10 links live again\n")
	})
	if !strings.Contains(out.String(), "Holiday died: signal: killed; restarting it") {
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
	// A terminal sends Ctrl-C to all processes of the group; the servers must not count two signals.
	_ = syscall.Kill(-c.Process.Pid, syscall.SIGINT)
	if err := c.Wait(); err != nil {
		t.Errorf("up after Ctrl-C: %v\n%s", err, out)
	}
	if n := logged(h, "stopped"); n != len(processtest.Names) {
		t.Errorf("%d servers stopped in good order, want %d:\n%s", n, len(processtest.Names), out)
	}
	// A graceful start and stop print no warnings. In between, Holiday's neighbors lose the link, but up
	// has printed that Holiday died.
	if logged(h, "link down") < 2 {
		t.Error("Holiday's neighbors have not logged that it was gone")
	}
	if all := out.String(); strings.Contains(all, "\tinfo\t") || strings.Contains(all, lostReason) || strings.Contains(all, refusedReason) {
		t.Errorf("up is not quiet:\n%s", all)
	}
	for _, pid := range pids {
		if pid == 0 || alive(pid) {
			t.Errorf("process %d outlived up", pid)
		}
	}
}

func TestNoOrphansWhenUpIsKilled(t *testing.T) {
	t.Parallel()
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

// Without a terminal, up forwards SIGHUP to its servers, which survive it without a places file, too. A
// starting server does not get it, because it might die.
func TestUpPassesHangupsOn(t *testing.T) {
	out := &processtest.Output{}
	h, c := upHerd(t, out, "", []string{"Alford"}, "-v")
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	processtest.Eventually(t, "up is ready", func() bool { return strings.Contains(out.String(), welcomed) })
	hangUp := func() { _ = c.Process.Signal(syscall.SIGHUP) }
	hangUp()
	processtest.Eventually(t, "Alford has heard of it", func() bool { return logged(h, "reloading") > 0 })
	dead := pid(h, "Alford")
	_ = syscall.Kill(dead, syscall.SIGKILL)
	processtest.Eventually(t, "Alford is back", func() bool { // SIGHUP is sent all the time
		hangUp()
		p := pid(h, "Alford")
		return p != 0 && p != dead
	})
	processtest.Eventually(t, "up says that it died", func() bool { return strings.Contains(out.String(), "Alford died") })
	if n := strings.Count(out.String(), "Alford died"); n != 1 {
		t.Errorf("Alford died %d times:\n%s", n, out)
	}
	if reply := h.Ask("Alford", "IAMAT kiwi +1+2 5\n"); !strings.HasPrefix(reply, "AT Alford ") {
		t.Errorf("%q", reply)
	}
	_ = c.Process.Signal(syscall.SIGTERM)
	if code := waitUp(t, c); code != 0 {
		t.Errorf("exit code %d: %s", code, out)
	}
}

// A herd survives the end of its terminal, with the engine given by --engine.
func TestUpOutlivesItsOutput(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	h, c := upHerd(t, w, "", []string{"Alford"}, "--engine", "owner")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	r.Close() // its output is now a broken pipe
	processtest.Eventually(t, "Alford answers", func() bool { return h.Status("Alford") != nil })
	if s := h.Status("Alford"); s == nil || s.Engine != "owner" {
		t.Errorf("Alford's status is %+v", s)
	}
	if got := h.Ask("Alford", "IAMAT kiwi +1-1 1\n"); !strings.HasPrefix(got, "AT Alford ") {
		t.Errorf("Alford answered %q", got)
	}
	_ = c.Process.Signal(syscall.SIGTERM)
	if code := waitUp(t, c); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// A blocked pipe, or a terminal stopped with Ctrl-S, blocks nothing: servers are restarted, and a signal
// stops all.
func TestUpWhileItsOutputIsBlocked(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(*testing.T) (ours, theirs *os.File){
		"pipe": blockedPipe, "terminal": blockedTerminal,
	} {
		t.Run(name, func(t *testing.T) {
			ours, theirs := open(t)
			defer ours.Close()
			h, c := upHerd(t, theirs, "", []string{"Alford", "Welsh"}, "-v")
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			theirs.Close()
			processtest.Eventually(t, "both answer", func() bool { return pid(h, "Alford") != 0 && pid(h, "Welsh") != 0 })
			for range 100 { // two entries each: they fit into the queue but not into the pipe
				h.Ask("Alford", "")
			}
			dead := pid(h, "Welsh")
			_ = syscall.Kill(dead, syscall.SIGKILL)
			processtest.Eventually(t, "Welsh is back", func() bool { p := pid(h, "Welsh"); return p != 0 && p != dead })
			_ = c.Process.Signal(syscall.SIGTERM)
			if code := waitUp(t, c); code != 0 {
				t.Errorf("exit code %d", code)
			}
			if n := logged(h, "stopped"); n != 2 {
				t.Errorf("%d servers stopped in good order, want 2", n)
			}
		})
	}
}

// blockedPipe is a full pipe.
func blockedPipe(t *testing.T) (ours, theirs *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	fill(t, w)
	return r, w
}

// blockedTerminal is a pseudo-terminal with a full buffer.
func blockedTerminal(t *testing.T) (ours, theirs *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fd := int(master.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fill(t, slave)
	return master, slave
}

// fill writes to f until it would block.
func fill(t *testing.T, f *os.File) {
	t.Helper()
	fd := int(f.Fd())
	if err := unix.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := unix.Write(fd, make([]byte, 512)); err == unix.EAGAIN {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.SetNonblock(fd, false); err != nil {
		t.Fatal(err)
	}
}

// A permanent error at start ends up with exit code 1 and is printed once.
func TestUpOfServersThatCannotStart(t *testing.T) {
	for name, spoil := range map[string]func(*testing.T, *processtest.Herd) error{
		"storage is a file": func(_ *testing.T, h *processtest.Herd) error {
			return os.WriteFile(filepath.Join(h.Dir, "kept"), nil, 0o600)
		},
		"journal of another server": func(t *testing.T, h *processtest.Herd) error {
			h.Start("Ball")
			processtest.Eventually(t, "Ball has a journal", func() bool { return h.Status("Ball") != nil })
			h.Stop("Ball")
			for _, name := range []string{"Alford", "Welsh"} {
				if err := os.CopyFS(filepath.Join(h.Dir, "kept", name), os.DirFS(filepath.Join(h.Dir, "kept", "Ball"))); err != nil {
					return err
				}
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			var out processtest.Output
			h, c := upHerd(t, &out, "[storage]\ndir = \"kept\"\n", []string{"Alford", "Ball", "Welsh"})
			if err := spoil(t, h); err != nil {
				t.Fatal(err)
			}
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			if code := waitUp(t, c); code != exitFailed {
				t.Errorf("exit code %d: %s", code, &out)
			}
			said := out.String()
			if strings.Index(said, "cannot start") > strings.Index(said, "stopping") {
				t.Errorf("the reason comes after the message that it stops:\n%s", said)
			}
			if n := strings.Count(out.String(), "cannot start"); n != 1 || strings.Contains(out.String(), "died") ||
				!strings.Contains(out.String(), "kept") {
				t.Errorf("printed %d times that it cannot start:\n%s", n, &out)
			}
		})
	}
}

// A configuration that the servers cannot read themselves is an error.
func TestUpOfAConfigurationOnAPipe(t *testing.T) {
	h, _ := upHerd(t, io.Discard, "", []string{"Alford"})
	text, err := os.ReadFile(h.Config())
	if err != nil {
		t.Fatal(err)
	}
	fifo := filepath.Join(h.Dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	link, chain, folder := filepath.Join(h.Dir, "link"), filepath.Join(h.Dir, "chain"), filepath.Join(h.Dir, "folder")
	for name, target := range map[string]string{link: "/dev/stdin", chain: "link", folder: "/dev/fd"} {
		if err := os.Symlink(target, name); err != nil {
			t.Fatal(err)
		}
	}
	refused := func(stdin io.Reader, path string) {
		t.Helper()
		c := exec.Command(processtest.Binary, "up", "--config", path)
		var stderr processtest.Output
		c.Dir, c.Stdin, c.Stderr = h.Dir, stdin, &stderr
		_ = c.Run()
		if code := c.ProcessState.ExitCode(); code != exitUsage || !strings.Contains(stderr.String(), "not a regular file") {
			t.Errorf("%s: exit code %d, %s", path, code, &stderr)
		}
	}
	regular, err := os.Open(h.Config())
	if err != nil {
		t.Fatal(err)
	}
	defer regular.Close()
	own := []string{"/dev/stdin", "/proc/self/fd/0", link, chain, filepath.Join(folder, "0")}
	for _, path := range append(own, fifo, h.Dir) {
		refused(strings.NewReader(string(text)), path)
	}
	for _, path := range own { // readable by this process only
		refused(regular, path)
	}
}

// A regular file in /dev or behind a symbolic link is accepted.
func TestUpOfAConfigurationThatIsReadable(t *testing.T) {
	dir := t.TempDir()
	for _, err := range []error{
		os.WriteFile(filepath.Join(dir, "file"), nil, 0o600), os.Symlink("file", filepath.Join(dir, "link")),
		os.Symlink(dir, filepath.Join(dir, "folder")), os.Symlink("nowhere", filepath.Join(dir, "broken")),
		os.Symlink("loop", filepath.Join(dir, "loop")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{"file", "link", "folder/folder/link", "broken", "loop", "missing/file"} {
		if err := checkReadable(filepath.Join(dir, path)); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	memory, err := os.CreateTemp("/dev/shm", "herd") // where there is no such directory the test has nothing to say
	if errors.Is(err, fs.ErrNotExist) {
		t.Logf("NOT RUN: a file in /dev: %v", err)
		return
	} else if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(memory.Name())
	memory.Close()
	if err := checkReadable(memory.Name()); err != nil {
		t.Error(err)
	}
}

// A server that cannot be restarted is reported once and retried; the others continue.
func TestUpTriesAServerAgain(t *testing.T) {
	t.Parallel()
	out := &processtest.Output{}
	h, c := upHerd(t, out, "", []string{"Alford", "Welsh"})
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	processtest.Eventually(t, "up is ready", func() bool { return strings.Contains(out.String(), welcomed) })
	good, err := os.ReadFile(h.Config())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(h.Config(), append(good, "kiwi = 1\n"...), 0o600); err != nil { // as while editing
		t.Fatal(err)
	}
	dead := pid(h, "Welsh")
	_ = syscall.Kill(dead, syscall.SIGKILL)
	failed := func() int { return strings.Count(out.String(), "Welsh failed to start: ") }
	processtest.Eventually(t, "up says that Welsh cannot start", func() bool { return failed() > 0 })
	starts := func() int { return strings.Count(out.String(), "Welsh died") }
	if pid(h, "Alford") == 0 {
		t.Error("Alford does not answer any more")
	}
	if err := os.WriteFile(h.Config(), good, 0o600); err != nil {
		t.Fatal(err)
	}
	processtest.Eventually(t, "Welsh is back", func() bool { p := pid(h, "Welsh"); return p != 0 && p != dead })
	if failed() != 1 || starts() != 1 || !strings.Contains(out.String(), "kiwi") {
		t.Errorf("%d failed starts and %d deaths are reported:\n%s", failed(), starts(), out)
	}
	_ = c.Process.Signal(syscall.SIGTERM)
	if code := waitUp(t, c); code != 0 {
		t.Errorf("exit code %d: %s", code, out)
	}
}

// Servers that do not stop are killed, and the exit code is 1.
func TestUpKillsWhatDoesNotStop(t *testing.T) {
	t.Parallel()
	out := &processtest.Output{}
	h, c := upHerd(t, out, "[limits]\ndrain = \"100ms\"\n", []string{"Alford", "Welsh"})
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	processtest.Eventually(t, "up is ready", func() bool { return strings.Contains(out.String(), welcomed) })
	stuck := pid(h, "Welsh")
	processtest.Suspend(t, stuck)
	_ = c.Process.Signal(syscall.SIGTERM)
	if code := waitUp(t, c); code != exitFailed || !strings.Contains(out.String(), "Welsh did not stop cleanly") {
		t.Errorf("exit code %d: %s", code, out)
	}
	if alive(stuck) {
		t.Error("Welsh outlived up")
	}
}

// The second Ctrl-C kills a server that does not stop.
func TestUpSecondSignal(t *testing.T) {
	t.Parallel()
	out := &processtest.Output{}
	h, c := startUp(t, out)
	stuck := pid(h, "Welsh")
	processtest.Suspend(t, stuck)
	_ = c.Process.Signal(os.Interrupt)
	processtest.Eventually(t, "up says that it stops", func() bool { return strings.Contains(out.String(), "stopping") })
	stop := signalUntil(c.Process)
	code := waitUp(t, c)
	stop()
	if said := out.String(); code != exitFailed || strings.Count(said, "did not stop cleanly") != 1 ||
		!strings.Contains(said, "Welsh did not stop cleanly: signal: killed") {
		t.Errorf("exit code %d after two times Ctrl-C:\n%s", code, said)
	}
	if alive(stuck) {
		t.Error("Welsh outlived up")
	}
}

// up ends with the process that started it, if that has asked for it.
func TestUpEndsWithItsParent(t *testing.T) {
	t.Parallel()
	out := &processtest.Output{}
	h, c := upHerd(t, out, "", []string{"Alford", "Welsh"})
	theirs, ours, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	defer ours.Close()
	c.ExtraFiles = []*os.File{theirs}
	c.Env = append(c.Environ(), parent.Variable+"=3")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	processtest.Eventually(t, "up is ready", func() bool { return strings.Contains(out.String(), welcomed) })
	servers := []int{pid(h, "Alford"), pid(h, "Welsh")}
	ours.Close()
	if code := waitUp(t, c); code != 0 {
		t.Errorf("exit code %d: %s", code, out)
	}
	if slices.ContainsFunc(servers, alive) {
		t.Error("a server outlived up")
	}
}

// The start of a herd of five prints sixteen lines: one per server, the number of live links, what to type
// next, where the page is, and where the logs are. Nothing else follows until something happens.
func TestUpIsQuiet(t *testing.T) {
	t.Parallel()
	out := &processtest.Output{}
	h, c := startUp(t, out)
	want := []string{
		`herd     \| 5 servers, 10 links live in \d+\.\d s\. In another terminal:`,
		`herd     \|   \S+ --config \S+ iamat \S+ \S+ --at Alford`,
		`herd     \|   \S+ --config \S+ whatsat \S+ 10 3 --at Welsh`,
		`herd     \|   \S+ --config \S+ trace \S+`,
		`herd     \|   \S+ --config \S+ status`,
		`herd     \|   \S+ --config \S+ top`,
		`herd     \|   \S+ --config \S+ demo`,
		`herd     \| The page: http://\S+:\d+/`,
		`herd     \| Logs: \S+, at most 3\.1 GB in total \(log\.max_size\)`,
		`herd     \|   1,000 updates/s add 2\.\d+ MB/s to 5\.\d+ MB/s \(log\.lines = true\)`,
		`herd     \| Ctrl-C stops the herd\.`,
	}
	for _, s := range h.Servers {
		want = append(want, fmt.Sprintf(`%-8s \| ready at %s in \d+\.\d s`, s.Name, regexp.QuoteMeta(s.Address)))
	}
	_ = c.Process.Signal(syscall.SIGTERM)
	if code := waitUp(t, c); code != 0 {
		t.Errorf("exit code %d", code)
	}
	want = append(want, `herd     \| stopping; press Ctrl-C again to kill`, `herd     \| all servers have stopped`)
	for line := range strings.Lines(out.String()) {
		line = strings.TrimSuffix(line, "\n")
		i := slices.IndexFunc(want, func(w string) bool { return regexp.MustCompile("^" + w + "$").MatchString(line) })
		switch {
		case i >= 0:
			want = slices.Delete(want, i, i+1)
		case strings.Contains(line, " after 5 s"), // on a busy machine
			strings.Contains(line, "\twarn\t") && !strings.Contains(line, lostReason) && !strings.Contains(line, refusedReason):
		default:
			t.Errorf("unexpected line %q", line)
		}
	}
	if len(want) > 0 {
		t.Errorf("it does not say %q:\n%s", want, out)
	}
}

// Starting some of the servers, and invalid arguments. Links to servers that do not run are printed once.
func TestUpOfSome(t *testing.T) {
	out := &processtest.Output{}
	h, c := upHerd(t, out, "", processtest.Names, "Ball", "Welsh")
	for _, bad := range [][]string{{"up", "Ball", "Ball"}, {"up", "Kiwi"}} {
		if _, stderr, code := h.Command("", bad...); code != exitUsage || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%q: exit code %d, %q", bad, code, stderr)
		}
	}
	c.Env = append(os.Environ(), "LISTEN_FDS=1") // of another process
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	processtest.Eventually(t, "up says what to type next", func() bool {
		return strings.Contains(out.String(), welcomed)
	})
	processtest.Eventually(t, "up says which links are missing", func() bool {
		return strings.Contains(out.String(), "not started by this command")
	})
	for _, once := range []string{
		"herd  | no link from Ball to Holiday after 5 s\n", "herd  | no link from Welsh to Alford after 5 s\n",
		"herd  | Alford, Holiday: not started by this command\n", "2 servers, 2 links live in ",
	} {
		if strings.Count(out.String(), once) != 1 {
			t.Errorf("it does not say once %q:\n%s", once, out)
		}
	}
	if pid(h, "Ball") == 0 || pid(h, "Welsh") == 0 || pid(h, "Alford") != 0 {
		t.Errorf("running: Ball %d, Welsh %d, Alford %d", pid(h, "Ball"), pid(h, "Welsh"), pid(h, "Alford"))
	}
	_ = c.Process.Signal(syscall.SIGTERM)
	if err := c.Wait(); err != nil {
		t.Errorf("up after SIGTERM: %v", err)
	}
	if n := logged(h, "stopped"); n != 2 {
		t.Errorf("%d servers stopped in good order, want 2: %s", n, out)
	}
}
