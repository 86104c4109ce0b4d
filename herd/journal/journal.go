package journal

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/zap"

	"serverherd/herd"
	"serverherd/protocol"
)

// clientPrefix precedes each client id in the keys of the database.
const clientPrefix = 0x01

// Options configure a Journal.
type Options struct {
	Dir    string // of all journals; this server's is the subdirectory with its name
	Herd   string
	Server string
	// Post runs f on the server's loop, in the order of the calls. Any goroutine.
	Post func(f func())
	Log  *zap.Logger
	FS   vfs.FS // nil: the system's

	memTable uint64 // replaces memTableBytes in tests
}

// Journal is a herd.Journal. Load and Commit: loop only. State: any goroutine. Close: the goroutine that called
// Open.
type Journal struct {
	options  Options
	dir      string
	commits  chan commit
	done     chan struct{} // closed when the goroutine has ended
	once     sync.Once
	verified chan error // result of verify
	closeErr error      // result of Close

	directory atomic.Pointer[directory] // of the database, or of the last one
	failure   atomic.Pointer[error]     // why there is no database; nil if there is
	losses    atomic.Uint64

	mu       sync.Mutex // held while the database is used: by Load, then by the goroutine
	db       *pebble.DB // nil after a failure
	lock     *pebble.Lock
	lockID   fileID
	lastOpen time.Time // when opening the database was last tried
	damage   error     // not nil: the directory must be moved aside first
}

var _ herd.Journal = (*Journal)(nil)

// commit is a batch to be written.
type commit struct {
	records []protocol.Record
	done    func(error)
}

const (
	// reopenPause is the pause before a failed database is opened again while there is nothing to write.
	reopenPause = 2 * time.Second
	// slowOpen is the time after which a warning is logged that the journal is slow to open.
	slowOpen = 5 * time.Second
)

// Open opens or creates a server's journal. Its errors name the directory and the cause: no permission, in use by
// another process, owned by another server, or corrupt.
func Open(o Options) (*Journal, error) {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.memTable == 0 {
		o.memTable = memTableBytes
	}
	j := &Journal{
		options: o, dir: filepath.Join(o.Dir, o.Server),
		commits: make(chan commit, 1), verified: make(chan error, 1), done: make(chan struct{}),
	}
	slow := time.AfterFunc(slowOpen, func() {
		o.Log.Warn("journal is slow to open", zap.String("dir", j.dir), zap.Duration("took", slowOpen))
	})
	defer slow.Stop()
	if err := j.open(); err != nil {
		j.unlock()
		if isLost(err) {
			err = fmt.Errorf("%w; if it cannot be repaired, move it away and restart: "+
				"the neighbors have the records", err)
		}
		return nil, err
	}
	go j.run()
	return j, nil
}

// Load implements herd.Journal. An invalid value is skipped and logged: a wrong record is never returned. An
// error means that the directory cannot be read.
func (j *Journal) Load(each func(protocol.Record)) error {
	j.mu.Lock()
	defer j.mu.Unlock()
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
		// A record is stored as the fields of an AT line. ParseLink needs a sender, which is ignored.
		line = append(append(append(line[:0], "AT "...), value...), " disk"...)
		l, err := protocol.ParseLink(line)
		if err != nil || !bytes.Equal(l.Record.Client(), iter.Key()[1:]) {
			bad++
			continue
		}
		each(l.Record)
	}
	if err := iter.Error(); err != nil {
		return fmt.Errorf("journal %s: %w; move it away and restart: the neighbors have the records",
			j.dir, err)
	}
	if bad > 0 {
		j.options.Log.Error("journal contains invalid entries", zap.Int("entries", bad),
			zap.String("dir", j.dir))
	}
	return nil
}

// Commit implements herd.Journal.
func (j *Journal) Commit(records []protocol.Record, done func(error)) {
	j.commits <- commit{records, done} // does not block: the server has one commit at a time
}

// State implements herd.Journal.
func (j *Journal) State() herd.JournalState {
	s := herd.JournalState{Losses: j.losses.Load()}
	if failure := j.failure.Load(); failure != nil {
		s.Err = *failure
	} else {
		s.Err = j.directory.Load().lastFailure()
	}
	return s
}

