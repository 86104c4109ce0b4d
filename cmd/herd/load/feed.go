package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"sync/atomic"
	"time"

	"serverherd/cmd/herd/certs"
	"serverherd/cmd/herd/client"
	"serverherd/protocol"
	"serverherd/reactor"
	"serverherd/reactor/gnetreactor"
)

// FeedOptions configure a Feed.
type FeedOptions struct {
	Targets     []Target
	Dialect     protocol.Dialect
	Connections int           // distributed round-robin over the targets; at least one to each
	Timeout     time.Duration // of connecting and of a reply
	Duration    time.Duration // from the first update to the last; 0: until Run's context ends
	Token       string        // is presented at the beginning of each connection; empty: none

	// Due is called on the feed's loop with the time since the first update, again and again. It calls send for each
	// IAMAT, without its LF, that is due, with the index of the target that should get it. Updates of one key use one
	// connection, as long as there is one.
	Due func(elapsed time.Duration, send func(line []byte, target int, key uint64))
}

// Feed sends IAMATs to servers for as long as it runs. Unlike Run it measures nothing and survives: it dials lost
// connections again, and updates for a server that is lost, hangs or is full go to the next one meanwhile. An update
// that no server can take is left out.
type Feed struct {
	o       FeedOptions
	r       *gnetreactor.Reactor
	servers []*feedServer
	notes   chan string

	begun   time.Duration
	ticked  time.Duration // last call of tick
	patient time.Duration // no reply is late before
	running bool
	dialing int // first dials under way
	ending  bool
	open    int // updates without a reply
	err     error

	replies, failed atomic.Uint64
	up              atomic.Int64
}

const (
	feedTick = 5 * time.Millisecond // between two calls of Due
	// suspension is how long tick does not run if the process was stopped and continued.
	suspension = time.Second
	// maxOpen is how many updates may wait for a reply on a connection.
	maxOpen = 4096
	// maxNotes is how many notes wait for their reader. Further ones are dropped.
	maxNotes = 256
	// maxReasons is how many different error replies of a server are told until it has been down.
	maxReasons = 8
)

// NewFeed returns a feed. Run starts it.
func NewFeed(o FeedOptions) *Feed {
	f := &Feed{o: o, r: gnetreactor.New(gnetreactor.Options{}), notes: make(chan string, maxNotes)}
	f.dialing = max(o.Connections, len(o.Targets))
	f.up.Store(int64(len(o.Targets)))
	for i := range o.Targets {
		f.servers = append(f.servers, &feedServer{f: f, target: &o.Targets[i], up: true, told: map[string]bool{}})
	}
	for k := range f.dialing {
		s := f.servers[k%len(f.servers)]
		u := &feeder{s: s}
		u.client = &reactor.ReconnectingClient{
			// #nosec G404 -- delays of reconnecting need not be secret
			Reactor: f.r, Rand: rand.New(rand.NewPCG(uint64(k), 1)), Addr: s.target.Addr, Timeout: o.Timeout, Factory: u,
			Max: 2 * time.Second, Dialing: s.target.secure,
		}
		if o.Token != "" {
			u.client.Factory = &presenting{u, f.r, client.Handshake{Dialect: o.Dialect, Token: o.Token}, o.Timeout, nil}
		}
		s.feeders = append(s.feeders, u)
	}
	return f
}

// Notes returns what a person should know about the servers, a line each: one that is lost, one that answers again, the
// first error reply of a kind.
func (f *Feed) Notes() <-chan string { return f.notes }

// FeedCounts are the counts of a feed so far.
type FeedCounts struct {
	Updates uint64 // that a server has confirmed
	Failed  uint64 // that were refused, got a wrong reply or none, or could not be sent to any server
	Up      int    // servers that take updates
}

// Counts returns the counts so far. Any goroutine.
func (f *Feed) Counts() FeedCounts {
	return FeedCounts{f.replies.Load(), f.failed.Load(), int(f.up.Load())}
}

// Run sends until ctx ends, or for the Duration, and then waits a little for replies. It returns an error if no server can be reached at
// first.
func (f *Feed) Run(ctx context.Context) error {
	if err := checkDescriptors(f.dialing); err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { f.r.CallFromThread(f.end) })()
	f.r.CallFromThread(func() {
		for _, s := range f.servers {
			for _, u := range s.feeders {
				u.client.Connect()
			}
		}
	})
	if err := f.r.Run(); err != nil {
		return err
	}
	return f.err
}

func (f *Feed) note(format string, args ...any) {
	select {
	case f.notes <- fmt.Sprintf(format, args...):
	default:
	}
}

