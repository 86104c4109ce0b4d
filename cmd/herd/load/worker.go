package load

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"serverherd/protocol"
	"serverherd/reactor"
	"serverherd/reactor/gnetreactor"
)

// Latencies are counted in microseconds, up to an hour, to three digits.
const (
	lowest  = 1
	highest = 3_600_000_000
	digits  = 3
)

func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(lowest, highest, digits) }

func record(h *hdrhistogram.Histogram, d time.Duration) {
	_ = h.RecordValue(min(max(d.Microseconds(), lowest), highest))
}

// interval is what a worker has counted since it was asked last.
type interval struct {
	counts   Counts
	latency  *hdrhistogram.Histogram // from the moment at which a line was due
	raw      *hdrhistogram.Histogram // from the moment at which it was sent
	lateness *hdrhistogram.Histogram // between these two
	churn    *hdrhistogram.Histogram // connect, one line, its reply
}

func newInterval() interval {
	return interval{latency: newHistogram(), raw: newHistogram(), lateness: newHistogram(), churn: newHistogram()}
}

// add adds what another has counted.
func (i *interval) add(other *interval) {
	i.counts.add(&other.counts)
	i.latency.Merge(other.latency)
	i.raw.Merge(other.raw)
	i.lateness.Merge(other.lateness)
	i.churn.Merge(other.churn)
}

// worker is one event loop and its connections. Loop only, but for the channels.
type worker struct {
	interval time.Duration // between two lines that are due; 0 in a closed loop
	options  *Options
	r        *gnetreactor.Reactor
	users    []*user
	idle     int           // connections that it is to have and that send nothing
	churn    time.Duration // between two clients that come and go; 0: none do

	dialled, made int
	dialling      int
	nextDial      time.Duration
	later         *reactor.DelayedCall // connects then; nil at first
	ready         chan error           // all connections are made, or one cannot be

	running, ending bool
	began           time.Duration
	now             counted
	nextUser        int
	nextDue         time.Duration
	metronome       metronome
	nextVisit       time.Duration
	visitors        int           // clients that have come and not gone
	done            chan struct{} // closed when everything sent has been answered
	undrained       int           // users who wait for replies
	settled         bool          // done is closed
}

// counted is an interval under way; its counts are at hand.
type counted = interval

const maxDialling = 128

// newWorker makes a worker, the connections of which leave by what from says.
func newWorker(o *Options, from func(addr string) net.Addr) *worker {
	w := &worker{options: o, now: newInterval(), ready: make(chan error, 1), done: make(chan struct{})}
	w.r = gnetreactor.New(gnetreactor.Options{Source: from})
	return w
}

// portsOfOne is how many connections leave by one address: the kernel has some 28,000 ports for them.
// An address that we choose is bound before anybody knows to which server, and so they are for all.
const portsOfOne = 20_000

// source spreads many connections to servers on this machine over the addresses that it has for
// itself, 127.0.0.1 and those after it. All workers dial by one, which any of them may call.
func source(targets, connections int) func(addr string) net.Addr {
	if connections <= targets*portsOfOne {
		return nil
	}
	var dials atomic.Uint32
	return func(addr string) net.Addr {
		host, _, _ := net.SplitHostPort(addr)
		if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() || ip.To4() == nil {
			return nil
		}
		n := int(dials.Add(1)-1) / portsOfOne
		return &net.TCPAddr{IP: net.IPv4(127, 0, byte(n/250), byte(1+n%250))}
	}
}

func (w *worker) elapsed() time.Duration { return w.r.Elapsed() }

// connect makes the worker's connections, so many at a time and not above the rate.
func (w *worker) connect() {
	now := w.elapsed()
	for w.dialled < len(w.users)+w.idle && w.dialling < maxDialling {
		if w.options.ConnectRate > 0 {
			if w.nextDial > now {
				if w.later == nil || !w.later.Active() { // or each connection that is made would have one
					w.later = w.r.CallLater(w.nextDial-now, w.connect)
				}
				return
			}
			w.nextDial = max(w.nextDial, now-time.Second) +
				time.Duration(float64(w.options.Threads)*float64(time.Second)/w.options.ConnectRate)
		}
		target := &w.options.Targets[w.dialled%len(w.options.Targets)]
		p := reactor.Protocol(&idler{w: w, target: target})
		if w.dialled < len(w.users) {
			p, target = w.users[w.dialled], w.users[w.dialled].target
		}
		w.dialled++
		w.dialling++
		w.r.ConnectTCP(target.Addr, w.options.Timeout, &dial{w, target, p})
	}
	if w.made == len(w.users)+w.idle {
		w.tell(nil)
	}
}

