package herd

import (
	"bytes"
	"errors"
	"time"

	"go.uber.org/zap"

	"serverherd/herd/access"
	"serverherd/herd/feed"
	"serverherd/protocol"
	"serverherd/reactor"
)

// session is one accepted connection. It serves a client, unless its first line is HELLO: then it is a
// neighbor's inbound link. A connection with another protocol is closed. Loop only.
type session struct {
	server     *Server
	id         uint64
	index      int    // in server.sessions
	address    string // of the client, for limits per address
	peer       string // the client's host and port: those that a proxy names, or the other end
	admission  admission
	t          reactor.Transport
	head       []byte // first bytes, until they show what the connection is
	reader     *reactor.LineReceiver
	replies    replies
	turns      connTurns
	inbound    *inbound      // nil for a client
	quota      *quota        // of the address
	token      *access.Token // that the client has shown; nil if none
	tokenQuota *quota        // of the token; nil if none
	legacy     legacyInbound // if the client is a legacy neighbor

	now          time.Time // when the current chunk was received
	accepted     time.Time
	lastInput    time.Time
	partialSince time.Time // when the unfinished line began; zero: there is none
	softSince    time.Time // since when the backlog has exceeded output_soft; zero: it does not
	lastTaken    uint64    // Transport.Taken when it last changed
	takenAt      time.Time // when that was; zero: the backlog was empty
	accounted    int       // last value passed to Transport.Keep

	traffic

	identified     bool // the first bytes have shown what it is, and lines follow
	isLink         bool // the first line is HELLO
	skipped        bool // a byte order mark or telnet commands came first
	secure         bool // TLS was begun on it
	proxied        bool // a PROXY header has come
	held           bool // the client's lines are not executed for now
	wasSilent      bool // at the last sweep, the client was silent within a line: see pausedInLine
	outputCheckDue bool // checkOutput is scheduled
	eof            bool // the client has closed its side
	closing        bool // no more replies will be queued
	aborted        bool
	lost           bool
	reason         error // why this side closed the connection, if it did
}

// Reasons for which this side closes a session. Each has its counter.
var (
	errLineTooLong    = errors.New("line too long")
	errServerFull     = errors.New("server full")
	errAddressCrowded = errors.New("too many connections of the address")
	errQuit           = errors.New("client quit")
	errIdle           = errors.New("idle timeout")
	errPartial        = errors.New("unfinished line timeout")
	errSlowReader     = errors.New("client does not read its replies")
	errStalled        = errors.New("client read none of its replies for too long")
	errMemory         = errors.New("clients together exceed max_buffered")
	errDraining       = errors.New("server is stopping")
)

// ConnectionMade implements reactor.Protocol.
func (s *session) ConnectionMade(t reactor.Transport) {
	s.t, s.peer = t, t.Peer()
	s.accepted = s.server.reactor.Now()
	s.lastInput = s.accepted
	if s.server.drain.begun {
		s.beginDrain()
	}
}

// DataReceived implements reactor.Protocol.
func (s *session) DataReceived(p []byte) {
	s.setNow(s.server.reactor.Now())
	s.lastInput = s.now
	s.bytesIn += uint64(len(p))
	if s.inbound != nil {
		s.inbound.now = s.server.time()
	}
	lines := s.linesIn
	if !s.identified {
		p = s.open(p)
	}
	s.server.prefetch(p)
	s.reader.DataReceived(p)
	s.noteUnfinished(lines)
	if s.inbound == nil {
		s.hold() // replies to something that is not a line count, too
	}
	s.accountMemory()
}

// setNow sets the time of the lines that are executed next.
func (s *session) setNow(now time.Time) {
	s.now = now
	s.server.store.SetTime(now)
}

