package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// directory is the file system through which one opened database sees its directory. Any goroutine.
//
// Pebble panics if it cannot begin or end a file of its log, retries a failed flush at once and
// forever (Open waits for it), and names its files by path, whatever directory the path leads to by
// now. Therefore:
//
//  1. A write that fails is retried until it succeeds: Pebble cannot go on after an error of its log
//     or of its manifest. A sync is not retried: one that succeeds after one that failed proves
//     nothing, the kernel may have dropped the pages.
//  2. What fails of a table is reported to Pebble after a pause. Pebble removes the file and writes
//     a new one.
//  3. Any other failure ends the database, and so does every failure of rules 1 and 2 while the
//     database is opened or closed.
//  4. Once the database has ended, every change is reported as made and is not made: Pebble comes
//     to an end without touching what is now at the path.
//
// So nothing that the database says counts before cause has been asked.
type directory struct {
	vfs.FS
	path   string
	strict atomic.Bool           // while the database is opened or closed
	ended  atomic.Pointer[error] // why the database has ended

	mu       sync.Mutex
	self     fileID
	files    map[string]*expected // by name: what has to be there
	made     []string             // files that were created while strict
	current  bool                 // a marker among them: the database refers to them
	failed   error                // the last failure that is being retried
	failedAt time.Time
}

// fileID tells a file from another one of the same name.
type fileID struct{ device, inode uint64 }

// expected is a file that the database needs, or will remove itself.
type expected struct {
	id   fileID
	size int64 // at least
}

const (
	// retryPause is between two tries of a write that fails.
	retryPause = 100 * time.Millisecond
	// failureAge is how long a failure that is not repeated is shown.
	failureAge = 3 * time.Second
)

// lostError says that what had been written is gone, or is damaged where it stands.
type lostError struct {
	error
	damaged bool // nothing can be written beside it
}

func (e lostError) Unwrap() error { return e.error }

func lost(format string, args ...any) error { return lostError{error: fmt.Errorf(format, args...)} }

func damage(err error) error { return lostError{err, true} }

func isLost(err error) bool {
	var l lostError
	return errors.As(err, &l)
}

func isDamage(err error) bool {
	var l lostError
	return errors.As(err, &l) && l.damaged
}

// changeError is a change that failed, or something else that says nothing of what was there before.
type changeError struct{ error }

func (e changeError) Unwrap() error { return e.error }

// damaged says whether an error of Pebble's is about the content of the directory: a file that is
// missing, unreadable or not as Pebble wrote it. Other errors of the system may go away.
func damaged(err error) bool {
	var change changeError
	var errno syscall.Errno
	if errors.As(err, &change) {
		return false
	}
	return !errors.As(err, &errno) || errno == syscall.ENOENT || errno == syscall.EIO
}

// newDirectory looks at what is there. Its database is about to be opened.
func newDirectory(under vfs.FS, path string) (*directory, error) {
	info, err := under.Stat(path)
	if err != nil {
		return nil, err
	}
	names, err := under.List(path)
	if err != nil {
		return nil, err
	}
	d := &directory{FS: under, path: path, self: idOf(info), files: map[string]*expected{}}
	d.strict.Store(true)
	for _, name := range names {
		d.expect(filepath.Join(path, name))
	}
	return d, nil
}

func idOf(info fs.FileInfo) fileID {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return fileID{uint64(st.Dev), st.Ino}
	}
	return fileID{}
}

// ours says whether Pebble would miss a file. The directory may hold others.
func ours(name string) bool {
	switch filepath.Ext(name) {
	case ".log", ".sst", ".blob":
		return true
	}
	for _, prefix := range []string{"LOCK", "MANIFEST-", "OPTIONS-", "marker."} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// expect notes a file that is there now, and returns the note; nil if nobody would miss it.
func (d *directory) expect(path string) *expected {
	name := filepath.Base(path)
	info, err := d.FS.Stat(path)
	if err != nil || !ours(name) {
		return nil
	}
	e := &expected{id: idOf(info)}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.files[name] = e
	return e
}

func (d *directory) forget(path string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.files, filepath.Base(path))
}