func (w *worker) tell(err error) {
	select {
	case w.ready <- err:
	default:
	}
}

// dial is a connection on its way.
type dial struct {
	worker *worker
	target *Target
	p      reactor.Protocol
}

// BuildProtocol implements reactor.Factory.
func (d *dial) BuildProtocol(string) reactor.Protocol { return d.p }

// ConnectionFailed implements reactor.ClientFactory.
func (d *dial) ConnectionFailed(reason error) {
	w := d.worker
	w.tell(fmt.Errorf("%s, connection %d: %w", d.target.Name, w.made+1, explained(reason)))
}

// explained adds, to an error of a dial for which this machine has too little, how to have more.
func explained(reason error) error {
	switch {
	case errors.Is(reason, syscall.EADDRNOTAVAIL), errors.Is(reason, syscall.EADDRINUSE):
		const how = "no port is left for it: widen net.ipv4.ip_local_port_range or load several servers"
		return fmt.Errorf("%w; %s", reason, how)
	case errors.Is(reason, syscall.EMFILE):
		return fmt.Errorf("%w; no descriptor is left for it: raise ulimit -n", reason)
	}
	return reason
}

// noReply is an error of a connection on which a reply is waited for, in words if it was too long.
func noReply(err error, timeout time.Duration) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("no reply within %v (--timeout)", timeout)
	}
	return err
}

// connected is told of each connection that the worker wanted.
func (w *worker) connected(*user) {
	w.made++
	w.dialling--
	w.connect()
}

// disconnected is told of each that has ended. While lines are sent that is an error.
func (w *worker) disconnected(u *user, reason error) {
	if !w.ending && !u.givenUp {
		w.now.counts.failed(fmt.Sprintf("%s: connection lost: %v", u.target.Name, reason), 1)
		w.tell(fmt.Errorf("%s: connection lost: %w", u.target.Name, reason))
	}
	w.abandon(u)
	if w.ending {
		w.drained(u)
	}
}

// abandon counts what u has waited for in vain, and what it was to send and will not.
func (w *worker) abandon(u *user) {
	w.now.counts.Unanswered += uint64(u.open)
	if u.open > 0 && !u.lost && !u.givenUp {
		w.now.counts.note(u.target.Name+": no reply came, or no whole one", shown(u.part), uint64(u.open))
	}
	w.now.counts.Skipped += u.owed
	u.open, u.owed, u.givenUp = 0, 0, true
}

// begin starts to send. Lines of an open loop are spread over all connections in turn.
func (w *worker) begin() {
	w.running, w.began = true, w.elapsed()
	if w.churn > 0 {
		w.nextVisit = w.began + w.churn
		w.r.CallLater(w.churn, w.comeAndGo)
	}
	if w.interval > 0 {
		w.nextDue = w.began
		w.pump()
		err := w.metronome.start(w.r.CallFromThread, w.nextDue-w.elapsed(), max(w.interval, tick), w.pump)
		if err != nil {
			w.now.counts.failed(err.Error(), 1)
		}
		return
	}
	for _, u := range w.users {
		if !u.lost && !u.givenUp {
			u.fill(w.began)
		}
	}
}

// tick is how long lines of an open loop may be late at high rates, where a wake-up for each would
// cost more than the lines.
const tick = 100 * time.Microsecond

// pump offers the lines that are due.
func (w *worker) pump() {
	now := w.elapsed()
	if !w.running || w.ending || len(w.users) == 0 {
		return
	}
	first := w.nextUser
	offered := 0
	for ; w.nextDue <= now; w.nextDue += w.interval {
		u := w.users[w.nextUser]
		w.nextUser = (w.nextUser + 1) % len(w.users)
		offered++
		u.offer(w.nextDue, now)
	}
	for i := range min(offered, len(w.users)) {
		w.users[(first+i)%len(w.users)].write()
	}
}

