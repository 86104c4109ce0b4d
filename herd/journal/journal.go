package journal

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/zap"

	"serverherd/herd"
	"serverherd/protocol"
)

// Keys: one that says whose directory this is, before all others, and one for each client.
const (
	ownerKey     = "\x00owner"
	clientPrefix = 0x01
)

// format is the version of what is under the keys. A directory with another one is refused.
const format = "1"

// cacheBytes and memTableBytes are Pebble's memory; all records are in the server's anyway.
const (
	cacheBytes    = 4 << 20
	memTableBytes = 16 << 20
	// maxOpenFiles leaves the descriptors to clients.
	maxOpenFiles = 64
)

// Options say where a Journal is and whose.
type Options struct {
	Dir    string // of all journals; the server's is below it, by its name
	Herd   string
	Server string
	// Post runs f on the server's loop, in the order of the calls. Any goroutine.
	Post func(f func())
	Log  *zap.Logger
	FS   vfs.FS // nil: the system's
}

// Journal is a herd.Journal. Load and Commit are for the server's loop, Close for whoever opened it.
type Journal struct {
	options Options
	dir     string
	lock    *pebble.Lock
	pebble  *pebble.Options
	logger  *logger
	fs      *patient
	commits chan commit
	ended   chan struct{} // closed when the goroutine is gone
	once    sync.Once
	closing error // of Close
	closed  error // of the database's last close; the goroutine's

	db *pebble.DB // Open's, then Load's, then the goroutine's; nil after a failure
}

var _ herd.Journal = (*Journal)(nil)

// commit is a batch on its way to the disk.
type commit struct {
	records []protocol.Record
	done    func(error)
}

// Open opens a server's journal, or makes it. Its errors name the directory and what to do: it
// cannot be used, another process uses it, it is another server's, or what is in it is corrupt.
func Open(o Options) (*Journal, error) {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	j := &Journal{
		options: o, dir: filepath.Join(o.Dir, o.Server), logger: &logger{log: o.Log},
		commits: make(chan commit, 1), ended: make(chan struct{}),
	}
	if err := o.FS.MkdirAll(j.dir, 0o700); err != nil {
		return nil, fmt.Errorf("storage.dir: %w", err)
	}
	var err error
	if j.lock, err = pebble.LockDirectory(j.dir, o.FS); err != nil {
		if errors.Is(err, syscall.EAGAIN) {
			err = errors.New("another process uses it")
		}
		return nil, fmt.Errorf("journal %s: %w", j.dir, err)
	}
	j.fs = &patient{FS: o.FS, log: o.Log}
	j.pebble = &pebble.Options{
		FS: j.fs, Lock: j.lock, Logger: j.logger,
		CacheSize: cacheBytes, MemTableSize: memTableBytes, MaxOpenFiles: maxOpenFiles,
		CompactionConcurrencyRange: func() (lower, upper int) { return 1, 1 },
		FormatMajorVersion:         pebble.FormatNewest,
	}
	if err := j.open(); err != nil {
		j.lock.Close()
		return nil, err
	}
	go j.run()
	return j, nil
}

// open opens the database and checks whose it is.
func (j *Journal) open() (err error) {
	defer func() {
		if p := recover(); p != nil { // of a file that is not what Pebble wrote
			err = fmt.Errorf("journal %s: %v", j.dir, p)
		}
	}()
	j.logger.fatal.Store(nil)
	j.fs.on.Store(false)
	db, err := pebble.Open(j.dir, j.pebble)
	if err != nil {
		return fmt.Errorf("journal %s: %w; if it cannot be repaired, move it away and start "+
			"without it: neighbors have the records", j.dir, err)
	}
	if err := j.own(db); err != nil {
		db.Close()
		return fmt.Errorf("journal %s: %w", j.dir, err)
	}
	j.db = db
	j.fs.tainted.Store(false)
	j.fs.on.Store(true)
	return nil
}

