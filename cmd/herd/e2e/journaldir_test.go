package e2e

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"

	"serverherd/cmd/herd/e2e/processtest"
	"serverherd/herd"
)

// tmpfs mounts a file system of the given size. Where that is not allowed the test is not run.
func tmpfs(t *testing.T, dir, required string, size int) {
	t.Helper()
	if err := syscall.Mount("herd", dir, "tmpfs", 0, fmt.Sprint("size=", size)); err != nil {
		notRun(t, required, "no tmpfs can be mounted: "+err.Error())
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
}

// fill fills a file system with a file. Removing it makes room again.
func fill(t *testing.T, dir string) (filler string) {
	t.Helper()
	filler = filepath.Join(dir, "filler")
	f, err := os.Create(filler)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 20; size > 0; size /= 2 {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
	}
	return filler
}

// Changes to the directory of a journal of a running server are detected within seconds, reported, and repaired as soon as
// possible.
func TestJournalDirectory(t *testing.T) {
	const required = "a change of the journal's directory is reported within 5 s and repaired within 10 s"
	type place struct {
		*cluster
		t    *testing.T
		dir  string // of the journal
		heal func() // nil: not needed
	}
	for _, test := range []struct {
		name, reason string // "": it may be repaired before it is reported
		change       func(p *place) error
	}{
		{"removed", "", func(p *place) error { return processtest.RemoveAll(p.dir) }},
		{"removed with its parent", "", func(p *place) error { return processtest.RemoveAll(filepath.Dir(p.dir)) }},
		{"emptied", "", func(p *place) error {
			files, err := os.ReadDir(p.dir)
			for _, file := range files {
				err = errors.Join(err, os.Remove(filepath.Join(p.dir, file.Name())))
			}
			return err
		}},
		{"replaced by a directory", "", func(p *place) error {
			return errors.Join(os.Rename(p.dir, p.dir+"-moved"), os.Mkdir(p.dir, 0o700), os.Chmod(p.dir, 0o777))
		}},
		{"replaced by a file", "not a directory", func(p *place) error {
			p.heal = func() { _ = os.Remove(p.dir) }
			return errors.Join(os.Rename(p.dir, p.dir+"-moved"), os.WriteFile(p.dir, nil, 0o600))
		}},
		{"taken by another process", "in use by another process", func(p *place) error {
			other := p.dir + "-other"
			if err := os.Mkdir(other, 0o700); err != nil {
				return err
			}
			lock, err := pebble.LockDirectory(other, vfs.Default)
			if err != nil {
				return err
			}
			p.heal = func() { lock.Close() }
			return errors.Join(os.Chmod(other, 0o777), os.Chmod(filepath.Join(other, "LOCK"), 0o666),
				os.Rename(p.dir, p.dir+"-moved"), os.Rename(other, p.dir))
		}},
		{"mounted over", "", func(p *place) error {
			tmpfs(p.t, p.dir, required, 64<<20)
			return nil
		}},
		{"mounted over by a full disk", "no space left on device", func(p *place) error {
			full := filepath.Join(p.Dir, "full")
			if err := os.Mkdir(full, 0o700); err != nil {
				return err
			}
			tmpfs(p.t, full, required, 1<<20)
			filler := fill(p.t, full)
			p.heal = func() {
				_ = os.Remove(filler)
				_ = syscall.Mount("", full, "", syscall.MS_REMOUNT, "size=64m")
			}
			if err := syscall.Mount(full, p.dir, "", syscall.MS_BIND, ""); err != nil {
				return err
			}
			p.t.Cleanup(func() { _ = syscall.Unmount(p.dir, syscall.MNT_DETACH) })
			return nil
		}},
		{"read-only", "read-only file system", func(p *place) error {
			if err := syscall.Mount(p.dir, p.dir, "", syscall.MS_BIND, ""); err != nil {
				notRun(p.t, required, "nothing can be mounted: "+err.Error())
			}
			unmount := func() { _ = syscall.Unmount(p.dir, syscall.MNT_DETACH) }
			p.t.Cleanup(unmount)
			p.heal = unmount
			return syscall.Mount("", p.dir, "", syscall.MS_REMOUNT|syscall.MS_BIND|syscall.MS_RDONLY, "")
		}},
		{"without permissions", "permission denied", func(p *place) error {
			p.heal = func() { _ = os.Chmod(p.dir, 0o700) }
			return os.Chmod(p.dir, 0)
		}},
		{"its parent without permissions", "permission denied", func(p *place) error {
			p.heal = func() { _ = os.Chmod(filepath.Dir(p.dir), 0o700) }
			return os.Chmod(filepath.Dir(p.dir), 0)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			scenario(t)
			c := newCluster(t, journaled, "Alford")
			c.Unprivileged()
			c.startAll()
			p := &place{cluster: c, t: t, dir: filepath.Join(c.Dir, "journal", "Alford")}
			c.update("Alford", 0, 5000, 1)
			processtest.Eventually(t, "all is on the disk", func() bool { return c.now("Alford").Journal.Behind == 0 })
			if err := test.change(p); err != nil {
				t.Fatal(err)
			}
			changed, seen := time.Now(), ""
			processtest.Eventually(t, "the status reports it", func() bool {
				j := c.now("Alford").Journal
				seen = j.Error
				return !j.OK && strings.Contains(seen, test.reason) || test.reason == "" && j.Losses > 0
			})
			noticed := time.Since(changed)
			if p.heal != nil {
				out, _, code := c.Command("", "status")
				out = strings.Join(strings.Fields(out), " ") // lines are wrapped
				if code != 1 || !strings.Contains(out, "Alford: journal ") || !strings.Contains(out, test.reason) {
					t.Errorf("herd status: exit code %d, %q", code, out)
				}
				c.update("Alford", 0, 10, 2) // continues to work
				p.heal()
			}
			took := c.untilWritten("Alford")
			c.Kill("Alford")
			c.Start("Alford")
			if s := c.now("Alford"); s.Journal.Loaded != 5000 {
				t.Errorf("%d records loaded", s.Journal.Loaded)
			}
			figure(t, noticed <= 5*time.Second && took <= 10*time.Second, required, "reported after %.1f s (%s), repaired %.1f s later",
				noticed.Seconds(), strings.ReplaceAll(seen, p.dir, "DIR"), took.Seconds())
		})
	}
}

// withoutDescriptors limits a process to its open descriptors.
func withoutDescriptors(pid int, limit unix.Rlimit) error {
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return err
	}
	taken := map[string]bool{}
	for _, fd := range open {
		taken[fd.Name()] = true
	}
	for limit.Cur = 0; taken[fmt.Sprint(limit.Cur)]; {
		limit.Cur++
	}
	return unix.Prlimit(pid, unix.RLIMIT_NOFILE, &limit, nil)
}

