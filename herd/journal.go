package herd

import (
	"fmt"
	"time"

	"go.uber.org/zap"

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
}

const (
	// commitPause lets updates gather: a sync costs the disk the same for one or for thousands.
	commitPause = 20 * time.Millisecond
	// commitRecords and commitBytes bound what one turn copies for the disk.
	commitRecords = 16384
	commitBytes   = 2 << 20
	// A commit that failed is tried again after a while that doubles.
	minCommitRetry = 250 * time.Millisecond
	maxCommitRetry = 5 * time.Second
	// journalLate is the age of an unwritten record from which the journal is not well, and
	// journalTrouble how often the log is told so.
	journalLate    = 1500 * time.Millisecond
	journalTrouble = 30 * time.Second
)

// journaling hands a server's feed over to its Journal, as a link does to a neighbor: it keeps two
// places, what the disk was given and what it has. While the disk is slow or fails, the feed is the
// queue, in which a client that moves a thousand times is still one record. Loop only.
type journaling struct {
	server  *Server
	journal Journal
	sent    *Cursor
	synced  *Cursor

	busy  bool // a commit is under way
	due   *reactor.DelayedCall
	retry time.Duration // the last pause after a failure; 0: the last commit was well
	batch []protocol.Record
	texts []byte // the batch's, one behind the other
	whole bool   // the batch is all that there was

	since  time.Time // when the oldest record that is not on the disk came; zero: all are
	begun  time.Time // when the commit under way began
	logged time.Time // when the log was last told of trouble; zero: all is well
	status JournalStatus
}

// newJournaling loads what the journal has into the store.
func newJournaling(s *Server, journal Journal) (*journaling, error) {
	j := &journaling{server: s, journal: journal, texts: make([]byte, 0, commitBytes+maxLinkLine)}
	begun := s.reactor.Now()
	err := journal.Load(func(r protocol.Record) {
		if s.store.Apply(r, 0) == Stored {
			j.status.Loaded++
			s.noteOrigin(r)
		} else {
			j.status.NotTaken++
		}
	})
	if err != nil {
		return nil, fmt.Errorf("load the journal: %w", err)
	}
	j.status.LoadTime = s.reactor.Now().Sub(begun).Seconds()
	s.log.Info("journal loaded", zap.Uint64("records", j.status.Loaded),
		zap.Uint64("not_taken", j.status.NotTaken), zap.Float64("took", j.status.LoadTime))
	j.sent = s.store.Head()
	j.sent.Advance(s.store.Tail())
	j.synced = s.store.Head()
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
	if j.busy || j.due != nil {
		return
	}
	if j.server.drain.begun {
		j.commit() // what is to gather has come
	} else {
		j.after(commitPause)
	}
}

func (j *journaling) after(d time.Duration) {
	j.due = j.server.reactor.CallLater(d, func() {
		j.due = nil
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
	j.whole = j.sent.CaughtUp()
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
	if err != nil {
		j.status.Failures++
		j.status.Error = err.Error()
		j.sent.MoveTo(j.synced)
		j.retry = min(max(2*j.retry, minCommitRetry), maxCommitRetry)
		j.complain(now)
		j.after(j.retry)
		return
	}
	j.status.Commits++
	j.status.Records += uint64(len(j.batch))
	j.status.Error, j.retry = "", 0
	j.synced.MoveTo(j.sent)
	switch {
	case j.sent.CaughtUp():
		j.since = time.Time{}
	case j.whole: // what is left came later
		j.since = j.begun
	}
	if !j.logged.IsZero() && j.late(now) < journalLate {
		j.logged = time.Time{}
		j.server.log.Info("journal is well again", zap.Uint64("behind", j.behind()))
	}
	if !j.whole {
		j.after(0)
	} else {
		j.pump()
	}
	j.server.drained()
}

// late is the age of the oldest record that is not on the disk.
func (j *journaling) late(now time.Time) time.Duration {
	if j.since.IsZero() {
		return 0
	}
	return now.Sub(j.since)
}

// behind is how many positions of the feed are not on the disk; as many records at most.
func (j *journaling) behind() uint64 { return j.server.store.Tail() - j.synced.Position() }

// idle says whether everything is on the disk.
func (j *journaling) idle() bool { return !j.busy && j.synced.CaughtUp() }

// complain tells the log of a disk that is slow or fails, now and then.
func (j *journaling) complain(now time.Time) {
	if late := j.late(now); j.status.Error == "" && late < journalLate ||
		!j.logged.IsZero() && now.Sub(j.logged) < journalTrouble {
		return
	}
	j.logged = now
	j.server.log.Error("journal is behind", zap.Uint64("behind", j.behind()),
		zap.Duration("late", j.late(now)), zap.String("reason", j.status.Error))
}

// statusNow is the journal's part of Status.
func (j *journaling) statusNow() *JournalStatus {
	st := j.status
	late := j.late(j.server.reactor.Now())
	st.OK = st.Error == "" && late < journalLate
	st.Behind, st.Late = j.behind(), late.Seconds()
	return &st
}
