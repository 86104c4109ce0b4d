package herd

import (
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"serverherd/herd/feed"
	"serverherd/herd/link"
	"serverherd/protocol"
	"serverherd/reactor"
)

// An ACK leaves ackDelay after the MARK it answers, or at once when this much has come since the
// last one, so that a copy is not paced by the timer.
const (
	ackDelay = 20 * time.Millisecond
	ackBytes = 128 << 10
)

var (
	errReplaced  = errors.New("replaced by newer connections of the same neighbor")
	errOutlived  = errors.New("two processes claim one name")
	errDiverged  = errors.New("states differ, repairing")
	errHandshake = errors.New("handshake not finished in time")
	errRefused   = errors.New("refused")
	errDuplicate = errors.New("duplicate: another process claims this server's name")
	errClosed    = errors.New("neighbor closed the connection")
	errUnread    = errors.New("neighbor does not read what it asks for")
)

// intake is the receiving end of a neighbor's link: the acceptor's side of the handshake, then
// AT and MARK lines. Until the proof is right nothing but itself changes. Loop only.
type intake struct {
	session    *session
	name       string // who the other side says it is
	epoch      protocol.Epoch
	neighbor   *neighbor // nil until proven
	transcript link.Transcript
	timeout    *reactor.DelayedCall
	pulse      pulse
	bad        badLines

	marked   bool
	mark     uint64 // the last MARK's seq on this connection: it never goes down
	caughtUp bool   // that was the neighbor's tail: what comes now is new
	acked    uint64 // the last ACK's
	ackTimer *reactor.DelayedCall
	unacked  int // bytes of AT lines since the last ACK

	superseded int    // beats since it has not been the current connection
	asked      uint64 // the PING that asks whether the other side is still there; 0: none
}

func newIntake(s *session) *intake {
	s.reader.SetMaxLength(maxLinkLine)
	return &intake{session: s}
}

func (in *intake) server() *Server { return in.session.server }

// hello answers the first line of a handshake.
func (in *intake) hello(line []byte, l protocol.LinkLine) {
	srv := in.server()
	in.name, in.epoch = string(l.Hello.From), l.Hello.Epoch
	in.transcript.Add(line)
	if reason := srv.refusal(l.Hello); reason != "" {
		in.refuse(reason)
		return
	}
	in.timeout = srv.reactor.CallLater(handshakeTimeout, func() {
		srv.refused("handshake timeout", in.session.t.Peer(), in.name)
		in.session.abort(errHandshake)
	})
	in.write(protocol.AppendChallenge(nil, newNonce(srv.rand)), true)
}

// refusal is why a HELLO is refused, or "". Names are no secret, so it says what is wrong.
func (s *Server) refusal(h protocol.Hello) string {
	switch from := string(h.From); {
	case string(h.Version) != protocol.Version:
		return fmt.Sprintf("version: %s instead of %s", protocol.Printable(h.Version), protocol.Version)
	case string(h.Herd) != s.cfg.Herd.Name:
		return fmt.Sprintf("herd: %s instead of %s", h.Herd, s.cfg.Herd.Name)
	case string(h.To) != s.name:
		return fmt.Sprintf("to: this is %s, not %s", s.name, h.To)
	case from == s.name:
		return fmt.Sprintf("from: %s is this server", from)
	case s.neighbor(h.From) == nil:
		return fmt.Sprintf("from: %s is not a neighbor of %s", from, s.name)
	}
	return ""
}

// write sends a line and notes it in the transcript if a proof is to cover it.
func (in *intake) write(line []byte, noted bool) {
	if noted {
		in.transcript.Add(line[:len(line)-2])
	}
	s := in.session
	s.linesOut++
	s.bytesOut += uint64(len(line))
	s.t.Write(line)
	if log := s.server.lines; log != nil {
		log.LineSent(s.id, line[:len(line)-2])
	}
	if s.t.Backlog() > maxUnread {
		s.abort(errUnread)
	}
}

func (in *intake) refuse(reason string) {
	in.server().refused(reason, in.session.t.Peer(), in.name)
	in.write(protocol.AppendRefuse(nil, reason), false)
	in.session.close(errRefused)
}

// lineReceived takes every line after HELLO.
func (in *intake) lineReceived(line []byte) {
	in.pulse.heard()
	l, err := protocol.ParseLink(line)
	if in.neighbor == nil {
		if err != nil || l.Verb != protocol.LinkProof {
			in.refuse("proof")
			return
		}
		in.proof(line, l.MAC)
		return
	}
	switch {
	case err != nil:
		in.badLine()
	case l.Verb == protocol.LinkAT:
		in.at(l, len(line))
	case l.Verb == protocol.LinkMark:
		in.markReceived(l.Mark)
	case l.Verb == protocol.LinkPing:
		in.neighbor.clockPinged(l.N, in.pulse.ponged)
		in.write(protocol.AppendPong(in.server().small[:0], l.N), false)
		in.pulse.follow(l.N)
	case l.Verb == protocol.LinkPong:
		in.pulse.answered(l.N)
		if in.asked != 0 && l.N == in.asked {
			in.stillThere()
		}
	default:
		in.badLine()
	}
}

