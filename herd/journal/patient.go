package journal

import (
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/zap"
)

// patient is a file system that waits until a write of Pebble's log succeeds, because Pebble ends
// the program when it cannot begin or end one (rotateWAL in its db.go). To Pebble a full or broken
// disk is a slow one. Other files may fail: Pebble writes those anew. Any goroutine.
type patient struct {
	vfs.FS
	log *zap.Logger
	on  atomic.Bool // not while a database is opened: that may fail
	// tainted notes a sync that failed. One that succeeds after it proves nothing: the kernel may
	// have given up the pages.
	tainted atomic.Bool
	logged  atomic.Int64 // when the log was last told, in nanoseconds
}

const (
	retryPause = 100 * time.Millisecond
	logPause   = 30 * time.Second
)

// try calls f until it succeeds, if it may be tried again.
func (p *patient) try(what string, f func() error) error {
	for {
		err := f()
		if err == nil || !p.on.Load() {
			return err
		}
		now := time.Now().UnixNano()
		if last := p.logged.Load(); now-last > int64(logPause) && p.logged.CompareAndSwap(last, now) {
			p.log.Error("journal cannot be written", zap.String("what", what), zap.Error(err))
		}
		time.Sleep(retryPause)
	}
}

func isLog(name string) bool { return filepath.Ext(name) == ".log" }

// Create implements vfs.FS.
func (p *patient) Create(name string, c vfs.DiskWriteCategory) (f vfs.File, err error) {
	if !isLog(name) {
		return p.FS.Create(name, c)
	}
	err = p.try("create", func() error {
		f, err = p.FS.Create(name, c)
		return err
	})
	return p.file(f, err)
}

// ReuseForWrite implements vfs.FS.
func (p *patient) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (f vfs.File, err error) {
	if !isLog(to) {
		return p.FS.ReuseForWrite(from, to, c)
	}
	err = p.try("reuse", func() error {
		f, err = p.FS.ReuseForWrite(from, to, c)
		return err
	})
	return p.file(f, err)
}

// OpenDir implements vfs.FS: a log counts once its directory is synced.
func (p *patient) OpenDir(name string) (vfs.File, error) {
	f, err := p.FS.OpenDir(name)
	return p.file(f, err)
}

func (p *patient) file(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return &patientFile{f, p}, nil
}

// patientFile is a log, or the directory of one.
type patientFile struct {
	vfs.File
	fs *patient
}

// Write implements vfs.File.
func (f *patientFile) Write(b []byte) (n int, err error) {
	err = f.fs.try("write", func() error {
		k, err := f.File.Write(b[n:])
		n += k
		return err
	})
	return n, err
}

// Preallocate implements vfs.File. It only saves time.
func (f *patientFile) Preallocate(offset, length int64) error {
	_ = f.File.Preallocate(offset, length)
	return nil
}

// Sync implements vfs.File.
func (f *patientFile) Sync() error { return f.sync(f.File.Sync) }

// SyncData implements vfs.File.
func (f *patientFile) SyncData() error { return f.sync(f.File.SyncData) }

// SyncTo implements vfs.File.
func (f *patientFile) SyncTo(length int64) (full bool, err error) {
	err = f.sync(func() error {
		full, err = f.File.SyncTo(length)
		return err
	})
	return full, err
}

func (f *patientFile) sync(sync func() error) error {
	return f.fs.try("sync", func() error {
		err := sync()
		if err != nil {
			f.fs.tainted.Store(true)
		}
		return err
	})
}