// own checks that the database is this server's, and makes a new one so.
func (j *Journal) own(db *pebble.DB) error {
	owner := fmt.Sprintf("%s %s %s", j.options.Herd, j.options.Server, format)
	value, closer, err := db.Get([]byte(ownerKey))
	switch {
	case errors.Is(err, pebble.ErrNotFound):
		if err := db.Set([]byte(ownerKey), []byte(owner), pebble.Sync); err != nil {
			return err
		}
		return j.logger.failure()
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

// Load implements herd.Journal. A value that is no record is skipped and told of: a wrong record is
// never handed over. An error means that the directory cannot be read.
func (j *Journal) Load(each func(protocol.Record)) error {
	iter, err := j.db.NewIter(&pebble.IterOptions{
		LowerBound: []byte{clientPrefix}, UpperBound: []byte{clientPrefix + 1},
	})
	if err != nil {
		return fmt.Errorf("journal %s: %w", j.dir, err)
	}
	defer iter.Close()
	bad := 0
	var line []byte
	for valid := iter.First(); valid; valid = iter.Next() {
		value, err := iter.ValueAndErr()
		if err != nil {
			return fmt.Errorf("journal %s: %w", j.dir, err)
		}
		// A record is kept as the fields of an AT line; the line's sender does not matter.
		line = append(append(append(line[:0], "AT "...), value...), " disk"...)
		l, err := protocol.ParseLink(line)
		if err != nil || !bytes.Equal(l.Record.Client(), iter.Key()[1:]) {
			bad++
			continue
		}
		each(l.Record)
	}
	if err := iter.Error(); err != nil {
		return fmt.Errorf("journal %s: %w; move it away and start without it: neighbors have the "+
			"records", j.dir, err)
	}
	if bad > 0 {
		j.options.Log.Error("journal has entries that are no records", zap.Int("entries", bad),
			zap.String("dir", j.dir))
	}
	return nil
}

// Commit implements herd.Journal.
func (j *Journal) Commit(records []protocol.Record, done func(error)) {
	j.commits <- commit{records, done} // never full: there is one at a time
}

// run writes one batch after the other.
func (j *Journal) run() {
	defer close(j.ended)
	for c := range j.commits {
		err := j.write(c.records)
		j.options.Post(func() { c.done(err) })
	}
	j.closed = j.abandon()
}

// write makes one batch durable. After a failure the database is given up: what Pebble has in
// memory may not be what is on the disk.
func (j *Journal) write(records []protocol.Record) error {
	if j.db == nil {
		if err := j.open(); err != nil {
			return err
		}
	}
	err := j.apply(records)
	if fatal := j.logger.failure(); fatal != nil {
		err = fatal
	} else if j.fs.tainted.Load() {
		err = errTainted
	}
	if err != nil {
		j.options.Log.Warn("journal is opened anew", zap.String("dir", j.dir), zap.Error(err))
		_ = j.abandon()
	}
	return err
}

var errTainted = errors.New("a sync failed, so what it was to write is written again")

func (j *Journal) apply(records []protocol.Record) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("journal %s: %v", j.dir, p)
		}
	}()
	b := j.db.NewBatch()
	defer b.Close()
	for _, r := range records {
		client, text := r.Client(), r.Text()
		op := b.SetDeferred(1+len(client), len(text))
		op.Key[0] = clientPrefix
		copy(op.Key[1:], client)
		copy(op.Value, text)
		if err := op.Finish(); err != nil {
			return err
		}
	}
	return b.Commit(pebble.Sync)
}

// abandon closes the database, which may not be able to close in good order.
func (j *Journal) abandon() (err error) {
	if j.db == nil {
		return nil
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("journal %s: %v", j.dir, p)
		}
		j.db = nil
	}()
	return j.db.Close()
}

// closeTimeout bounds the wait for a disk that does not answer, at the end of the program.
const closeTimeout = 2 * time.Second

// Close writes nothing more and gives the directory up. It waits for a commit under way, for two
// seconds at most.
func (j *Journal) Close() error {
	j.once.Do(func() {
		close(j.commits)
		select {
		case <-j.ended:
			j.closing = errors.Join(j.closed, j.lock.Close())
		case <-time.After(closeTimeout):
			j.closing = fmt.Errorf("journal %s: the disk does not answer", j.dir)
		}
	})
	return j.closing
}
