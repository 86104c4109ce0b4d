package link

import (
	"cmp"
	"slices"
	"time"

	"serverherd/herd/feed"
	"serverherd/protocol"
)

const (
	// pumpBytes and pumpRecords limit what one link sends in one turn.
	pumpBytes   = 32 << 10
	pumpRecords = 4096
	// Window is how many bytes of AT lines may be unacknowledged, and SlowWindow how many if the oldest has
	// been so for SlowAfter: on a slow network, what is in flight can no longer be replaced by newer records.
	Window     = 1 << 20
	SlowWindow = 16 << 10
	SlowAfter  = time.Second
	// LazyMark delays a MARK that follows no AT line. Otherwise every AT received would cause one.
	LazyMark = time.Second
	// MaxMarks is how many MARKs may be unacknowledged: more than fit in a window.
	MaxMarks = 1 << 16
	// markEvery is after how many beats a MARK is sent in any case, so that the states are compared
	// regularly.
	markEvery = 10
)

// State is the state of an Outbound.
type State uint8

// The states of an Outbound.
const (
	Greeting State = iota // the handshake
	Copying               // until the tail at WELCOME is acknowledged
	Live
	Ended // no more output
)

// Outbound is one connection that this server has dialed, on which it sends its feed to a neighbor: first the
// handshake, then every record after its cursor. It is made for the connection and discarded with it. What
// outlives it is in Sent and Heard.
//
// Invariants:
//
//  1. Until WELCOME has been checked, Sent does not change.
//  2. The cursor is never before Sent's.
//  3. A MARK is written after the AT lines that it covers, and its seq is never less than that of the
//     MARK before.
//  4. marks are in the order of their seq, all greater than Sent's acked except the first, which may be equal.
//  5. At most Window bytes of AT lines, and those of one turn, are unacknowledged.
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
	cursor    *feed.Cursor // everything before it was sent on this connection; nil until WELCOME
	copyTail  uint64       // the tail at WELCOME
	full      bool         // the window was full at the last Pump

	marks          []sentMark // without an ACK
	anyMark        bool       // a MARK was sent
	lastMark       uint64     // its seq
	markAt         timer      // when a MARK is due
	beatsSinceMark int        // since the last MARK
	sentBytes      uint64     // of AT lines
	ackedBytes     uint64
	ackTimeout     ackTimeout // for the oldest missing ACK

	claimant  protocol.Epoch // another process that uses the neighbor's name
	claimPing uint64         // the PING of CheckClaim that has no PONG yet; 0: none
}

// sentMark is a MARK without an ACK.
type sentMark struct {
	seq   uint64
	bytes uint64        // sentBytes when it was sent
	at    time.Duration // on the steady clock
}

// NewOutbound begins a connection to the server called name with HELLO. PROOF is signed with the secret at
// index secret, modulo their number.
func NewOutbound(self *Self, name string, sent *Sent, heard *Heard, secret int, nonce protocol.Nonce, now Time, out *Output) *Outbound {
	o := &Outbound{self: self, name: name, sent: sent, heard: heard, secretIndex: secret, handshakeTimeout: now.in(HandshakeTimeout)}
	o.writeHandshake(self.AppendHello(nil, name, nonce), out)
	return o
}

// writeHandshake writes a line that is part of the signed transcript.
func (o *Outbound) writeHandshake(line []byte, out *Output) {
	o.transcript.Add(line[:len(line)-len("\r\n")])
	out.Lines = append(out.Lines, line...)
}

// State returns the state of the connection.
func (o *Outbound) State() State { return o.state }

// Sending reports whether the connection is past its handshake, and has not ended.
func (o *Outbound) Sending() bool { return o.state == Copying || o.state == Live }

// Unacknowledged returns how many bytes of AT lines are unacknowledged.
// #nosec G115 -- the window limits the difference
func (o *Outbound) Unacknowledged() int { return int(o.sentBytes - o.ackedBytes) }

// Position returns the position up to which everything has been sent. The connection must be Sending.
func (o *Outbound) Position() uint64 { return o.cursor.Position() }

