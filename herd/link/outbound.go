package link

import (
	"cmp"
	"slices"
	"time"

	"serverherd/herd/feed"
	"serverherd/protocol"
)

const (
	// pumpBytes and pumpRecords bound what one link does in one turn.
	pumpBytes   = 32 << 10
	pumpRecords = 4096
	// Window bytes of AT lines may be on their way without an ACK; only SlowWindow when something has
	// been for SlowAfter: on a slow line more would wait where news can no longer replace it.
	Window     = 1 << 20
	SlowWindow = 16 << 10
	SlowAfter  = time.Second
	// LazyMark delays a MARK that follows no AT line, lest every AT received cause one.
	LazyMark = time.Second
	// MaxMarks may be on their way without an ACK: more than a window can hold.
	MaxMarks = 1 << 16
	// markEvery beats a MARK is sent whatever happens, so that agreement stays measured.
	markEvery = 10
)

// State is where an Outbound is on its way.
type State uint8

// The states of an Outbound.
const (
	Greeting State = iota // the handshake
	Copying               // until the tail noted at WELCOME is acknowledged
	Live
	Ended // nothing more is said
)

// Outbound is one connection that this server has dialed, on which it sends its feed to a neighbor: it
// proves itself, and then hands over whatever comes after its cursor. It is made for the connection and
// thrown away with it; what outlives both is in Sent and Heard.
//
// Invariants:
//
//  1. Until WELCOME has been checked, Sent is not touched.
//  2. The cursor is never before Sent's.
//  3. A MARK is written behind the AT lines that it speaks of, and its seq is never less than that of the
//     MARK before.
//  4. marks are in the order of their seq, all greater than Sent's acked but for the first, which may be equal.
//  5. No more than Window bytes of AT lines, and one turn's worth, are without an ACK.
type Outbound struct {
	self        *Self
	name        string // the neighbor's
	sent        *Sent
	heard       *Heard
	secretIndex int

	state            State
	handshakeTimeout timer // the handshake
	transcript       Transcript
	challenged       bool

	keepalive keepalive
	nextBeat  timer
	badLines  badLines
	cursor    *feed.Cursor // what is before it has been sent on this connection; nil until WELCOME
	copyTail  uint64       // the tail noted at WELCOME
	full      bool         // the window, when it was last pumped

	marks          []sentMark // that wait for their ACK
	anyMark        bool       // there was a MARK
	lastMark       uint64     // its seq
	markAt         timer      // a MARK is due
	beatsSinceMark int        // since the last MARK
	sentBytes      uint64     // of AT lines
	ackedBytes     uint64
	ackTimeout     ackTimeout // the first ACK that is missing

	claimant  protocol.Epoch // another process that has claimed the neighbor's name
	claimPing uint64         // the PING that asks whether this one is still there; 0: none
}

// sentMark is a MARK that waits for its ACK.
type sentMark struct {
	seq   uint64
	bytes uint64        // sentBytes when it was sent
	at    time.Duration // on the steady clock
}

// NewOutbound begins a connection to the server called name with HELLO. It signs with the secret numbered
// secret, modulo their number.
func NewOutbound(self *Self, name string, sent *Sent, heard *Heard, secret int, nonce protocol.Nonce, now Time, out *Output) *Outbound {
	o := &Outbound{self: self, name: name, sent: sent, heard: heard, secretIndex: secret, handshakeTimeout: now.in(HandshakeTimeout)}
	o.writeHandshake(self.AppendHello(nil, name, nonce), out)
	return o
}

// handshake writes a line that proofs cover.
func (o *Outbound) writeHandshake(line []byte, out *Output) {
	o.transcript.Add(line[:len(line)-len("\r\n")])
	out.Lines = append(out.Lines, line...)
}

// State is where the connection is on its way.
func (o *Outbound) State() State { return o.state }

// Sending says whether the connection is past its handshake, and not over.
func (o *Outbound) Sending() bool { return o.state == Copying || o.state == Live }

// Unacknowledged is how many bytes of AT lines are on their way.
func (o *Outbound) Unacknowledged() int { return int(o.sentBytes - o.ackedBytes) }

// Position is the position up to which everything has been sent. The connection must be Sending.
func (o *Outbound) Position() uint64 { return o.cursor.Position() }

// Deadline is when Tick is to be called, on the steady clock; false if not at all.
func (o *Outbound) Deadline() (at time.Duration, ok bool) {
	switch {
	case o.state == Greeting:
		return earliest(o.handshakeTimeout)
	case o.Sending():
		return earliest(o.nextBeat, o.markAt)
	}
	return 0, false
}

