package link

import (
	"fmt"
	"time"

	"serverherd/herd/feed"
	"serverherd/protocol"
)

// An ACK leaves AckDelay after the MARK it answers, or at once when AckBytes of AT lines have come since the
// last one, so that a copy is not paced by the timer.
const (
	AckDelay = 20 * time.Millisecond
	AckBytes = 128 << 10
)

// Inbound is one connection that a neighbor has dialed, on which it sends its feed. It is made for the
// connection and thrown away with it; what outlives it is in Heard.
//
// Until PROOF is right and the owner has called Join, nothing but itself changes.
//
// Invariants:
//
//  1. Heard is touched by proven connections only, by their AT lines and, while they are current, their MARKs.
//  2. An ACK names the seq of a MARK that was taken on this connection, so its lines are all applied.
//  3. The seq of a MARK is never less than that of the one before.
type Inbound struct {
	self  *Self
	name  string // who the other side says it is
	epoch protocol.Epoch
	heard *Heard // nil until Join

	said   Transcript
	secret int  // that the proof was made with
	over   bool // nothing more is said

	giveUp timer // the handshake
	beatAt timer
	pulse  pulse
	bad    badLines

	marked   bool
	mark     uint64 // the last MARK's seq
	caughtUp bool   // that was the neighbor's tail: what comes now is new
	ackAt    timer  // an ACK is due
	unacked  int    // bytes of AT lines since the last ACK

	superseded int    // beats since it has not been the current connection
	asked      uint64 // the PING that asks whether the other side is still there; 0: none
	stopping   bool
}

// NewInbound takes the first line of a connection, which is a HELLO.
func NewInbound(self *Self, line []byte, h protocol.Hello) *Inbound {
	in := &Inbound{self: self, name: string(h.From), epoch: h.Epoch}
	in.said.Add(line)
	return in
}

// Refusal is why a HELLO is to be refused, or "". Names are no secret, so it says what is wrong.
func (s *Self) Refusal(h protocol.Hello, isNeighbor bool) string {
	switch from := string(h.From); {
	case string(h.Version) != protocol.Version:
		return fmt.Sprintf("version: %s instead of %s", protocol.Printable(h.Version), protocol.Version)
	case string(h.Herd) != s.Herd:
		return fmt.Sprintf("herd: %s instead of %s", h.Herd, s.Herd)
	case string(h.To) != s.Name:
		return fmt.Sprintf("to: this is %s, not %s", s.Name, h.To)
	case from == s.Name:
		return fmt.Sprintf("from: %s is this server", from)
	case !isNeighbor:
		return fmt.Sprintf("from: %s is not a neighbor of %s", from, s.Name)
	}
	return ""
}

// Name is who the other side says it is.
func (in *Inbound) Name() string { return in.name }

// Epoch is which process the other side says it is.
func (in *Inbound) Epoch() protocol.Epoch { return in.epoch }

// Joined says whether Join was called.
func (in *Inbound) Joined() bool { return in.heard != nil }

// Deadline is when Tick is to be called, on the steady clock; false if not at all.
func (in *Inbound) Deadline() (at time.Duration, ok bool) {
	if in.over {
		return 0, false
	}
	return earliest(in.giveUp, in.beatAt, in.ackAt)
}

// Tick does what is due by now, if anything.
func (in *Inbound) Tick(now Time, out *Output) {
	if !in.over && in.giveUp.due(now) {
		in.giveUp = 0
		out.add(Event{Kind: TimedOut})
	}
	if !in.over && in.ackAt.due(now) {
		in.ack(out)
	}
	if !in.over && in.beatAt.due(now) {
		in.beatAt = now.in(Beat)
		in.beat(now, out)
	}
}

// Challenge answers HELLO.
func (in *Inbound) Challenge(nonce protocol.Nonce, now Time, out *Output) {
	in.giveUp = now.in(HandshakeTimeout)
	start := len(out.Lines)
	out.Lines = protocol.AppendChallenge(out.Lines, nonce)
	in.said.Add(out.Lines[start : len(out.Lines)-len("\r\n")])
}

// Refuse ends a handshake that comes to nothing.
func (in *Inbound) Refuse(reason string, out *Output) {
	in.over = true
	out.Lines = protocol.AppendRefuse(out.Lines, reason)
}

// Join makes a proven connection the current one of its neighbor.
func (in *Inbound) Join(h *Heard) {
	in.heard, in.giveUp = h, 0
	h.join(in)
}