// Deadline returns when Tick must be called, on the steady clock; false: not at all.
func (o *Outbound) Deadline() (at time.Duration, ok bool) {
	switch {
	case o.state == Greeting:
		return earliest(o.handshakeTimeout)
	case o.Sending():
		return earliest(o.nextBeat, o.markAt)
	}
	return 0, false
}

// Tick does what is due.
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

// Close ends the connection, for whatever reason. No method may be called after it.
func (o *Outbound) Close() {
	o.state = Ended
	o.cursor = nil
}

func (o *Outbound) drop(reason error, out *Output) {
	o.state = Ended
	out.add(Event{Kind: Closed, Err: reason})
}

// Line handles a line from the acceptor.
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

// greeting handles the acceptor's two lines of the handshake.
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

// welcomed completes the handshake.
func (o *Outbound) welcomed(w protocol.Welcome, now Time, out *Output) {
	e := Event{Kind: Welcomed}
	e.Resumed, e.Advanced = o.sent.welcomed(o.self.Epoch, w)
	o.cursor = o.sent.store.Head()
	o.cursor.MoveTo(o.sent.cursor)
	o.copyTail = o.sent.store.Tail()
	o.state, o.transcript, o.nextBeat = Copying, nil, now.in(Beat)
	out.add(e)
}

// progress changes from copying to live when the tail at WELCOME is acknowledged.
func (o *Outbound) progress() {
	if o.state == Copying && o.sent.acked >= o.copyTail {
		o.sent.skipNothing = false
		o.state = Live
	}
}

// window returns how many bytes of AT lines may be unacknowledged now.
func (o *Outbound) window(now Time) int {
	if len(o.marks) > 0 && now.Steady-o.marks[0].at >= SlowAfter {
		return SlowWindow
	}
	return Window
}

// Pumped is the result of Pump.
type Pumped struct {
	Records     int    // records that were sent
	First, Last uint64 // positions of the first and the last of them
	More        bool   // there is more for the next turn
	Stalled     bool   // the window has become full, and there is more to send
}

// add counts a record.
func (p *Pumped) add(seq uint64) {
	if p.Records == 0 {
		p.First = seq
	}
	p.Records++
	p.Last = seq
}

// Pump sends records after the cursor, within the limits of one turn and of the window, and then a MARK. If
// there was nothing to send the MARK is delayed, unless urgent.
func (o *Outbound) Pump(now Time, urgent bool, out *Output) (p Pumped) {
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
		// The neighbor's process has what it sent us. Its successor has not.
		if item.From == o.sent.peer && !o.sent.skipNothing {
			continue
		}
		out.Lines = item.Record.AppendLinkAT(out.Lines, o.self.Name)
		p.add(item.Seq)
	}
	o.sentBytes += uint64(len(out.Lines) - start)
	more := !o.cursor.CaughtUp()
	switch {
	case p.Records > 0:
		o.Mark(now, out)
	case o.anyMark && o.lastMark == o.cursor.Position():
	case o.state == Copying || urgent:
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

// MarkSoon schedules a MARK: what it says about the neighbor's feed has changed.
func (o *Outbound) MarkSoon(now Time) {
	if o.markAt == 0 {
		o.markAt = now.in(LazyMark)
	}
}

// Mark sends how far the feed has been sent and a digest of our state. The records must have been written
// before it.
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
	o.sent.marked(m)
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

// beat sends a MARK every few seconds, and drops a neighbor that is silent or does not acknowledge.
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

// ackReceived opens the window and advances the resume point. Only the seq of an unacknowledged MARK is
// valid; the last ACK may be repeated.
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

// CheckClaim checks whether the process at the other end is still alive, because another process uses its
// name. If it is: ClaimConflict. If it is not, the other one may be its successor after a restart.
func (o *Outbound) CheckClaim(other protocol.Epoch, now Time, out *Output) {
	if o.claimPing == 0 {
		o.claimant, o.claimPing = other, o.keepalive.ping(now, out)
	}
}

// pongReceived handles a PONG.
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