// beat asks whether the other side is still there when another connection has been the current one
// for a while. What its dialer has left is read to its end, however long that takes.
func (in *intake) beat() {
	if in.neighbor.newest(in) {
		return
	}
	if in.superseded++; in.superseded >= deadAfter {
		in.ask()
	}
}

// ask sends one PING. Only a process that is still there answers it: see stillThere.
func (in *intake) ask() {
	if in.asked == 0 && !in.session.closing {
		in.asked = in.pulse.ask()
	}
}

// stillThere ends a connection that is not the current one, and whose dialer believes that it is:
// its MARKs do not count, so its window would stay shut and its records would be acknowledged by
// nobody. The dialer connects again, and what is decided then depends on which process it is. The
// same one as the current connection's goes on where it was: its PROOF on a connection that it had
// given up came late. Another one is a second process of that name: see former. So is one that is
// not at the neighbor's address, even if its connection is the current one.
func (in *intake) stillThere() {
	in.asked = 0
	switch n := in.neighbor; {
	case in.epoch != n.heard.Epoch() || n.elsewhere(in.epoch):
		n.claimed(claimRefused, in.epoch)
		in.session.abort(errOutlived)
	case !n.newest(in):
		in.session.abort(errReplaced)
	}
}

// proof ends the handshake.
func (in *intake) proof(line, mac []byte) {
	srv := in.server()
	which, ok := in.transcript.CheckProof(srv.identity.Secrets, mac)
	if !ok {
		in.refuse("proof")
		return
	}
	n := srv.neighbor([]byte(in.name))
	if !n.joined(in, in.epoch) {
		in.refuse("duplicate")
		return
	}
	in.neighbor = n
	in.timeout.Cancel()
	in.transcript.Add(line)
	srv.proven(in.session)
	w := protocol.Welcome{Epoch: srv.epoch}
	w.SinceEpoch, w.SinceSeq = n.since()
	w.MAC = in.transcript.SignWelcome(srv.identity.Secrets, which, w)
	in.write(protocol.AppendWelcome(nil, w), false)
	in.transcript = nil
	in.pulse = pulse{
		clock: srv.reactor,
		ping:  func(k uint64) { in.write(protocol.AppendPing(nil, k), false) },
		dead:  func() { in.session.abort(link.ErrSilent) },
		tick:  in.beat,
	}
	in.pulse.start()
	srv.log.Info("neighbor joined", zap.String("neighbor", n.name),
		zap.Uint64("conn", in.session.id), zap.Stringer("epoch", in.epoch),
		zap.Uint64("since", w.SinceSeq))
	n.link.notPlain()
	n.link.dialNow()
}

// at applies one record, of whatever origin: a server that has left herd.toml, or that only the
// neighbor's says. To drop it and acknowledge it would make the states differ for good.
func (in *intake) at(l protocol.LinkLine, size int) {
	srv := in.server()
	if string(l.Sender) != in.name {
		in.badLine()
		return
	}
	if srv.drain.over() {
		return // it is not acknowledged, and there is nobody left to hand it to
	}
	in.unacked += size
	in.neighbor.counters.atReceived++
	switch srv.store.Apply(l.Record, in.epoch) {
	case feed.Stored:
		srv.counters.Applied++
		srv.noteOrigin(l.Record)
		srv.pumpSoon()
		// In a copy or a resume a record's age says nothing of how long it was on its way.
		if in.caughtUp {
			if sent, ok := l.Record.ReceivedAt(); ok {
				srv.propagation.observe(sent, in.session.now)
			}
		}
	case feed.Dropped:
		in.neighbor.counters.duplicates++
	case feed.Full:
		srv.counters.ClientsRefused++
	}
}

// markReceived answers a MARK, whose lines are all applied by now, with an ACK before long.
func (in *intake) markReceived(m protocol.Mark) {
	if !in.neighbor.newest(in) {
		return
	}
	if m.Seq > m.Tail || in.marked && m.Seq < in.mark {
		in.badLine()
		return
	}
	in.marked, in.mark, in.caughtUp = true, m.Seq, m.Seq == m.Tail
	if in.unacked >= ackBytes {
		in.ack()
	} else if in.ackTimer == nil {
		in.ackTimer = in.server().reactor.CallLater(ackDelay, in.ack)
	}
	in.neighbor.marked(m)
}

func (in *intake) ack() {
	in.stopAck()
	if in.server().drain.over() {
		return // it would not be handed on
	}
	in.unacked = 0
	in.acked = in.mark
	in.write(protocol.AppendAck(in.server().small[:0], in.acked), false)
}

func (in *intake) stopAck() {
	if in.ackTimer != nil {
		in.ackTimer.Cancel()
		in.ackTimer = nil
	}
}

func (in *intake) badLine() {
	in.neighbor.counters.badLines++
	if in.bad.add(in.session.now) {
		in.session.abort(link.ErrBadLines)
	}
}

// fail ends the connection for something that a neighbor does not do.
func (in *intake) fail(what error) {
	if in.neighbor != nil {
		in.neighbor.counters.badLines++
	}
	in.session.abort(what)
}

// lost is called when the connection is gone.
func (in *intake) lost() {
	if in.timeout != nil {
		in.timeout.Cancel()
	}
	in.stopAck()
	in.pulse.stop()
	if in.neighbor != nil {
		in.neighbor.left(in)
	}
}
