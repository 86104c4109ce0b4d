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

// ownerKey is the key of the owner. It sorts before all clients.
const ownerKey = "\x00owner"

// format is the version of the stored data. A directory with another version is refused.
const format = "1"

// Pebble's memory can be small: all records are in the server's memory.
const (
	cacheBytes    = 4 << 20
	memTableBytes = 16 << 20
	// maxOpenFiles leaves descriptors for clients.
	maxOpenFiles = 64
)

// open opens the database and checks its owner. A lostError means that the database cannot be read.
func (j *Journal) open() (err error) {
	j.lastOpen = time.Now()
	if err := j.acquireLock(); err != nil {
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

// openIn opens the database in a directory. Its results are invalid if the database has ended meanwhile.
func (j *Journal) openIn(d *directory) (db *pebble.DB, err error) {
	defer func() {
		if p := recover(); p != nil { // corrupt files may cause a panic
			db, err = nil, damage(fmt.Errorf("%v", p))
			d.end(err)
		}
	}()
	db, err = pebble.Open(j.dir, &pebble.Options{
		FS: d, Lock: j.lock, Logger: &logger{j.options.Log, d.end},
		EventListener: &pebble.EventListener{BackgroundError: d.onBackgroundError, DataCorruption: d.onCorruption},
		CacheSize:     cacheBytes, MemTableSize: j.options.memTable, MaxOpenFiles: maxOpenFiles,
		CompactionConcurrencyRange: func() (lower, upper int) { return 1, 1 },
		FormatMajorVersion:         pebble.FormatNewest,
	})
	if err != nil && isCorruption(err) {
		err = damage(err)
	}
	if err == nil && d.cause() == nil {
		err = j.checkOwner(db)
	}
	if cause := d.cause(); cause != nil {
		err = cause
	}
	if err != nil && db != nil {
		_ = db.Close()
	}
	return db, err
}

// acquireLock takes the lock of the directory, which it creates if it is missing, unless the lock file that is
// already held is still there.
func (j *Journal) acquireLock() error {
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
		err = fmt.Errorf("in use by another process (%w)", err)
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

// checkOwner checks that the database belongs to this server. A new database has no owner: it gets this one.
func (j *Journal) checkOwner(db *pebble.DB) error {
	owner := fmt.Sprintf("%s %s %s", j.options.Herd, j.options.Server, format)
	value, closer, err := db.Get([]byte(ownerKey))
	switch {
	case errors.Is(err, pebble.ErrNotFound):
		return db.Set([]byte(ownerKey), []byte(owner), pebble.Sync)
	case err != nil && isCorruption(err):
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
		return fmt.Errorf("invalid owner %q", value)
	}
	if herdName == j.options.Herd && server == j.options.Server {
		return fmt.Errorf("unsupported format %s, expected %s", version, format)
	}
	return fmt.Errorf("belongs to server %s of herd %s, not to %s of %s", server, herdName,
		j.options.Server, j.options.Herd)
}

// reopen opens the database again. A damaged one is moved aside first: the server has all records in memory and
// commits them again.
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

// moveAside makes room for a new database. It removes what was moved aside before.
func (j *Journal) moveAside() error {
	to := j.dir + ".damaged" // not a valid server name
	j.lastOpen = time.Now()
	j.unlock()
	err := j.options.FS.RemoveAll(to)
	if err == nil {
		err = j.options.FS.Rename(j.dir, to)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("journal %s: %w; moving it aside failed: %w", j.dir, j.damage, err)
	}
	j.options.Log.Error("damaged journal moved aside", zap.Error(j.damage), zap.String("to", to))
	return nil
}
