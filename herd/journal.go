package herd

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"

	"serverherd/herd/feed"
	"serverherd/protocol"
	"serverherd/reactor"
)

// Journal keeps a server's records on a disk. It is a follower of the feed with a disk at its end,
// so it never holds more than the newest record of each client.
type Journal interface {
	// Load passes every stored record to each, in any order. It is called once, before the loop runs. A
	// record's bytes are valid during the call only.
	Load(each func(r protocol.Record)) error
	// Commit makes records durable, all or none of them, off the loop, and then calls done on the loop. It is
	// called on the loop, and not again before done. The records' bytes do not change until done.
	Commit(records []protocol.Record, done func(error))
	// State returns the state of the disk, apart from the results of commits.
	State() JournalState
}

// JournalState is the state of a Journal's disk.
type JournalState struct {
	Err error // what is wrong, or nil
	// Losses counts how often committed records were found missing or unreadable. When it grows, all records
	// must be committed again.
	Losses uint64
}

// JournalCheck is how often a Journal checks whether its files still exist.
const JournalCheck = time.Second

const (
	// commitPause collects updates: a sync costs the disk the same for one record or for thousands.
	commitPause = 20 * time.Millisecond
	// commitRecords and commitBytes bound what one turn copies for the disk.
	commitRecords = 16384
	commitBytes   = 2 << 20
	// A failed commit is retried after a pause that doubles.
	minCommitRetry = 250 * time.Millisecond
	maxCommitRetry = 5 * time.Second
	// maxDrainRetry is the longest pause during a shutdown, which must not wait for a disk that has
	// recovered.
	maxDrainRetry = 500 * time.Millisecond
	// journalLate is the age of an unwritten record from which the journal is failing, and journalLogPause is
	// how often that is logged.
	journalLate     = 1500 * time.Millisecond
	journalLogPause = 30 * time.Second
)

// journaling replicates a server's feed to its Journal, as a link does to a neighbor. It keeps two cursors:
// what was handed to the disk and what the disk has. While the disk is slow or fails, the feed is the queue,
// in which a client that moves a thousand times is still one record. Loop only.
type journaling struct {
	server  *Server
	journal Journal
	sent    *feed.Cursor
	synced  *feed.Cursor

	busy       bool // a commit is in progress
	timer      *reactor.DelayedCall
	retry      time.Duration // the last pause after a failure; 0: the last commit succeeded
	batch      []protocol.Record
	texts      []byte // of the batch's records, concatenated
	batchIsAll bool   // the batch contains everything that was pending

	err    error  // of the last commit, or nil
	losses uint64 // the Journal's, when everything was last written again

	since  time.Time // when the oldest unwritten record was stored; zero: all are written
	begun  time.Time // when the commit in progress began
	logged time.Time // when a failure was last logged; zero: healthy
	status JournalStatus
}

// newJournaling loads the journal's records into the store.
func newJournaling(srv *Server, journal Journal) (*journaling, error) {
	j := &journaling{server: srv, journal: journal, texts: make([]byte, 0, commitBytes+maxLinkLine)}
	begun := srv.reactor.Now()
	err := journal.Load(func(r protocol.Record) {
		if srv.store.Apply(r, 0) == feed.Stored {
			j.status.Loaded++
			srv.countForeign(r)
		} else {
			j.status.NotTaken++
		}
	})
	if err != nil {
		return nil, fmt.Errorf("load the journal: %w", err)
	}
	srv.loaded = srv.store.Tail()
	j.status.LoadTime = srv.reactor.Now().Sub(begun).Seconds()
	srv.log.Info("journal loaded", zap.Uint64("records", j.status.Loaded),
		zap.Uint64("not_taken", j.status.NotTaken), zap.Float64("took", j.status.LoadTime))
	j.losses = journal.State().Losses
	j.sent = srv.store.Head()
	j.sent.Advance(srv.store.Tail())
	j.synced = srv.store.Head()
	j.synced.MoveTo(j.sent)
	return j, nil
}

// pump schedules a commit of pending records, unless one is scheduled or in progress.
func (j *journaling) pump() {
	if j.sent.CaughtUp() {
		return
	}
	if j.since.IsZero() {
		j.since = j.server.reactor.Now()
	}
	if j.busy || j.timer != nil {
		return
	}
	if j.server.drain.begun {
		j.commit() // no further updates are coming
	} else {
		j.commitAfter(commitPause)
	}
}

// beginDrain begins the journal's part of a shutdown: a scheduled commit or retry is done at once.
func (j *journaling) beginDrain() {
	if j.timer != nil {
		j.timer.Cancel()
		j.timer = nil
	}
	j.pump()
}

func (j *journaling) commitAfter(d time.Duration) {
	j.timer = j.server.reactor.CallLater(d, func() {
		j.timer = nil
		j.commit()
	})
}

