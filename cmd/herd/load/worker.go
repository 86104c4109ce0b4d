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

	"serverherd/cmd/herd/certs"
	"serverherd/protocol"
	"serverherd/reactor"
	"serverherd/reactor/gnetreactor"
)

// Latencies are recorded in microseconds, up to an hour, with three significant digits.
const (
	lowest  = 1
	highest = 3_600_000_000
	digits  = 3
)

func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(lowest, highest, digits) }

func record(h *hdrhistogram.Histogram, d time.Duration) {
	_ = h.RecordValue(min(max(d.Microseconds(), lowest), highest))
}

// interval has a worker's counts and latencies since the last collect.
type interval struct {
	counts   Counts
	latency  *hdrhistogram.Histogram // from when a request was due
	raw      *hdrhistogram.Histogram // from when it was sent
	lateness *hdrhistogram.Histogram // from due to sent
	churn    *hdrhistogram.Histogram // of visitors: connect, one request, its reply
}

func newInterval() interval {
	return interval{latency: newHistogram(), raw: newHistogram(), lateness: newHistogram(), churn: newHistogram()}
}

// add merges another interval.
func (i *interval) add(other *interval) {
	i.counts.add(&other.counts)
	i.latency.Merge(other.latency)
	i.raw.Merge(other.raw)
	i.lateness.Merge(other.lateness)
	i.churn.Merge(other.churn)
}

// worker is one event loop and its connections. Loop only, except for the channels.
type worker struct {
	interval time.Duration // between two due requests; 0 in a closed loop
	options  *Options
	r        *gnetreactor.Reactor
	users    []*user
	idle     int           // number of idle connections to make
	churn    time.Duration // between two visitors; 0 for none

	dialed, made int
	dialing      int
	nextDial     time.Duration
	later        *reactor.DelayedCall // pending call of connect; may be nil
	ready        chan error           // receives nil when all connections are made, or the first error

	running, ending bool
	began           time.Duration
	epoch           time.Time // of the worker's clock, for times in IAMATs; zero with Options.Epoch
	now             counted
	nextUser        int
	nextDue         time.Duration
	metronome       metronome
	nextVisit       time.Duration
	visitors        int                     // open visitors
	done            chan struct{}           // closed when all requests have been answered
	undrained       int                     // users that wait for replies
	tokens          *hdrhistogram.Histogram // of presenting Options.Token; nil without one
	settled         bool                    // done is closed
}

// counted is the current interval.
type counted = interval

const maxDialing = 128

// newWorker returns a worker whose connections use the source addresses that from returns.
func newWorker(o *Options, from func(addr string) net.Addr) *worker {
	w := &worker{options: o, now: newInterval(), ready: make(chan error, 1), done: make(chan struct{})}
	if o.Token != "" {
		w.tokens = newHistogram()
	}
	w.r = gnetreactor.New(gnetreactor.Options{Source: from})
	return w
}

// portsOfOne is how many connections use one source address: the kernel has about 28,000 ephemeral ports
// per address. A chosen source address is bound before connecting, so its ports are shared by all servers.
const portsOfOne = 20_000

// source distributes connections to servers on this machine over loopback source addresses from 127.0.0.1
// on, if there are too many for one. All workers share the returned function.
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
		// #nosec G115 -- after 64,000 addresses the same ones come again
		return &net.TCPAddr{IP: net.IPv4(127, 0, byte(n/250), byte(1+n%250))}
	}
}

func (w *worker) elapsed() time.Duration { return w.r.Elapsed() }

