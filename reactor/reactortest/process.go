package reactortest

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"serverherd/reactor"
	"serverherd/reactor/sockets"
)

// RunSockets runs the tests about descriptors, listeners and processes, for an engine with real
// sockets. create makes a reactor that is not running yet.
func RunSockets(t *testing.T, create func() reactor.Reactor) {
	s := kernel{create: create}
	t.Run("NoLeaks", s.noLeaks)
	t.Run("AcceptErrors", s.acceptErrors)
	t.Run("NoDescriptors", s.noDescriptors)
	t.Run("AddressInUse", s.addressInUse)
	t.Run("StopWithManyAndStartAgain", s.stopWithMany)
	t.Run("StopWhileConnecting", s.stopWhileConnecting)
	t.Run("StopBeforeRun", s.stopBeforeRun)
	t.Run("PanicEndsTheProcess", s.panicEndsTheProcess)
}

// kernel are the tests of engines with real sockets.
type kernel struct {
	create func() reactor.Reactor
	layer  *layer // nil without TLS
}

func (s kernel) harness(t *testing.T) *Sockets { return newSockets(t, s.create(), s.layer) }

// No descriptor or goroutine is leaked after a thousand connections of each kind of end, some of them with paused
// reading, and after the reactor itself has ended.
func (s kernel) noLeaks(t *testing.T) {
	fds, goroutines := openDescriptors(t), runtime.NumGoroutine()
	h := s.harness(t)
	open := 0
	addr := serve(t, h, func(string) reactor.Protocol {
		open++
		p := &recorder{test: t}
		p.onData = func(b []byte) { p.t.Write(b) }
		p.onLost = func() { open-- }
		p.onEOF = func() { h.Reactor().CallSoon(func() { p.t.LoseConnection() }) }
		return halfRecorder{p}
	})
	ends := []func(Peer){Peer.Close, Peer.Reset, func(p Peer) {
		p.CloseWrite()
		p.ReceiveAll()
		p.Close()
	}}
	for n := range s.many() {
		p := h.Dial(addr)
		p.Send([]byte("hello"))
		p.Receive(5)
		ends[n%len(ends)](p)
	}
	input := pattern(2 * reactor.MaxHeldInput)
	holding := serve(t, h, func(string) reactor.Protocol {
		open++
		p := &recorder{test: t}
		p.onMade = func() {
			p.t.PauseReceiving()
			h.Reactor().CallLater(10*time.Millisecond, p.t.ResumeReceiving)
		}
		p.onData = func([]byte) {
			if len(p.in) == len(input) {
				p.t.Write([]byte("hello"))
			}
		}
		p.onLost = func() { open-- }
		return p
	})
	for n := range 60 {
		p := h.Dial(holding)
		p.Send(input)
		p.Receive(5)
		ends[n%len(ends)](p)
	}
	h.Wait("all losses", func() bool { return open == 0 })
	manyResumeAtOnce(t, h)
	h.Stop()
	back(t, "descriptors", fds, func() int { return openDescriptors(t) })
	back(t, "goroutines", goroutines, runtime.NumGoroutine)
}

// many is how many connections the tests make that are about many: fewer if each has a handshake.
func (s kernel) many() int {
	if s.layer != nil {
		return 150
	}
	return 1000
}

// listener is l, with TLS if the harness has it.
func (s kernel) listener(l net.Listener) reactor.Listener {
	if s.layer != nil && !s.layer.start {
		return s.layer.listener(l)
	}
	return l
}

// openDescriptors counts the process's open descriptors, including the one used for counting.
func openDescriptors(t *testing.T) int {
	t.Helper()
	for _, dir := range []string{"/proc/self/fd", "/dev/fd"} {
		if all, err := os.ReadDir(dir); err == nil {
			return len(all)
		}
	}
	t.Fatal("no directory of open descriptors")
	return 0
}

// back waits until count has returned to its former value. Ending goroutines, such as those of gnet's pools, need a
// moment.
func back(t *testing.T, what string, was int, count func() int) {
	t.Helper()
	for deadline := time.Now().Add(timeout); count() > was; runtime.Gosched() {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d %s instead of %d\n%s", count(), what, was,
				stacks[:runtime.Stack(stacks, true)])
		}
	}
}

// failing is a listener whose Accept fails now and then, as for lack of descriptors.
type failing struct {
	net.Listener
	mu   sync.Mutex
	errs []error
}

func (l *failing) Accept() (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.errs) > 0 {
		err := l.errs[0]
		l.errs = l.errs[1:]
		return nil, &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", err)}
	}
	return l.Listener.Accept()
}

// Fact 1: accepting continues after any accept error (gnet's own acceptor ends, and gnet.Run returns nil).
func (s kernel) acceptErrors(t *testing.T) {
	h := s.harness(t)
	inner, err := sockets.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &failing{Listener: inner, errs: []error{
		syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.ECONNABORTED, syscall.EMFILE}}
	echo := &recorder{test: t}
	echo.onData = func(p []byte) { echo.t.Write(p) }
	h.Do(func() {
		h.Reactor().ListenTCP(l, factory(func(string) reactor.Protocol { return echo }))
	})
	p := h.Dial(inner.Addr().String())
	p.Send([]byte("hello"))
	same(t, p.Receive(5), []byte("hello"))
	p.Close()
	counts, ok := h.Reactor().(interface{ Stats() reactor.Stats })
	if !ok {
		t.Fatal("the engine has no Stats")
	}
	h.Wait("the count of what could not be accepted", func() bool { return counts.Stats().Unaccepted > 0 })
}