// commit copies the next pending records and passes them to the Journal.
func (j *journaling) commit() {
	j.begun = j.server.reactor.Now()
	j.batch, j.texts = j.batch[:0], j.texts[:0]
	for len(j.batch) < commitRecords && len(j.texts) < commitBytes {
		item, ok := j.sent.Next()
		if !ok {
			break
		}
		r := item.Record.CloneInto(j.texts[len(j.texts):])
		j.texts = j.texts[:len(j.texts)+len(r.Text())]
		j.batch = append(j.batch, r)
	}
	j.batchIsAll = j.sent.CaughtUp()
	if len(j.batch) == 0 {
		return
	}
	j.busy = true
	j.journal.Commit(j.batch, j.done)
}

// done handles the result of a commit.
func (j *journaling) done(err error) {
	j.busy = false
	now := j.server.reactor.Now()
	if j.err = err; err != nil {
		j.status.Failures++
		j.sent.MoveTo(j.synced)
		longest := maxCommitRetry
		if j.server.drain.begun {
			longest = maxDrainRetry
		}
		j.retry = min(max(2*j.retry, minCommitRetry), longest)
		j.commitAfter(j.retry)
		j.sweep(now)
		return
	}
	j.status.Commits++
	j.status.Records += uint64(len(j.batch))
	j.retry = 0
	j.synced.MoveTo(j.sent)
	switch {
	case j.sent.CaughtUp():
		j.since = time.Time{}
	case j.batchIsAll: // what is pending arrived later
		j.since = j.begun
	}
	if !j.batchIsAll {
		j.commitAfter(0)
	}
	j.sweep(now)
	j.server.checkDrained()
}

// sweep checks the disk and logs changes. It is called periodically.
func (j *journaling) sweep(now time.Time) {
	j.checkLosses()
	j.pump()
	j.logState(now)
}

// checkLosses writes everything again if the disk has lost records. A commit in progress does not matter:
// both cursors are at the head after it, whatever its result.
func (j *journaling) checkLosses() {
	losses := j.journal.State().Losses
	if losses == j.losses {
		return
	}
	j.losses = losses
	j.status.Losses++
	j.server.log.Error("journal lost records, writing all again", zap.Int("records", j.server.store.Len()))
	j.sent.Rewind()
	j.synced.Rewind()
}

// late is the age of the oldest record that is not on the disk.
func (j *journaling) late(now time.Time) time.Duration {
	if j.since.IsZero() {
		return 0
	}
	return now.Sub(j.since)
}

// behind is an upper bound on the number of unwritten records.
func (j *journaling) behind() uint64 {
	store := j.server.store
	return min(store.Tail()-j.synced.Position(), uint64(store.Len()))
}

// unwritten counts the records that are not on the disk. O(records).
func (j *journaling) unwritten() (n int) {
	j.checkLosses()
	c := j.server.store.Head()
	c.MoveTo(j.synced)
	for _, more := c.Next(); more; _, more = c.Next() {
		n++
	}
	return n
}

// stopError reports how many records are not on the disk when the server has stopped; nil if none.
func (j *journaling) stopError() error {
	n := j.unwritten()
	if n == 0 {
		return nil
	}
	err := fmt.Sprintf("%d records are not on the disk: %s", n, j.problem(j.server.reactor.Now()))
	return errors.New(strings.TrimSuffix(err, ": "))
}

// idle checks the disk once more, and reports whether everything is written.
func (j *journaling) idle() bool {
	j.checkLosses()
	return !j.busy && j.synced.CaughtUp()
}

// problem is what is wrong with the disk, or "".
func (j *journaling) problem(now time.Time) string {
	state := j.journal.State()
	switch waited := now.Sub(j.begun); {
	case state.Err != nil:
		return state.Err.Error()
	case j.err != nil:
		return j.err.Error()
	case j.busy && waited > journalLate:
		return fmt.Sprintf("the disk has not answered for %v", waited.Round(time.Second))
	}
	return ""
}

// logState logs a slow or failing disk now and then, and its recovery.
func (j *journaling) logState(now time.Time) {
	problem, late := j.problem(now), j.late(now)
	behind, age := zap.Uint64("behind", j.behind()), zap.Duration("late", late)
	switch ok := problem == "" && late < journalLate; {
	case ok && !j.logged.IsZero():
		j.logged = time.Time{}
		j.server.log.Info("journal recovered", behind)
	case !ok && (j.logged.IsZero() || now.Sub(j.logged) >= journalLogPause):
		j.logged = now
		j.server.log.Error("journal failing", behind, age, zap.String("reason", problem))
	}
}

// currentStatus is the journal's part of Status.
func (j *journaling) currentStatus() *JournalStatus {
	st := j.status
	now := j.server.reactor.Now()
	late := j.late(now)
	st.Error = j.problem(now)
	st.OK = st.Error == "" && late < journalLate
	st.Behind, st.Late = j.behind(), late.Seconds()
	return &st
}
