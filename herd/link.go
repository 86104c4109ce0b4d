package herd

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"go.uber.org/zap"

	"serverherd/herd/feed"
	"serverherd/protocol"
	"serverherd/reactor"
)

const (
	dialTimeout = time.Second
	// pumpBytes and pumpRecords bound what one link does in one turn.
	pumpBytes   = 32 << 10
	pumpRecords = 4096
	// windowBytes of AT lines may be on their way without an ACK; only slowBytes when something has
	// been for slowAfter: on a slow line more would wait where news can no longer replace it.
	windowBytes = 1 << 20
	slowBytes   = 16 << 10
	slowAfter   = time.Second
	// maxUnread is what a neighbor may leave unread: a window with its MARKs, and more.
	maxUnread = 4 << 20
	// lazyMark delays a MARK that follows no AT line, lest every AT received cause one.
	lazyMark = time.Second
	// maxMarks may be on their way without an ACK: more than a window can hold.
	maxMarks = 1 << 16
	// markEvery beats a MARK is sent whatever happens, so that agreement stays measured.
	markEvery = 10
)

// linkState is where a link is on its way.
type linkState uint8

const (
	linkDown     linkState = iota
	linkDialling           // a goroutine connects
	linkGreeting           // handshake
	linkCopying            // until the tail noted at WELCOME is acknowledged
	linkLive
	linkPlain // serves a neighbor that knows no handshake: plainLink
)

func (s linkState) String() string {
	return [...]string{"down", "dialling", "greeting", "copying", "live", "plain"}[s]
}

// link is the one-way connection on which this server sends its feed to a neighbor: it dials,
// proves itself, and then hands over whatever comes after its cursor. It keeps two places in the
// feed: what was sent on this connection, and what the neighbor's process has acknowledged, which
// outlives the connection. Loop only.
type link struct {
	server   *Server
	neighbor *neighbor
	client   *reactor.ReconnectingClient

	state   linkState
	since   time.Time
	trouble string // why the link is down; "" when it is not
	tried   bool   // live once, or failed once, or plain

	// The connection at hand; t is nil when there is none.
	t          reactor.Transport
	id         uint64
	traffic    traffic
	reader     *reactor.LineReceiver
	transcript transcript
	challenged bool
	timeout    *reactor.DelayedCall
	pulse      pulse
	bad        badLines
	full       bool   // the window, when the link was last pumped
	reason     error  // why this side ended it, if it did
	which      int    // the secret to sign with
	redial     bool   // at once when this one is gone
	refusals   int    // of our proofs, one after another
	plain      bool   // the next one is a plainLink
	silent     bool   // because the neighbor did not answer
	hasLine    bool   // the plain connection is closing behind its only line
	plainSince uint64 // id of the plain connection that began the copy
	probe      *probe
	hangUps    int          // handshakes in a row that ended without a byte from the neighbor: see hungUp
	line       *feed.Cursor // in front of the record whose line has the plain connection to itself
	lineAgain  bool         // that line is being sent for the second time

	// Where the neighbor's process stands. All of it is meant for the process peer.
	peer        protocol.Epoch // named by the last WELCOME; 0: none yet
	ackedCursor *feed.Cursor
	acked       uint64       // position of ackedCursor, as acknowledged
	sent        *feed.Cursor // on this connection
	highest     uint64       // seq of the greatest MARK ever sent to peer
	skipNothing bool         // a repair: records learned from peer are sent to it too
	// fromHead makes each WELCOME begin such a copy, whatever it names, until some of the copy is
	// acknowledged: before that it may name what the neighbor had before the repair.
	fromHead bool
	copyTail uint64 // the tail noted at WELCOME

	// The window: every MARK on its way with what had been sent by then.
	marks      []sentMark // by seq
	lastMark   uint64     // seq of the last MARK on this connection
	sentBytes  uint64     // of AT lines on this connection
	ackedBytes uint64
	markTimer  *reactor.DelayedCall // a lazy MARK is due
	beats      int                  // since the last MARK
	overdue    overdue              // its ACK

	contender protocol.Epoch // another process that has claimed the neighbor's name
	contested uint64         // the PING that asks whether peer is still there; 0: none

	leaving leaving
}

// sentMark is a MARK that waits for its ACK.
type sentMark struct {
	seq   uint64
	bytes uint64 // link.sentBytes when it was sent
	at    time.Time
}

func newLink(n *neighbor) *link {
	s := n.server
	l := &link{server: s, neighbor: n, ackedCursor: s.store.Head(), sent: s.store.Head(), line: s.store.Head()}
	l.sent.Close()
	l.line.Close()
	l.since = s.reactor.Now()
	l.client = &reactor.ReconnectingClient{
		Reactor: s.reactor, Rand: s.rand, Addr: n.addr, Timeout: dialTimeout, Factory: l,
	}
	return l
}

