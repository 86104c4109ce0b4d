package herd

import (
	"serverherd/herd/feed"
	"serverherd/herd/link"
)

// This file is what is written to and read from the flight recorder.

// copied counts the records of a copy or resume since the last MARK, for one event of the flight recorder. Loop only.
type copied struct {
	applied, duplicates int
	first, last         uint64 // positions of those applied
}

// recordAT records an AT line, or counts it if it belongs to a copy.
func (in *inbound) recordAT(at link.AT) {
	srv := in.server()
	switch tail := srv.store.Tail(); {
	case at.Outcome == feed.Full:
	case at.Copy && at.Outcome == feed.Stored:
		if in.copied.applied == 0 {
			in.copied.first = tail
		}
		in.copied.applied++
		in.copied.last = tail
	case at.Copy:
		in.copied.duplicates++
	case at.Outcome == feed.Stored:
		srv.recorder.Applied(in.session.now, in.neighbor.index, srv.store.Offered(), tail, at.Record.Client())
	default:
		srv.recorder.Duplicate(in.session.now, in.neighbor.index, srv.store.Offered(), at.Record.Client())
	}
}

// recordCopied records what was copied since the last MARK.
func (in *inbound) recordCopied() {
	if c := &in.copied; c.applied+c.duplicates > 0 {
		in.server().recorder.Copied(in.session.now, in.neighbor.index, c.first, c.last, c.applied, c.duplicates)
		*c = copied{}
	}
}