// Tick does what is due by now, if anything.
func (o *Outbound) Tick(now Time, out *Output) {
	if o.state == Greeting && o.handshakeTimeout.due(now) {
		o.handshakeTimeout = 0
		out.add(Event{Kind: TimedOut})
	}
	if o.Sending() && o.markAt.due(now) {
		o.Mark(now, out)
	}
	if o.Sending() && o.nextBeat.due(now) {
		o.nextBeat = now.in(Beat)
		o.beat(now, out)
	}
}

// Close ends the connection, for whatever reason. Nothing may be called after it.
func (o *Outbound) Close() {
	o.state = Ended
	if o.cursor != nil {
		o.cursor.Close()
		o.cursor = nil
	}
}

func (o *Outbound) drop(reason error, out *Output) {
	o.state = Ended
	out.add(Event{Kind: Closed, Err: reason})
}

// Line takes a line from the acceptor.
func (o *Outbound) Line(line []byte, now Time, out *Output) {
	o.keepalive.lineReceived()
	in, err := protocol.ParseLink(line)
	switch {
	case o.state == Ended:
	case o.state == Greeting:
		o.greeting(line, in, err, now, out)
	case err != nil:
		o.badLine(now, out)
	case in.Verb == protocol.LinkAck:
		o.ackReceived(in.N, now, out)
	case in.Verb == protocol.LinkPing:
		o.keepalive.pingReceived(in.N, out)
	case in.Verb == protocol.LinkPong:
		o.pongReceived(in.N, out)
	default:
		o.badLine(now, out)
	}
}

// greeting takes the acceptor's two lines of the handshake.
func (o *Outbound) greeting(line []byte, in protocol.LinkLine, err error, now Time, out *Output) {
	switch {
	case err == nil && in.Verb == protocol.LinkRefuse:
		out.add(Event{Kind: Refused, Text: string(in.Reason)})
	case err == nil && in.Verb == protocol.LinkChallenge && !o.challenged:
		o.challenged = true
		o.transcript.Add(line)
		o.writeHandshake(protocol.AppendProof(nil, o.transcript.SignProof(o.self.Secrets, o.secretIndex)), out)
	case err == nil && in.Verb == protocol.LinkWelcome && o.challenged:
		if !o.transcript.CheckWelcome(o.self.Secrets, in.Welcome) {
			o.drop(ErrProof, out)
			return
		}
		o.welcomed(in.Welcome, now, out)
	default:
		out.add(Event{Kind: UnknownAnswer, Text: string(line)})
	}
}

// welcomed ends the handshake.
func (o *Outbound) welcomed(w protocol.Welcome, now Time, out *Output) {
	e := Event{Kind: Welcomed}
	e.Resumed, e.Advanced = o.sent.welcomed(o.self.Epoch, w)
	o.cursor = o.sent.store.Head()
	o.cursor.MoveTo(o.sent.cursor)
	o.copyTail = o.sent.store.Tail()
	o.state, o.transcript, o.nextBeat = Copying, nil, now.in(Beat)
	out.add(e)
}

// progress goes from copying to live when the tail noted at WELCOME is acknowledged.
func (o *Outbound) progress() {
	if o.state == Copying && o.sent.acked >= o.copyTail {
		o.sent.skipNothing = false
		o.state = Live
	}
}

// window is how many bytes of AT lines may be on their way now.
func (o *Outbound) window(now Time) int {
	if len(o.marks) > 0 && now.Steady-o.marks[0].at >= SlowAfter {
		return SlowWindow
	}
	return Window
}

// Pumped is what Pump has done.
type Pumped struct {
	Records int  // that were sent
	More    bool // there is more for the next turn
	Stalled bool // the window has become full, and there is more
}