// Fact 1: for lack of descriptors the server continues with its existing connections, and accepts again when there
// are descriptors.
func (s kernel) noDescriptors(t *testing.T) {
	h := s.harness(t)
	addr := serve(t, h, func(string) reactor.Protocol {
		echo := &recorder{test: t}
		echo.onData = func(p []byte) { echo.t.Write(p) }
		return echo
	})
	old := h.Dial(addr)
	echoes := func() {
		old.Send([]byte("hello"))
		same(t, old.Receive(5), []byte("hello"))
	}
	echoes()

	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	late, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	few := limit
	few.Cur = 200
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	restore := func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			t.Fatal(err)
		}
	}
	defer restore()
	for {
		fd, err := unix.Dup(late)
		if err != nil {
			break
		}
		defer unix.Close(fd)
	}
	tcp, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Connect(late, &unix.SockaddrInet4{Port: tcp.Port, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	counts := h.Reactor().(interface{ Stats() reactor.Stats })
	h.Wait("the count of what could not be accepted", func() bool { return counts.Stats().Unaccepted > 0 })
	echoes()
	restore()
	f := os.NewFile(uintptr(late), "late")
	defer f.Close()
	if _, err := f.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 5)
	if _, err := io.ReadFull(f, answer); err != nil {
		t.Fatal(err)
	}
	same(t, answer, []byte("hello"))
}

// Fact 1: listening on a port in use is an error that names it (with gnet's own listener and SO_REUSEPORT two servers
// would silently share the port).
func (s kernel) addressInUse(t *testing.T) {
	l, err := sockets.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	second, err := sockets.Listen(l.Addr().String())
	if err == nil {
		second.Close()
		t.Fatal("a second listener shares the port")
	}
	if !strings.Contains(err.Error(), l.Addr().String()) ||
		!errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("the error is %q", err)
	}
}

// Fact 10: Stop with a thousand connections, and listen on the same port again at once.
func (s kernel) stopWithMany(t *testing.T) {
	n := s.many()
	addr := "127.0.0.1:0"
	for range 2 {
		h := s.harness(t)
		l, err := sockets.Listen(addr)
		if err != nil {
			t.Fatal(err)
		}
		addr = l.Addr().String()
		made, lost := 0, 0
		h.Do(func() {
			h.Reactor().ListenTCP(s.listener(l), factory(func(string) reactor.Protocol {
				p := &recorder{test: t}
				p.onMade = func() { made++ }
				p.onLost = func() { lost++ }
				return p
			}))
		})
		peers := make([]Peer, n)
		for i := range peers {
			peers[i] = h.Dial(addr)
		}
		h.Wait("all connections", func() bool { return made == n })
		h.Stop()
		if lost != n {
			t.Errorf("%d of %d connections were lost", lost, n)
		}
		for _, p := range peers {
			p.Close()
		}
	}
}

// Fact 10: enrolling while gnet stops never returns, so Stop waits for it, and for dials. Each dial has one result.
func (s kernel) stopWhileConnecting(t *testing.T) {
	for range 20 {
		h := s.harness(t)
		addr := serve(t, h, func(string) reactor.Protocol { return &recorder{test: t} })
		var dialing sync.WaitGroup
		for range 20 {
			dialing.Go(func() {
				if c, err := net.Dial("tcp", addr); err == nil {
					c.Close()
				}
			})
		}
		const dials = 20
		built, failed := 0, []error(nil)
		h.Do(func() {
			for range dials {
				h.Reactor().ConnectTCP(addr, timeout, clientFactory{func(string) reactor.Protocol {
					built++
					return &recorder{test: t}
				}, &failed})
			}
		})
		h.Stop()
		dialing.Wait()
		if built+len(failed) != dials {
			t.Fatalf("of %d dials %d were reported as connections and %d as failed", dials, built, len(failed))
		}
	}
}

// A reactor on which Stop was called before Run stops when it runs.
func (s kernel) stopBeforeRun(t *testing.T) {
	r := s.create()
	l, err := sockets.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ran := false
	r.ListenTCP(l, factory(func(string) reactor.Protocol { return nil }))
	r.CallLater(0, func() {})
	r.BeforeShutdown(func(done func()) {
		ran = true
		done()
	})
	r.Stop()
	if err := r.Run(); err != nil || !ran {
		t.Errorf("Run returned %v, shutdown function run: %v", err, ran)
	}
	if c, err := net.Dial("tcp", l.Addr().String()); err == nil {
		c.Close()
		t.Error("the port is still open")
	}
}

// panicVariable makes a copy of the test process panic.
const panicVariable = "REACTORTEST_PANIC"

// Fact 11: a panic in a handler ends the process with an exit code and a stack trace.
func (s kernel) panicEndsTheProcess(t *testing.T) {
	if os.Getenv(panicVariable) != "" {
		s.panicNow(t)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), panicVariable+"=1")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() <= 0 {
		t.Fatalf("the process ended with %v", err)
	}
	if !strings.Contains(stderr.String(), "panic: in a handler") {
		t.Errorf("standard error:\n%s", stderr.String())
	}
	if strings.Contains(stdout.String(), "gnet") {
		t.Errorf("the engine printed to standard output:\n%s", stdout.String())
	}
}

func (s kernel) panicNow(t *testing.T) {
	h := s.harness(t)
	p := &recorder{test: t}
	p.onData = func([]byte) { panic("in a handler") }
	peer := h.Dial(serveOne(t, h, p))
	peer.Send([]byte("x"))
	h.Wait("the end", func() bool { return false })
}