// A server without free descriptors for its journal reports that, and recovers once it has some.
func TestJournalWithoutDescriptors(t *testing.T) {
	const required = "no descriptors for the journal: reported, recovered"
	scenario(t)
	c := newCluster(t, journaled, "Alford")
	c.startAll()
	pid := c.Running["Alford"].Cmd.Process.Pid
	var limit unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &limit); err != nil {
		notRun(t, required, "limits cannot be read: "+err.Error())
	}
	// Two open connections, because nothing new can be accepted.
	conn := c.dial("Alford")
	replies := bufio.NewReader(conn)
	status := http.Client{Timeout: 5 * time.Second}
	defer status.CloseIdleConnections()
	now := func() (s herd.Status) {
		r, err := status.Get("http://" + c.Server("Alford").Console + "/status.json")
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		if err := json.NewDecoder(r.Body).Decode(&s); err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, r.Body) // so that the connection is reused
		return s
	}
	now()
	second, seen := 0, ""
	processtest.Within(t, 5*processtest.Patience, "the status reports it", func() bool {
		if err := withoutDescriptors(pid, limit); err != nil {
			notRun(t, required, "limits cannot be set: "+err.Error())
		}
		second++
		var lines strings.Builder
		for client := range 10_000 {
			fmt.Fprintf(&lines, "IAMAT client%07d +1+1 %d\n", client, second)
		}
		go func() { _, _ = io.WriteString(conn, lines.String()) }()
		for range 2 * 10_000 { // each has an empty line
			if _, err := replies.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
		}
		seen = now().Journal.Error
		return strings.Contains(seen, "too many open files")
	})
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &limit, nil); err != nil {
		t.Fatal(err)
	}
	healed := time.Now()
	processtest.Eventually(t, "everything is on the disk", func() bool {
		j := now().Journal
		return j.OK && j.Behind == 0
	})
	figure(t, true, required, "%s; recovered after %.1f s", strings.ReplaceAll(seen, c.Dir, "DIR"), time.Since(healed).Seconds())
}

