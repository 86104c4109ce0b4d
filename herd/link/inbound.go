package link

import (
	"fmt"
	"time"

	"serverherd/herd/feed"
	"serverherd/protocol"
)

// An ACK is sent AckDelay after the MARK that it answers, or at once if AckBytes of AT lines have come since
// the last ACK, so that a copy is not paced by the timer.
const (
	AckDelay = 20 * time.Millisecond
	AckBytes = 128 << 10
)

// Inbound is one connection that a neighbor has dialed, on which it sends its feed. It is made for the
// connection and discarded with it. What outlives it is in Heard.
//
// Until PROOF is valid and the owner has called Join, it changes nothing but itself.
//
// Invariants:
//
//  1. Only proven connections change Heard: with their AT lines and, while they are current, their MARKs.
//  2. An ACK has the seq of a MARK that was accepted on this connection, so all its records are applied or, as
//     in Heard's second invariant, dropped. After Close there is no ACK.
//  3. The seq of a MARK is never less than that of the one before.
type Inbound struct {
	self  *Self
	name  string // as the other side claims
	epoch protocol.Epoch
	heard *Heard // nil until Join

	transcript  Transcript
	secretIndex int  // of the secret that signed PROOF
	ended       bool // no more output

	handshakeTimeout timer // the handshake
	nextBeat         timer
	keepalive        keepalive
	badLines         badLines

	anyMark  bool
	lastMark uint64 // seq of the last MARK
	caughtUp bool   // it was the neighbor's tail: what follows is new
	copyTail uint64 // the neighbor's tail at the first MARK
	copied   bool   // everything up to copyTail was received
	ackAt    timer  // when an ACK is due
	unacked  int    // bytes of AT lines since the last ACK

	supersededBeats int    // beats since it was replaced as the current connection
	pingSent        uint64 // the PING of Ping that has no PONG yet; 0: none
	closing         bool
}

// NewInbound begins with the first line of a connection, a HELLO.
func NewInbound(self *Self, line []byte, h protocol.Hello) *Inbound {
	in := &Inbound{self: self, name: string(h.From), epoch: h.Epoch}
	in.transcript.Add(line)
	return in
}

// Refusal returns why a HELLO must be refused, or "". Names are not secret, so it says what is wrong.
func (me *Self) Refusal(h protocol.Hello, isNeighbor bool) string {
	switch from := string(h.From); {
	case string(h.Version) != protocol.Version:
		return fmt.Sprintf("version: %s instead of %s", protocol.Printable(h.Version), protocol.Version)
	case string(h.Herd) != me.Herd:
		return fmt.Sprintf("herd: %s instead of %s", h.Herd, me.Herd)
	case string(h.To) != me.Name:
		return fmt.Sprintf("to: this is %s, not %s", me.Name, h.To)
	case from == me.Name:
		return fmt.Sprintf("from: %s is this server", from)
	case !isNeighbor:
		return fmt.Sprintf("from: %s is not a neighbor of %s", from, me.Name)
	}
	return ""
}

// Name returns the server name that the other side claims.
func (in *Inbound) Name() string { return in.name }

// Epoch returns the epoch that the other side claims.
func (in *Inbound) Epoch() protocol.Epoch { return in.epoch }

// Joined reports whether Join was called.
func (in *Inbound) Joined() bool { return in.heard != nil }

// Deadline returns when Tick must be called, on the steady clock; false: not at all.
func (in *Inbound) Deadline() (at time.Duration, ok bool) {
	if in.ended {
		return 0, false
	}
	return earliest(in.handshakeTimeout, in.nextBeat, in.ackAt)
}

// Tick does what is due.
func (in *Inbound) Tick(now Time, out *Output) {
	if !in.ended && in.handshakeTimeout.due(now) {
		in.handshakeTimeout = 0
		out.add(Event{Kind: TimedOut})
	}
	if !in.ended && in.ackAt.due(now) {
		in.ack(out)
	}
	if !in.ended && in.nextBeat.due(now) {
		in.nextBeat = now.in(Beat)
		in.beat(now, out)
	}
}

// Challenge answers HELLO.
func (in *Inbound) Challenge(nonce protocol.Nonce, now Time, out *Output) {
	in.handshakeTimeout = now.in(HandshakeTimeout)
	start := len(out.Lines)
	out.Lines = protocol.AppendChallenge(out.Lines, nonce)
	in.transcript.Add(out.Lines[start : len(out.Lines)-len("\r\n")])
}

// Refuse ends the handshake with REFUSE.
func (in *Inbound) Refuse(reason string, out *Output) {
	in.ended = true
	out.Lines = protocol.AppendRefuse(out.Lines, reason)
}

// Join makes a proven connection the current one of its neighbor.
func (in *Inbound) Join(h *Heard) {
	in.heard, in.handshakeTimeout = h, 0
	h.join(in)
}

// Welcome completes the handshake, and returns the position from which the neighbor's feed is requested.
func (in *Inbound) Welcome(now Time, out *Output) (since uint64) {
	in.nextBeat = now.in(Beat)
	w := protocol.Welcome{Epoch: in.self.Epoch}
	w.SinceEpoch, w.SinceSeq = in.heard.resumePoint()
	w.MAC = in.transcript.SignWelcome(in.self.Secrets, in.secretIndex, w)
	out.Lines = protocol.AppendWelcome(out.Lines, w)
	in.transcript = nil
	return w.SinceSeq
}