// Welcome ends the handshake.
func (in *Inbound) Welcome(now Time, out *Output) (since uint64) {
	in.beatAt = now.in(Beat)
	w := protocol.Welcome{Epoch: in.self.Epoch}
	w.SinceEpoch, w.SinceSeq = in.heard.since()
	w.MAC = in.said.SignWelcome(in.self.Secrets, in.secret, w)
	out.Lines = protocol.AppendWelcome(out.Lines, w)
	in.said = nil
	return w.SinceSeq
}

// Stop is called when the connection is being closed: the other side is not asked any more whether it is there.
func (in *Inbound) Stop() { in.stopping = true }

func (in *Inbound) drop(reason error, out *Output) {
	in.over = true
	out.add(Event{Kind: Closed, Err: reason})
}

// AT is what became of a line, if it was an AT line that was taken. Its record aliases the line.
type AT struct {
	Taken   bool
	Outcome feed.Outcome
	Fresh   bool // the neighbor had sent all of its feed before: the record is new, and not part of a copy
	Record  protocol.Record
}

// Line takes a line behind HELLO.
func (in *Inbound) Line(line []byte, now Time, out *Output) (at AT) {
	in.pulse.heard()
	l, err := protocol.ParseLink(line)
	switch {
	case in.over:
	case in.heard == nil:
		in.proof(line, l, err, out)
	case err != nil:
		in.badLine(now, out)
	case l.Verb == protocol.LinkAT:
		return in.at(&l, len(line), now, out)
	case l.Verb == protocol.LinkMark:
		in.markReceived(l.Mark, now, out)
	case l.Verb == protocol.LinkPing:
		in.pulse.pinged(l.N, out)
		in.pulse.follow(l.N, now, out)
	case l.Verb == protocol.LinkPong:
		in.pulse.answered(l.N)
		if in.asked != 0 && l.N == in.asked {
			in.asked = 0
			out.add(Event{Kind: StillThere})
		}
	default:
		in.badLine(now, out)
	}
	return AT{}
}

// proof takes the line behind CHALLENGE.
func (in *Inbound) proof(line []byte, l protocol.LinkLine, err error, out *Output) {
	ok := err == nil && l.Verb == protocol.LinkProof
	if ok {
		in.secret, ok = in.said.CheckProof(in.self.Secrets, l.MAC)
	}
	if !ok {
		out.add(Event{Kind: Unproven})
		return
	}
	in.said.Add(line)
	out.add(Event{Kind: Proven})
}

// at applies one record, of whatever origin: a server that has left herd.toml, or that only the
// neighbor's says. To drop it and acknowledge it would make the states differ for good.
func (in *Inbound) at(l *protocol.LinkLine, size int, now Time, out *Output) (at AT) {
	if string(l.Sender) != in.name {
		in.badLine(now, out)
		return AT{}
	}
	if in.heard.closed {
		return AT{}
	}
	in.unacked += size
	return AT{true, in.heard.store.Apply(l.Record, in.epoch), in.caughtUp, l.Record}
}

// markReceived answers a MARK, whose lines are all applied by now, with an ACK before long.
func (in *Inbound) markReceived(m protocol.Mark, now Time, out *Output) {
	if !in.heard.Current(in) {
		return
	}
	if m.Seq > m.Tail || in.marked && m.Seq < in.mark {
		in.badLine(now, out)
		return
	}
	in.marked, in.mark, in.caughtUp = true, m.Seq, m.Seq == m.Tail
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
	out.Lines = protocol.AppendAck(out.Lines, in.mark)
}

// beat drops a neighbor that is silent. When another connection has
// been the current one for a while, it asks whether the other side is still there. What its dialer has left is
// read to its end, however long that takes.
func (in *Inbound) beat(now Time, out *Output) {
	if in.pulse.beat(now, out) {
		in.drop(ErrSilent, out)
		return
	}
	if in.heard.Current(in) {
		return
	}
	if in.superseded++; in.superseded >= deadAfter {
		in.Ask(now, out)
	}
}

// Ask sends one PING. Only a process that is still there answers it: see StillThere.
func (in *Inbound) Ask(now Time, out *Output) {
	if in.asked == 0 && !in.stopping {
		in.asked = in.pulse.ask(now, out)
	}
}

func (in *Inbound) badLine(now Time, out *Output) {
	out.add(Event{Kind: BadLine})
	if in.bad.add(now) {
		in.drop(ErrBadLines, out)
	}
}
