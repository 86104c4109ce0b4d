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

// clientPrefix is in front of each client's id in the database.
const clientPrefix = 0x01

// Options say where a Journal is and whose.
type Options struct {
	Dir    string // of all journals; the server's is below it, by its name
	Herd   string
	Server string
	// Post runs f on the server's loop, in the order of the calls. Any goroutine.
	Post func(f func())
	Log  *zap.Logger
	FS   vfs.FS // nil: the system's

	memTable uint64 // a test's instead of memTableBytes
}

// Journal is a herd.Journal. Load and Commit are for the server's loop, State for anyone, Close for
// whoever opened it.
type Journal struct {
	options Options
	dir     string
	commits chan commit
	ended   chan struct{} // closed when the goroutine is gone
	once    sync.Once
	verdict chan error // verify's, at the end
	closing error      // of Close

	directory atomic.Pointer[directory] // of the database, or of the last one
	failure   atomic.Pointer[error]     // why there is no database; nil if there is
	losses    atomic.Uint64

	mu     sync.Mutex // held by who uses the database: Load, then the goroutine
	db     *pebble.DB // nil after a failure
	lock   *pebble.Lock
	lockID fileID
	tried  time.Time // when the database was last opened
	damage error     // why what is there has to be moved aside first, or nil
}

var _ herd.Journal = (*Journal)(nil)

// commit is a batch on its way to the disk.
type commit struct {
	records []protocol.Record
	done    func(error)
}

const (
	// reopenPause is between two tries to open a database again while nothing is to be written.
	reopenPause = 2 * time.Second
	// slowOpen is after how long the log is told that a journal is still being opened.
	slowOpen = 5 * time.Second
)

// Open opens a server's journal, or makes it. Its errors name the directory and what to do: it
// cannot be used or written, another process uses it, it is another server's, or what is in it is
// corrupt.
func Open(o Options) (*Journal, error) {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.memTable == 0 {
		o.memTable = memTableBytes
	}
	j := &Journal{
		options: o, dir: filepath.Join(o.Dir, o.Server),
		commits: make(chan commit, 1), verdict: make(chan error, 1), ended: make(chan struct{}),
	}
	slow := time.AfterFunc(slowOpen, func() {
		o.Log.Warn("journal is still being opened", zap.String("dir", j.dir), zap.Duration("took", slowOpen))
	})
	defer slow.Stop()
	if err := j.open(); err != nil {
		j.unlock()
		if isLost(err) {
			err = fmt.Errorf("%w; if it cannot be repaired, move it away and start without it: "+
				"neighbors have the records", err)
		}
		return nil, err
	}
	go j.run()
	return j, nil
}

// Load implements herd.Journal. A value that is no record is skipped and told of: a wrong record is
// never handed over. An error means that the directory cannot be read.
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

// State implements herd.Journal.
func (j *Journal) State() herd.JournalState {
	s := herd.JournalState{Losses: j.losses.Load()}
	if failure := j.failure.Load(); failure != nil {
		s.Err = *failure
	} else {
		s.Err = j.directory.Load().trouble()
	}
	return s
}

// run writes one batch after the other, and looks after the directory.
func (j *Journal) run() {
	defer close(j.ended)
	tick := time.NewTicker(herd.JournalCheck)
	defer tick.Stop()
	for {
		select {
		case c, ok := <-j.commits:
			if !ok {
				j.verdict <- j.verify()
				j.leave()
				return
			}
			err := j.write(c.records)
			j.options.Post(func() { c.done(err) })
		case <-tick.C:
			j.look()
		}
	}
}

// write makes one batch durable. It looks before, because the write would make a log that was truncated
// long again.
func (j *Journal) write(records []protocol.Record) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.db == nil {
		if err := j.reopen(); err != nil {
			return err
		}
	} else if err := j.inspect(); err != nil {
		return err
	}
	if err := j.apply(records); err != nil {
		j.directory.Load().end(err)
	}
	return j.inspect()
}

// look notices what has become of the directory while nothing is written, and opens the database
// again if it has ended.
func (j *Journal) look() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.db != nil {
		_ = j.inspect()
	} else if time.Since(j.tried) >= reopenPause {
		_ = j.reopen()
	}
}

// inspect checks the directory of a database that is open, and gives the database up if it has ended:
// what Pebble has in memory may not be what is on the disk. It returns why.
func (j *Journal) inspect() error {
	d := j.directory.Load()
	if err := j.examine(d); err != nil && d.cause() == nil {
		d.note(err)
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
	_ = j.abandon()
	return cause
}

// examine looks whether everything is there and could be written; what is lost ends the database.
func (j *Journal) examine(d *directory) error {
	err := d.check()
	if isLost(err) {
		d.end(err)
	}
	if err == nil {
		err = d.usable()
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

// abandon closes the database, which may not be able to close in good order.
func (j *Journal) abandon() (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("journal %s: %v", j.dir, p)
		}
		j.db = nil
	}()
	return j.db.Close()
}

// verify says, at the end, whether what was committed is on the disk and can be read from there.
func (j *Journal) verify() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.db == nil {
		return *j.failure.Load()
	}
	d := j.directory.Load()
	err := j.examine(d)
	if cause := d.cause(); cause != nil {
		err = cause
	}
	if err != nil {
		return fmt.Errorf("journal %s: %w", j.dir, err)
	}
	return nil
}

// leave closes the database for good. What Pebble is still writing it writes anew when it is opened the
// next time, as after a crash.
func (j *Journal) leave() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.db != nil {
		j.directory.Load().end(errClosed)
		_ = j.abandon()
	}
	j.unlock()
}

var errClosed = errors.New("closed")

// closeTimeout bounds the wait for a disk that does not answer, at the end of the program.
const closeTimeout = 2 * time.Second

// MaxClose is how long Close may take.
const MaxClose = 2 * closeTimeout

// Close writes nothing more and gives the directory up. It waits for a commit under way, for two
// seconds at most, and then as long for the database to close. An error means that what was
// committed may not be on the disk.
func (j *Journal) Close() error {
	j.once.Do(func() {
		j.directory.Load().strict.Store(true) // a commit under way is not retried any longer
		close(j.commits)
		select {
		case j.closing = <-j.verdict:
		case <-time.After(closeTimeout):
			j.closing = fmt.Errorf("journal %s: the disk does not answer", j.dir)
			return
		}
		select {
		case <-j.ended:
		case <-time.After(closeTimeout):
		}
	})
	return j.closing
}