// Stop is called when the connection is being closed: no PING is sent any more.
func (in *Inbound) Stop() { in.closing = true }

func (in *Inbound) drop(reason error, out *Output) {
	in.ended = true
	out.add(Event{Kind: Closed, Err: reason})
}

// AT is the result of an AT line. If it was accepted, Record aliases the line.
type AT struct {
	Taken   bool
	Outcome feed.Outcome
	Fresh   bool // the neighbor's feed was complete here before: the record is new, not part of a copy
	// Copy: the record is part of the copy or resume with which the connection began. Between that and Fresh
	// are records of a neighbor that sends more than one turn's worth at a time.
	Copy   bool
	Record protocol.Record
}

// Line handles a line after HELLO.
func (in *Inbound) Line(line []byte, now Time, out *Output) (at AT) {
	in.keepalive.lineReceived()
	l, err := protocol.ParseLink(line)
	switch {
	case in.ended:
	case in.heard == nil:
		in.proof(line, l, err, out)
	case err != nil:
		in.badLine(now, out)
	case l.Verb == protocol.LinkAT:
		return in.at(&l, len(line), now, out)
	case l.Verb == protocol.LinkMark:
		in.markReceived(l.Mark, now, out)
	case l.Verb == protocol.LinkPing:
		in.keepalive.pingReceived(l.N, out)
		in.keepalive.followUp(l.N, now, out)
	case l.Verb == protocol.LinkPong:
		in.keepalive.pongReceived(l.N)
		if in.pingSent != 0 && l.N == in.pingSent {
			in.pingSent = 0
			out.add(Event{Kind: PingAnswered})
		}
	default:
		in.badLine(now, out)
	}
	return AT{}
}

// proof handles the line after CHALLENGE.
func (in *Inbound) proof(line []byte, l protocol.LinkLine, err error, out *Output) {
	ok := err == nil && l.Verb == protocol.LinkProof
	if ok {
		in.secretIndex, ok = in.transcript.CheckProof(in.self.Secrets, l.MAC)
	}
	if !ok {
		out.add(Event{Kind: ProofRejected})
		return
	}
	in.transcript.Add(line)
	out.add(Event{Kind: Proven})
}

// at applies one record, whatever its origin: it may be of a server that was removed from herd.toml, or that
// only the neighbor's herd.toml names. To drop it and acknowledge it would make the states differ
// permanently.
func (in *Inbound) at(l *protocol.LinkLine, size int, now Time, out *Output) (at AT) {
	if string(l.Sender) != in.name {
		in.badLine(now, out)
		return AT{}
	}
	if in.heard.closed {
		return AT{}
	}
	in.unacked += size
	outcome := in.heard.store.Apply(l.Record, in.epoch)
	if outcome == feed.Dropped {
		in.heard.dropped(in.epoch)
	}
	return AT{true, outcome, in.caughtUp, !in.copied, l.Record}
}

// markReceived handles a MARK, whose records have all been applied, and schedules the ACK.
func (in *Inbound) markReceived(m protocol.Mark, now Time, out *Output) {
	if !in.heard.Current(in) {
		return
	}
	if m.Seq > m.Tail || in.anyMark && m.Seq < in.lastMark {
		in.badLine(now, out)
		return
	}
	if !in.anyMark {
		in.copyTail = m.Tail
	}
	in.anyMark, in.lastMark, in.caughtUp = true, m.Seq, m.Seq == m.Tail
	in.copied = in.copied || m.Seq >= in.copyTail
	if in.unacked >= AckBytes {
		in.ack(out)
	} else if in.ackAt == 0 {
		in.ackAt = now.in(AckDelay)
	}
	in.heard.marked(m, now, out)
}

// ack acknowledges the last MARK.
func (in *Inbound) ack(out *Output) {
	in.ackAt = 0
	if in.heard.closed {
		return
	}
	in.unacked = 0
	out.Lines = protocol.AppendAck(out.Lines, in.lastMark)
}

// beat drops a silent neighbor. A connection that was replaced a while ago is pinged once. What its dialer
// has sent is still read to the end, however long that takes.
func (in *Inbound) beat(now Time, out *Output) {
	if in.keepalive.beat(now, out) {
		in.drop(ErrSilent, out)
		return
	}
	if in.heard.Current(in) {
		return
	}
	if in.supersededBeats++; in.supersededBeats >= deadAfter {
		in.Ping(now, out)
	}
}

// Ping sends one PING, to check whether the process is alive. If it is: PingAnswered.
func (in *Inbound) Ping(now Time, out *Output) {
	if in.pingSent == 0 && !in.closing {
		in.pingSent = in.keepalive.ping(now, out)
	}
}

func (in *Inbound) badLine(now Time, out *Output) {
	out.add(Event{Kind: BadLine})
	if in.badLines.add(now) {
		in.drop(ErrBadLines, out)
	}
}