// dialed is called with the outcome of each connection's first dial. The last one begins the feed.
func (f *Feed) dialed() {
	f.dialing--
	if f.dialing > 0 || f.ending {
		return
	}
	reached := false
	for _, s := range f.servers {
		reached = reached || s.connected() > 0
	}
	if !reached {
		f.err = fmt.Errorf("no server can be reached; %s: %w", f.servers[0].target.Name, f.servers[0].reason)
		f.end()
		return
	}
	for _, s := range f.servers {
		if s.connected() == 0 {
			s.down(s.reason)
		}
	}
	f.running, f.begun = true, f.r.Elapsed()
	f.ticked = f.begun
	if f.o.Duration > 0 {
		f.r.CallLater(f.o.Duration, f.end)
	}
	f.tick()
}

// tick sends what is due.
func (f *Feed) tick() {
	if f.ending {
		return
	}
	now := f.r.Elapsed()
	if now-f.ticked > suspension {
		f.patient = now + suspension // the replies of the time before have to be read first
	}
	f.ticked = now
	if now > f.patient {
		for _, s := range f.servers {
			s.late(now)
		}
	}
	f.o.Due(now-f.begun, func(line []byte, target int, key uint64) { f.send(line, target, key, now) })
	for _, s := range f.servers {
		for _, u := range s.feeders {
			u.write()
		}
	}
	f.r.CallLater(feedTick, f.tick)
}

// send sends a line to a server, or to the next one that takes it.
func (f *Feed) send(line []byte, target int, key uint64, now time.Duration) {
	for i := range f.servers {
		if u := f.servers[(target+i)%len(f.servers)].feeder(key); u != nil {
			u.add(line, now)
			return
		}
	}
	f.failed.Add(1)
}

// end stops sending, and the loop when all replies have arrived or interruptedDrain has passed.
func (f *Feed) end() {
	if f.ending {
		return
	}
	f.ending = true
	for _, s := range f.servers {
		for _, u := range s.feeders {
			u.client.Stop()
		}
	}
	f.r.CallLater(interruptedDrain, f.r.Stop)
	f.settle()
}

func (f *Feed) settle() {
	if f.ending && f.open == 0 {
		f.r.Stop()
	}
}

// feedServer is a server and its connections. Loop only, like feeder.
type feedServer struct {
	f       *Feed
	target  *Target
	feeders []*feeder
	// up is false from the loss of all connections, or a timeout, to the next confirmed update. Meanwhile at most one
	// update at a time is sent, as a trial: the kernel accepts connections for a process that hangs.
	up     bool
	open   int // updates without a reply
	reason error
	told   map[string]bool // kinds of error replies since it was up
}

func (s *feedServer) connected() (n int) {
	for _, u := range s.feeders {
		if u.t != nil {
			n++
		}
	}
	return n
}

// down says why a server gets no updates from now on.
func (s *feedServer) down(reason error) {
	if !s.up || s.f.ending {
		return
	}
	s.up = false
	s.f.up.Add(-1)
	if s.f.up.Load() == 0 {
		s.f.note("%s: %v; no server takes updates now", s.target.Name, reason)
		return
	}
	s.f.note("%s: %v; its clients go to other servers", s.target.Name, reason)
}

// answers is called with each confirmed update.
func (s *feedServer) answers() {
	if s.up {
		return
	}
	s.up = true
	s.f.up.Add(1)
	clear(s.told)
	s.f.note("%s answers again", s.target.Name)
}

// tell notes an error, once per kind.
func (s *feedServer) tell(kind, text string) {
	if !s.told[kind] && len(s.told) < maxReasons {
		s.told[kind] = true
		s.f.note("%s: %s", s.target.Name, text)
	}
}

// feeder returns the connection for a key; nil if the server should not get an update now.
func (s *feedServer) feeder(key uint64) *feeder {
	if !s.up && s.open > 0 {
		return nil
	}
	n := uint64(len(s.feeders))
	full := false
	for i := range n {
		u := s.feeders[(key+i)%n]
		if u.t != nil && len(u.open) < maxOpen {
			return u
		}
		full = full || u.t != nil
	}
	if full {
		s.tell("slow", "slow: no connection takes more updates before it replies; they go to other servers")
	}
	return nil
}

// late aborts the connections whose oldest update has waited for too long.
func (s *feedServer) late(now time.Duration) {
	for _, u := range s.feeders {
		if len(u.open) > 0 && now-u.open[0].sent > s.f.o.Timeout {
			reason := fmt.Errorf("no reply within %v", s.f.o.Timeout)
			s.down(reason)
			u.abort(reason)
		}
	}
}

