package gnetreactor

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"serverherd/reactor"
)

// roundTrips sends one byte after the other to an echo until enough says so.
func roundTrips(t *testing.T, c net.Conn, enough func() bool) {
	t.Helper()
	c.SetDeadline(time.Now().Add(time.Minute))
	for p := []byte{'x'}; !enough(); {
		if _, err := c.Write(p); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, p); err != nil {
			t.Fatal(err)
		}
	}
}

// pause pauses the reading of an echo's connection, and returns what resumes it and reads the echo.
func pause(t *testing.T, r *Reactor, c net.Conn, tr reactor.Transport) (resume func()) {
	t.Helper()
	var paused uint64
	do(r, func() {
		tr.PauseReceiving()
		paused = r.Stats().BytesIn
	})
	input := bytes.Repeat([]byte{'y'}, 2*reactor.MaxHeldInput)
	if _, err := c.Write(input); err != nil {
		t.Fatal(err)
	}
	for held := uint64(0); held < reactor.MaxHeldInput; { // then its reading is paused
		do(r, func() { held = r.Stats().BytesIn - paused })
	}
	return func() {
		t.Helper()
		do(r, tr.ResumeReceiving)
		if _, err := io.ReadFull(c, input); err != nil {
			t.Fatal(err)
		}
	}
}

// readByGnet returns when gnet reads an echo's connection: its input is handled without a turn.
func readByGnet(t *testing.T, r *Reactor, c net.Conn) {
	t.Helper()
	turns := func() (n uint64) {
		do(r, func() { n = r.Stats().Turns })
		return n
	}
	last, trips := turns(), 0
	roundTrips(t, c, func() bool {
		if trips++; trips%20 > 0 {
			return false
		}
		before := last
		last = turns()
		return last-before == 1 // the one that counts
	})
}

// A connection whose reading was paused is read by gnet again.
func TestReadByGnetAgain(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			r := New(Options{})
			run(t, r)
			made := make(chan reactor.Transport, 1)
			addr := "127.0.0.1:0"
			if network == "unix" {
				addr = t.TempDir() + "/socket"
			}
			l, err := net.Listen(network, addr)
			if err != nil {
				t.Fatal(err)
			}
			do(r, func() { r.ListenTCP(l, &echo{made: made}) })
			c, err := net.Dial(network, l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			tr := <-made
			for range 3 {
				pause(t, r, c, tr)()
				readByGnet(t, r, c)
			}
		})
	}
}

// Without descriptors gnet cannot have a connection back. It works nevertheless, and returns to gnet later.
func TestReadByGnetLater(t *testing.T) {
	r := New(Options{})
	run(t, r)
	c, tr := connected(t, r)
	resume := pause(t, r, c, tr)
	release := useUpDescriptors(t)
	defer release()
	resume()
	trips := 0
	roundTrips(t, c, func() bool { trips++; return trips > 100 })
	release()
	readByGnet(t, r, c)
}

// useUpDescriptors opens all descriptors that the process may have, and returns what closes them.
func useUpDescriptors(t *testing.T) (release func()) {
	t.Helper()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	few := limit
	few.Cur = 200
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	var fds []int
	for {
		fd, err := unix.Dup(0)
		if err != nil {
			break
		}
		fds = append(fds, fd)
	}
	return sync.OnceFunc(func() {
		for _, fd := range fds {
			unix.Close(fd)
		}
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			t.Error(err)
		}
	})
}

// A delayed call that is due is made after an event: it does not wait for the timer.
func TestDelayedCallsAfterAnEvent(t *testing.T) {
	r := New(Options{})
	run(t, r)
	c, _ := connected(t, r)
	trips := 0
	roundTrips(t, c, func() bool { trips++; return trips > 1 })
	called := false
	do(r, func() {
		withoutTimer(r)
		r.CallLater(100*time.Microsecond, func() { called = true })
	})
	roundTrips(t, c, func() bool { trips++; return trips > 100 })
	do(r, func() { // a turn makes posted calls before delayed ones
		if !called {
			t.Error("not called")
		}
	})
}

// withoutTimer leaves delayed calls to events.
func withoutTimer(r *Reactor) {
	r.timer.Stop()
	r.timer = time.NewTimer(time.Hour) // it calls nothing
}

// A delayed call that is due waits for the events of the same batch: it may close their connections, and gnet would warn
// of events for connections that it does not have.
func TestDelayedCallsAfterTheBatch(t *testing.T) {
	warnings := make(chan string, 10)
	r := New(Options{Log: func(message string) { warnings <- message }})
	run(t, r)
	made := make(chan reactor.Transport, 1)
	addr := serve(t, r, &echo{made: made})
	var here [2]net.Conn
	var there [2]reactor.Transport
	for i := range here {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		here[i], there[i] = c, <-made
	}
	both := func() { // after this turn's delayed calls
		withoutTimer(r)
		for i := range here { // both events are in one batch
			r.CallLater(0, there[i].AbortConnection)
			here[i].Write([]byte("hello"))
		}
	}
	do(r, func() { r.CallSoon(both) })
	for _, c := range here {
		answer, err := io.ReadAll(c)
		if string(answer) != "hello" || !errors.Is(err, unix.ECONNRESET) {
			t.Errorf("%q, %v", answer, err)
		}
	}
	select {
	case w := <-warnings:
		t.Error(w)
	default:
	}
}

// A connection that breaks before gnet has it again is lost like any other. The kernel does not know its peer's address
// any more.
func TestBrokenBeforeGnetHasIt(t *testing.T) {
	r := New(Options{})
	run(t, r)
	lost := make(chan error, 1)
	c, err := net.Dial("tcp", serve(t, r, &holder{lost: lost}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write(make([]byte, reactor.MaxHeldInput)); err != nil {
		t.Fatal(err)
	}
	for paused := false; !paused; {
		do(r, func() {
			if paused = len(r.watch.sockets) > 0; paused {
				c.(*net.TCPConn).SetLinger(0)
				c.Close()
				s := r.watch.sockets[0]
				s.readPaused = false
				s.rejoin()
			}
		})
	}
	if err := <-lost; !errors.Is(err, unix.ECONNRESET) {
		t.Error(err)
	}
}

// holder holds all input.
type holder struct{ lost chan error }

func (h *holder) BuildProtocol(string) reactor.Protocol      { return h }
func (h *holder) DataReceived([]byte)                        {}
func (h *holder) ConnectionMade(transport reactor.Transport) { transport.PauseReceiving() }
func (h *holder) ConnectionLost(reason error)                { h.lost <- reason }