// LineReceived implements reactor.LineHandler.
func (s *session) LineReceived(line []byte) {
	s.linesIn++
	if log := s.server.lines; log != nil {
		log.LineReceived(s.id, protocol.Redact(line))
	}
	if s.inbound != nil {
		s.inbound.lineReceived(line)
		return
	}
	if s.linesIn == 1 && s.firstLine(line) {
		return
	}
	s.server.counters.LinesReceived++
	s.command(line)
	s.hold()
}

// firstLine handles what is special about the first line of a connection. It reports true when the line needs
// nothing more.
func (s *session) firstLine(line []byte) bool {
	if s.isLink {
		hello, _ := protocol.ParseLink(line) // protocol.Open has parsed it before
		newInbound(s, line, hello.Hello)
		return true
	}
	if s.refuseClient() {
		return true
	}
	if s.admission == asOverflow && !s.server.admitClient(s) {
		s.refuseOverflow()
		return true
	}
	return false
}

// command answers one line.
func (s *session) command(line []byte) {
	srv := s.server
	c, err := srv.dialect.Parse(line, srv.cfg.Limits.MaxClientID)
	switch {
	case err == protocol.ErrUnknownVerb && srv.handshakeOptional && !s.needsToken() && s.legacyAT(line):
	case srv.quotas.paced && s.refuseLine(line): // lines of legacy neighbors are not limited
	default:
		s.execute(line, c, err)
	}
}

// execute is command for a line that is counted.
func (s *session) execute(line []byte, c protocol.Command, err error) {
	srv := s.server
	switch {
	case s.token != nil && s.token.Expired(s.now):
		s.refuseExpired(line)
	case err == protocol.ErrUnknownVerb:
		s.unknownCommand(line)
	case s.needsToken() && !withoutToken(c.Verb):
		s.refuseWithoutToken(line)
	case err != nil:
		s.replySyntaxError(line, err)
	case s.token != nil && s.refuseByRights(line, c):
	case c.Verb == protocol.VerbIAMAT:
		s.iamat(line, c)
	case c.Verb == protocol.VerbWHATSAT:
		s.whatsat(line, c)
	case c.Verb == protocol.VerbHelp:
		s.reply(srv.dialect.AppendHelp(srv.scratch[:0], line))
	case c.Verb == protocol.VerbQuit:
		s.reply(srv.dialect.AppendGoodbye(srv.scratch[:0], line))
		if srv.dialect.QuitCloses() {
			s.close(errQuit)
		}
	case c.Verb == protocol.VerbTOKEN:
		s.showToken(line, c)
	default:
		panic("herd: verb without an answer")
	}
}

// unknownCommand handles a line that is not a command. What may precede a line is checked here, where it
// costs a valid line nothing.
func (s *session) unknownCommand(line []byte) {
	switch {
	case protocol.IsHTTP(line):
		s.otherProtocol(protocol.OtherHTTP)
	case s.linesIn > 1 && protocol.IsTelnet(line): // open has done so for the first line
		s.telnetLine(line)
	default:
		s.replyUnknown(line)
	}
}

func (s *session) replyUnknown(line []byte) {
	if s.needsToken() {
		s.refuseWithoutToken(line)
		return
	}
	s.server.counters.Refused++
	s.reply(s.server.dialect.AppendUnknown(s.server.scratch[:0], line))
}

// iamat answers an update and stores it if it is new. The reply waits for nothing.
func (s *session) iamat(line []byte, c protocol.Command) {
	srv := s.server
	if max := srv.cfg.Limits.MaxFuture; c.Stamp.Ahead(s.now, max) {
		s.replySyntaxError(line, protocol.TimeAhead(c.Time, max))
		return
	}
	if srv.cfg.Limits.UpdatesPerClient > 0 && s.refuseUpdate(line, c.Client) {
		return
	}
	srv.record = protocol.MakeRecord(srv.record.Text(), srv.name, s.now, c)
	switch srv.store.ApplyOwn(srv.record) {
	case feed.Full:
		srv.counters.ClientsRefused++
		s.replySyntaxError(line, protocol.TooManyClients(srv.cfg.Limits.MaxClients))
		return
	case feed.Stored:
		srv.counters.Stored++
		srv.recorder.Stored(s.now, srv.store.Offered(), srv.store.Tail(), c.Client)
		srv.pumpSoon()
	}
	srv.counters.IAMAT++
	s.reply(srv.dialect.AppendAck(srv.scratch[:0], srv.record))
}