// dial starts the link.
func (l *link) dial() {
	l.become(linkDialling)
	l.client.Connect()
}

// dialNow ends the pause between two tries: the neighbor has just shown that it is up.
func (l *link) dialNow() {
	switch {
	case l.server.drain.begun:
	case l.state == linkDown:
		l.client.DialNow()
	case l.state == linkGreeting:
		l.redial = true // should this try come to nothing: it may have come too early
	}
}

// ended decides whether the end of a connection, or a dial that failed, is followed by a dial at
// once.
func (l *link) ended() {
	redial := l.redial
	l.redial = false
	if redial || l.server.drain.begun && l.dialsAgain() {
		l.client.DialNow()
	}
	l.server.drained()
}

// become notes a change of state. The first failure is logged, then every change but those
// between one fruitless try and the next.
func (l *link) become(state linkState) {
	if state == l.state {
		return
	}
	before := l.state
	l.state, l.since = state, l.server.reactor.Now()
	if state >= linkCopying {
		l.trouble = ""
		l.server.log.Info("link "+state.String(), zap.String("neighbor", l.neighbor.name),
			zap.Stringer("was", before), zap.Uint64("acknowledged", l.acked),
			zap.Uint64("tail", l.server.store.Tail()))
	}
}

// startTime is how long after its start a server finds nothing wrong with a neighbor that is down: it
// may be starting, too.
const startTime = 2 * time.Second

// LinkDownMessage is the message of the log entry for a link that went down.
const LinkDownMessage = "link down"

// down notes that there is no connection, and why. A reason that is not the last one's is logged,
// too, now and then: a neighbor that went away may refuse us when it is back.
func (l *link) down(why string) {
	log := l.trouble == "" || why != l.trouble &&
		l.server.told.links.first(refusal{why, l.neighbor.name}, l.server.reactor.Now())
	l.tried, l.trouble = true, why
	l.become(linkDown)
	if log {
		level := zap.WarnLevel
		if s := l.server; s.drain.begun || s.reactor.Now().Sub(s.started) < startTime {
			level = zap.InfoLevel
		}
		l.server.log.Log(level, LinkDownMessage, zap.String("neighbor", l.neighbor.name),
			zap.String("address", l.neighbor.addr), zap.String("reason", why))
	}
}

// progress goes from copying to live when the tail noted at WELCOME is acknowledged.
func (l *link) progress() {
	if l.state == linkCopying && l.acked >= l.copyTail {
		l.skipNothing = false
		l.tried = true
		l.client.ResetDelay()
		l.become(linkLive)
	}
	l.server.drained()
}

// sending says whether the link is past its handshake.
func (l *link) sending() bool { return l.state == linkCopying || l.state == linkLive }

// unacknowledged is bytes of AT lines on their way.
func (l *link) unacknowledged() int { return int(l.sentBytes - l.ackedBytes) }

// window is how many bytes of AT lines may be on their way now.
func (l *link) window() int {
	if len(l.marks) > 0 && l.server.reactor.Now().Sub(l.marks[0].at) >= slowAfter {
		return slowBytes
	}
	return windowBytes
}

// sentTo is the position up to which everything has been sent.
func (l *link) sentTo() uint64 {
	if l.sending() || l.state == linkPlain {
		return l.sent.Position()
	}
	return l.acked
}

// pump sends what follows the cursor, within this turn's and the window's bounds, and closes it
// with one MARK. It reports whether there is more for the next turn.
func (l *link) pump() (more bool) {
	if l.state == linkPlain {
		return plainLink{l}.pump()
	}
	if !l.sending() {
		return false
	}
	buf, window := l.server.pumpBuffer[:0], l.window()
	for range pumpRecords {
		if len(buf) >= pumpBytes || l.unacknowledged()+len(buf) >= window {
			break
		}
		item, ok := l.sent.Next()
		if !ok {
			break
		}
		// The neighbor's process knows what it sent us; its successor would not.
		if item.From == l.peer && !l.skipNothing {
			continue
		}
		before := len(buf)
		buf = item.Record.AppendLinkAT(buf, l.server.name)
		l.neighbor.counters.atSent++
		l.logSent(buf[before:])
	}
	l.server.pumpBuffer = buf
	l.sentBytes += uint64(len(buf))
	more = !l.sent.CaughtUp()
	switch {
	case len(buf) > 0:
		l.t.Write(buf)
		l.sendMark()
	case l.lastMark == l.sent.Position():
	case l.state == linkCopying || l.server.drain.begun:
		l.sendMark()
	default:
		l.markWithin(lazyMark)
	}
	l.noteFull(more && l.unacknowledged() >= window)
	return more && !l.full
}

// noteFull counts the times that there was more to send than may be on its way.
func (l *link) noteFull(full bool) {
	if full && !l.full {
		l.neighbor.counters.stalls++
	}
	l.full = full
}

