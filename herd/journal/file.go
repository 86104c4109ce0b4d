package journal

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// open makes a file with a change.
func (d *directory) open(path string, try func() (vfs.File, error)) (vfs.File, error) {
	var f vfs.File
	err := d.change(policyOf(path), func() (err error) {
		f, err = try()
		return err
	})
	if err != nil {
		return nil, err
	}
	if f == nil { // the database has ended: a file that is nowhere
		f, err = vfs.NewMem().Create("nowhere", vfs.WriteCategoryUnspecified)
		return &file{File: f, directory: d, policy: final}, err
	}
	d.noteMade(path)
	return &file{f, d, d.expect(path), policyOf(path)}, nil
}

// noteMade remembers what discard may have to remove.
func (d *directory) noteMade(path string) {
	if !d.strict.Load() {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.made = append(d.made, path)
	d.current = d.current || strings.HasPrefix(filepath.Base(path), "marker.")
}

// Create implements vfs.FS.
func (d *directory) Create(path string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return d.open(path, func() (vfs.File, error) { return d.FS.Create(path, c) })
}

// ReuseForWrite implements vfs.FS.
func (d *directory) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	d.forget(from)
	return d.open(to, func() (vfs.File, error) {
		f, err := d.FS.ReuseForWrite(from, to, c)
		if errors.Is(err, fs.ErrNotExist) { // a try before has renamed it, and then had no descriptor
			return d.FS.Create(to, c)
		}
		return f, err
	})
}

// OpenReadWrite implements vfs.FS.
func (d *directory) OpenReadWrite(path string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	return d.open(path, func() (vfs.File, error) { return d.FS.OpenReadWrite(path, c, o...) })
}

// Open implements vfs.FS. Pebble retries at once a compaction that cannot read.
func (d *directory) Open(path string, o ...vfs.OpenOption) (vfs.File, error) {
	f, err := d.FS.Open(path, o...)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		d.note(err)
		time.Sleep(retryPause)
	}
	return f, err
}

// OpenDir implements vfs.FS: a log counts once its directory is synced.
func (d *directory) OpenDir(path string) (vfs.File, error) {
	f, err := d.FS.OpenDir(path)
	if err != nil {
		return nil, err
	}
	return &file{File: f, directory: d, policy: retried}, nil
}

// GetDiskUsage implements vfs.FS. Pebble reports its errors as its own.
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
	d.expect(to)
	return err
}

// Rename implements vfs.FS.
func (d *directory) Rename(from, to string) error {
	d.forget(from)
	err := d.change(final, func() error { return d.FS.Rename(from, to) })
	d.noteMade(to)
	d.expect(to)
	return err
}

// Remove implements vfs.FS. A file that stays takes up space, nothing else.
func (d *directory) Remove(path string) error {
	d.forget(path)
	if d.cause() != nil {
		return nil
	}
	return d.FS.Remove(path)
}

// RemoveAll implements vfs.FS.
func (d *directory) RemoveAll(path string) error {
	d.forget(path)
	if d.cause() != nil {
		return nil
	}
	return d.FS.RemoveAll(path)
}

// MkdirAll implements vfs.FS.
func (d *directory) MkdirAll(path string, mode fs.FileMode) error {
	return d.change(final, func() error { return d.FS.MkdirAll(path, mode) })
}

// file is a file that Pebble writes, or the directory.
type file struct {
	vfs.File
	directory *directory
	expected  *expected // nil: nobody would miss it
	policy    policy    // of a write
}

// Write implements vfs.File.
func (f *file) Write(b []byte) (int, error) {
	n := 0
	err := f.directory.change(f.policy, func() error {
		k, err := f.File.Write(b[n:])
		n += k
		f.grew(k)
		return err
	})
	if err != nil {
		return n, err
	}
	return len(b), nil
}

func (f *file) grew(n int) {
	if f.expected == nil {
		return
	}
	f.directory.mu.Lock()
	defer f.directory.mu.Unlock()
	f.expected.size += int64(n)
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

// Preallocate implements vfs.File. It only saves time.
func (f *file) Preallocate(offset, length int64) error {
	if f.directory.cause() == nil {
		_ = f.File.Preallocate(offset, length)
	}
	return nil
}

// sync makes a sync, of which a failure cannot be retried.
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
