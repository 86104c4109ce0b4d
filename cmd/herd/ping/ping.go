// Package ping measures the round trip of a harmless line to servers, each over one connection that is dialed
// again when it is lost. Pings are due at a fixed interval and are sent whether the one before was answered or
// not. So a server that stalls for a second delays all pings of that second, and the percentiles show it.
package ping

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Conn is a connection to a server. Send and Receive are called by different goroutines.
type Conn interface {
	Send() error    // sends one ping
	Receive() error // waits for the reply to the next one, within a time that the connection limits
	Close() error
}

// Server is a server to ping.
type Server struct {
	Name string
	Dial func(ctx context.Context) (Conn, error)
}

// Options say when pings are sent.
type Options struct {
	Interval time.Duration // between two pings
	Count    int           // pings of each server; 0: until the context ends
}

// MaxOpen is how many pings of a server may wait for their reply. A further one counts as lost.
const MaxOpen = 1024

// Result is what is known about one server. Times are in seconds; those of the percentiles have three
// significant digits and at least a microsecond.
type Result struct {
	Server   string  `json:"server"`
	Answered uint64  `json:"answered"`
	Lost     uint64  `json:"lost"`
	Last     float64 `json:"last"`
	Min      float64 `json:"min"`
	P50      float64 `json:"p50"`
	P90      float64 `json:"p90"`
	P99      float64 `json:"p99"`
	Max      float64 `json:"max"`
	// Error is why the last ping was lost. It is empty when a later one was answered.
	Error string `json:"error,omitempty"`
	// Waiting is the age of the oldest ping that is not answered yet.
	Waiting float64 `json:"waiting"`
}

// Pinger pings servers.
type Pinger struct {
	o       Options
	targets []*target
}

// New returns a pinger. Run starts it.
func New(servers []Server, o Options) *Pinger {
	p := &Pinger{o: o}
	for _, s := range servers {
		p.targets = append(p.targets, &target{
			server: s, times: hdrhistogram.New(1, time.Hour.Microseconds(), 3), changed: make(chan struct{}, 1),
		})
	}
	return p
}

// Run pings until the context ends or Count pings of each server were answered or lost. Pings that are open
// when the context ends do not count.
func (p *Pinger) Run(ctx context.Context) {
	var group sync.WaitGroup
	for _, t := range p.targets {
		group.Go(func() { t.run(ctx, p.o) })
	}
	group.Wait()
}

// Results returns the results so far. Any goroutine.
func (p *Pinger) Results() (all []Result) {
	for _, t := range p.targets {
		all = append(all, t.result())
	}
	return all
}

// target is one server. Its loop sends; a goroutine for each connection receives.
type target struct {
	server  Server
	changed chan struct{} // something has been answered or lost, or dialed

	mu             sync.Mutex
	times          *hdrhistogram.Histogram // in microseconds
	answered, lost uint64
	last           time.Duration
	err            error
	conn           *connection
	dialing        bool
}

// connection is one to a server, with its open pings, the oldest first.
type connection struct {
	conn Conn
	open []time.Time
	more chan struct{} // holds a value for each open ping
}

func (t *target) run(ctx context.Context, o Options) {
	var receivers sync.WaitGroup
	defer receivers.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer func() {
		cancel() // a dial that succeeds from now on closes its connection
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.conn != nil {
			t.conn.conn.Close()
			close(t.conn.more)
			t.conn = nil
		}
	}()
	t.dial(ctx, &receivers) // the first ping need not wait for the first interval
	tick := time.NewTicker(o.Interval)
	defer tick.Stop()
	for n := 0; o.Count == 0 || n < o.Count; n++ {
		if n > 0 {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
		if ctx.Err() != nil {
			return
		}
		if !t.send() {
			receivers.Go(func() { t.dial(ctx, &receivers) })
		}
	}
	for t.waiting() {
		select {
		case <-t.changed:
		case <-ctx.Done():
			return
		}
	}
}

var errOpen = errors.New("too many pings without a reply")

// send sends a ping or counts it as lost. It reports false if the server is to be dialed.
func (t *target) send() bool {
	t.mu.Lock()
	f := t.conn
	switch {
	case f == nil:
		t.lost++
		dialing := t.dialing
		t.dialing = true
		t.mu.Unlock()
		return dialing
	case len(f.open) == MaxOpen:
		t.lost++
		t.err = errOpen
		t.mu.Unlock()
		return true
	}
	f.open = append(f.open, time.Now())
	f.more <- struct{}{}
	t.mu.Unlock()
	if err := f.conn.Send(); err != nil {
		t.drop(f, err)
	}
	return true
}

// dial connects to the server and starts the connection's receiver.
func (t *target) dial(ctx context.Context, receivers *sync.WaitGroup) {
	conn, err := t.server.Dial(ctx)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.dialing = false
	switch {
	case ctx.Err() != nil:
		if err == nil {
			conn.Close()
		}
	case err != nil:
		t.err = err
	default:
		f := &connection{conn: conn, more: make(chan struct{}, MaxOpen)}
		t.conn = f
		receivers.Go(func() { t.receive(f) })
	}
}

// receive takes the replies of a connection.
func (t *target) receive(f *connection) {
	for range f.more {
		if err := f.conn.Receive(); err != nil {
			t.drop(f, err)
			return
		}
		now := time.Now()
		t.mu.Lock()
		if t.conn != f {
			t.mu.Unlock()
			return
		}
		t.last = now.Sub(f.open[0])
		f.open = f.open[1:]
		t.answered++
		t.err = nil
		_ = t.times.RecordValue(min(max(t.last.Microseconds(), 1), time.Hour.Microseconds()))
		t.mu.Unlock()
		t.note()
	}
}

// drop gives a connection up: its open pings are lost.
func (t *target) drop(f *connection, err error) {
	f.conn.Close()
	t.mu.Lock()
	if t.conn == f { // else it has been dropped, or the end closed it
		t.conn = nil
		close(f.more)
		t.lost += uint64(len(f.open))
		t.err = err
	}
	t.mu.Unlock()
	t.note()
}

func (t *target) note() {
	select {
	case t.changed <- struct{}{}:
	default:
	}
}

// waiting reports whether pings are open.
func (t *target) waiting() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.conn != nil && len(t.conn.open) > 0
}

func (t *target) result() Result {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := Result{Server: t.server.Name, Answered: t.answered, Lost: t.lost, Last: t.last.Seconds()}
	if t.err != nil {
		r.Error = t.err.Error()
	}
	if t.conn != nil && len(t.conn.open) > 0 {
		r.Waiting = time.Since(t.conn.open[0]).Seconds()
	}
	if t.answered > 0 {
		at := func(q float64) float64 { return float64(t.times.ValueAtQuantile(q)) / 1e6 }
		r.Min, r.P50, r.P90, r.P99, r.Max = float64(t.times.Min())/1e6, at(50), at(90), at(99), float64(t.times.Max())/1e6
	}
	return r
}
