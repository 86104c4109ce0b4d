package link

import (
	"serverherd/herd/feed"
	"serverherd/protocol"
)

// LegacyUnsent is how many bytes may be unsent to a legacy neighbor before nothing more is written.
const LegacyUnsent = 256 << 10

// Legacy is what a legacy neighbor is sent, a server as the paper describes it: AT lines, everything once, in
// feed order, then what is new. Nothing is acknowledged. A Legacy lasts for one copy and what is new after
// it: one connection or, with one line on each, a series of connections.
//
// Invariants:
//
//  1. The cursor moves back only in Begin, to the head, and by one record if its line must be sent again.
//  2. A connection of a series carries at most one line. Between two calls of Begin no line is sent more than
//     twice.
//  3. What came from the process that epoch stands for is not sent to it.
type Legacy struct {
	name    string // this server's
	store   *feed.Store
	oneLine bool
	epoch   protocol.Epoch
	cursor  *feed.Cursor
	line    *feed.Cursor // before the record whose line was sent on this connection
	carries bool         // a line was sent on this connection, which must be closed
	again   bool         // it is the second attempt for that line
	full    bool         // too much was unsent at the last Pump
}

// NewLegacy returns a Legacy. Call Begin next.
func NewLegacy(self *Self, store *feed.Store, oneLine bool) *Legacy {
	return &Legacy{name: self.Name, store: store, oneLine: oneLine, cursor: store.Head(), line: store.Head()}
}

// Begin starts a copy at the head of the feed. From now on epoch stands for the neighbor's process.
func (l *Legacy) Begin(epoch protocol.Epoch) {
	l.epoch, l.again = epoch, false
	l.cursor.Rewind()
	l.line.Rewind()
}

// Connected begins the next connection.
func (l *Legacy) Connected() { l.carries, l.full = false, false }

// Carries reports whether the one line that a connection may carry was sent.
func (l *Legacy) Carries() bool { return l.carries }

// CaughtUp reports whether everything has been sent.
func (l *Legacy) CaughtUp() bool { return l.cursor.CaughtUp() }

// Position returns the position up to which everything has been sent.
func (l *Legacy) Position() uint64 { return l.cursor.Position() }

// Next is called when a connection that carried a line is lost, and reports whether to dial another one. A
// line that was not delivered is sent once more, on that one.
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

// Pump sends records after the cursor, at most room bytes and within the limits of one turn. If Carries is
// true then, the connection must be closed.
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
		p.add(item.Seq)
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
