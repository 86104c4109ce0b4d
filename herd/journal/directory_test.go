package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"serverherd/herd/herdtest"
	"serverherd/protocol"
)

// follower uses a Journal as a server does: it commits failed batches again, and all records after a loss.
type follower struct {
	t      *testing.T
	j      *Journal
	posted chan func()
	losses uint64
	all    map[string]protocol.Record
}

func follow(t *testing.T, o Options, posted chan func()) *follower {
	t.Helper()
	j, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeAndWait(t, j) })
	return &follower{t: t, j: j, posted: posted, all: map[string]protocol.Record{}}
}

// smallMemTable makes Pebble flush after about 600 records.
const smallMemTable = 256 << 10

// closeAndWait closes a journal and waits until its lock is released.
func closeAndWait(t testing.TB, j *Journal) error {
	t.Helper()
	err := j.Close()
	select {
	case <-j.done:
	case <-time.After(time.Minute):
		t.Fatal("the journal did not close")
	}
	return err
}

// records returns records of n clients with long names.
func records(t *testing.T, n, second int) (all []protocol.Record) {
	for i := range n {
		all = append(all, herdtest.Record(t, fmt.Sprintf("Ball +0.5 client%d%s +1-1 %d", i, strings.Repeat("-", 400), second)))
	}
	return all
}

func (f *follower) store(all []protocol.Record) {
	for _, r := range all {
		f.all[string(r.Client())] = r
	}
}

// settled commits everything after a loss, and reports whether everything is on the disk.
func (f *follower) settled() bool {
	s := f.j.State()
	if s.Losses != f.losses {
		f.losses = s.Losses
		var all []protocol.Record
		for _, r := range f.all {
			all = append(all, r)
		}
		if write(f.t, f.j, f.posted, all...) != nil {
			f.losses = ^uint64(0)
			return false
		}
	}
	s = f.j.State()
	return s.Err == nil && s.Losses == f.losses
}

// write commits n records.
func (f *follower) write(n, second int) {
	f.t.Helper()
	all := records(f.t, n, second)
	f.store(all)
	if err := write(f.t, f.j, f.posted, all...); err != nil {
		f.t.Fatal(err)
	}
}

// flush has Pebble write a table.
func (f *follower) flush() {
	f.t.Helper()
	f.j.mu.Lock()
	defer f.j.mu.Unlock()
	if err := f.j.db.Flush(); err != nil {
		f.t.Fatal(err)
	}
}

// compact has Pebble compact all tables into one, and waits until the others are removed.
func (f *follower) compact() {
	f.t.Helper()
	f.j.mu.Lock()
	defer f.j.mu.Unlock()
	if err := f.j.db.Compact(f.t.Context(), []byte{0}, []byte{0xff}, false); err != nil {
		f.t.Fatal(err)
	}
	eventually(f.t, "the other tables are removed", func() bool {
		tables, _ := filepath.Glob(filepath.Join(f.j.dir, "*.sst"))
		return len(tables) == 1
	})
}

// eventually polls until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("timeout: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// lastFile returns the last file that matches a pattern.
func lastFile(t *testing.T, dir, pattern string) string {
	t.Helper()
	all, _ := filepath.Glob(filepath.Join(dir, "Alford", pattern))
	if len(all) == 0 {
		t.Fatalf("no %s", pattern)
	}
	return all[len(all)-1]
}

