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

// logFile makes the directory of a server's log and returns where the file goes.
func logFile(c *cluster, name string) string {
	c.T.Helper()
	file := filepath.Join(c.Dir, "logs", "server-"+name+".log")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		c.T.Fatal(err)
	}
	return file
}

// look asks a server for its status again and again: each is a posted call, and so tells of the
// loop's lag.
func (c *cluster) look(name string) (stop func()) {
	return beside(c.T, 5*time.Millisecond, func() { c.Status(name) })
}

// drops moves clients until the server has dropped log entries, and then some more, and puts down
// how the loop ran meanwhile.
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

// The disk of the log stalls: whoever writes to it waits. A pipe that nobody reads is such a disk.
func TestLogOnAStalledDisk(t *testing.T) {
	scenario(t)
	c := newCluster(t, placeless, "Alford")
	file := logFile(c, "Alford")
	if err := syscall.Mkfifo(file, 0o600); err != nil {
		t.Fatal(err)
	}
	pipe, err := os.OpenFile(file, os.O_RDWR, 0) // both ends: no opening of it waits
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	c.startAll()
	dropped := c.drops("Alford", "log disk stalled")

	// It is well again, and the log says what it lacks.
	in := bufio.NewReader(pipe)
	_ = pipe.SetReadDeadline(time.Now().Add(processtest.Patience))
	told := uint64(0)
	for told < dropped {
		line, err := in.ReadString('\n')
		if err != nil {
			t.Fatalf("%v; the log tells of %d entries dropped, the status of %d", err, told, dropped)
		}
		if _, rest, found := strings.Cut(line, `"msg":"dropped log entries","dropped":`); found {
			n := uint64(0)
			if _, err := fmt.Sscan(strings.TrimRight(rest, "}\n"), &n); err != nil {
				t.Fatalf("%v in %q", err, line)
			}
			told += n
		}
	}
	c.update("Alford", 0, 10, 1_000_000)
	for want := "client0000009 +34.068930-118.445127 1000000"; ; {
		line, err := in.ReadString('\n')
		if err != nil {
			t.Fatalf("%v: nothing new is logged once the disk is well", err)
		}
		if strings.Contains(line, want) {
			break
		}
	}
	// Stalled again, the log does not hold up the end.
	c.update("Alford", 0, 20_000, 1_000_001)
	code, took := c.terminate("Alford")
	if code != 0 {
		t.Errorf("exit code %d", code)
	}
	figure(t, took < 10*time.Second, "log disk stalled: SIGTERM ends the server",
		"exit %d after %.1f s", code, took.Seconds())
}

// The disk of the log is full, and then it is not. A limit on the size of its files is such a disk.
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
	c.says("Alford", "log file error")
	limit(unix.RLIM_INFINITY)
	logged(c, "Alford", 1_000_000)
	if code, _ := c.terminate("Alford"); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
