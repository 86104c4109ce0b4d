package e2e

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"serverherd/cmd/herd/e2e/processtest"
)

// logFile creates the directory of a server's log and returns the path of the log file.
func logFile(c *cluster, name string) string {
	c.T.Helper()
	file := filepath.Join(c.Dir, "logs", "server-"+name+".log")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		c.T.Fatal(err)
	}
	return file
}

// look requests a server's status repeatedly: each request is a posted call, and so measures the loop's lag.
func (c *cluster) look(name string) (stop func()) {
	return periodically(c.T, 5*time.Millisecond, func() { c.Status(name) })
}

// drops sends updates until the server has dropped log entries, and then some more, and records the loop's lag meanwhile.
func (c *cluster) drops(name, required string) (dropped uint64) {
	t := c.T
	t.Helper()
	lags, b, second := c.now(name).Loop.Lags, c.bystander(name), 1
	stop := c.look(name)
	move := func() {
		c.update(name, 0, 20_000, second)
		second++
	}
	processtest.Eventually(t, "log entries are dropped", func() bool {
		move()
		return c.now(name).Counters.LogDropped > 0
	})
	for range sized(2, 20) {
		move()
	}
	stop()
	p99, longest := b.done()
	lag, dropped := c.lag(name, lags), c.now(name).Counters.LogDropped
	figure(t, lag <= 20*time.Millisecond && p99 <= 50*time.Millisecond,
		required+": loop unaffected, drops counted",
		"%d updates, all answered; %d entries dropped; lag p99 below %.1f ms; a bystander waits %.1f ms at p99, "+
			"%.1f at most", 20_000*(second-1), dropped, ms(lag), ms(p99), ms(longest))
	return dropped
}

// The disk of the log blocks writers. The test uses a pipe that nobody reads.
func TestLogOnAStalledDisk(t *testing.T) {
	scenario(t)
	c := newCluster(t, placeless, "Alford")
	file := logFile(c, "Alford")
	if err := syscall.Mkfifo(file, 0o600); err != nil {
		t.Fatal(err)
	}
	pipe, err := os.OpenFile(file, os.O_RDWR, 0) // both ends, so that opening it does not block
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	c.startAll()
	dropped := c.drops("Alford", "log disk stalled")

	// After the disk has recovered, the log says how much it lacks.
	in := bufio.NewReader(pipe)
	_ = pipe.SetReadDeadline(time.Now().Add(processtest.Patience))
	reported := uint64(0)
	for reported < dropped {
		line, err := in.ReadString('\n')
		if err != nil {
			t.Fatalf("%v; the log reports %d dropped entries, the status %d", err, reported, dropped)
		}
		if _, rest, found := strings.Cut(line, `"msg":"dropped log entries","dropped":`); found {
			n := uint64(0)
			if _, err := fmt.Sscan(strings.TrimRight(rest, "}\n"), &n); err != nil {
				t.Fatalf("%v in %q", err, line)
			}
			reported += n
		}
	}
	c.update("Alford", 0, 10, 1_000_000)
	for want := "client0000009 +34.068930-118.445127 1000000"; ; {
		line, err := in.ReadString('\n')
		if err != nil {
			t.Fatalf("%v: nothing new is logged after the disk has recovered", err)
		}
		if strings.Contains(line, want) {
			break
		}
	}
	// Blocked again, the log does not delay the exit.
	c.update("Alford", 0, 20_000, 1_000_001)
	code, took := c.terminate("Alford")
	if code != 0 {
		t.Errorf("exit code %d", code)
	}
	figure(t, took < 10*time.Second, "log disk stalled: SIGTERM ends the server",
		"exit %d after %.1f s", code, took.Seconds())
}

// The disk of the log is full, and then it is not. The test uses a limit on the size of files.
func TestLogOnAFullDisk(t *testing.T) {
	scenario(t)
	c := startCluster(t, placeless, "Alford")
	limit := func(bytes uint64) {
		pid := c.Running["Alford"].Cmd.Process.Pid
		if err := unix.Prlimit(pid, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: bytes, Max: unix.RLIM_INFINITY}, nil); err != nil {
			t.Fatal(err)
		}
	}
	limit(64 << 10)
	c.drops("Alford", "log disk full")
	c.waitForStderr("Alford", "log file error")
	limit(unix.RLIM_INFINITY)
	logged(c, "Alford", 1_000_000)
	if code, _ := c.terminate("Alford"); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