// run writes one batch after the other, and checks the directory in between.
func (j *Journal) run() {
	defer close(j.done)
	tick := time.NewTicker(herd.JournalCheck)
	defer tick.Stop()
	for {
		select {
		case c, ok := <-j.commits:
			if !ok {
				j.verified <- j.verify()
				j.shutdown()
				return
			}
			err := j.write(c.records)
			j.options.Post(func() { c.done(err) })
		case <-tick.C:
			j.checkIdle()
		}
	}
}

// write makes one batch durable. It checks before writing, too, because the write could hide that the log was
// truncated.
func (j *Journal) write(records []protocol.Record) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.db == nil {
		if err := j.reopen(); err != nil {
			return err
		}
	} else if err := j.checkDatabase(); err != nil {
		return err
	}
	if err := j.apply(records); err != nil {
		j.directory.Load().end(err)
	}
	return j.checkDatabase()
}

// checkIdle checks the directory while nothing is written, and opens the database again if it has ended.
func (j *Journal) checkIdle() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.db != nil {
		_ = j.checkDatabase()
	} else if time.Since(j.lastOpen) >= reopenPause {
		_ = j.reopen()
	}
}

// checkDatabase checks the directory of the open database. If the database has ended it closes it and returns the
// cause: what Pebble has in memory may differ from the disk.
func (j *Journal) checkDatabase() error {
	d := j.directory.Load()
	if err := j.checkDirectory(d); err != nil && d.cause() == nil {
		d.noteFailure(err)
	}
	cause := d.cause()
	if cause == nil {
		return nil
	}
	if isDamage(cause) {
		j.damage = cause
	}
	cause = fmt.Errorf("journal %s: %w", j.dir, cause)
	j.failure.Store(&cause)
	if isLost(cause) {
		j.losses.Add(1)
	}
	j.options.Log.Error("journal closed after an error", zap.Error(cause))
	_ = j.closeDB()
	return cause
}

// checkDirectory checks that all files exist and that the directory is writable. A loss ends the database.
func (j *Journal) checkDirectory(d *directory) error {
	err := d.check()
	if isLost(err) {
		d.end(err)
	}
	if err == nil {
		err = d.checkAccess()
	}
	return err
}

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

// closeDB closes the database. Pebble may panic if it has ended.
func (j *Journal) closeDB() (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("journal %s: %v", j.dir, p)
		}
		j.db = nil
	}()
	return j.db.Close()
}

// verify reports, before closing, whether what was committed is on the disk and readable.
func (j *Journal) verify() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.db == nil {
		return *j.failure.Load()
	}
	d := j.directory.Load()
	err := j.checkDirectory(d)
	if cause := d.cause(); cause != nil {
		err = cause
	}
	if err != nil {
		return fmt.Errorf("journal %s: %w", j.dir, err)
	}
	return nil
}

// shutdown closes the database for good. What Pebble has not flushed is in its log, as after a crash.
func (j *Journal) shutdown() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.db != nil {
		j.directory.Load().end(errClosed)
		_ = j.closeDB()
	}
	j.unlock()
}

var errClosed = errors.New("closed")

// closeTimeout limits the wait for an unresponsive disk when the program ends.
const closeTimeout = 2 * time.Second

// MaxClose is the maximum duration of Close.
const MaxClose = 2 * closeTimeout

// Close stops writing and releases the directory. It waits up to two seconds for a commit in progress, and then up
// to two seconds for the database to close. An error means that committed records may not be on the disk.
func (j *Journal) Close() error {
	j.once.Do(func() {
		j.directory.Load().strict.Store(true) // do not retry a commit in progress any longer
		close(j.commits)
		select {
		case j.closeErr = <-j.verified:
		case <-time.After(closeTimeout):
			j.closeErr = fmt.Errorf("journal %s: timed out waiting for the disk", j.dir)
			return
		}
		select {
		case <-j.done:
		case <-time.After(closeTimeout):
		}
	})
	return j.closeErr
}
