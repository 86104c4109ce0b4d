package memreactor_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"serverherd/reactor"
	"serverherd/reactor/memreactor"
)

// echo answers each line with itself, and closes after "quit".
type echo struct {
	r    *reactor.LineReceiver
	t    reactor.Transport
	lost []error
}

func (e *echo) BuildProtocol(string) reactor.Protocol {
	e.r = reactor.NewLineReceiver(100, e)
	return e
}
func (e *echo) ConnectionMade(t reactor.Transport) { e.t = t }
func (e *echo) DataReceived(p []byte)              { e.r.DataReceived(p) }
func (e *echo) ConnectionLost(reason error)        { e.lost = append(e.lost, reason) }
func (e *echo) LineLengthExceeded([]byte)          { e.t.AbortConnection() }
func (e *echo) LineReceived(line []byte) {
	e.t.Write(append(bytes.Clone(line), '\n'))
	if string(line) == "quit" {
		e.r.Stop()
		e.t.LoseConnection()
	}
}

func serve(t *testing.T, o memreactor.Options, f reactor.Factory) (
	*memreactor.World, *memreactor.Reactor) {
	t.Helper()
	w := memreactor.NewWorld(7, o)
	r := w.NewReactor("server")
	if _, err := r.ListenTCP(r.Listen("server:1"), f); err != nil {
		t.Fatal(err)
	}
	return w, r
}

func TestEcho(t *testing.T) {
	e := &echo{}
	w, _ := serve(t, memreactor.Options{}, e)
	c := w.Dial("server:1")
	c.SendString("one\r\ntwo\nquit\nthree\n")
	w.Run()
	if got := c.Take(); got != "one\ntwo\nquit\n" {
		t.Fatalf("got %q", got)
	}
	if !c.EOF() || c.Err() != nil {
		t.Fatal("no end of file after quit", c.Err())
	}
	w.RunFor(2 * time.Second)
	if len(e.lost) != 1 || e.lost[0] != reactor.ErrConnectionDone {
		t.Fatal("lost:", e.lost)
	}
}

func TestChoppedAndLate(t *testing.T) {
	e := &echo{}
	w, _ := serve(t, memreactor.Options{
		MinDelay: time.Millisecond, MaxDelay: time.Second, Chop: 3}, e)
	c := w.Dial("server:1")
	want := strings.Repeat("a line of some length\n", 1000)
	c.SendString(want)
	w.Run()
	if got := c.Take(); got != want {
		t.Fatalf("got %d bytes instead of %d", len(got), len(want))
	}
}

func TestCutAndHeal(t *testing.T) {
	e := &echo{}
	w, _ := serve(t, memreactor.Options{MinDelay: time.Millisecond, MaxDelay: time.Millisecond}, e)
	c := w.Dial("server:1")
	w.Run()
	w.CutOneWay("server", "client")
	c.SendString("hello\n")
	w.RunFor(time.Minute)
	if got := c.Take(); got != "" {
		t.Fatalf("%q received through a cut", got)
	}
	w.Heal("server", "client")
	w.Run()
	if got := c.Take(); got != "hello\n" {
		t.Fatalf("got %q after the cut", got)
	}
}

func TestCrash(t *testing.T) {
	w, r := serve(t, memreactor.Options{}, &echo{})
	c := w.Dial("server:1")
	w.Run()
	fired := false
	r.CallLater(time.Second, func() { fired = true })
	unread := w.Dial("server:1")
	w.Run()
	unread.SendString("x\n")
	r.Pause() // its kernel keeps receiving
	w.RunFor(time.Minute)
	r.Crash()
	w.RunFor(time.Minute)
	if fired || !c.EOF() || c.Err() != nil {
		t.Fatal("fired:", fired, "client saw:", c.Err(), "EOF:", c.EOF())
	}
	if unread.Err() != memreactor.ErrReset {
		t.Fatal("the client with unread output saw:", unread.Err())
	}
	again := w.NewReactor("server")
	again.ListenTCP(again.Listen("server:1"), &echo{})
	c = w.Dial("server:1")
	c.SendString("x\n")
	w.Run()
	if got := c.Take(); got != "x\n" {
		t.Fatalf("after the restart: %q", got)
	}
}

func TestPauseReadsSocketsFirst(t *testing.T) {
	e := &echo{}
	w, r := serve(t, memreactor.Options{Chop: 1}, e)
	c := w.Dial("server:1")
	w.Run()
	var inBefore uint64
	r.CallLater(time.Second, func() { inBefore = r.Stats().BytesIn })
	r.Pause()
	c.SendString("are you there\n")
	w.RunFor(time.Minute)
	if c.Take() != "" || r.Stats().BytesIn != 0 {
		t.Fatal("a paused reactor ran")
	}
	r.Resume()
	w.Run()
	if want := uint64(len("are you there\n")); inBefore != want {
		t.Fatalf("a late call ran after %d bytes were read, %d had arrived", inBefore, want)
	}
	if got := c.Take(); got != "are you there\n" {
		t.Fatalf("got %q", got)
	}
}

func TestSameSeedSameTrace(t *testing.T) {
	run := func(seed uint64) uint64 {
		w := memreactor.NewWorld(seed, memreactor.Options{MaxDelay: time.Second, Chop: 5})
		r := w.NewReactor("server")
		r.ListenTCP(r.Listen("server:1"), &echo{})
		c := w.Dial("server:1")
		c.SendString(strings.Repeat("some line\n", 50))
		w.Run()
		return w.Trace()
	}
	first := run(1)
	if again := run(1); first != again {
		t.Error("different traces with the same seed")
	}
	if first == run(2) {
		t.Error("the same trace with different seeds")
	}
}
