package reactortest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"serverherd/reactor"
)

// Harness drives a running reactor. Its methods are for the test's goroutine and fail the test on a timeout.
type Harness interface {
	Reactor() reactor.Reactor
	// Listen returns a listener for the reactor and its address.
	Listen() (reactor.Listener, string)
	// Dial connects a Peer from outside.
	Dial(addr string) Peer
	// Do runs f on the loop and returns after it.
	Do(f func())
	// Wait calls done on the loop repeatedly, and returns when it has returned true.
	Wait(what string, done func() bool)
	// Stop stops the reactor and returns when Run has.
	Stop()
	// Virtual reports whether time is virtual.
	Virtual() bool
}

// Peer is the other end of a connection.
type Peer interface {
	// Send sends p, in the background if needed.
	Send(p []byte)
	// Receive returns the next n bytes.
	Receive(n int) []byte
	// ReceiveAll returns everything up to the end of file, or up to the error.
	ReceiveAll() ([]byte, error)
	// CloseWrite half-closes after pending output.
	CloseWrite()
	// Close closes, Reset breaks the connection.
	Close()
	Reset()
	// Addr returns this end's address.
	Addr() string
}

// Run runs the suite. start returns a Harness whose reactor is running and is stopped when the test ends.
func Run(t *testing.T, start func(t *testing.T) Harness) {
	for _, group := range [][]test{callTests, connTests, heldTests, closeTests} {
		for _, c := range group {
			t.Run(c.name, func(t *testing.T) { c.run(t, start(t)) })
		}
	}
}

type test struct {
	name string
	run  func(t *testing.T, h Harness)
}

// recorder is a Protocol that records its calls, and fails the test when they are in the wrong order or come from
// within one of its own calls. Loop only.
type recorder struct {
	test   *testing.T
	t      reactor.Transport
	in     []byte
	made   int
	eof    int
	lost   int
	full   int // ResumeProducing
	reason error
	inside bool

	onMade func()
	onData func(p []byte)
	onEOF  func()
	onFull func()
	onLost func()
}

func (r *recorder) enter() func() {
	if r.inside {
		r.test.Error("called from within one of its own calls")
	}
	if r.lost > 0 {
		r.test.Error("called after ConnectionLost")
	}
	r.inside = true
	return func() { r.inside = false }
}

func call(f func()) {
	if f != nil {
		f()
	}
}

func (r *recorder) ConnectionMade(t reactor.Transport) {
	defer r.enter()()
	r.made++
	r.t = t
	call(r.onMade)
}

func (r *recorder) DataReceived(p []byte) {
	defer r.enter()()
	if r.made != 1 || r.eof > 0 || len(p) == 0 {
		r.test.Errorf("%d bytes received; made %d times, %d ends", len(p), r.made, r.eof)
	}
	r.in = append(r.in, p...)
	if r.onData != nil {
		r.onData(p)
	}
}

func (r *recorder) ConnectionLost(reason error) {
	defer r.enter()()
	r.lost++
	r.reason = reason
	call(r.onLost)
}

func (r *recorder) ResumeProducing() {
	defer r.enter()()
	r.full++
	call(r.onFull)
}

// halfRecorder is a recorder that implements HalfCloser.
type halfRecorder struct{ *recorder }

func (r halfRecorder) ReadConnectionLost() {
	defer r.enter()()
	r.eof++
	call(r.onEOF)
}

// factory is a function that implements reactor.Factory.
type factory func(peer string) reactor.Protocol

func (f factory) BuildProtocol(peer string) reactor.Protocol { return f(peer) }

// clientFactory is a factory that records failures.
type clientFactory struct {
	factory
	failed *[]error
}

func (f clientFactory) ConnectionFailed(reason error) { *f.failed = append(*f.failed, reason) }

// serve listens with f and returns the address.
func serve(t *testing.T, h Harness, f factory) string {
	t.Helper()
	l, addr := h.Listen()
	h.Do(func() {
		if _, err := h.Reactor().ListenTCP(l, f); err != nil {
			t.Error(err)
		}
	})
	return addr
}

// serveOne listens for connections with p as their Protocol, one at a time.
func serveOne(t *testing.T, h Harness, p reactor.Protocol) string {
	return serve(t, h, func(string) reactor.Protocol { return p })
}

// pattern returns n bytes in which a missing, duplicated or reordered piece can be detected.
func pattern(n int) []byte {
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	p := make([]byte, 0, n+8)
	for len(p) < n {
		p = binary.LittleEndian.AppendUint64(p, rng.Uint64())
	}
	return p[:n]
}

// same fails the test if got is not want, and reports the first difference.
func same(t *testing.T, got, want []byte) {
	t.Helper()
	if bytes.Equal(got, want) {
		return
	}
	at := 0
	for at < len(got) && at < len(want) && got[at] == want[at] {
		at++
	}
	t.Fatalf("%d bytes instead of %d, different from byte %d on", len(got), len(want), at)
}

// orderly fails the test unless c was lost once, and cleanly.
func orderly(t *testing.T, h Harness, c *recorder) {
	t.Helper()
	lostFor(t, h, c, reactor.ErrConnectionDone)
}

// lostFor fails the test unless c was lost once, for the given reason; nil means any but ErrConnectionDone.
func lostFor(t *testing.T, h Harness, c *recorder, reason error) {
	t.Helper()
	h.Wait("ConnectionLost", func() bool { return c.lost > 0 })
	var err error
	h.Do(func() {
		done := errors.Is(c.reason, reactor.ErrConnectionDone)
		if c.lost != 1 || reason == nil && done || reason != nil && !errors.Is(c.reason, reason) {
			err = fmt.Errorf("lost %d times, for %v instead of %v", c.lost, c.reason, reason)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

// timeout is how long a Harness on real time waits before it fails: far longer than anything takes, even on a busy
// machine.
const timeout = 60 * time.Second
