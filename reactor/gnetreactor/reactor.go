package gnetreactor

import (
	"context"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"

	"serverherd/reactor"
	"serverherd/reactor/sockets"
)

// Options configure a Reactor. The zero value is suitable for a server.
type Options struct {
	// Workers is the maximum number of goroutines of CallInThread; zero means 128.
	Workers int
	// Log is called with accept errors and gnet's warnings. Nil drops them; gnet itself prints nothing. Any
	// goroutine may call it.
	Log func(message string)
	// Source returns the local address for a dial to addr; nil leaves it to the kernel. Any goroutine may call it.
	Source func(addr string) net.Addr
	// OnSlowTurn is called on the loop, at most once a second, with what took 50 ms or more.
	OnSlowTurn func(what string, d time.Duration)
}

// readBuffer is the maximum read from one socket before the next one is read: with 64 saturating connections, 64 KiB
// make a posted call wait 48 ms, 8 KiB less than 10 ms.
const readBuffer = 8 << 10

// Reactor is a reactor on one gnet event loop. Loop only, except for CallFromThread, Run and Stop.
type Reactor struct {
	reactor.Loop
	sockets.Gate
	opts    Options
	began   time.Time
	workers *reactor.Workers

	client    *gnet.Client
	eventLoop gnet.EventLoop // set before started
	waker     int            // our end of the socket pair; gnet has the other one
	started   atomic.Bool    // eventLoop and waker are valid for Wake
	scheduled atomic.Bool    // a turn was requested
	turning   atomic.Bool    // a turn is running
	timer     *time.Timer    // posts a call at armed
	armed     time.Duration
	watch     watch
	reads     reads
}

var _ reactor.Reactor = (*Reactor)(nil)

// New returns a reactor that is not running yet.
func New(opts Options) *Reactor {
	if opts.Workers <= 0 {
		opts.Workers = 128
	}
	if opts.Log == nil {
		opts.Log = func(string) {}
	}
	r := &Reactor{
		opts:    opts,
		began:   time.Now(),
		workers: reactor.NewWorkers(opts.Workers),
		armed:   disarmed,
	}
	r.timer = r.newTimer()
	r.watch = watch{r: r, timer: r.newTimer()}
	r.Loop.Init(r, opts.OnSlowTurn)
	r.LimitEvents()
	r.Gate.Init(&r.Loop, sockets.Options{Take: r.enroll, Log: opts.Log, Source: opts.Source})
	return r
}

const disarmed = time.Duration(-1)

// newTimer returns a stopped timer that causes a turn. It goes through the queue, which drops calls when the loop has
// ended.
func (r *Reactor) newTimer() *time.Timer {
	t := time.AfterFunc(time.Hour, func() { r.CallFromThread(func() {}) })
	t.Stop()
	return t
}

// Now implements reactor.Clock.
func (r *Reactor) Now() time.Time { return r.Time(time.Now) }

// CallInThread implements reactor.Reactor.
func (r *Reactor) CallInThread(f func()) { r.workers.Start(f) }

// Elapsed implements reactor.Engine.
func (r *Reactor) Elapsed() time.Duration { return time.Since(r.began) }

// Wake implements reactor.Engine. Only one turn at a time is requested from gnet: its task queue is neither ordered nor
// fair when it is long. Before the start it does nothing, as the first turn is requested by start.
//
// A turn requests the next one through the waker. gnet runs tasks until there are none, including those added by tasks,
// and no socket would be read meanwhile.
func (r *Reactor) Wake() {
	switch {
	case !r.started.Load() || !r.scheduled.CompareAndSwap(false, true):
	case r.turning.Load():
		_, _ = unix.Write(r.waker, []byte{0})
	default:
		r.schedule()
	}
}

// schedule requests a turn after the current batch of events or, without one, after the next. The only possible error is
// that of a stopped engine, and Seal comes before that.
func (r *Reactor) schedule() {
	_ = r.eventLoop.Execute(context.Background(), (*turn)(r))
}

// WakeAt implements reactor.Engine.
func (r *Reactor) WakeAt(at time.Duration) {
	if at != r.armed {
		r.armed = at
		r.timer.Reset(at - r.Elapsed())
	}
}

// turn is the Reactor as a gnet task.
type turn Reactor

// Run implements gnet.Runnable.
func (t *turn) Run(context.Context) error {
	r := (*Reactor)(t)
	r.turning.Store(true)
	r.scheduled.Store(false)
	if r.Elapsed() >= r.armed {
		r.armed = disarmed
	}
	r.Turn()
	r.watch.poll()
	r.turning.Store(false)
	return nil
}

// wakeIfDue requests a turn after an event if a delayed call is due. The timer takes another thread and is late: Go waits
// for whole milliseconds. The turn does not run within the event: it may close connections that have further events in
// gnet's batch.
func (r *Reactor) wakeIfDue() {
	if r.armed != disarmed && r.Elapsed() >= r.armed {
		r.Wake()
	}
}

// Run implements reactor.Reactor. It returns when Stop has completed, or at once with an error if the loop cannot start.
func (r *Reactor) Run() error {
	if err := r.start(); err != nil {
		return err
	}
	// The loop must run meanwhile: Enroll returns only when the loop has accepted the connection, and never once gnet is
	// stopping.
	r.Wait()
	closed := make(chan struct{})
	r.CallFromThread(func() {
		r.CloseAll()
		close(closed)
	})
	<-closed
	r.Seal()
	r.WaitStreams()
	r.reads.waiting.Wait()
	r.timer.Stop()
	r.watch.timer.Stop()
	r.workers.Stop()
	err := r.client.Stop()
	unix.Close(r.waker)
	if err != nil {
		return fmt.Errorf("gnet: %w", err)
	}
	return nil
}

// start starts gnet and enrolls one end of the waker, because gnet's loop is reachable only through a connection.
func (r *Reactor) start() error {
	client, err := gnet.NewClient(&handler{r: r},
		gnet.WithReadBufferCap(readBuffer), gnet.WithLogger(logger(r.opts.Log)))
	if err != nil {
		return fmt.Errorf("gnet: %w", err)
	}
	r.client = client
	if err := client.Start(); err != nil {
		return fmt.Errorf("gnet: start: %w", err)
	}
	end, waker, err := socketPair()
	if err == nil {
		r.waker = waker
		var c gnet.Conn
		if c, err = client.EnrollContext(end, nil); err == nil {
			r.eventLoop = c.EventLoop()
			r.started.Store(true)
			r.Wake()
			return nil
		}
		unix.Close(waker)
	}
	_ = client.Stop()
	return fmt.Errorf("gnet: waker: %w", err)
}

// socketPair returns one end as a net.Conn for gnet and the other one as a descriptor.
func socketPair() (net.Conn, int, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		return nil, -1, os.NewSyscallError("socketpair", err)
	}
	for _, fd := range fds {
		unix.CloseOnExec(fd)
		_ = unix.SetNonblock(fd, true)
	}
	f := os.NewFile(uintptr(fds[0]), "waker")
	c, err := net.FileConn(f)
	f.Close()
	if err != nil {
		unix.Close(fds[1])
		return nil, -1, err
	}
	return c, fds[1], nil
}
