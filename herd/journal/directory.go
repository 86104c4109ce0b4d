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

// directory is the file system through which one open database sees its directory. Any goroutine.
//
// Pebble panics if it cannot create or close a log file, retries a failed flush immediately and forever (Open
// waits for it), and addresses its files by path, even if another directory is at that path by now. Therefore:
//
//  1. A failed write is retried until it succeeds: Pebble cannot continue after an error of its log or its
//     manifest. A sync is not retried: if it succeeds after a failure, that proves nothing, because the kernel
//     may have dropped the pages.
//  2. A failed operation on a table is reported to Pebble after a pause. Pebble removes the file and writes a
//     new one.
//  3. Any other failure ends the database. So does a failure of rule 1 or 2 while the database is being opened
//     or closed.
//  4. Once the database has ended, every change is reported as done but is not done, so that Pebble terminates
//     without touching what is now at the path.
//
// So a result of the database is valid only if cause returns nil afterwards.
type directory struct {
	vfs.FS
	path   string
	strict atomic.Bool           // the database is being opened or closed
	ended  atomic.Pointer[error] // why the database has ended

	mu       sync.Mutex
	self     fileID
	files    map[string]*trackedFile // by name: files that must exist
	created  []string                // files that were created while strict
	current  bool                    // a marker was created: the database refers to the created files
	failed   error                   // the last failure that is being retried
	failedAt time.Time
}

// fileID distinguishes a file from another one of the same name.
type fileID struct{ device, inode uint64 }

// trackedFile is a file that the database needs, or will remove itself.
type trackedFile struct {
	id   fileID
	size int64 // minimum
}

const (
	// retryPause is the pause before a failed write is retried.
	retryPause = 100 * time.Millisecond
	// failureAge is how long a failure is reported after it last occurred.
	failureAge = 3 * time.Second
)

// lostError means that written data is gone or corrupt.
type lostError struct {
	error
	damaged bool // the directory must be moved aside before anything can be written
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

// changeError is a failed change, or another error that says nothing about the existing data.
type changeError struct{ error }

func (e changeError) Unwrap() error { return e.error }

// isCorruption reports whether an error of Pebble is about the content of the directory: a file that is missing,
// unreadable or not as Pebble wrote it. Other system errors may be transient.
func isCorruption(err error) bool {
	var change changeError
	var errno syscall.Errno
	if errors.As(err, &change) {
		return false
	}
	return !errors.As(err, &errno) || errno == syscall.ENOENT || errno == syscall.EIO
}

// newDirectory tracks the existing files. The caller opens the database next.
func newDirectory(under vfs.FS, path string) (*directory, error) {
	info, err := under.Stat(path)
	if err != nil {
		return nil, err
	}
	names, err := under.List(path)
	if err != nil {
		return nil, err
	}
	d := &directory{FS: under, path: path, self: idOf(info), files: map[string]*trackedFile{}}
	d.strict.Store(true)
	for _, name := range names {
		d.track(filepath.Join(path, name))
	}
	return d, nil
}

func idOf(info fs.FileInfo) fileID {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return fileID{uint64(st.Dev), st.Ino}
	}
	return fileID{}
}

// isPebbleFile reports whether Pebble needs a file. The directory may contain others.
func isPebbleFile(name string) bool {
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

// track records a file that exists now. It returns nil if the database does not need it.
func (d *directory) track(path string) *trackedFile {
	name := filepath.Base(path)
	info, err := d.FS.Stat(path)
	if err != nil || !isPebbleFile(name) {
		return nil
	}
	e := &trackedFile{id: idOf(info)}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.files[name] = e
	return e
}

func (d *directory) untrack(path string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.files, filepath.Base(path))
}

// check reports whether all files are still in place and complete. A lostError means that they are not; any
// other error means that the check failed.
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
	for name, want := range d.tracked() {
		if err := d.checkFile(name, want); err != nil {
			return err
		}
	}
	return nil
}

// tracked returns a copy of the tracked files.
func (d *directory) tracked() map[string]trackedFile {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := make(map[string]trackedFile, len(d.files))
	for name, e := range d.files {
		all[name] = *e
	}
	return all
}

func (d *directory) checkFile(name string, want trackedFile) error {
	path := filepath.Join(d.path, name)
	info, err := d.FS.Stat(path)
	how := ""
	switch {
	case errors.Is(err, fs.ErrNotExist):
		how = "removed"
	case err != nil:
		return err
	case idOf(info) != want.id:
		how = "replaced"
	case info.Size() < want.size:
		how = "truncated"
	default:
		return nil
	}
	// Pebble may have removed or reused the file meanwhile: then it is no longer tracked.
	d.mu.Lock()
	defer d.mu.Unlock()
	if e := d.files[name]; e == nil || e.id != want.id {
		return nil
	}
	return lost("%s was %s", name, how)
}

// checkAccess returns an error if permissions or the mount do not allow to create and read files.
func (d *directory) checkAccess() error {
	const readWriteSearch = 7
	if err := syscall.Access(d.path, readWriteSearch); err != nil {
		return &fs.PathError{Op: "access", Path: d.path, Err: err}
	}
	return nil
}

// end ends the database. Only the first cause is kept.
func (d *directory) end(cause error) { d.ended.CompareAndSwap(nil, &cause) }

// cause returns why the database has ended; nil if it has not.
func (d *directory) cause() error {
	if p := d.ended.Load(); p != nil {
		return *p
	}
	return nil
}

// noteFailure records a failure that is being retried; nil: the retry succeeded.
func (d *directory) noteFailure(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failed, d.failedAt = err, time.Now()
}

// lastFailure returns what is currently wrong, or nil.
func (d *directory) lastFailure() error {
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

// discard removes the files that a failed open has created, unless the database refers to them: on a full disk
// each attempt would use up more space.
func (d *directory) discard() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.current {
		return
	}
	for _, path := range d.created {
		_ = d.FS.Remove(path)
	}
}

// onBackgroundError handles an error in Pebble's own goroutines, after which Pebble continues. Pebble holds its
// mutex.
func (d *directory) onBackgroundError(err error) {
	switch {
	case d.cause() != nil:
		time.Sleep(retryPause) // Pebble retries immediately; nobody else needs the mutex any longer
	case d.strict.Load():
		d.end(err)
	case !isCorruption(err):
		d.noteFailure(err)
	default:
		if gone := d.check(); isLost(gone) {
			err = gone
		} else {
			err = damage(err)
		}
		d.end(err)
	}
}

// onCorruption handles a file that is not as Pebble wrote it.
func (d *directory) onCorruption(info pebble.DataCorruptionInfo) {
	d.end(damage(fmt.Errorf("%s: %w", info.Path, info.Details)))
}

// policy is what happens when a change fails, see directory.
type policy int

const (
	retried policy = iota
	reported
	final
)

// change runs a change, unless the database has ended.
func (d *directory) change(p policy, try func() error) error {
	retrying := false
	for d.cause() == nil {
		err := try()
		switch {
		case err == nil:
			if retrying {
				d.noteFailure(nil)
			}
			return nil
		case p == final || d.strict.Load():
			d.end(err)
			return nil
		}
		d.noteFailure(err)
		time.Sleep(retryPause)
		if gone := d.check(); isLost(gone) { // a commit may be waiting for this change
			d.end(gone)
			return nil
		}
		if p == reported {
			return changeError{err}
		}
		retrying = true
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
