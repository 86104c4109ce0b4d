package herd

import (
	"errors"

	"go.uber.org/zap"

	"serverherd/herd/feed"
	"serverherd/herd/link"
	"serverherd/protocol"
)

var (
	errReplaced     = errors.New("replaced by newer connections of the same neighbor")
	errTwoProcesses = errors.New("two processes claim one name")
	errDiverged     = errors.New("states diverged, repairing")
	errHandshake    = errors.New("handshake timeout")
	errRefused      = errors.New("refused")
	errDuplicate    = errors.New("duplicate: another process claims this server's name")
	errClosed       = errors.New("neighbor closed the connection")
	errUnread       = errors.New("neighbor does not read what it is sent")
)

// inbound is a connection that a neighbor dialed to send us its feed. It does the I/O and counts events; the
// protocol is in its machine, a link.Inbound. Loop only.
type inbound struct {
	session  *session
	neighbor *neighbor // nil until the handshake is complete
	machine  *link.Inbound
	out      link.Output
	timer    deadlineTimer
	now      link.Time // when the current chunk was received
	copied   copied
}

// newInbound turns s into an inbound link, and answers its HELLO.
func newInbound(s *session, line []byte, h protocol.Hello) {
	srv := s.server
	s.reader.SetMaxLength(maxLinkLine)
	in := &inbound{session: s, machine: link.NewInbound(&srv.identity, line, h)}
	s.inbound, in.now, in.timer.f = in, srv.time(), in.tick
	srv.pendingHandshakes++
	if reason := srv.identity.Refusal(h, srv.neighbor(h.From) != nil); reason != "" {
		in.refuse(reason)
		return
	}
	if fault := s.linkFault(h.From); fault != "" {
		in.refuseFor(fault, "tls")
		return
	}
	in.machine.Challenge(newNonce(srv.rand), in.now, in.out.Reset())
	in.handleOutput()
}

func (in *inbound) server() *Server { return in.session.server }

// lineReceived takes every line after HELLO.
func (in *inbound) lineReceived(line []byte) {
	if at := in.machine.Line(line, in.now, in.out.Reset()); at.Taken {
		in.atReceived(at)
		return
	}
	in.handleOutput()
}

// atReceived counts and records an AT line that was applied, and schedules forwarding.
func (in *inbound) atReceived(at link.AT) {
	srv := in.server()
	in.neighbor.counters.atReceived++
	in.recordAT(at)
	switch at.Outcome {
	case feed.Stored:
		srv.counters.Applied++
		srv.countForeign(at.Record)
		srv.pumpSoon()
		// In a copy or a resume, and of a record that came through a bucket from another herd, the age says nothing about
		// propagation time.
		if at.Fresh && srv.origins[string(at.Record.Origin())] {
			if sent, ok := at.Record.ReceivedAt(); ok {
				srv.propagation.observe(sent, in.session.now)
			}
		}
	case feed.Dropped:
		in.neighbor.counters.duplicates++
	case feed.Full:
		srv.counters.ClientsRefused++
	}
}

// handleOutput handles the output of the machine's last step: it writes the lines, arms the timer and handles
// the events in order.
func (in *inbound) handleOutput() {
	in.write(in.out.Lines)
	at, ok := in.machine.Deadline()
	in.timer.arm(in.server().reactor, at, ok)
	for i := 0; i < len(in.out.Events); i++ {
		in.event(in.out.Events[i])
	}
}

func (in *inbound) event(e link.Event) {
	switch e.Kind {
	case link.BadLine:
		in.neighbor.counters.badLines++
	case link.Closed:
		in.session.abort(e.Err)
	case link.TimedOut:
		in.server().handshakeRefused("handshake timeout", in.session.peer, in.machine.Name())
		in.session.abort(errHandshake)
	case link.Pinged:
		in.neighbor.clockPinged(e.N, e.Ponged)
	case link.ProofRejected:
		in.refuse("proof")
	case link.Proven:
		in.proven()
	case link.HeardMore:
		in.recordCopied()
		in.neighbor.heardMore()
	case link.Diverged:
		in.neighbor.repair(e.Mark)
	case link.PingAnswered:
		in.pingAnswered()
	}
}

func (in *inbound) refuse(reason string) { in.refuseFor(reason, reason) }

// refuseFor is refuse with another text for the neighbor than for the log.
func (in *inbound) refuseFor(reason, told string) {
	in.server().handshakeRefused(reason, in.session.peer, in.machine.Name())
	in.machine.Refuse(told, in.out.Reset())
	in.handleOutput()
	in.session.close(errRefused)
}

// proven accepts or refuses a process whose PROOF is right.
func (in *inbound) proven() {
	srv := in.server()
	n := srv.neighbor([]byte(in.machine.Name()))
	if !n.join(in) {
		in.refuse("duplicate")
		return
	}
	srv.neighborProven(in.session)
	since := in.machine.Welcome(srv.time(), in.out.Reset())
	in.handleOutput()
	srv.log.Info("neighbor joined", zap.String("neighbor", n.name),
		zap.Uint64("conn", in.session.id), zap.Stringer("epoch", in.machine.Epoch()),
		zap.Uint64("since", since))
	n.link.notLegacy()
	n.link.dialNow()
}

func (in *inbound) tick() {
	in.machine.Tick(in.server().time(), in.out.Reset())
	in.handleOutput()
}

// ping checks whether the process at the other end is still alive.
func (in *inbound) ping() {
	in.machine.Ping(in.server().time(), in.out.Reset())
	in.handleOutput()
}

// pingAnswered closes a connection that is not the current one, though its dialer believes that it is. Its
// MARKs do not count, so its window would stay full and its records would never be acknowledged. The dialer
// connects again, and the decision then depends on its process. The process of the current connection
// resumes: its PROOF on a connection that it had given up arrived late. A different one is a duplicate, see
// link.Heard.Admit. So is a process that is not at the neighbor's address, even if its connection is the
// current one.
func (in *inbound) pingAnswered() {
	switch n, epoch := in.neighbor, in.machine.Epoch(); {
	case epoch != n.heard.Epoch() || n.linkedToOther(epoch):
		n.noteClaim(claimRefused, epoch)
		in.session.abort(errTwoProcesses)
	case !n.heard.Current(in.machine):
		in.session.abort(errReplaced)
	}
}

// write writes lines, counts and logs them.
func (in *inbound) write(lines []byte) {
	if len(lines) == 0 {
		return
	}
	s := in.session
	s.t.Write(lines)
	s.traffic.sent(s.id, lines, s.server.lines)
	if s.t.Backlog() > maxUnread {
		s.abort(errUnread)
	}
}

// fail closes the connection because of a line that the neighbor may not send.
func (in *inbound) fail(what error) {
	if in.neighbor != nil {
		in.neighbor.counters.badLines++
	}
	in.session.abort(what)
}

// lost is called when the connection is gone.
func (in *inbound) lost() {
	in.timer.stop()
	in.recordCopied()
	if in.neighbor != nil {
		in.neighbor.inboundLost(in)
	}
}