// whatsat asks the places provider about the position that is stored now. If that is unknown or old, the bucket may
// have a newer one.
func (s *session) whatsat(line []byte, c protocol.Command) {
	srv := s.server
	if srv.quotas.daily && s.refuseWhatsat(line) {
		return
	}
	item, ok := srv.store.Lookup(c.Client)
	switch {
	case srv.asks != nil && (!ok || srv.asks.outdated(item.Record, s.now)):
		srv.asks.whatsat(s, line, c)
	case !ok:
		s.refuse(line, protocol.UnknownClient(srv.name, c.Client))
	default:
		s.lookUp(line, c, item.Record)
	}
}

// lookUp asks the places provider about the position in a record. The reply contains that position and its AT line,
// even if an update arrives before the provider's answer.
func (s *session) lookUp(line []byte, c protocol.Command, r protocol.Record) {
	s.server.counters.WHATSAT++
	l := s.newLookup(line, c)
	l.locate(r)
	if s.enter(l) {
		s.server.lookups.begin(l)
	}
}

func (s *session) newLookup(line []byte, c protocol.Command) *lookup {
	l := &lookup{session: s, bound: c.Bound, line: bytes.Clone(line)}
	l.query.RadiusM = c.RadiusM
	return l
}

// enter makes l a waiting lookup and reserves its reply. It replies and reports false if too many are waiting.
func (s *session) enter(l *lookup) bool {
	if !s.server.lookups.enter(l) {
		s.reply(l.busy())
		return false
	}
	l.slot = s.replies.reserve(l)
	return true
}

// replySyntaxError answers a known verb with invalid fields.
func (s *session) replySyntaxError(line []byte, err error) {
	s.server.counters.Refused++
	s.reply(s.server.dialect.AppendSyntaxError(s.server.scratch[:0], line, err))
}

// appendRefusal appends the reply to a line that cannot be executed, and counts it.
func (s *session) appendRefusal(dst, line []byte, reason error) []byte {
	s.server.counters.Refused++
	return s.server.dialect.AppendRefusal(dst, line, reason)
}

// refuse answers a line that cannot be executed.
func (s *session) refuse(line []byte, reason error) {
	s.reply(s.appendRefusal(s.server.scratch[:0], line, reason))
}

// reply sends a reply after all earlier ones. The text may be in the server's scratch buffer.
func (s *session) reply(text []byte) {
	s.server.scratch = text[:0]
	s.server.counters.Replies++
	if !s.replies.add(text) {
		s.send(text, nil)
	}
}

// fill completes the reply of a lookup, and sends it and those that waited for it if it is the first.
func (s *session) fill(l *lookup, text []byte) {
	s.server.counters.Replies++
	s.replies.fill(l.slot, text)
	for sl := s.replies.next(); sl != nil; sl = s.replies.next() {
		s.send(sl.text, sl.lookup)
	}
	s.release()
	s.finish()
	s.accountMemory()
}

// send writes and logs one reply, or several in a row.
func (s *session) send(text []byte, l *lookup) {
	s.bytesOut += uint64(len(text))
	s.linesOut++
	s.t.Write(text)
	log := s.server.lines
	switch {
	case log == nil:
	case l != nil && l.status != "":
		log.LookupSent(s.id, l.at, l.status, l.results, text)
	default:
		for len(text) > 0 {
			line, rest, _ := bytes.Cut(text, newline)
			if len(line) > 0 {
				log.LineSent(s.id, line)
			}
			text = rest
		}
	}
	if s.t.Backlog() > s.server.cfg.Limits.OutputHard && !s.outputCheckDue {
		s.outputCheckDue = true
		s.server.reactor.CallLater(outputCheckDelay, s.checkOutput)
	}
}