// A server that is stopped while its journal cannot be written reports how much is missing.
func TestStopWithAFullJournal(t *testing.T) {
	const required = "SIGTERM with a journal that cannot be written: exit 1, and the number of records"
	scenario(t)
	disk := t.TempDir()
	tmpfs(t, disk, required, 64<<20)
	c := newCluster(t, unlogged+fmt.Sprintf("[storage]\ndir = %q\n", disk), "Alford")
	c.startAll()
	fill(t, disk)
	second := 1
	processtest.Eventually(t, "the journal is full", func() bool {
		c.update("Alford", 0, 20_000, second)
		second++
		return strings.Contains(c.now("Alford").Journal.Error, "no space left on device")
	})
	c.update("Alford", 0, 20_000, second)
	stderr := c.Running["Alford"].Stderr
	code, took := c.terminate("Alford")
	want := "20000 records are not on the disk: "
	if said := stderr.String(); !strings.Contains(said, "herd: ") || !strings.Contains(said, want) ||
		!strings.Contains(said, "no space left on device") {
		t.Errorf("standard error: %s", said)
	}
	if !strings.Contains(logOf(c.Herd, "Alford"), want) {
		t.Error("the log does not say it")
	}
	figure(t, code == 1, required, "exit %d after %.1f s", code, took.Seconds())
	if code != 1 {
		t.Errorf("exit code %d", code)
	}
}

// A server whose journal cannot be written does not start: it fails at once with the reason.
func TestStartWithAFullJournal(t *testing.T) {
	const required = "start on a full disk: exit 1 within 10 s, with directory and cause"
	scenario(t)
	disk := t.TempDir()
	tmpfs(t, disk, required, 24<<20)
	c := newCluster(t, unlogged+fmt.Sprintf("[storage]\ndir = %q\n", disk), "Alford")
	c.startAll()
	for second := range 8 {
		var lines strings.Builder
		for client := range 20_000 {
			fmt.Fprintf(&lines, "IAMAT client%0102d +34.068930-118.445127 %d\n", client, second)
		}
		if n := strings.Count(c.Ask("Alford", lines.String()), "AT "); n != 20_000 {
			t.Fatalf("%d replies", n)
		}
	}
	processtest.Eventually(t, "the disk is full", func() bool { return !c.now("Alford").Journal.OK })
	c.Kill("Alford")
	begun := time.Now()
	r := c.Start("Alford")
	c.Wait(r)
	took, code := time.Since(begun), r.Cmd.ProcessState.ExitCode()
	delete(c.Running, "Alford")
	if said := r.Stderr.String(); !strings.Contains(said, filepath.Join(disk, "Alford")) ||
		!strings.Contains(said, "no space left on device") {
		t.Errorf("standard error: %s", said)
	}
	figure(t, code == 1 && took <= 10*time.Second, required, "exit %d after %.1f s", code, took.Seconds())
	if code != 1 {
		t.Errorf("exit code %d", code)
	}
	if err := syscall.Mount("", disk, "", syscall.MS_REMOUNT, "size=256m"); err != nil {
		t.Fatal(err)
	}
	c.Start("Alford")
	processtest.Eventually(t, "all is on the disk", func() bool { return c.now("Alford").Journal.OK })
}