// feeder is a connection that is dialed again when it is lost.
type feeder struct {
	s      *feedServer
	client *reactor.ReconnectingClient
	dialed bool
	t      reactor.Transport // nil if there is none to be used
	text   []byte            // to be written; reused
	part   []byte            // an incomplete reply
	open   []feedUpdate      // without a reply, the oldest first
}

// feedUpdate is an update in flight.
type feedUpdate struct {
	line []byte
	sent time.Duration
}

// first is called with the outcome of each dial.
func (u *feeder) first() {
	if !u.dialed {
		u.dialed = true
		u.s.f.dialed()
	}
}

// BuildProtocol implements reactor.Factory.
func (u *feeder) BuildProtocol(string) reactor.Protocol { return u }

// ConnectionFailed implements reactor.ClientFactory.
func (u *feeder) ConnectionFailed(reason error) {
	u.s.reason = brief(explained(reason))
	if refused, ok := errors.AsType[*client.RefusedError](reason); ok && u.s.f.running {
		u.s.tell("refused", refused.Error())
	}
	u.first()
}

// ConnectionMade implements reactor.Protocol.
func (u *feeder) ConnectionMade(t reactor.Transport) {
	u.t, u.part = t, u.part[:0]
	u.first()
}

// ConnectionLost implements reactor.Protocol.
func (u *feeder) ConnectionLost(reason error) {
	if u.t != nil {
		u.drop()
		u.s.reason = errors.New("connection lost")
		if !errors.Is(reason, reactor.ErrConnectionDone) {
			u.s.reason = fmt.Errorf("connection lost: %w", brief(reason))
		}
	}
	if u.s.f.running && u.s.connected() == 0 {
		u.s.down(u.s.reason)
	}
}

// drop gives the connection's updates up.
func (u *feeder) drop() {
	f := u.s.f
	f.failed.Add(uint64(len(u.open)))
	f.open -= len(u.open)
	u.s.open -= len(u.open)
	u.t, u.open, u.text = nil, nil, u.text[:0]
	f.settle()
}

func (u *feeder) abort(reason error) {
	t := u.t
	u.s.reason = reason
	u.drop()
	t.AbortConnection()
}

func (u *feeder) add(line []byte, now time.Duration) {
	u.open = append(u.open, feedUpdate{append([]byte(nil), line...), now})
	u.s.open++
	u.s.f.open++
	u.text = append(append(u.text, line...), '\n')
}

func (u *feeder) write() {
	if len(u.text) > 0 {
		u.t.Write(u.text)
		u.text = u.text[:0]
	}
}

// DataReceived implements reactor.Protocol.
func (u *feeder) DataReceived(p []byte) {
	if u.t == nil {
		return // aborted
	}
	u.part = append(u.part, p...)
	rest := u.part
	for len(rest) > 0 && u.t != nil {
		n := replyEnd(rest, false, u.s.f.o.Dialect)
		if n == 0 {
			break
		}
		u.reply(rest[:n])
		rest = rest[n:]
	}
	u.part = u.part[:copy(u.part, rest)]
	if len(u.part) > maxShort && u.t != nil {
		u.wrong("reply too long", u.part)
	}
}

// reply handles a reply.
func (u *feeder) reply(reply []byte) {
	f := u.s.f
	if len(u.open) == 0 { // such as > SERVER FULL, before the server closes the connection
		if isRefusal(reply) {
			u.s.tell(reason(reply), firstLine(reply))
			return
		}
		u.wrong("reply without a request", reply)
		return
	}
	line := u.open[0].line
	at, ok := atLine(reply)
	switch {
	case isRefusal(reply):
		f.failed.Add(1)
		u.s.tell(reason(reply), firstLine(reply))
	case !ok || !hasUpdate(at, line):
		u.wrong("wrong reply", reply)
		return
	default:
		f.replies.Add(1)
		u.client.ResetDelay()
		u.s.answers()
	}
	u.open = u.open[1:]
	u.s.open--
	f.open--
	f.settle()
}

// wrong closes the connection: its further replies cannot be matched to updates.
func (u *feeder) wrong(what string, reply []byte) {
	u.s.tell(what, what+": "+firstLine(reply))
	u.abort(errors.New(what))
}

// firstLine is the first line of a reply, for a message.
func firstLine(reply []byte) string {
	line, _, _ := bytes.Cut(reply, []byte("\n"))
	return shown(line)
}

// brief returns the cause of an error of a connection, without its addresses.
func brief(err error) error {
	var op *net.OpError
	var call *os.SyscallError
	if failed, ok := errors.AsType[*certs.HandshakeError](err); ok {
		return failed
	}
	switch {
	case errors.As(err, &call):
		return call.Err
	case os.IsTimeout(err):
		return errors.New("timeout")
	case errors.As(err, &op):
		return op.Err
	}
	return err
}