// round is the time between two lines of one connection that are due in an open loop.
func (w *worker) round() time.Duration { return w.interval * time.Duration(len(w.users)) }

// sent is told how late a line was.
func (w *worker) sent(late time.Duration) {
	if w.interval > 0 {
		record(w.now.lateness, late)
	}
}

// answered is told how long a reply took.
func (w *worker) answered(sinceDue, sinceSent time.Duration) {
	w.now.counts.Replies++
	record(w.now.latency, sinceDue)
	if w.interval > 0 {
		record(w.now.raw, sinceSent)
	}
}

// refused counts a reply that says why there is none.
func (w *worker) refused(u *user, reply []byte) {
	w.now.counts.failed(u.target.Name+": "+reason(reply), 1)
}

// unasked is what comes before anything was asked: a server that does not take the connection says why
// and ends it. Anything else is wrong.
func (w *worker) unasked(u *user, p []byte) {
	if p[0] != '>' {
		w.wrong(u, "a reply to nothing", shown(p))
		return
	}
	w.refused(u, p)
	u.givenUp = true
	u.t.AbortConnection()
}

// wrong counts a reply that is another line's, or nobody's, and gives the connection up: nothing on
// it can be told apart any more.
func (w *worker) wrong(u *user, what, example string) {
	w.now.counts.Errors++
	w.now.counts.note(u.target.Name+": "+what, example, 1)
	u.givenUp = true
	u.t.AbortConnection()
}

// reason is a refusal without the line that it quotes, so that refusals of one kind are counted
// together: the verb and the kind in capitals.
func reason(reply []byte) string {
	text := string(protocol.Printable(bytes.TrimRight(reply[:min(len(reply), 100)], "\n")))
	if strings.HasPrefix(text, ">") {
		if kind, _, found := strings.Cut(text, ":"); found {
			return kind
		}
		return text
	}
	line, quoted := strings.CutPrefix(text, "? ")
	if !quoted {
		return text
	}
	verb, _, _ := strings.Cut(line, " ")
	return "? " + verb
}

func shown(reply []byte) string {
	return string(protocol.Printable(reply[:min(len(reply), 100)]))
}

// end stops sending. What is under way is waited for.
func (w *worker) end() {
	w.ending = true
	w.metronome.stop()
	w.undrained = len(w.users)
	for _, u := range w.users {
		w.drained(u)
	}
	w.settle()
}

// settle looks whether anything is waited for when sending has ended.
func (w *worker) settle() {
	if w.ending && !w.settled && w.undrained == 0 && w.visitors == 0 {
		w.settled = true
		close(w.done)
	}
}

// drained looks whether u waits for nothing any more.
func (w *worker) drained(u *user) {
	if u.open == 0 && !u.ended {
		u.ended = true
		w.undrained--
		w.settle()
	}
}

// collect hands over what was counted.
func (w *worker) collect() *interval {
	out := w.now
	w.now = newInterval()
	return &out
}

// idler is a connection that sends nothing. Of its worker's loop.
type idler struct {
	w      *worker
	target *Target
	told   bool // a server that refuses says why; the end that follows is no news
}

// ConnectionMade implements reactor.Protocol.
func (i *idler) ConnectionMade(reactor.Transport) { i.w.connected(nil) }

// DataReceived implements reactor.Protocol. Nothing was asked: it is a refusal, as SERVER FULL.
func (i *idler) DataReceived(p []byte) {
	if !i.told {
		i.told = true
		i.w.now.counts.failed(i.target.Name+": an idle connection: "+shown(p), 1)
	}
}

// ConnectionLost implements reactor.Protocol.
func (i *idler) ConnectionLost(reason error) {
	if !i.told && !i.w.ending {
		i.w.now.counts.failed(fmt.Sprintf("%s: an idle connection was lost: %v", i.target.Name, reason), 1)
	}
}