// LineLengthExceeded implements reactor.LineHandler.
func (s *session) LineLengthExceeded(prefix []byte) {
	srv := s.server
	if s.inbound != nil {
		s.inbound.fail(errLineTooLong)
		return
	}
	srv.counters.LinesTooLong++
	srv.counters.Refused++
	s.reply(srv.dialect.AppendLineTooLong(srv.scratch[:0], prefix, srv.cfg.Limits.MaxLine))
	s.close(errLineTooLong)
}

// ReadConnectionLost implements reactor.HalfCloser. A client's last line needs no LF.
func (s *session) ReadConnectionLost() {
	s.eof = true
	if s.inbound != nil {
		s.t.LoseConnection() // a line without LF is incomplete
		return
	}
	switch {
	case s.admission == asOverflow && s.linesIn == 0 && len(s.head) == 0:
		s.refuseOverflow()
		return
	case s.server.drain.begun || s.legacy.neighbor != nil && !s.endsInWholeAT():
		s.head = nil
		s.reader.Drop() // the rest of an unfinished line will not be read
	default:
		s.setNow(s.server.reactor.Now()) // its end makes it a line
		s.finishLine()
	}
	s.finish()
}

// close ends the session after all pending replies, for the given reason.
func (s *session) close(reason error) {
	if s.closing {
		return
	}
	s.closing, s.reason = true, reason
	s.stopReading()
	s.finish()
}

// stopReading stops reading lines.
func (s *session) stopReading() {
	s.reader.Stop()
	if s.inbound != nil {
		s.inbound.machine.Stop()
	}
}

// finish closes the connection if no reply is pending and none can follow.
func (s *session) finish() {
	if s.lost || len(s.replies.queue) > 0 {
		return
	}
	if s.closing || s.eof && !s.held {
		s.t.LoseConnection()
	}
}

// abort closes the connection now, without the rest of the output.
func (s *session) abort(reason error) {
	s.closing, s.aborted, s.reason = true, true, reason
	if s.inbound != nil {
		s.server.counters.linkDropped(reason)
	}
	s.stopReading()
	s.t.AbortConnection()
}

// ConnectionLost implements reactor.Protocol.
func (s *session) ConnectionLost(reason error) {
	s.lost = true
	for _, sl := range s.replies.queue {
		if sl.lookup != nil && !sl.filled {
			s.server.lookups.abandon(sl.lookup)
		}
	}
	s.server.lookups.sessionLost(s)
	fields := []zap.Field{zap.Uint64("conn", s.id), zap.String("peer", s.peer)}
	if s.inbound != nil {
		fields = append(fields, zap.String("neighbor", s.inbound.machine.Name()))
		s.inbound.lost()
	}
	s.legacy.lost(s)
	var handshake *reactor.HandshakeError
	if s.token != nil {
		fields = append(fields, zap.String("token", s.token.Name))
	}
	switch {
	case errors.Is(reason, reactor.ErrHeldInput):
		s.server.counters.InputLimits++
		s.server.log.Warn("held input timed out", zap.Uint64("conn", s.id), zap.String("peer", s.peer))
	case errors.As(reason, &handshake):
		s.server.HandshakeFailed(s.peer, handshake.Reason)
	case errors.Is(reason, reactor.ErrLinger):
		s.server.counters.LingerLimits++
	}
	switch {
	case s.reason != nil:
		reason = s.reason
	case s.inbound != nil && errors.Is(reason, reactor.ErrConnectionDone): // a link stays open
		reason = errClosed
	}
	s.server.removeSession(s)
	level := zap.InfoLevel
	if !s.identified {
		level = zap.DebugLevel
	}
	s.server.log.Log(level, "connection lost",
		s.traffic.fields(append(fields, zap.String("reason", reason.Error())))...)
}