// markWithin sees to it that a MARK leaves in d at the latest.
func (l *link) markWithin(d time.Duration) {
	if l.sending() && !l.markDue() {
		l.markTimer = l.server.reactor.CallLater(d, l.sendMark)
	}
}

func (l *link) markDue() bool { return l.markTimer != nil }

// sendMark says how far the feed has been handed over and what our state is. Its records must
// have been written before it.
func (l *link) sendMark() {
	l.stopMark()
	s := l.server
	m := protocol.Mark{
		Seq: l.sent.Position(), Tail: s.store.Tail(),
		Count: uint64(s.store.Len()), Digest: s.store.Digest(), Full: s.store.Overflowed(),
	}
	if n := l.neighbor; n.heardAny && n.epoch == l.peer {
		m.Heard, m.HeardAny = n.heard, true
	}
	l.lastMark, l.highest, l.beats = m.Seq, max(l.highest, m.Seq), 0
	if k := len(l.marks) - 1; k >= 0 && l.marks[k].seq == m.Seq {
		l.marks[k].bytes = l.sentBytes
	} else {
		l.marks = append(l.marks, sentMark{m.Seq, l.sentBytes, s.reactor.Now()})
	}
	if len(l.marks) > maxMarks {
		l.abort(errNoAck)
		return
	}
	l.write(protocol.AppendMark(s.small[:0], m), false)
}

func (l *link) stopMark() {
	if l.markTimer != nil {
		l.markTimer.Cancel()
		l.markTimer = nil
	}
}

// tick keeps a MARK coming every few seconds, and drops the link if MARKs are not acknowledged.
func (l *link) tick() {
	if l.beats++; l.beats >= markEvery {
		l.sendMark()
	}
	switch {
	case !l.sending():
	case len(l.marks) == 0:
		l.overdue = overdue{}
	case l.overdue.beat(l.pulse.ask):
		l.abort(errNoAck)
	}
}

// ackReceived opens the window and moves the place from which a resume goes on. Only the seq of a
// MARK on its way is an answer to anything; the last one's may come again.
func (l *link) ackReceived(seq uint64) {
	i, found := slices.BinarySearchFunc(l.marks, seq, func(m sentMark, seq uint64) int {
		return cmp.Compare(m.seq, seq)
	})
	if found {
		l.ackedBytes = l.marks[i].bytes
		l.marks = append(l.marks[:0], l.marks[i+1:]...)
		l.overdue, l.fromHead = overdue{}, false
		l.acknowledged(seq)
		l.progress()
		l.server.pumpSoon()
		return
	}
	if seq != l.acked {
		l.badLine()
	}
}

// acknowledged notes that the neighbor's process has the feed up to seq.
func (l *link) acknowledged(seq uint64) {
	if seq > l.acked {
		l.leaving.lastDial = false
	}
	l.acked = seq
	l.ackedCursor.Advance(seq)
}

// contest asks whether the process at the other end is still there, for another one has claimed its
// name. If it is not, that one may be its successor, and there is nothing wrong.
func (l *link) contest(other protocol.Epoch) {
	if l.contested == 0 {
		l.contender, l.contested = other, l.pulse.ask()
	}
}

// answered takes a PONG.
func (l *link) answered(n uint64) {
	l.pulse.answered(n)
	l.overdue.pong(n)
	if l.contested != 0 && n == l.contested {
		l.contested = 0
		l.neighbor.claimed(claimRefused, l.contender)
	}
}

// recopy ends the connection; the next one begins with everything, skipping nothing.
func (l *link) recopy() {
	l.fromHead = true
	if l.t != nil {
		l.abort(errDiverged)
	}
}

func (l *link) badLine() {
	l.neighbor.counters.badLines++
	if l.bad.add(l.server.reactor.Now()) {
		l.abort(errBadLines)
	}
}

// write sends a line and notes it in the transcript if a proof is to cover it.
func (l *link) write(line []byte, noted bool) {
	if noted {
		l.transcript.add(bytes.TrimSuffix(line, crlf))
	}
	l.t.Write(line)
	l.logSent(line)
	if l.t.Backlog() > maxUnread {
		l.abort(errUnread)
	}
}

var crlf = []byte("\r\n")

// logSent counts and logs a line that has been written, or is about to be.
func (l *link) logSent(line []byte) {
	l.traffic.linesOut++
	l.traffic.bytesOut += uint64(len(line))
	if log := l.server.lines; log != nil {
		log.LineSent(l.id, bytes.TrimSuffix(line, crlf))
	}
}

func (l *link) abort(reason error) {
	if l.reason == nil {
		l.reason = reason
		l.server.counters.dropped(reason)
	}
	l.become(linkDown)
	if l.t != nil {
		l.reader.Stop()
		l.t.AbortConnection()
	}
}
