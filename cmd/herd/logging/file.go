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

// Modes of what is created here. The log holds the location of every client. What exists already keeps
// its mode.
const (
	fileMode = 0o640
	dirMode  = 0o750
)

// errorPause is the shortest time between two entries about errors of the log file: a full disk refuses
// ten writes a second.
const errorPause = 10 * time.Second

// file is a log file that is appended to and rotated by size. It is written here rather than by a
// library because the known ones (lumberjack, timberjack) open a rotated file without O_APPEND, with
// O_TRUNC and through symbolic links, and never look whether the name still means the open file.
//
//  1. It is always open with O_APPEND: when somebody truncates it (logrotate's copytruncate), writing goes
//     on at the new end and leaves no hole.
//  2. Its name is never followed if it is a symbolic link. Its directory may be one.
//  3. When its name means another file or none, it is opened again, at the latest after herd.LogCheck.
//  4. It and its rotated files never take more than maxSize times maxFiles+1 bytes, and what is being
//     compressed. When it is full and cannot be rotated, nothing is written.
//
// Its methods are for one goroutine, the one of the Buffer in front of it; askCheck and trouble are for any.
type file struct {
	name     string // absolute
	maxSize  int64  // bytes; 0: never rotated here
	maxFiles int    // rotated files that are kept
	compress bool
	// tell logs what happens to the file. It must not block.
	tell func(level zapcore.Level, message string, fields ...zap.Field)

	open    *os.File // nil: could not be opened again
	size    int64    // of open, as far as known
	checked time.Time
	failed  time.Time // when an error was told last
	gzip    compressor

	asked    atomic.Bool
	reopened atomic.Uint64
	written  atomic.Uint64 // bytes
	// Why the name does not mean the open file, and why the latest entry was not written; nil: it does,
	// and it was.
	opening, writing atomic.Pointer[string]
}

// trouble is why entries do not go where they should; "" if they do. Any goroutine.
func (f *file) trouble() string {
	if text := f.opening.Load(); text != nil {
		return *text
	}
	if text := f.writing.Load(); text != nil {
		return *text
	}
	return ""
}

// note notes how opening or writing went.
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

// start opens the log file and makes its directory if there is none. Its error names the directory or the file.
func (f *file) start() (err error) {
	if f.name, err = filepath.Abs(f.name); err != nil {
		return err
	}
	if f.open, err = openLog(f.name); err != nil {
		return err
	}
	return f.measure()
}

// openLog opens a log file for appending. A pipe that nobody reads is an error rather than a wait.
func openLog(name string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(name), dirMode); err != nil {
		return nil, fmt.Errorf("log directory: %w", err)
	}
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, fileMode)
	if info, e := os.Lstat(name); err != nil && e == nil && info.Mode()&fs.ModeSymlink != 0 {
		err = fmt.Errorf("%s is a symbolic link, which is not followed: remove it, "+
			"or make the directory a link, or set log.dir", name)
	}
	if err != nil {
		return nil, fmt.Errorf("log file: %w", err)
	}
	return f, nil
}

// readable says whether users who are neither the owner nor in the group can read the file, and its mode.
func (f *file) readable() (mode string, open bool) {
	dir, err1 := os.Stat(filepath.Dir(f.name))
	info, err2 := f.open.Stat()
	if err1 != nil || err2 != nil {
		return "", false
	}
	return info.Mode().String(), dir.Mode()&0o001 != 0 && info.Mode()&0o004 != 0
}

// measure takes over the size of the open file, which others may have truncated.
func (f *file) measure() error {
	info, err := f.open.Stat()
	if err == nil {
		f.size = info.Size()
	}
	return err
}

// Write implements io.Writer with whole entries.
func (f *file) Write(p []byte) (int, error) {
	if f.full(len(p)) {
		if err := f.rotate(len(p)); err != nil {
			return 0, f.fail("rotate", note(&f.writing, err))
		}
	}
	if f.open == nil {
		return 0, fs.ErrClosed // check has told why
	}
	n, err := f.open.Write(p)
	f.size += int64(n)
	f.written.Add(uint64(n))
	if note(&f.writing, err) != nil {
		return n, f.fail("write", err)
	}
	return n, nil
}

// full says whether n bytes more are too many for the file. What is larger than a file may be gets one
// of its own.
func (f *file) full(n int) bool {
	return f.maxSize > 0 && f.size > 0 && f.size+int64(n) > f.maxSize
}

// rotate begins a new file, unless somebody else has done so or has truncated this one.
func (f *file) rotate(n int) error {
	if f.check(); f.open == nil || !f.full(n) {
		return nil
	}
	if err := os.Rename(f.name, f.unused(time.Now())); err != nil {
		return err
	}
	next, err := openLog(f.name)
	if err != nil {
		return err
	}
	f.open.Close()
	f.open, f.size = next, 0
	f.sweep()
	return nil
}

// askCheck has the file looked at as soon as possible. Any goroutine.
func (f *file) askCheck() { f.asked.Store(true) }

// tend looks after the file now and then, or at once if that was asked for.
func (f *file) tend() {
	if f.asked.Swap(false) || time.Since(f.checked) >= herd.LogCheck {
		f.check()
	}
	select {
	case err := <-f.gzip.done:
		f.gzip.running = false
		if err == nil {
			f.sweep()
		} else {
			_ = f.fail("compress", err) // the next rotation tries again
		}
	default:
	}
}

// check opens the file again if its name means another one or none.
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
			_ = note(&f.opening, nil)
			return
		}
	}
	next, err := openLog(f.name)
	if note(&f.opening, err) != nil {
		_ = f.fail("open", err)
		// Until then entries go where the file went. One without a name would lose them without a count.
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
	f.tell(zapcore.WarnLevel, "log file reopened", zap.String("file", f.name), zap.String("reason", reason))
}

// linked says whether an open file still has a name.
func linked(f *os.File) bool {
	info, err := f.Stat()
	if err != nil {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stat.Nlink > 0
}

// fail tells of an error, unless one was told a moment ago, and returns it.
func (f *file) fail(what string, err error) error {
	if f.failed.IsZero() || time.Since(f.failed) >= errorPause {
		f.failed = time.Now()
		f.tell(zapcore.ErrorLevel, "log file error", zap.String("what", what), zap.Error(err))
	}
	return err
}

// close ends compressing and closes the file.
func (f *file) close() {
	f.gzip.end()
	if f.open != nil {
		f.open.Close()
	}
}
