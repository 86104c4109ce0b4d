package logging

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"serverherd/herd"
)

// Modes of new files and directories: the log has the location of every client. With log.group_readable the group has the
// bits of groupRead, too. Existing files and directories keep their modes.
const (
	fileMode = 0o600
	dirMode  = 0o700

	groupRead = 0o050
)

// errorPause is the minimum time between two entries about errors of the log file: on a full disk ten
// writes per second fail.
const errorPause = 10 * time.Second

// file is a log file that is appended to and rotated by size. Known libraries (lumberjack, timberjack) open
// a rotated file without O_APPEND, with O_TRUNC and through symbolic links, and never check whether the
// name still refers to the open file. This one has these invariants:
//
//  1. It is always open with O_APPEND: after a truncation (logrotate's copytruncate) writes continue at the
//     new end and leave no hole.
//  2. A symbolic link in place of the file is never followed. The directory may be one.
//  3. If the name refers to another file or none, it is reopened within herd.LogCheck.
//  4. It and its rotated files never take more than maxSize times maxFiles+1 bytes, plus a file being
//     compressed. If it is full and cannot be rotated, nothing is written.
//
// Its methods are for one goroutine, that of the Buffer in front of it; requestCheck and errorText are for
// any.
type file struct {
	name     string // absolute
	maxSize  int64  // bytes; 0 for no rotation
	maxFiles int    // rotated files that are kept
	compress bool
	forGroup bool // the group may read new files
	// log logs events of the file. It must not block.
	log func(level zapcore.Level, message string, fields ...zap.Field)

	open      *os.File // nil if it could not be reopened
	size      int64    // of open, as far as known
	checked   time.Time
	lastError time.Time // when an error was logged last
	gzip      compressor

	checkRequested atomic.Pointer[check]
	reopened       atomic.Uint64
	written        atomic.Uint64 // bytes
	// The current error of opening and of writing; nil for none.
	openError, writeError atomic.Pointer[string]
}

// errorText is the current error of opening or writing; "" if there is none. Any goroutine.
func (f *file) errorText() string {
	if text := f.openError.Load(); text != nil {
		return *text
	}
	if text := f.writeError.Load(); text != nil {
		return *text
	}
	return ""
}

// note stores the result of opening or writing in where, and returns it.
func note(where *atomic.Pointer[string], err error) error {
	if err == nil {
		if where.Load() != nil {
			where.Store(nil)
		}
		return nil
	}
	text := err.Error()
	where.Store(&text)
	return err
}

// start opens the log file and creates its directory if needed. Its error names the directory or the file.
func (f *file) start() (err error) {
	if f.name, err = filepath.Abs(f.name); err != nil {
		return err
	}
	if f.open, err = openLog(f.name, f.forGroup); err != nil {
		return err
	}
	return f.measure()
}

// openLog opens a log file for appending. If forGroup, the group may read what is new. A pipe without a reader is an
// error; it does not block.
func openLog(name string, forGroup bool) (*os.File, error) {
	if err := makeDir(filepath.Dir(name), forGroup); err != nil {
		return nil, fmt.Errorf("log directory: %w", err)
	}
	const flags = os.O_APPEND | os.O_WRONLY | syscall.O_NOFOLLOW | syscall.O_NONBLOCK
	f, err := create(name, flags, forGroup)
	if errors.Is(err, fs.ErrExist) {
		// #nosec G304 -- the operator names it
		f, err = os.OpenFile(name, flags, 0)
	}
	if info, e := os.Lstat(name); err != nil && e == nil && info.Mode()&fs.ModeSymlink != 0 {
		err = fmt.Errorf("%s is a symbolic link, which is not followed: remove it, "+
			"use a link for the directory, or set log.dir", name)
	}
	if err != nil {
		return nil, fmt.Errorf("log file: %w", err)
	}
	return f, nil
}

// create creates a file. Its group is that of the process, or of the directory if that has the set-group-ID bit.
func create(name string, flags int, forGroup bool) (*os.File, error) {
	// #nosec G304 -- the operator names it
	f, err := os.OpenFile(name, flags|os.O_CREATE|os.O_EXCL, fileMode)
	if err == nil && forGroup {
		if err = f.Chmod(fileMode | groupRead&^0o111); err != nil { // the umask does not matter
			f.Close()
		}
	}
	return f, err
}

// makeDir makes a directory, if there is none.
func makeDir(dir string, forGroup bool) error {
	_, err := os.Stat(dir)
	if !errors.Is(err, fs.ErrNotExist) || !forGroup {
		return os.MkdirAll(dir, dirMode)
	}
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return err
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	return os.Chmod(dir, info.Mode()&fs.ModeSetgid|dirMode|groupRead)
}