// check looks whether all files are where and as long as they were written. A lostError says that
// they are not; after another error nobody knows.
func (d *directory) check() error {
	info, err := d.FS.Stat(d.path)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return lost("the directory was removed")
	case err != nil:
		return err
	case idOf(info) != d.self:
		return lost("the directory was replaced")
	}
	for name, wanted := range d.wanted() {
		if err := d.checkFile(name, wanted); err != nil {
			return err
		}
	}
	return nil
}

// wanted is a copy of the files that have to be there.
func (d *directory) wanted() map[string]expected {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := make(map[string]expected, len(d.files))
	for name, e := range d.files {
		all[name] = *e
	}
	return all
}

func (d *directory) checkFile(name string, wanted expected) error {
	path := filepath.Join(d.path, name)
	info, err := d.FS.Stat(path)
	how := ""
	switch {
	case errors.Is(err, fs.ErrNotExist):
		how = "removed"
	case err != nil:
		return err
	case idOf(info) != wanted.id:
		how = "replaced"
	case info.Size() < wanted.size:
		how = "truncated"
	default:
		return nil
	}
	// Pebble may have removed or reused it meanwhile, and then said so before.
	d.mu.Lock()
	defer d.mu.Unlock()
	if e := d.files[name]; e == nil || e.id != wanted.id {
		return nil
	}
	return lost("%s was %s", name, how)
}

// usable says whether files could be made and read here, by the permissions and the mount.
func (d *directory) usable() error {
	const readWriteSearch = 7
	if err := syscall.Access(d.path, readWriteSearch); err != nil {
		return &fs.PathError{Op: "access", Path: d.path, Err: err}
	}
	return nil
}

// end ends the database; the first cause counts.
func (d *directory) end(cause error) { d.ended.CompareAndSwap(nil, &cause) }

// cause is why the database has ended; nil if it has not.
func (d *directory) cause() error {
	if p := d.ended.Load(); p != nil {
		return *p
	}
	return nil
}

// note remembers a failure that is being retried; nil: it is over.
func (d *directory) note(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failed, d.failedAt = err, time.Now()
}

// trouble is what is wrong at the moment, or nil.
func (d *directory) trouble() error {
	if err := d.cause(); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if time.Since(d.failedAt) < failureAge {
		return d.failed
	}
	return nil
}

// discard removes the files that an opening has made which failed, unless the database refers to
// them: on a full disk they would take up whatever gets free.
func (d *directory) discard() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.current {
		return
	}
	for _, path := range d.made {
		_ = d.FS.Remove(path)
	}
}

// background tells of an error in Pebble's own goroutines, on which it goes on. It is called with
// Pebble's mutex held.
func (d *directory) background(err error) {
	switch {
	case d.cause() != nil:
		time.Sleep(retryPause) // nobody else wants the mutex, and Pebble tries again at once
	case d.strict.Load():
		d.end(err)
	case !damaged(err):
		d.note(err)
	default:
		if gone := d.check(); isLost(gone) {
			err = gone
		} else {
			err = damage(err)
		}
		d.end(err)
	}
}

// corrupted tells of a file that is not as Pebble wrote it.
func (d *directory) corrupted(info pebble.DataCorruptionInfo) {
	d.end(damage(fmt.Errorf("%s: %w", info.Path, info.Details)))
}

// What comes of a change that fails, see directory.
type policy int

const (
	retried policy = iota
	reported
	final
)

// change makes a change, unless the database has ended.
func (d *directory) change(p policy, try func() error) error {
	again := false
	for d.cause() == nil {
		err := try()
		switch {
		case err == nil:
			if again {
				d.note(nil)
			}
			return nil
		case p == final || d.strict.Load():
			d.end(err)
			return nil
		}
		d.note(err)
		time.Sleep(retryPause)
		if gone := d.check(); isLost(gone) { // a commit may wait for this one
			d.end(gone)
			return nil
		}
		if p == reported {
			return changeError{err}
		}
		again = true
	}
	return nil
}

func policyOf(path string) policy {
	switch filepath.Ext(path) {
	case ".sst", ".blob":
		return reported
	}
	return retried
}
