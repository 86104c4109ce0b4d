package link

import (
	"serverherd/herd/feed"
	"serverherd/protocol"
)

// LegacyUnsent is how many bytes a legacy neighbor may leave unread before nothing more is sent.
const LegacyUnsent = 256 << 10

// Legacy is what is sent to a neighbor that knows no handshake, a server as the paper describes it: AT lines,
// everything once, in feed order, then what is new. Nothing is acknowledged. It lasts for one copy and what
// is new after it: one connection or, with one line on each, a series of connections.
//
// Invariants:
//
//  1. The cursor goes back to the head in Begin, before one record when its line is to be sent again, and else
//     never.
//  2. A connection of a series carries at most one line, and no line is sent more than twice.
//  3. What came from the process that epoch stands for is not sent to it.
type Legacy struct {
	name    string // this server's
	store   *feed.Store
	oneLine bool
	epoch   protocol.Epoch
	cursor  *feed.Cursor
	line    *feed.Cursor // in front of the record whose line the connection carries
	carries bool         // the connection carries a line, and is to be closed behind it
	again   bool         // that line is sent for the second time
	full    bool         // too much was unsent when it was last pumped
}

// NewLegacy returns a Legacy, for Begin.
func NewLegacy(self *Self, store *feed.Store, oneLine bool) *Legacy {
	return &Legacy{name: self.Name, store: store, oneLine: oneLine, cursor: store.Head(), line: store.Head()}
}

// Begin goes to the head of the feed. From now on epoch stands for the neighbor's process.
func (l *Legacy) Begin(epoch protocol.Epoch) {
	l.epoch, l.again = epoch, false
	l.cursor.Rewind()
	l.line.Rewind()
}

// Connected begins the next connection.
func (l *Legacy) Connected() { l.carries, l.full = false, false }

// Carries says whether the connection carries the one line that it may.
func (l *Legacy) Carries() bool { return l.carries }

// CaughtUp says whether all has been sent.
func (l *Legacy) CaughtUp() bool { return l.cursor.CaughtUp() }

// Position is the position up to which everything has been sent.
func (l *Legacy) Position() uint64 { return l.cursor.Position() }

// Close ends the copy. Nothing may be called after it.
func (l *Legacy) Close() {
	l.cursor.Close()
	l.line.Close()
}

// Next is called when a connection that carried a line is gone, and says whether another one is to follow. If the
// line was not delivered, that one carries it again, once.
func (l *Legacy) Next(delivered bool) (more bool) {
	if !delivered && l.again {
		return false
	}
	if !delivered {
		l.cursor.MoveTo(l.line)
	}
	l.carries, l.again = false, !delivered
	return true
}

// Pump sends what follows the cursor, within this turn's bounds and room bytes. If it then Carries a line, the
// connection is to be closed behind it.
func (l *Legacy) Pump(room int, out *Output) (p Pumped) {
	if l.carries {
		return p
	}
	start := len(out.Lines)
	for range pumpRecords {
		if len(out.Lines)-start >= min(room, pumpBytes) || l.carries {
			break
		}
		if l.oneLine {
			l.line.MoveTo(l.cursor)
		}
		item, ok := l.cursor.Next()
		if !ok {
			break
		}
		if item.From == l.epoch {
			continue
		}
		out.Lines = item.Record.AppendLinkAT(out.Lines, l.name)
		p.Records++
		l.carries = l.oneLine
	}
	if l.carries {
		return p
	}
	more := !l.cursor.CaughtUp()
	full := more && len(out.Lines)-start >= room
	p.More, p.Stalled = more && !full, full && !l.full
	l.full = full
	return p
}
