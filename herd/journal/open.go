package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"go.uber.org/zap"
)

// ownerKey says whose directory this is. It is before all clients.
const ownerKey = "\x00owner"

// format is the version of what is under the keys. A directory with another one is refused.
const format = "1"

// cacheBytes and memTableBytes are Pebble's memory; all records are in the server's anyway.
const (
	cacheBytes    = 4 << 20
	memTableBytes = 16 << 20
	// maxOpenFiles leaves the descriptors to clients.
	maxOpenFiles = 64
)

// open opens the database and checks whose it is. A lostError says that it cannot be read.
func (j *Journal) open() (err error) {
	j.tried = time.Now()
	if err := j.hold(); err != nil {
		return err
	}
	d, err := newDirectory(j.options.FS, j.dir)
	if err != nil {
		return fmt.Errorf("journal %s: %w", j.dir, err)
	}
	db, err := j.openIn(d)
	if err != nil {
		if d.cause() != nil {
			d.discard()
		}
		return fmt.Errorf("journal %s: %w", j.dir, err)
	}
	j.db = db
	j.directory.Store(d)
	j.failure.Store(nil)
	d.strict.Store(false)
	return nil
}

// openIn opens the database in a directory, in which nothing is believed once it has ended.
func (j *Journal) openIn(d *directory) (db *pebble.DB, err error) {
	defer func() {
		if p := recover(); p != nil { // of a file that is not what Pebble wrote
			db, err = nil, damage(fmt.Errorf("%v", p))
			d.end(err)
		}
	}()
	db, err = pebble.Open(j.dir, &pebble.Options{
		FS: d, Lock: j.lock, Logger: &logger{j.options.Log, d.end},
		EventListener: &pebble.EventListener{BackgroundError: d.background, DataCorruption: d.corrupted},
		CacheSize:     cacheBytes, MemTableSize: j.options.memTable, MaxOpenFiles: maxOpenFiles,
		CompactionConcurrencyRange: func() (lower, upper int) { return 1, 1 },
		FormatMajorVersion:         pebble.FormatNewest,
	})
	if err != nil && damaged(err) {
		err = damage(err)
	}
	if err == nil && d.cause() == nil {
		err = j.own(db)
	}
	if cause := d.cause(); cause != nil {
		err = cause
	}
	if err != nil && db != nil {
		_ = db.Close()
	}
	return db, err
}

// hold takes the lock of the directory, which it makes if it is missing, unless the lock that is held
// is still the one there.
func (j *Journal) hold() error {
	path := filepath.Join(j.dir, "LOCK")
	if j.lock != nil {
		if info, err := j.options.FS.Stat(path); err == nil && idOf(info) == j.lockID {
			return nil
		}
		j.unlock()
	}
	if err := j.options.FS.MkdirAll(j.dir, 0o700); err != nil {
		return fmt.Errorf("storage.dir: %w", err)
	}
	lock, err := pebble.LockDirectory(j.dir, j.options.FS)
	if errors.Is(err, syscall.EAGAIN) {
		err = fmt.Errorf("another process uses it (%w)", err)
	}
	if err != nil {
		return fmt.Errorf("journal %s: %w", j.dir, err)
	}
	j.lock = lock
	info, err := j.options.FS.Stat(path)
	if err != nil {
		return fmt.Errorf("journal %s: %w", j.dir, err)
	}
	j.lockID = idOf(info)
	return nil
}

func (j *Journal) unlock() {
	if j.lock != nil {
		_ = j.lock.Close()
		j.lock = nil
	}
}

// own checks that the database is this server's, and makes a new one so.
func (j *Journal) own(db *pebble.DB) error {
	owner := fmt.Sprintf("%s %s %s", j.options.Herd, j.options.Server, format)
	value, closer, err := db.Get([]byte(ownerKey))
	switch {
	case errors.Is(err, pebble.ErrNotFound):
		return db.Set([]byte(ownerKey), []byte(owner), pebble.Sync)
	case err != nil && damaged(err):
		return damage(err)
	case err != nil:
		return err
	}
	defer closer.Close()
	if string(value) == owner {
		return nil
	}
	var herdName, server, version string
	if n, _ := fmt.Sscanf(string(value), "%s %s %s", &herdName, &server, &version); n != 3 {
		return fmt.Errorf("its owner reads %q", value)
	}
	if herdName == j.options.Herd && server == j.options.Server {
		return fmt.Errorf("it has format %s; this program reads format %s", version, format)
	}
	return fmt.Errorf("it belongs to server %s of herd %s, not to %s of %s", server, herdName,
		j.options.Server, j.options.Herd)
}

// reopen opens the database again. One that is damaged is moved aside: all records are in the server's
// memory, and are written again.
func (j *Journal) reopen() error {
	err := j.damage
	if err == nil {
		if err = j.open(); isDamage(err) {
			j.losses.Add(1)
		}
	}
	if isDamage(err) {
		j.damage = err
		if err = j.moveAside(); err == nil {
			j.damage = nil
			err = j.open()
		}
	}
	if err != nil {
		j.failure.Store(&err)
		return err
	}
	j.options.Log.Info("journal reopened", zap.String("dir", j.dir))
	return nil
}

// moveAside makes room for a new database. What was moved before is removed.
func (j *Journal) moveAside() error {
	to := j.dir + ".damaged" // the name of no server
	j.tried = time.Now()
	j.unlock()
	err := j.options.FS.RemoveAll(to)
	if err == nil {
		err = j.options.FS.Rename(j.dir, to)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("journal %s: %w, and cannot be moved aside: %w", j.dir, j.damage, err)
	}
	j.options.Log.Error("journal is damaged; it was moved aside", zap.Error(j.damage), zap.String("to", to))
	return nil
}