// Changes to the directory by others are detected, and all records are written again.
func TestDirectoryChangedByOthers(t *testing.T) {
	must := func(t *testing.T, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	remove := func(pattern string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) { must(t, os.Remove(lastFile(t, dir, pattern))) }
	}
	truncate := func(pattern string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) { must(t, os.Truncate(lastFile(t, dir, pattern), 10)) }
	}
	for _, test := range []struct {
		name, reason string
		change       func(t *testing.T, dir string)
	}{
		{"removed", " was removed", func(t *testing.T, dir string) {
			must(t, os.RemoveAll(filepath.Join(dir, "Alford")))
		}},
		{"parent removed", " was removed", func(t *testing.T, dir string) { must(t, os.RemoveAll(dir)) }},
		{"moved away", "the directory was removed", func(t *testing.T, dir string) {
			must(t, os.Rename(filepath.Join(dir, "Alford"), filepath.Join(dir, "moved")))
		}},
		{"emptied", " was removed", func(t *testing.T, dir string) {
			all, _ := filepath.Glob(filepath.Join(dir, "Alford", "*"))
			for _, file := range all {
				if err := os.Remove(file); !errors.Is(err, os.ErrNotExist) {
					must(t, err)
				}
			}
		}},
		{"replaced", "the directory was replaced", func(t *testing.T, dir string) {
			must(t, os.Rename(filepath.Join(dir, "Alford"), filepath.Join(dir, "moved")))
			must(t, os.Mkdir(filepath.Join(dir, "Alford"), 0o700))
		}},
		{"replaced by its copy", "the directory was replaced", func(t *testing.T, dir string) {
			must(t, os.CopyFS(filepath.Join(dir, "copy"), os.DirFS(filepath.Join(dir, "Alford"))))
			must(t, os.RemoveAll(filepath.Join(dir, "Alford")))
			must(t, os.Rename(filepath.Join(dir, "copy"), filepath.Join(dir, "Alford")))
		}},
		{"log removed", ".log was removed", remove("*.log")},
		{"table removed", ".sst was removed", remove("*.sst")},
		{"manifest removed", " was removed", remove("MANIFEST-*")},
		{"marker removed", " was removed", remove("marker.manifest.*")},
		{"version removed", " was removed", remove("marker.format-version.*")},
		{"lock removed", "LOCK was removed", remove("LOCK")},
		{"log truncated", ".log was truncated", truncate("*.log")},
		{"table truncated", ".sst was truncated", truncate("*.sst")},
		{"log replaced", ".log was replaced", func(t *testing.T, dir string) {
			log := lastFile(t, dir, "*.log")
			text, err := os.ReadFile(log)
			must(t, err)
			must(t, os.WriteFile(log+".new", text, 0o600))
			must(t, os.Rename(log+".new", log))
		}},
	} {
		for _, during := range []string{"idle", "written to"} {
			t.Run(test.name+", "+during, func(t *testing.T) {
				t.Parallel()
				dir := filepath.Join(t.TempDir(), "storage")
				o, posted := options(t, dir)
				f := follow(t, o, posted)
				f.write(500, 1)
				f.flush()
				f.write(500, 2)
				f.flush()
				f.compact()
				f.write(100, 3)
				if s := f.j.State(); s.Err != nil || s.Losses != 0 {
					t.Fatalf("before: %+v", s)
				}
				test.change(t, dir)
				seen := ""
				if during == "idle" {
					eventually(t, "the loss is detected", func() bool {
						s := f.j.State()
						if s.Losses > 0 && s.Err != nil {
							seen = s.Err.Error()
						}
						return s.Losses > 0
					})
				} else {
					r := herdtest.Record(t, "Ball +0.5 last +1-1 1")
					f.store([]protocol.Record{r})
					if err := write(t, f.j, posted, r); err != nil {
						seen = err.Error()
					} else if f.j.State().Losses == 0 { // else it was detected before
						t.Error("a commit to removed files succeeded")
					} else {
						seen = test.reason
					}
				}
				if !strings.Contains(seen, test.reason) {
					t.Errorf("reason %q, want %q", seen, test.reason)
				}
				eventually(t, "everything is written again", f.settled)
				if err := closeAndWait(t, f.j); err != nil {
					t.Error(err)
				}
				got := load(t, o)
				for client, r := range f.all {
					if got[client] != string(r.Text()) {
						t.Fatalf("%.20s has %q", client, got[client])
					}
				}
			})
		}
	}
}