// Pump sends what follows the cursor, within this turn's and the window's bounds, and closes it
// with one MARK. Where nothing was to be sent, the MARK may wait unless there is a hurry.
func (o *Outbound) Pump(now Time, hurry bool, out *Output) (p Pumped) {
	if !o.Sending() {
		return p
	}
	start, window := len(out.Lines), o.window(now)
	for range pumpRecords {
		n := len(out.Lines) - start
		if n >= pumpBytes || o.Unacknowledged()+n >= window {
			break
		}
		item, ok := o.cursor.Next()
		if !ok {
			break
		}
		// The neighbor's process knows what it sent us; its successor would not.
		if item.From == o.sent.peer && !o.sent.skipNothing {
			continue
		}
		out.Lines = item.Record.AppendLinkAT(out.Lines, o.self.Name)
		p.Records++
	}
	o.sentBytes += uint64(len(out.Lines) - start)
	more := !o.cursor.CaughtUp()
	switch {
	case p.Records > 0:
		o.Mark(now, out)
	case o.anyMark && o.lastMark == o.cursor.Position():
	case o.state == Copying || hurry:
		o.Mark(now, out)
	default:
		o.MarkSoon(now)
	}
	full := more && o.Unacknowledged() >= window
	p.More, p.Stalled = more && !full, full && !o.full
	o.full = full
	o.progress()
	return p
}

// MarkSoon sees to it that a MARK is due: what it says of the neighbor's feed has changed.
func (o *Outbound) MarkSoon(now Time) {
	if o.markAt == 0 {
		o.markAt = now.in(LazyMark)
	}
}

// Mark says how far the feed has been handed over and what our state is. Its records must
// have been written before it.
func (o *Outbound) Mark(now Time, out *Output) {
	o.markAt = 0
	if !o.Sending() {
		return
	}
	store := o.sent.store
	m := protocol.Mark{
		Seq: o.cursor.Position(), Tail: store.Tail(),
		Count: uint64(store.Len()), Digest: store.Digest(), Full: store.Overflowed(),
	}
	m.Heard, m.HeardAny = o.heard.seqOf(o.sent.peer)
	o.anyMark, o.lastMark, o.beatsSinceMark = true, m.Seq, 0
	o.sent.highest = max(o.sent.highest, m.Seq)
	if k := len(o.marks) - 1; k >= 0 && o.marks[k].seq == m.Seq {
		o.marks[k].bytes = o.sentBytes
	} else {
		o.marks = append(o.marks, sentMark{m.Seq, o.sentBytes, now.Steady})
	}
	if len(o.marks) > MaxMarks {
		o.drop(ErrNoAck, out)
		return
	}
	out.Lines = protocol.AppendMark(out.Lines, m)
}

// beat keeps a MARK coming every few seconds, and drops a
// neighbor that is silent or acknowledges nothing.
func (o *Outbound) beat(now Time, out *Output) {
	if o.keepalive.beat(now, out) {
		o.drop(ErrSilent, out)
		return
	}
	if o.beatsSinceMark++; o.beatsSinceMark >= markEvery {
		o.Mark(now, out)
	}
	switch {
	case o.state == Ended:
	case len(o.marks) == 0:
		o.ackTimeout = ackTimeout{}
	case o.ackTimeout.beat(func() uint64 { return o.keepalive.ping(now, out) }):
		o.drop(ErrNoAck, out)
	}
}

// acked opens the window and moves the place from which a resume goes on. Only the seq of a
// MARK on its way is an answer to anything; the last one's may come again.
func (o *Outbound) ackReceived(seq uint64, now Time, out *Output) {
	i, found := slices.BinarySearchFunc(o.marks, seq, func(m sentMark, seq uint64) int {
		return cmp.Compare(m.seq, seq)
	})
	if !found {
		if seq != o.sent.acked {
			o.badLine(now, out)
		}
		return
	}
	o.ackedBytes = o.marks[i].bytes
	o.marks = append(o.marks[:0], o.marks[i+1:]...)
	o.ackTimeout, o.sent.repairDue = ackTimeout{}, false
	grown := o.sent.acknowledged(seq)
	o.progress()
	out.add(Event{Kind: Acked, Advanced: grown})
}

// Contest asks whether the process at the other end is still there, for another one has claimed its
// name. If it is not, that one may be its successor, and there is nothing wrong.
func (o *Outbound) CheckClaim(other protocol.Epoch, now Time, out *Output) {
	if o.claimPing == 0 {
		o.claimant, o.claimPing = other, o.keepalive.ping(now, out)
	}
}

// answered takes a PONG.
func (o *Outbound) pongReceived(n uint64, out *Output) {
	o.keepalive.pongReceived(n)
	o.ackTimeout.pongReceived(n)
	if o.claimPing != 0 && n == o.claimPing {
		o.claimPing = 0
		out.add(Event{Kind: ClaimConflict, Epoch: o.claimant})
	}
}

func (o *Outbound) badLine(now Time, out *Output) {
	out.add(Event{Kind: BadLine})
	if o.badLines.add(now) {
		o.drop(ErrBadLines, out)
	}
}