// connect makes the worker's connections, with limited concurrency and rate.
func (w *worker) connect() {
	now := w.elapsed()
	for w.dialed < len(w.users)+w.idle && w.dialing < maxDialing {
		if w.options.ConnectRate > 0 {
			if w.nextDial > now {
				if w.later == nil || !w.later.Active() { // at most one call is pending
					w.later = w.r.CallLater(w.nextDial-now, w.connect)
				}
				return
			}
			w.nextDial = max(w.nextDial, now-time.Second) +
				time.Duration(float64(w.options.Threads)*float64(time.Second)/w.options.ConnectRate)
		}
		target := &w.options.Targets[w.dialed%len(w.options.Targets)]
		p := reactor.Protocol(&idler{w: w, target: target})
		if w.dialed < len(w.users) {
			p, target = w.users[w.dialed], w.users[w.dialed].target
		}
		w.dialed++
		w.dialing++
		w.connectTCP(target, &dial{w, target, p}, nil)
	}
	if w.made == len(w.users)+w.idle {
		w.reportReady(nil)
	}
}

// reportReady sends to ready, unless something was sent already.
func (w *worker) reportReady(err error) {
	select {
	case w.ready <- err:
	default:
	}
}

// dial is a connection attempt.
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
	w.reportReady(fmt.Errorf("%s, connection %d: %w", d.target.Name, w.made+1, explained(reason)))
}

// explained adds advice to an error about exhausted ports or descriptors, and says in words why a TLS handshake failed.
func explained(reason error) error {
	switch {
	case errors.Is(reason, syscall.EADDRNOTAVAIL), errors.Is(reason, syscall.EADDRINUSE):
		const how = "no free local port: widen net.ipv4.ip_local_port_range or load several servers"
		return fmt.Errorf("%w; %s", reason, how)
	case errors.Is(reason, syscall.EMFILE):
		return fmt.Errorf("%w; no free file descriptor: raise ulimit -n", reason)
	}
	if failed, ok := errors.AsType[*reactor.HandshakeError](reason); ok {
		return &certs.HandshakeError{Reason: failed.Reason}
	}
	return reason
}

// noReply explains an error while waiting for a reply if it is a timeout.
func noReply(err error, timeout time.Duration) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("no reply within %v (--timeout)", timeout)
	}
	return err
}

// connected is called for each new connection.
func (w *worker) connected(*user) {
	w.made++
	w.dialing--
	w.connect()
}

// disconnected is called for each closed connection. While requests are sent that is an error.
func (w *worker) disconnected(u *user, reason error) {
	if !w.ending && !u.givenUp {
		w.now.counts.failed(fmt.Sprintf("%s: connection lost: %v", u.target.Name, reason), 1)
		w.reportReady(fmt.Errorf("%s: connection lost: %w", u.target.Name, reason))
	}
	w.abandon(u)
	if w.ending {
		w.drained(u)
	}
}

// abandon counts the requests of u that stay unanswered or unsent.
func (w *worker) abandon(u *user) {
	w.now.counts.Unanswered += uint64(u.open)
	if u.open > 0 && !u.lost && !u.givenUp {
		w.now.counts.note(u.target.Name+": no complete reply", shown(u.part), uint64(u.open))
	}
	w.now.counts.Skipped += u.backlog
	u.open, u.backlog, u.givenUp = 0, 0, true
}