// readable returns the mode of the file and whether it is readable by others.
func (f *file) readable() (mode string, open bool) {
	dir, err1 := os.Stat(filepath.Dir(f.name))
	info, err2 := f.open.Stat()
	if err1 != nil || err2 != nil {
		return "", false
	}
	return info.Mode().String(), dir.Mode()&0o001 != 0 && info.Mode()&0o004 != 0
}

// measure updates size, because others may truncate the file.
func (f *file) measure() error {
	info, err := f.open.Stat()
	if err == nil {
		f.size = info.Size()
	}
	return err
}

// Write implements io.Writer for complete entries.
func (f *file) Write(p []byte) (int, error) {
	if f.full(len(p)) {
		if err := f.rotate(len(p)); err != nil {
			return 0, f.fail("rotate", note(&f.writeError, err))
		}
	}
	if f.open == nil {
		return 0, fs.ErrClosed // check has logged why
	}
	n, err := f.open.Write(p)
	f.size += int64(n)
	f.written.Add(uint64(n))
	if note(&f.writeError, err) != nil {
		return n, f.fail("write", err)
	}
	return n, nil
}

// full reports whether n more bytes exceed maxSize. An empty file is never full, so that an entry larger
// than maxSize can be written.
func (f *file) full(n int) bool {
	return f.maxSize > 0 && f.size > 0 && f.size+int64(n) > f.maxSize
}

// rotate begins a new file, unless another process has replaced or truncated this one.
func (f *file) rotate(n int) error {
	if f.check(); f.open == nil || !f.full(n) {
		return nil
	}
	if err := os.Rename(f.name, f.unused(time.Now())); err != nil {
		return err
	}
	next, err := openLog(f.name, f.forGroup)
	if err != nil {
		return err
	}
	f.open.Close()
	f.open, f.size = next, 0
	f.sweep()
	return nil
}

// check is a request to check the file. Its fields are set when done is closed.
type check struct {
	done     chan struct{}
	reopened bool
	failed   string // the current error of opening or writing
}

// requestCheck makes maintain check the file. A request that was not handled yet is never done. Any goroutine.
func (f *file) requestCheck() *check {
	c := &check{done: make(chan struct{})}
	f.checkRequested.Store(c)
	return c
}

// maintain checks the file if it is time or was requested, and handles the end of a compression.
func (f *file) maintain() {
	if c := f.checkRequested.Swap(nil); c != nil {
		before := f.reopened.Load()
		f.check()
		c.reopened, c.failed = f.reopened.Load() > before, f.errorText()
		close(c.done)
	} else if time.Since(f.checked) >= herd.LogCheck {
		f.check()
	}
	select {
	case err := <-f.gzip.done:
		f.gzip.running = false
		if err == nil {
			f.sweep()
		} else {
			_ = f.fail("compress", err) // retried after the next rotation
		}
	default:
	}
}

// check reopens the file if its name refers to another file or none.
func (f *file) check() {
	f.checked = time.Now()
	reason := "replaced"
	here, err := os.Lstat(f.name)
	if errors.Is(err, fs.ErrNotExist) {
		reason = "moved or deleted"
	}
	if f.open != nil {
		ours, e := f.open.Stat()
		if err == nil && e == nil && os.SameFile(here, ours) {
			f.size = ours.Size()
			_ = note(&f.openError, nil)
			return
		}
	}
	next, err := openLog(f.name, f.forGroup)
	if note(&f.openError, err) != nil {
		_ = f.fail("open", err)
		// Keep writing to a file that was moved. Entries written to a deleted file would be lost without
		// being counted.
		if f.open != nil && !linked(f.open) {
			f.open.Close()
			f.open = nil
		}
		return
	}
	if f.open != nil {
		f.open.Close()
	}
	f.open, f.size = next, 0
	_ = f.measure() // the next check measures again
	f.reopened.Add(1)
	f.log(zapcore.WarnLevel, "log file reopened", zap.String("file", f.name), zap.String("reason", reason))
}

// linked reports whether an open file still has a name.
func linked(f *os.File) bool {
	info, err := f.Stat()
	if err != nil {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stat.Nlink > 0
}

// fail logs an error, unless one was logged within errorPause, and returns it.
func (f *file) fail(what string, err error) error {
	if f.lastError.IsZero() || time.Since(f.lastError) >= errorPause {
		f.lastError = time.Now()
		f.log(zapcore.ErrorLevel, "log file error", zap.String("what", what), zap.Error(err))
	}
	return err
}

// close aborts a compression and closes the file.
func (f *file) close() {
	f.gzip.end()
	if f.open != nil {
		f.open.Close()
	}
}
