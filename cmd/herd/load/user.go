package load

import (
	"bytes"
	"time"

	"serverherd/protocol"
	"serverherd/reactor"
)

// request is a line whose reply has not come.
type request struct {
	due, sent time.Duration // on the worker's clock
	whatsat   bool
	line      []byte // without its LF; reused
}

// What is longer than these is wrong: a reply with places, of which there are some hundred KiB at
// most, and any other, which is a line or two. In bytes.
const (
	maxReply = 4 << 20
	maxShort = 64 << 10
)

// user is a connection that sends lines and compares their replies. Of its worker's loop.
type user struct {
	worker *worker
	target *Target
	lines  *lines
	t      reactor.Transport
	text   []byte // scratch: lines to be written
	part   []byte // a reply that has not come as a whole

	window      []request // a ring: first, and so many
	first, open int
	owed        uint64        // lines that were due and could not be sent
	owedSince   time.Duration // when the first of them was due; the others follow a round apart
	givenUp     bool          // for a wrong reply, or because none came in time
	lost, ended bool
}

// ConnectionMade implements reactor.Protocol.
func (u *user) ConnectionMade(t reactor.Transport) {
	u.t = t
	u.worker.connected(u)
}

// ConnectionLost implements reactor.Protocol.
func (u *user) ConnectionLost(reason error) {
	u.lost = true
	u.worker.disconnected(u, reason)
}

// fill has so many lines under way, all due now: a closed loop.
func (u *user) fill(now time.Duration) {
	for u.open < len(u.window) {
		u.add(now, now)
	}
	u.write()
}

// offer is a line that is due: an open loop. It is sent when the window has room.
func (u *user) offer(due, now time.Duration) {
	switch {
	case u.lost || u.givenUp:
		u.worker.now.counts.Skipped++
	case u.open < len(u.window):
		u.add(due, now)
	default:
		if u.owed == 0 {
			u.owedSince = due
		}
		u.owed++
		u.worker.now.counts.Late++
	}
}

// add makes the next line. It is written by write.
func (u *user) add(due, now time.Duration) {
	r := &u.window[(u.first+u.open)%len(u.window)]
	u.open++
	r.due, r.sent = due, now
	r.line, r.whatsat = u.lines.appendNext(r.line[:0])
	u.text = append(append(u.text, r.line...), '\n')
	u.worker.now.counts.Sent++
	u.worker.sent(now - due)
}

func (u *user) write() {
	if len(u.text) > 0 {
		u.t.Write(u.text)
		u.text = u.text[:0]
	}
}

// DataReceived implements reactor.Protocol.
func (u *user) DataReceived(p []byte) {
	if u.givenUp {
		return // it is counted as unanswered
	}
	now := u.worker.elapsed()
	u.worker.now.counts.BytesIn += uint64(len(p))
	if len(u.part) > 0 {
		u.part = append(u.part, p...)
		rest := u.replies(u.part, now)
		u.part = u.part[:copy(u.part, rest)]
	} else if rest := u.replies(p, now); len(rest) > 0 {
		u.part = append(u.part, rest...)
	}
	if len(u.part) > u.mostOfReply() && !u.givenUp {
		u.worker.wrong(u, "a reply without end", shown(u.part))
		u.part = nil
	}
	if !u.lost && !u.givenUp {
		u.next(now)
	}
}

// mostOfReply is how long the reply that is awaited may be.
func (u *user) mostOfReply() int {
	if u.open > 0 && u.window[u.first].whatsat {
		return maxReply
	}
	return maxShort
}

// next sends what the window has room for again.
func (u *user) next(now time.Duration) {
	switch {
	case u.worker.ending:
		u.worker.drained(u)
	case u.worker.interval == 0:
		u.fill(now)
	default:
		for ; u.owed > 0 && u.open < len(u.window); u.owed-- {
			u.add(u.owedSince, now)
			u.owedSince += u.worker.round()
		}
		u.write()
		u.worker.pump()
	}
}

// replies takes all complete replies from p and returns the rest.
func (u *user) replies(p []byte, now time.Duration) []byte {
	for len(p) > 0 {
		if u.open == 0 {
			u.worker.unasked(u, p)
			return nil
		}
		r := &u.window[u.first]
		n := u.replyEnd(p, r.whatsat)
		if n == 0 {
			return p
		}
		if u.compare(r, p[:n]); u.givenUp {
			return nil
		}
		u.worker.answered(now-r.due, now-r.sent)
		u.first = (u.first + 1) % len(u.window)
		u.open--
		p = p[n:]
	}
	return nil
}

var emptyLine = []byte("\n\n")

// replyEnd is the length of the reply that p begins with, 0 if it is not complete.
func (u *user) replyEnd(p []byte, whatsat bool) int {
	if u.lines.redis {
		return bytes.IndexByte(p, '\n') + 1
	}
	cs131 := u.worker.options.Dialect == protocol.CS131
	if whatsat && p[0] == 'A' || p[0] != 'A' && !cs131 { // of more than one line, perhaps
		if i := bytes.Index(p, emptyLine); i >= 0 {
			return i + len(emptyLine)
		}
		return 0
	}
	i := bytes.IndexByte(p, '\n') + 1
	if cs131 || i == 0 {
		return i
	}
	if i == len(p) {
		return 0
	}
	return i + 1
}

// compare counts a reply that is not the line's.
func (u *user) compare(r *request, reply []byte) {
	if u.lines.redis {
		u.compareRedis(reply)
		return
	}
	if len(reply) > 1 && reply[1] == ' ' { // "? " or "> "
		u.worker.refused(u, reply)
		return
	}
	line, _, _ := bytes.Cut(reply, []byte("\n"))
	ok := bytes.HasPrefix(line, []byte("AT ")) && reply[len(reply)-1] == '\n'
	if r.whatsat {
		id, _, _ := bytes.Cut(r.line[len("WHATSAT "):], []byte(" "))
		ok = ok && bytes.Contains(line, id) && isPlaces(reply[len(line):])
	} else {
		ok = ok && bytes.HasSuffix(line, r.line[len("IAMAT"):])
	}
	if !ok {
		u.worker.wrong(u, "a reply that is not its line's", string(r.line)+": "+shown(reply))
	}
}

// isPlaces says whether what follows the AT line of a WHATSAT's reply may be an object of JSON.
func isPlaces(rest []byte) bool {
	rest = bytes.TrimSpace(rest)
	return len(rest) > 1 && rest[0] == '{' && rest[len(rest)-1] == '}'
}