// begin starts sending. Requests of an open loop are distributed round-robin over all connections.
func (w *worker) begin() {
	w.running, w.began = true, w.elapsed()
	if w.options.current {
		w.epoch = time.Now().Add(-w.began)
	}
	if w.churn > 0 {
		w.nextVisit = w.began + w.churn
		w.r.CallLater(w.churn, w.visits)
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

// tick is the minimum period of the metronome. At high rates a wake-up per request would cost more than the
// request.
const tick = 100 * time.Microsecond

// pump offers the requests that are due.
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

// stamp is the time of an IAMAT that is sent now, on the worker's clock, in microseconds since 1970; 0 with
// Options.Epoch.
func (w *worker) stamp(now time.Duration) uint64 {
	if w.epoch.IsZero() {
		return 0
	}
	return uint64(w.epoch.Add(now).UnixMicro())
}

// round is the time between two due requests of one connection in an open loop.
func (w *worker) round() time.Duration { return w.interval * time.Duration(len(w.users)) }

// sent records how late a request was sent.
func (w *worker) sent(late time.Duration) {
	if w.interval > 0 {
		record(w.now.lateness, late)
	}
}

// answered records a reply and its latency.
func (w *worker) answered(sinceDue, sinceSent time.Duration) {
	w.now.counts.Replies++
	record(w.now.latency, sinceDue)
	if w.interval > 0 {
		record(w.now.raw, sinceSent)
	}
}

// refused counts an error reply.
func (w *worker) refused(u *user, reply []byte) {
	kind, example := reason(reply), firstLine(reply)
	if example == kind || !strings.HasPrefix(example, ">") { // it says no more, or it is the request
		example = ""
	}
	w.now.counts.Errors++
	w.now.counts.note(u.target.Name+": "+kind, example, 1)
}

// unsolicited handles data without a request in flight: the error with which a server rejects the
// connection. Anything else is wrong.
func (w *worker) unsolicited(u *user, p []byte) {
	if p[0] != '>' {
		w.wrong(u, "reply without a request", shown(p))
		return
	}
	w.refused(u, p)
	u.givenUp = true
	u.t.AbortConnection()
}

// wrong counts a wrong reply and closes the connection: its further replies cannot be matched to requests.
func (w *worker) wrong(u *user, what, example string) {
	w.now.counts.Errors++
	w.now.counts.note(u.target.Name+": "+what, example, 1)
	u.givenUp = true
	u.t.AbortConnection()
}

// reason is the kind of an error reply, without the quoted line, so that replies of one kind are counted
// together.
func reason(reply []byte) string {
	text := string(protocol.Printable(bytes.TrimRight(reply[:min(len(reply), 100)], "\n")))
	if text == tlsRequired {
		return "> TLS: required; see --tls"
	}
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

var tlsRequired = "> " + protocol.TLSRequired.Error()

// maxShown is how many bytes of a reply a message has.
const maxShown = 160

// shown is the beginning of a reply, for a message.
func shown(reply []byte) string {
	return protocol.Escape(protocol.Redact(reply[:min(len(reply), maxShown)]))
}

// end stops sending. Replies to requests in flight are still received.
func (w *worker) end() {
	w.ending = true
	w.metronome.stop()
	w.undrained = len(w.users)
	for _, u := range w.users {
		w.drained(u)
	}
	w.settle()
}

// settle closes done if sending has ended and no reply is missing.
func (w *worker) settle() {
	if w.ending && !w.settled && w.undrained == 0 && w.visitors == 0 {
		w.settled = true
		close(w.done)
	}
}

// drained checks whether u has all its replies.
func (w *worker) drained(u *user) {
	if u.open == 0 && !u.ended {
		u.ended = true
		w.undrained--
		w.settle()
	}
}

// collect returns the current interval and begins a new one.
func (w *worker) collect() *interval {
	out := w.now
	w.now = newInterval()
	return &out
}

// idler is an idle connection. Used only on its worker's loop.
type idler struct {
	w        *worker
	target   *Target
	rejected bool // counted; do not count the loss of the connection again
}

// ConnectionMade implements reactor.Protocol.
func (i *idler) ConnectionMade(reactor.Transport) { i.w.connected(nil) }

// DataReceived implements reactor.Protocol. Without a request, it is a rejection such as SERVER FULL.
func (i *idler) DataReceived(p []byte) {
	if !i.rejected {
		i.rejected = true
		i.w.now.counts.failed(i.target.Name+": idle connection rejected: "+shown(p), 1)
	}
}

// ConnectionLost implements reactor.Protocol.
func (i *idler) ConnectionLost(reason error) {
	if !i.rejected && !i.w.ending {
		i.w.now.counts.failed(fmt.Sprintf("%s: idle connection lost: %v", i.target.Name, reason), 1)
	}
}
