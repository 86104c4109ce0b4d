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

// Options tune a Reactor. The zero value is right for a server.
type Options struct {
	// Workers bounds the goroutines of CallInThread; zero means 128.
	Workers int
	// Log is told what goes wrong beneath the program: accept errors and gnet's warnings. Any
	// goroutine may call it. Nil drops it; gnet prints nothing either way.
	Log func(message string)
	// Source chooses the local address of a dial to addr; a nil result, as a nil Source, leaves it to
	// the kernel. Any goroutine may call it.
	Source func(addr string) net.Addr
	// OnSlowTurn is told, on the loop and at most once a second, what kept the loop for 50 ms or
	// more.
	OnSlowTurn func(what string, d time.Duration)
}

// readBuffer is how much is read from one socket before the next has its turn: with 64 saturating
// connections 64 KiB make a posted call wait 48 ms, 8 KiB less than 10 ms.
const readBuffer = 8 << 10

// Reactor is a reactor on one gnet event loop. Loop only, but for CallFromThread, Run and Stop.
type Reactor struct {
	reactor.Loop
	sockets.Gate
	opts    Options
	began   time.Time
	workers *reactor.Workers

	client    *gnet.Client
	eventLoop gnet.EventLoop // set before started
	waker     int            // the end of the socket pair that gnet does not have
	started   atomic.Bool    // Wake may use eventLoop and waker
	scheduled atomic.Bool    // gnet has been asked for a turn
	turning   atomic.Bool    // it is taking one
	timer     *time.Timer    // posts a call at armed
	armed     time.Duration
	watch     watch
	reads     reads
}

var _ reactor.Reactor = (*Reactor)(nil)

// New returns a reactor to be run.
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

// newTimer returns a timer, not running, that causes a turn: by way of the queue, which knows
// when the loop is no more.
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

// Wake implements reactor.Engine. However many ask, gnet is asked for one turn at a time: its
// queue of tasks is neither ordered nor fair when it is long. Before the start there is nobody to
// wake, and the first turn comes by itself.
//
// A turn that asks for the next one does so through the waker. gnet runs tasks until there are
// none, those that tasks have added included, and the sockets would wait for all of them.
func (r *Reactor) Wake() {
	switch {
	case !r.started.Load() || !r.scheduled.CompareAndSwap(false, true):
	case r.turning.Load():
		_, _ = unix.Write(r.waker, []byte{0})
	default:
		r.schedule()
	}
}

// schedule makes a turn follow the batch of events at hand or, without one, the next. The only
// error is that of a stopped engine, and Seal comes before that.
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

// turn is the Reactor as a task of gnet's.
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
	r.watch.ask()
	r.turning.Store(false)
	return nil
}

// Run implements reactor.Reactor: it returns when Stop has completed, or at once with what kept
// the loop from starting.
func (r *Reactor) Run() error {
	if err := r.start(); err != nil {
		return err
	}
	// The loop goes on meanwhile: an Enroll returns only when the loop has taken the connection,
	// and never once gnet is stopping.
	r.Wait()
	closed := make(chan struct{})
	r.CallFromThread(func() {
		r.CloseAll()
		close(closed)
	})
	<-closed
	r.Seal()
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

// start starts gnet and enrolls one end of the waker, through which alone its loop can be reached.
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

// socketPair returns one end as gnet wants it and the other as it is.
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
