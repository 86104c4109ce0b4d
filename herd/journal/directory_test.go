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

// follower does with a Journal what a server does: it commits again what failed, and everything
// when something was lost.
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
	t.Cleanup(func() { closed(t, j) })
	return &follower{t: t, j: j, posted: posted, all: map[string]protocol.Record{}}
}

// smallMemTable makes Pebble flush after some six hundred records.
const smallMemTable = 256 << 10

// closed closes a journal and waits until the directory is free.
func closed(t testing.TB, j *Journal) error {
	t.Helper()
	err := j.Close()
	select {
	case <-j.ended:
	case <-time.After(time.Minute):
		t.Fatal("the journal does not close")
	}
	return err
}

// records are n of clients with long names.
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

// settled commits everything if something was lost, and says whether all is on the disk then.
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

// flush makes a table of what is in the log.
func (f *follower) flush() {
	f.t.Helper()
	f.j.mu.Lock()
	defer f.j.mu.Unlock()
	if err := f.j.db.Flush(); err != nil {
		f.t.Fatal(err)
	}
}

// quiet has Pebble make one table of all, and waits until it has removed the others.
func (f *follower) quiet() {
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

// eventually polls until something holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// one is the path of the last file of a kind.
func one(t *testing.T, dir, pattern string) string {
	t.Helper()
	all, _ := filepath.Glob(filepath.Join(dir, "Alford", pattern))
	if len(all) == 0 {
		t.Fatalf("no %s", pattern)
	}
	return all[len(all)-1]
}

// Whatever happens to the directory while nothing is written is noticed, and written again.
func TestADirectoryThatIsChanged(t *testing.T) {
	must := func(t *testing.T, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	remove := func(pattern string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) { must(t, os.Remove(one(t, dir, pattern))) }
	}
	truncate := func(pattern string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) { must(t, os.Truncate(one(t, dir, pattern), 10)) }
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
			log := one(t, dir, "*.log")
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
				f.quiet()
				f.write(100, 3)
				if s := f.j.State(); s.Err != nil || s.Losses != 0 {
					t.Fatalf("before: %+v", s)
				}
				test.change(t, dir)
				seen := ""
				if during == "idle" {
					eventually(t, "it is noticed", func() bool {
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
					} else if f.j.State().Losses == 0 { // else it was noticed before
						t.Error("a commit to files that are gone counts")
					} else {
						seen = test.reason
					}
				}
				if !strings.Contains(seen, test.reason) {
					t.Errorf("reason %q, want %q", seen, test.reason)
				}
				eventually(t, "it is written again", f.settled)
				if err := closed(t, f.j); err != nil {
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

// A path that leads elsewhere is left alone, and used again when it can be. For one that another
// process has locked see cmd/herd/e2e.
func TestADirectoryThatIsAnothers(t *testing.T) {
	for _, test := range []struct {
		name, reason string
		put          func(t *testing.T, path string)
	}{
		{"a file", "not a directory", func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
				t.Fatal(err)
			}
		}},
		{"another server's", "it belongs to server Ball of herd ucla", func(t *testing.T, path string) {
			o, _ := options(t, t.TempDir())
			o.Server = "Ball"
			j, err := Open(o)
			if err != nil {
				t.Fatal(err)
			}
			closed(t, j)
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
			eventually(t, "it is written again", f.settled)
			if err := closed(t, f.j); err != nil {
				t.Error(err)
			}
			if got := load(t, o); len(got) != 10 {
				t.Errorf("%d records", len(got))
			}
		})
	}
}

// A database that has ended writes and removes nothing, whatever is at its path by then.
func TestANewDirectoryIsNotTouchedByTheOld(t *testing.T) {
	dir := t.TempDir()
	o, posted := options(t, dir)
	f := follow(t, o, posted)
	f.write(500, 1)
	f.flush()
	f.write(500, 2)
	f.j.mu.Lock() // nobody looks
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
	_ = f.j.inspect()
	if f.j.db != nil {
		t.Fatal("the database goes on")
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

// A table of which bytes have changed is found when Pebble reads it, and replaced by a new journal.
func TestATableThatIsCorrupted(t *testing.T) {
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
		t.Fatal("Pebble has not noticed")
	}
	eventually(t, "it is noticed", func() bool { return f.j.State().Losses > 0 })
	eventually(t, "it is written again", f.settled)
	if err := closed(t, f.j); err != nil {
		t.Error(err)
	}
	if got := load(t, o); len(got) != 500 {
		t.Errorf("%d records", len(got))
	}
	if kept, _ := filepath.Glob(filepath.Join(dir, "Alford.damaged", "*.sst")); len(kept) == 0 {
		t.Error("what was damaged is gone")
	}
}

// failing fails the operations that a pattern of the name and the kinds of operation choose.
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

// What Pebble writes or reads beside its log may fail for a long time: that is known, and costs no
// CPU.
func TestAFailureBehindTheLog(t *testing.T) {
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
			free := true // no commit is under way: Pebble makes them wait for its tables
			eventually(t, "it is noticed", func() bool {
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
			if err := closed(t, f.j); err != nil {
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

// A commit that waits for a table does not wait forever if the directory is removed meanwhile.
func TestADirectoryThatIsRemovedDuringACommit(t *testing.T) {
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
	eventually(t, "it is written again", f.settled)
}

// A start on a disk on which nothing can be written fails at once, and leaves nothing there.
func TestAStartOnAFullDisk(t *testing.T) {
	dir := t.TempDir()
	o, posted := options(t, dir)
	o.memTable = smallMemTable
	f := follow(t, o, posted)
	f.write(400, 1)
	f.quiet()
	f.write(400, 2)       // in the log, and so in a table when the journal is opened
	killed := t.TempDir() // the files as a kill -9 leaves them
	if err := os.CopyFS(killed, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	closed(t, f.j)
	before, _ := filepath.Glob(filepath.Join(killed, "Alford", "*"))
	fs := newBroken()
	o.Dir, o.FS = killed, fs
	fs.fail(syscall.ENOSPC)
	for range 5 {
		fs.spare.Store(1) // so that it fails in the middle of a table
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

// A commit that waits for room does not hold up the end, which says what is missing.
func TestCloseOnAFullDisk(t *testing.T) {
	fs := newBroken()
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
	eventually(t, "it is noticed", func() bool { return j.State().Err != nil })
	if err := j.Close(); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("closed with %v", err)
	}
}

// What is removed right before the end is noticed at the end.
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

// halfReused renames a log and then has no descriptor for it, a few times.
type halfReused struct {
	vfs.FS
	times atomic.Int64
}

func (h *halfReused) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if h.times.Add(-1) >= 0 {
		if err := h.FS.Rename(from, to); err != nil {
			return nil, err
		}
		return nil, syscall.EMFILE
	}
	return h.FS.ReuseForWrite(from, to, c)
}

func TestALogThatIsHalfReused(t *testing.T) {
	fs := &halfReused{FS: vfs.Default}
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
	if err := closed(t, f.j); err != nil {
		t.Error(err)
	}
	if got := load(t, o); len(got) != len(f.all) {
		t.Errorf("%d records", len(got))
	}
}
