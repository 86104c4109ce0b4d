package load

import (
	"bytes"
	"time"

	"serverherd/protocol"
	"serverherd/reactor"
)

// request is a request in flight.
type request struct {
	due, sent time.Duration // on the worker's clock
	whatsat   bool
	line      []byte // without its LF; reused
}

// Limits of replies, in bytes: with places, which take a few hundred KiB at most, and all others, which are
// one or two lines.
const (
	maxReply = 4 << 20
	maxShort = 64 << 10
)

// user is a connection that sends requests and checks their replies. Used only on its worker's loop.
type user struct {
	worker *worker
	target *Target
	lines  *lines
	t      reactor.Transport
	text   []byte // requests to be written; reused
	part   []byte // an incomplete reply

	window       []request // ring buffer of the requests in flight
	first, open  int
	backlog      uint64        // requests that were due and could not be sent
	backlogSince time.Duration // when the first of them was due; the others follow at intervals of worker.round
	givenUp      bool          // because of a wrong reply or a timeout
	lost, ended  bool
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

// fill fills the window with requests that are due now: a closed loop.
func (u *user) fill(now time.Duration) {
	for u.open < len(u.window) {
		u.add(now, now)
	}
	u.write()
}

// offer adds a request that is due, in an open loop. It is sent when the window has room.
func (u *user) offer(due, now time.Duration) {
	switch {
	case u.lost || u.givenUp:
		u.worker.now.counts.Skipped++
	case u.open < len(u.window):
		u.add(due, now)
	default:
		if u.backlog == 0 {
			u.backlogSince = due
		}
		u.backlog++
		u.worker.now.counts.Late++
	}
}

// add creates the next request, for write.
func (u *user) add(due, now time.Duration) {
	r := &u.window[(u.first+u.open)%len(u.window)]
	u.open++
	r.due, r.sent = due, now
	r.line, r.whatsat = u.lines.appendNext(r.line[:0], u.worker.stamp(now))
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
		return // counted as unanswered
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
		u.worker.wrong(u, "reply too long", shown(u.part))
		u.part = nil
	}
	if !u.lost && !u.givenUp {
		u.next(now)
	}
}

// mostOfReply is the maximum length of the next reply.
func (u *user) mostOfReply() int {
	if u.open > 0 && u.window[u.first].whatsat {
		return maxReply
	}
	return maxShort
}

// next sends requests for which the window has room again.
func (u *user) next(now time.Duration) {
	switch {
	case u.worker.ending:
		u.worker.drained(u)
	case u.worker.interval == 0:
		u.fill(now)
	default:
		for ; u.backlog > 0 && u.open < len(u.window); u.backlog-- {
			u.add(u.backlogSince, now)
			u.backlogSince += u.worker.round()
		}
		u.write()
		u.worker.pump()
	}
}

// replies handles all complete replies in p and returns the rest.
func (u *user) replies(p []byte, now time.Duration) []byte {
	for len(p) > 0 {
		if u.open == 0 {
			u.worker.unsolicited(u, p)
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

// replyEnd is the length of the reply at the beginning of p; 0 if it is incomplete.
func (u *user) replyEnd(p []byte, whatsat bool) int {
	if u.lines.redis {
		return bytes.IndexByte(p, '\n') + 1
	}
	return replyEnd(p, whatsat, u.worker.options.Dialect)
}

// replyEnd is the length of the reply at the beginning of p, which is not empty; 0 if it is incomplete.
func replyEnd(p []byte, whatsat bool, d protocol.Dialect) int {
	cs131 := d == protocol.CS131
	if whatsat && p[0] == 'A' || p[0] != 'A' && !cs131 { // may have more than one line
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

// compare checks a reply and counts it if it is wrong.
func (u *user) compare(r *request, reply []byte) {
	if u.lines.redis {
		u.compareRedis(reply)
		return
	}
	if isRefusal(reply) {
		u.worker.refused(u, reply)
		return
	}
	line, ok := atLine(reply)
	if r.whatsat {
		id, _, _ := bytes.Cut(r.line[len("WHATSAT "):], []byte(" "))
		ok = ok && bytes.Contains(line, id) && isPlaces(reply[len(line):])
	} else {
		ok = ok && hasUpdate(line, r.line)
	}
	if !ok {
		u.worker.wrong(u, "wrong reply", string(r.line)+": "+shown(reply))
	}
}

// isRefusal reports whether a reply is an error: "? " or "> ".
func isRefusal(reply []byte) bool { return len(reply) > 1 && reply[1] == ' ' }

// atLine returns the first line of a reply without its LF. It reports whether that is an AT line, and complete.
func atLine(reply []byte) (line []byte, ok bool) {
	line, _, _ = bytes.Cut(reply, []byte("\n"))
	return line, bytes.HasPrefix(line, []byte("AT ")) && reply[len(reply)-1] == '\n'
}

// hasUpdate reports whether an AT line has the fields of an IAMAT.
func hasUpdate(at, iamat []byte) bool { return bytes.HasSuffix(at, iamat[len("IAMAT"):]) }

// isPlaces reports whether the rest of a WHATSAT's reply, after its AT line, looks like a JSON object.
func isPlaces(rest []byte) bool {
	rest = bytes.TrimSpace(rest)
	return len(rest) > 1 && rest[0] == '{' && rest[len(rest)-1] == '}'
}
