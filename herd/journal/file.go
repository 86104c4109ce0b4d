package journal

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// open creates or opens a file by a change.
func (d *directory) open(path string, try func() (vfs.File, error)) (vfs.File, error) {
	var f vfs.File
	err := d.change(policyOf(path), func() (err error) {
		f, err = try()
		return err
	})
	if err != nil {
		return nil, err
	}
	if f == nil { // the database has ended: return a file in memory
		f, err = vfs.NewMem().Create("nowhere", vfs.WriteCategoryUnspecified)
		return &file{File: f, directory: d, policy: final}, err
	}
	d.noteCreated(path)
	return &file{f, d, d.track(path), policyOf(path)}, nil
}

// noteCreated records a file that discard may have to remove.
func (d *directory) noteCreated(path string) {
	if !d.strict.Load() {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.created = append(d.created, path)
	d.current = d.current || strings.HasPrefix(filepath.Base(path), "marker.")
}

// Create implements vfs.FS.
func (d *directory) Create(path string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return d.open(path, func() (vfs.File, error) { return d.FS.Create(path, c) })
}

// ReuseForWrite implements vfs.FS.
func (d *directory) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	d.untrack(from)
	return d.open(to, func() (vfs.File, error) {
		f, err := d.FS.ReuseForWrite(from, to, c)
		if errors.Is(err, fs.ErrNotExist) { // an earlier attempt renamed it and then failed to open it
			return d.FS.Create(to, c)
		}
		return f, err
	})
}

// OpenReadWrite implements vfs.FS.
func (d *directory) OpenReadWrite(path string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	return d.open(path, func() (vfs.File, error) { return d.FS.OpenReadWrite(path, c, o...) })
}

// Open implements vfs.FS. The pause is needed because Pebble retries a compaction that cannot read immediately.
func (d *directory) Open(path string, o ...vfs.OpenOption) (vfs.File, error) {
	f, err := d.FS.Open(path, o...)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		d.noteFailure(err)
		time.Sleep(retryPause)
	}
	return f, err
}

// OpenDir implements vfs.FS. The policy is that of a log: a log is durable once its directory is synced.
func (d *directory) OpenDir(path string) (vfs.File, error) {
	f, err := d.FS.OpenDir(path)
	if err != nil {
		return nil, err
	}
	return &file{File: f, directory: d, policy: retried}, nil
}

// GetDiskUsage implements vfs.FS. Its errors must not count as corruption.
func (d *directory) GetDiskUsage(path string) (vfs.DiskUsage, error) {
	usage, err := d.FS.GetDiskUsage(path)
	if err != nil {
		err = changeError{err}
	}
	return usage, err
}

// Link implements vfs.FS.
func (d *directory) Link(from, to string) error {
	err := d.change(final, func() error { return d.FS.Link(from, to) })
	d.track(to)
	return err
}

// Rename implements vfs.FS.
func (d *directory) Rename(from, to string) error {
	d.untrack(from)
	err := d.change(final, func() error { return d.FS.Rename(from, to) })
	d.noteCreated(to)
	d.track(to)
	return err
}

// Remove implements vfs.FS. It is not retried: a file that remains only takes up space.
func (d *directory) Remove(path string) error {
	d.untrack(path)
	if d.cause() != nil {
		return nil
	}
	return d.FS.Remove(path)
}

// RemoveAll implements vfs.FS.
func (d *directory) RemoveAll(path string) error {
	d.untrack(path)
	if d.cause() != nil {
		return nil
	}
	return d.FS.RemoveAll(path)
}

// MkdirAll implements vfs.FS.
func (d *directory) MkdirAll(path string, mode fs.FileMode) error {
	return d.change(final, func() error { return d.FS.MkdirAll(path, mode) })
}

// file is a file that Pebble writes, or the directory itself.
type file struct {
	vfs.File
	directory *directory
	tracked   *trackedFile // nil if the database does not need the file
	policy    policy       // of writes
}

// Write implements vfs.File.
func (f *file) Write(b []byte) (int, error) {
	n := 0
	err := f.directory.change(f.policy, func() error {
		k, err := f.File.Write(b[n:])
		n += k
		f.addSize(k)
		return err
	})
	if err != nil {
		return n, err
	}
	return len(b), nil
}

func (f *file) addSize(n int) {
	if f.tracked == nil {
		return
	}
	f.directory.mu.Lock()
	defer f.directory.mu.Unlock()
	f.tracked.size += int64(n)
}

// WriteAt implements vfs.File.
func (f *file) WriteAt(b []byte, at int64) (int, error) {
	err := f.directory.change(f.policy, func() error {
		_, err := f.File.WriteAt(b, at)
		return err
	})
	if err != nil {
		return 0, err
	}
	return len(b), nil
}

// Preallocate implements vfs.File. It is an optimization, so its errors are ignored.
func (f *file) Preallocate(offset, length int64) error {
	if f.directory.cause() == nil {
		_ = f.File.Preallocate(offset, length)
	}
	return nil
}

// sync runs a sync. A failed sync cannot be retried.
func (f *file) sync(sync func() error) error {
	p := f.policy
	if p == retried {
		p = final
	}
	return f.directory.change(p, sync)
}

// Sync implements vfs.File.
func (f *file) Sync() error { return f.sync(f.File.Sync) }

// SyncData implements vfs.File.
func (f *file) SyncData() error { return f.sync(f.File.SyncData) }

// SyncTo implements vfs.File.
func (f *file) SyncTo(length int64) (full bool, err error) {
	err = f.sync(func() (err error) {
		full, err = f.File.SyncTo(length)
		return err
	})
	return full, err
}