// A directory that is not this server's is not touched, and the path is used again when the directory is gone. For a
// directory that another process has locked see cmd/herd/e2e.
func TestForeignDirectoryIsNotTouched(t *testing.T) {
	for _, test := range []struct {
		name, reason string
		put          func(t *testing.T, path string)
	}{
		{"a file", "not a directory", func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
				t.Fatal(err)
			}
		}},
		{"another server's", "belongs to server Ball of herd ucla", func(t *testing.T, path string) {
			o, _ := options(t, t.TempDir())
			o.Server = "Ball"
			j, err := Open(o)
			if err != nil {
				t.Fatal(err)
			}
			closeAndWait(t, j)
			if err := os.Rename(filepath.Join(o.Dir, "Ball"), path); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			path := filepath.Join(dir, "Alford")
			o, posted := options(t, dir)
			f := follow(t, o, posted)
			all := records(t, 10, 1)
			f.store(all)
			if err := write(t, f.j, posted, all...); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(path, path+"-moved"); err != nil {
				t.Fatal(err)
			}
			test.put(t, path)
			eventually(t, "the reason is known", func() bool {
				f.settled()
				err := f.j.State().Err
				return err != nil && strings.Contains(err.Error(), test.reason) && strings.Contains(err.Error(), path)
			})
			if err := os.Rename(path, path+"-put"); err != nil {
				t.Fatal(err)
			}
			eventually(t, "everything is written again", f.settled)
			if err := closeAndWait(t, f.j); err != nil {
				t.Error(err)
			}
			if got := load(t, o); len(got) != 10 {
				t.Errorf("%d records", len(got))
			}
		})
	}
}

