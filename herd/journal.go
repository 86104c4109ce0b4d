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
	// Load hands over every record that was kept, in any order. It is called once, before the
	// loop runs; a record's bytes are valid during the call.
	Load(each func(r protocol.Record)) error
	// Commit makes records durable, all or none of them, away from the loop, and then calls done
	// on the loop. It is called on the loop, never before done of the last call. The records'
	// bytes stay as they are until done.
	Commit(records []protocol.Record, done func(error))
	// State is how the disk is at the moment, apart from the outcomes of commits.
	State() JournalState
}

// JournalState is what a Journal knows of its disk.
type JournalState struct {
	Err error // what is wrong, or nil
	// Losses is how many times records that had been committed were found missing or unreadable.
	// Whoever sees it grow commits all records again.
	Losses uint64
}

// JournalCheck is how often a Journal looks whether its files are still there.
const JournalCheck = time.Second

const (
	// commitPause lets updates gather: a sync costs the disk the same for one or for thousands.
	commitPause = 20 * time.Millisecond
	// commitRecords and commitBytes bound what one turn copies for the disk.
	commitRecords = 16384
	commitBytes   = 2 << 20
	// A commit that failed is tried again after a while that doubles.
	minCommitRetry = 250 * time.Millisecond
	maxCommitRetry = 5 * time.Second
	// maxDrainRetry is the longest such while when the server stops: it must not wait for a disk that
	// has recovered.
	maxDrainRetry = 500 * time.Millisecond
	// journalLate is the age of an unwritten record from which the journal is not well, and
	// journalTrouble how often the log is told so.
	journalLate     = 1500 * time.Millisecond
	journalLogPause = 30 * time.Second
)

// journaling hands a server's feed over to its Journal, as a link does to a neighbor: it keeps two
// places, what the disk was given and what it has. While the disk is slow or fails, the feed is the
// queue, in which a client that moves a thousand times is still one record. Loop only.
type journaling struct {
	server  *Server
	journal Journal
	sent    *feed.Cursor
	synced  *feed.Cursor

	busy       bool // a commit is under way
	timer      *reactor.DelayedCall
	retry      time.Duration // the last pause after a failure; 0: the last commit was well
	batch      []protocol.Record
	texts      []byte // the batch's, one behind the other
	batchIsAll bool   // the batch is all that there was

	err    error  // the last commit's, or nil
	losses uint64 // of the Journal's, for which everything has been written again

	since  time.Time // when the oldest record that is not on the disk came; zero: all are
	begun  time.Time // when the commit under way began
	logged time.Time // when the log was last told of trouble; zero: all is well
	status JournalStatus
}

// newJournaling loads what the journal has into the store.
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

// pump gives the disk what has come, unless it has its hands full.
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
		j.commit() // what is to gather has come
	} else {
		j.commitAfter(commitPause)
	}
}

// drain begins the journal's part of a stop: whatever it waits for, it tries at once.
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

// commit copies the next records and hands them over.
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

// done takes the outcome of a commit.
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
	case j.batchIsAll: // what is left came later
		j.since = j.begun
	}
	if !j.batchIsAll {
		j.commitAfter(0)
	}
	j.sweep(now)
	j.server.checkDrained()
}

// sweep looks how the disk is, and tells the log. It is called now and then.
func (j *journaling) sweep(now time.Time) {
	j.checkLosses()
	j.pump()
	j.logState(now)
}

// look has everything written again if the disk has lost something. A commit under way does not
// matter: its outcome leaves both cursors at the head.
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

// behind bounds the records that are not on the disk.
func (j *journaling) behind() uint64 {
	store := j.server.store
	return min(store.Tail()-j.synced.Position(), uint64(store.Len()))
}

// unwritten counts the records that are not on the disk. O(records).
func (j *journaling) unwritten() (n int) {
	j.checkLosses()
	c := j.server.store.Head()
	defer c.Close()
	c.MoveTo(j.synced)
	for _, more := c.Next(); more; _, more = c.Next() {
		n++
	}
	return n
}

// stopError says, when the server has stopped, how many records are not on the disk; nil if none.
func (j *journaling) stopError() error {
	n := j.unwritten()
	if n == 0 {
		return nil
	}
	err := fmt.Sprintf("%d records are not on the disk: %s", n, j.problem(j.server.reactor.Now()))
	return errors.New(strings.TrimSuffix(err, ": "))
}

// idle looks once more, and says whether everything is on the disk.
func (j *journaling) idle() bool {
	j.checkLosses()
	return !j.busy && j.synced.CaughtUp()
}

// trouble is what is wrong with the disk; "" if nothing is known to be.
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

// report tells the log of a disk that is slow or fails, now and then, and when it has recovered.
func (j *journaling) logState(now time.Time) {
	trouble, late := j.problem(now), j.late(now)
	behind, age := zap.Uint64("behind", j.behind()), zap.Duration("late", late)
	switch ok := trouble == "" && late < journalLate; {
	case ok && !j.logged.IsZero():
		j.logged = time.Time{}
		j.server.log.Info("journal recovered", behind)
	case !ok && (j.logged.IsZero() || now.Sub(j.logged) >= journalLogPause):
		j.logged = now
		j.server.log.Error("journal failing", behind, age, zap.String("reason", trouble))
	}
}

// statusNow is the journal's part of Status.
func (j *journaling) currentStatus() *JournalStatus {
	st := j.status
	now := j.server.reactor.Now()
	late := j.late(now)
	st.Error = j.problem(now)
	st.OK = st.Error == "" && late < journalLate
	st.Behind, st.Late = j.behind(), late.Seconds()
	return &st
}