// A database that has ended does not write to or remove from a new directory at its path.
func TestEndedDatabaseDoesNotTouchNewDirectory(t *testing.T) {
	dir := t.TempDir()
	o, posted := options(t, dir)
	f := follow(t, o, posted)
	f.write(500, 1)
	f.flush()
	f.write(500, 2)
	f.j.mu.Lock() // no check in between
	defer f.j.mu.Unlock()
	old := filepath.Join(dir, "Alford")
	names, err := os.ReadDir(old)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(old); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(old, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, file := range names {
		if err := os.WriteFile(filepath.Join(old, file.Name()), []byte("new"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d := f.j.directory.Load()
	d.end(d.check())
	_ = f.j.db.Flush()
	for _, file := range names {
		path := filepath.Join(old, file.Name())
		for what, err := range map[string]error{
			"remove": d.Remove(path), "remove all": d.RemoveAll(path), "rename": d.Rename(path, path+"x"),
			"link": d.Link(path, path+"y"), "make": d.MkdirAll(path+"z", 0o700),
		} {
			if err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
		for _, create := range []func() (vfs.File, error){
			func() (vfs.File, error) { return d.Create(path, "") },
			func() (vfs.File, error) { return d.OpenReadWrite(path, "") },
			func() (vfs.File, error) { return d.ReuseForWrite(path, path+"x", "") },
		} {
			w, err := create()
			if err != nil {
				t.Fatal(err)
			}
			if n, err := w.Write([]byte("old")); n != 3 || err != nil {
				t.Errorf("write: %d, %v", n, err)
			}
			if err := errors.Join(w.Preallocate(0, 10), w.Sync(), w.Close()); err != nil {
				t.Error(err)
			}
		}
	}
	_ = f.j.checkDatabase()
	if f.j.db != nil {
		t.Fatal("the database has not ended")
	}
	for _, file := range names {
		if text, err := os.ReadFile(filepath.Join(old, file.Name())); err != nil || string(text) != "new" {
			t.Errorf("%s: %q, %v", file.Name(), text, err)
		}
	}
	left, err := os.ReadDir(old)
	if err != nil || len(left) != len(names) {
		t.Errorf("%d files, %v; want %d", len(left), err, len(names))
	}
}

// Corruption of a table is detected when Pebble reads it, and the journal is replaced by a new one.
func TestCorruptTable(t *testing.T) {
	dir := t.TempDir()
	o, posted := options(t, dir)
	f := follow(t, o, posted)
	for second := range 3 {
		f.write(500, second)
		f.flush()
	}
	tables, _ := filepath.Glob(filepath.Join(dir, "Alford", "*.sst"))
	for _, table := range tables {
		w, err := os.OpenFile(table, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.WriteAt([]byte(strings.Repeat("x", 1000)), 100); err != nil {
			t.Fatal(err)
		}
		w.Close()
	}
	f.j.mu.Lock()
	err := f.j.db.Compact(t.Context(), []byte{clientPrefix}, []byte{clientPrefix + 1}, false)
	f.j.mu.Unlock()
	if err == nil {
		t.Fatal("Pebble did not detect it")
	}
	eventually(t, "the loss is detected", func() bool { return f.j.State().Losses > 0 })
	eventually(t, "everything is written again", f.settled)
	if err := closeAndWait(t, f.j); err != nil {
		t.Error(err)
	}
	if got := load(t, o); len(got) != 500 {
		t.Errorf("%d records", len(got))
	}
	if kept, _ := filepath.Glob(filepath.Join(dir, "Alford.damaged", "*.sst")); len(kept) == 0 {
		t.Error("the damaged directory was removed")
	}
}

// failing fails operations of given kinds on files with a given suffix.
type failing struct {
	*errorfs.FS
	err   atomic.Pointer[error]
	count atomic.Int64
}

func newFailing(suffix string, kinds ...errorfs.OpKind) *failing {
	f := &failing{}
	f.FS = errorfs.Wrap(vfs.Default, errorfs.InjectorFunc(func(op errorfs.Op) error {
		err := f.err.Load()
		if err == nil || !strings.HasSuffix(op.Path, suffix) {
			return nil
		}
		for _, kind := range kinds {
			if op.Kind == kind {
				f.count.Add(1)
				return *err
			}
		}
		return nil
	}))
	return f
}

func (f *failing) fail(err error) { f.err.Store(&err) }
func (f *failing) heal()          { f.err.Store(nil) }

// Operations on files other than the log may fail for a long time: that is reported, and retries do not use up CPU.
func TestFailureOfOtherFiles(t *testing.T) {
	for _, test := range []struct {
		name  string
		err   error
		kinds []errorfs.OpKind
	}{
		{"create", syscall.EMFILE, []errorfs.OpKind{errorfs.OpCreate}},
		{"write", syscall.ENOSPC, []errorfs.OpKind{errorfs.OpFileWrite}},
		{"sync", syscall.EIO, []errorfs.OpKind{errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo}},
		{"open", syscall.EMFILE, []errorfs.OpKind{errorfs.OpOpen}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			fs := newFailing(".sst", test.kinds...)
			o, posted := options(t, t.TempDir())
			o.FS, o.memTable = fs, smallMemTable
			f := follow(t, o, posted)
			f.write(1000, 0)
			fs.fail(test.err)
			outcome, second := error(nil), 0
			free := true // no commit in progress: Pebble may block commits on its tables
			eventually(t, "the loss is detected", func() bool {
				select {
				case done := <-posted:
					done()
					free = true
				default:
				}
				if outcome != nil {
					t.Fatal(outcome)
				}
				if free {
					free = false
					second++
					all := records(t, 200, second)
					f.store(all)
					f.j.Commit(all, func(err error) { outcome = err })
				}
				return errors.Is(f.j.State().Err, test.err)
			})
			before := fs.count.Load()
			const window = 10
			time.Sleep(window * retryPause)
			if n := fs.count.Load() - before; n > 5*window {
				t.Errorf("%d tries in %v", n, window*retryPause)
			}
			fs.heal()
			if !free {
				(<-posted)()
			}
			if outcome != nil {
				t.Fatal(outcome)
			}
			eventually(t, "it has recovered", f.settled)
			if f.losses > 0 {
				t.Errorf("%d losses", f.losses)
			}
			if err := closeAndWait(t, f.j); err != nil {
				t.Error(err)
			}
			o.FS = nil
			got := load(t, o)
			for client, r := range f.all {
				if got[client] != string(r.Text()) {
					t.Fatalf("%.20s has %q", client, got[client])
				}
			}
		})
	}
}

// A commit that waits for a table returns if the directory is removed meanwhile.
func TestDirectoryRemovedDuringCommit(t *testing.T) {
	fs := newFailing(".sst", errorfs.OpCreate)
	dir := t.TempDir()
	o, posted := options(t, dir)
	o.FS, o.memTable = fs, smallMemTable
	f := follow(t, o, posted)
	f.write(100, 1)
	fs.fail(syscall.ENOSPC)
	outcome, second := errPending, 1
	for waits := false; !waits; {
		second++
		all := records(t, 200, second)
		f.store(all)
		f.j.Commit(all, func(err error) { outcome = err })
		select {
		case done := <-posted:
			done()
		case <-time.After(5 * retryPause):
			waits = true
		}
	}
	if err := os.RemoveAll(filepath.Join(dir, "Alford")); err != nil {
		t.Fatal(err)
	}
	(<-posted)()
	if !isLost(outcome) {
		t.Errorf("outcome %v", outcome)
	}
	fs.heal()
	eventually(t, "everything is written again", f.settled)
}

// Opening a journal on a full disk fails at once and leaves no files.
func TestOpenOnAFullDisk(t *testing.T) {
	dir := t.TempDir()
	o, posted := options(t, dir)
	o.memTable = smallMemTable
	f := follow(t, o, posted)
	f.write(400, 1)
	f.compact()
	f.write(400, 2)       // still in the log, so that Open writes a table
	killed := t.TempDir() // the files as after kill -9
	if err := os.CopyFS(killed, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	closeAndWait(t, f.j)
	before, _ := filepath.Glob(filepath.Join(killed, "Alford", "*"))
	fs := newFaultyFS()
	o.Dir, o.FS = killed, fs
	fs.fail(syscall.ENOSPC)
	for range 5 {
		fs.spare.Store(1) // to fail in the middle of a table
		if _, err := Open(o); !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), filepath.Join(killed, "Alford")) ||
			strings.Contains(err.Error(), "move it away") {
			t.Errorf("error %v", err)
		}
	}
	if after, _ := filepath.Glob(filepath.Join(killed, "Alford", "*")); len(after) > len(before) {
		t.Errorf("before %q, after %q", before, after)
	}
	fs.heal()
	if got := load(t, o); len(got) != 400 {
		t.Errorf("%d records", len(got))
	}
}

// Close does not wait for a commit that is blocked by a full disk, and returns an error.
func TestCloseOnAFullDisk(t *testing.T) {
	fs := newFaultyFS()
	o, posted := options(t, t.TempDir())
	o.FS = fs
	j, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := write(t, j, posted, records(t, 10, 1)...); err != nil {
		t.Fatal(err)
	}
	fs.fail(syscall.ENOSPC)
	j.Commit(records(t, 10, 2), func(error) {})
	eventually(t, "the loss is detected", func() bool { return j.State().Err != nil })
	if err := j.Close(); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("closed with %v", err)
	}
}

// Close detects that the directory was removed.
func TestCloseWithoutADirectory(t *testing.T) {
	dir := t.TempDir()
	o, posted := options(t, dir)
	j, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := write(t, j, posted, records(t, 10, 1)...); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "Alford")); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err == nil || !strings.Contains(err.Error(), "the directory was removed") {
		t.Errorf("closed with %v", err)
	}
}

// reuseFails renames a log and then fails to open it, a few times.
type reuseFails struct {
	vfs.FS
	times atomic.Int64
}

func (h *reuseFails) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if h.times.Add(-1) >= 0 {
		if err := h.FS.Rename(from, to); err != nil {
			return nil, err
		}
		return nil, syscall.EMFILE
	}
	return h.FS.ReuseForWrite(from, to, c)
}

func TestLogReuseFails(t *testing.T) {
	fs := &reuseFails{FS: vfs.Default}
	fs.times.Store(2)
	o, posted := options(t, t.TempDir())
	o.FS, o.memTable = fs, smallMemTable
	f := follow(t, o, posted)
	second := 0
	eventually(t, "logs are reused", func() bool {
		second++
		f.write(1000, second)
		return fs.times.Load() < 0
	})
	if err := closeAndWait(t, f.j); err != nil {
		t.Error(err)
	}
	if got := load(t, o); len(got) != len(f.all) {
		t.Errorf("%d records", len(got))
	}
}
