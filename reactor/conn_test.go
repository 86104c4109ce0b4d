package reactor

import (
	"bytes"
	"errors"
	"testing"
	"time"
)

// fakeSocket takes as many bytes as room allows.
type fakeSocket struct {
	room     int // number of bytes that Write still takes
	writes   int
	got      []byte
	broken   error
	shut     bool
	unread   bool
	closed   int
	wasReset bool // closed with a reset
	unacked  int
}

func (s *fakeSocket) Write(p []byte) (int, error) {
	s.writes++
	if s.broken != nil {
		return 0, s.broken
	}
	n := min(len(p), s.room)
	s.room -= n
	s.got = append(s.got, p[:n]...)
	return n, nil
}

func (s *fakeSocket) Unsent(bool) int { return 0 }
func (s *fakeSocket) Unacked() int    { return s.unacked }
func (s *fakeSocket) PauseReading()   { s.unread = true }
func (s *fakeSocket) ResumeReading()  { s.unread = false }
func (s *fakeSocket) CloseWrite()     { s.shut = true }
func (s *fakeSocket) Close(reset bool) {
	s.closed++
	s.wasReset = reset
}

// fakeProtocol calls the functions that a test sets.
type fakeProtocol struct {
	t    Transport
	data func(p []byte)
	lost []error
}

func (p *fakeProtocol) BuildProtocol(string) Protocol { return p }
func (p *fakeProtocol) ConnectionMade(t Transport)    { p.t = t }
func (p *fakeProtocol) ConnectionLost(reason error)   { p.lost = append(p.lost, reason) }
func (p *fakeProtocol) DataReceived(b []byte) {
	if p.data != nil {
		p.data(b)
	}
}

func connect(e *fakeEngine) (*Conn, *fakeSocket, *fakeProtocol) {
	s, p := &fakeSocket{room: 1 << 30}, &fakeProtocol{}
	return e.Accept(p, s, "peer:1", "host:1"), s, p
}

func TestOneWriteForEachEvent(t *testing.T) {
	e := newFake()
	c, s, p := connect(e)
	p.data = func([]byte) {
		for range 100 {
			c.Write([]byte("x"))
		}
	}
	c.Input([]byte("go"))
	if s.writes != 1 || len(s.got) != 100 || e.wakes != 0 {
		t.Fatalf("%d bytes in %d writes, %d turns requested", len(s.got), s.writes, e.wakes)
	}
}

func TestOneWriteForEachTurn(t *testing.T) {
	e := newFake()
	a, _, p := connect(e)
	b, s, _ := connect(e)
	p.data = func([]byte) { // an event of one connection writes to another
		for range 100 {
			b.Write([]byte("x"))
		}
	}
	a.Input([]byte("go"))
	a.Input([]byte("go"))
	if s.writes != 0 || e.wakes != 1 {
		t.Fatalf("%d writes before the turn, %d turns requested", s.writes, e.wakes)
	}
	e.CallSoon(func() { b.Write([]byte("y")) })
	e.Turn()
	if s.writes != 1 || len(s.got) != 201 {
		t.Fatalf("%d bytes in %d writes", len(s.got), s.writes)
	}
}

func TestIdleConnectionHoldsNoBuffer(t *testing.T) {
	e := newFake()
	c, s, _ := connect(e)
	s.room = 100_000
	c.Write(make([]byte, 100_100))
	e.Turn()
	if c.Backlog() != 100 || cap(c.out) > 1000 {
		t.Fatalf("a buffer of %d bytes for a backlog of %d", cap(c.out), c.Backlog())
	}
	s.room = 100
	c.Writable()
	if c.out != nil {
		t.Fatalf("a buffer of %d bytes for nothing", cap(c.out))
	}
	if want := make([]byte, 100_100); !bytes.Equal(s.got, want) {
		t.Fatal("other bytes arrived")
	}
}

func TestWritesAllocateNothing(t *testing.T) {
	e := newFake()
	c, s, p := connect(e)
	reply := make([]byte, 100)
	p.data = func([]byte) {
		for range 100 {
			c.Write(reply)
		}
	}
	in := []byte("x")
	if n := testing.AllocsPerRun(1000, func() {
		s.got = s.got[:0]
		c.Input(in)
	}); n > 0 {
		t.Fatalf("%v allocations for an event", n)
	}
	if n := testing.AllocsPerRun(1000, func() {
		s.got = s.got[:0]
		c.Write(reply)
		e.Turn()
	}); n > 0 {
		t.Fatalf("%v allocations for a turn", n)
	}
}

func TestWriteErrorEndsTheConnection(t *testing.T) {
	e := newFake()
	c, s, p := connect(e)
	s.broken = errors.New("broken pipe")
	c.Write([]byte("x"))
	if len(p.lost) > 0 {
		t.Fatal("lost before Write returned")
	}
	e.Turn()
	c.Input([]byte("late"))
	c.EndOfInput()
	c.Broken(errors.New("again"))
	if len(p.lost) != 1 || p.lost[0] != s.broken || s.closed != 1 {
		t.Fatalf("lost for %v, closed %d times", p.lost, s.closed)
	}
	if e.Stats().Connections != 0 {
		t.Fatal("still counted")
	}
}

// A connection that was idle for a while need not wait for the peer's end of file.
func TestIdleConnectionClosesAtOnce(t *testing.T) {
	e := newFake()
	c, s, p := connect(e)
	e.now += 2 * time.Second
	c.LoseConnection()
	e.Turn()
	if len(p.lost) != 1 || p.lost[0] != ErrConnectionDone || s.shut {
		t.Fatalf("lost for %v, end of file sent: %v", p.lost, s.shut)
	}
}

// Linger counts from the last progress.
func TestLingerCountsFromTheLastProgress(t *testing.T) {
	e := newFake()
	c, s, p := connect(e)
	s.room = 0
	c.Write(make([]byte, 1000))
	c.LoseConnection()
	e.Turn()
	for range 50 { // a byte every nine seconds is progress
		e.now += 9 * time.Second
		s.room = 1
		c.Writable()
		e.Turn()
		if len(p.lost) > 0 {
			t.Fatalf("lost for %v", p.lost)
		}
	}
	e.now += Linger - 1
	e.Turn()
	if len(p.lost) > 0 {
		t.Fatalf("lost for %v too early", p.lost)
	}
	e.now++
	e.Turn()
	if len(p.lost) != 1 || p.lost[0] != ErrLinger || !s.wasReset {
		t.Fatalf("lost for %v, with a reset: %v", p.lost, s.wasReset)
	}
}

// Acknowledgments by the peer are progress, too: the kernel makes room only in large steps.
func TestLingerCountsAcknowledgments(t *testing.T) {
	e := newFake()
	c, s, p := connect(e)
	s.room, s.unacked = 500, 500
	c.Write(make([]byte, 1000))
	c.LoseConnection()
	e.Turn()
	for range 49 { // a byte every nine seconds
		e.now += 9 * time.Second
		s.unacked--
		e.Turn()
		if len(p.lost) > 0 {
			t.Fatalf("lost for %v with %d bytes unacknowledged", p.lost, s.unacked)
		}
	}
	for range 3 {
		e.now += Linger
		e.Turn()
	}
	if len(p.lost) != 1 || p.lost[0] != ErrLinger {
		t.Fatalf("lost for %v", p.lost)
	}
}

// Memory is the capacity of all buffers until they are released.
func TestMemoryIsExact(t *testing.T) {
	e := newFake()
	a, s, _ := connect(e)
	b, _, p := connect(e)
	check := func(when string) {
		t.Helper()
		want := cap(a.out) + cap(a.held) + a.kept + cap(b.out) + cap(b.held) + b.kept
		if got := e.Memory(); got != want || a.Memory()+b.Memory() != want {
			t.Errorf("%s: %d bytes in total, %d and %d of connections, want %d", when, got, a.Memory(), b.Memory(), want)
		}
	}
	s.room = 0
	a.Write(make([]byte, 100_000))
	e.Turn()
	check("unsent")
	if e.Memory() < 100_000 {
		t.Errorf("%d bytes", e.Memory())
	}
	s.room = 90_000
	a.Writable()
	check("sent in part")
	b.PauseReceiving()
	b.Input(make([]byte, 5000))
	check("held")
	b.Keep(777)
	b.Keep(7777)
	check("kept")
	p.data = func([]byte) { b.PauseReceiving() }
	b.ResumeReceiving()
	e.Turn()
	check("delivered")
	if n := b.Memory(); n != 7777 {
		t.Errorf("%d bytes after Keep(7777)", n)
	}
	s.room = 1 << 20
	a.Writable()
	check("sent")
	a.Write(make([]byte, 1000))
	b.Input(make([]byte, 1000))
	b.AbortConnection()
	e.Turn()
	check("lost")
	b.Keep(1)
	if e.Memory() != 0 {
		t.Errorf("%d bytes are left", e.Memory())
	}
}

func TestMemoryAlarm(t *testing.T) {
	e := newFake()
	c, _, _ := connect(e)
	calls := 0
	call := func() { calls++ }
	expect := func(n int, when string) {
		t.Helper()
		e.Turn()
		if calls != n {
			t.Fatalf("%s: called %d times, want %d", when, calls, n)
		}
	}
	e.MemoryAlarm(1000, call)
	c.Keep(1000)
	expect(0, "at the limit")
	c.Keep(1001)
	if calls != 0 {
		t.Fatal("called at once")
	}
	expect(1, "above it")
	c.Keep(2000)
	expect(1, "above it again")
	e.MemoryAlarm(1000, call)
	expect(2, "above it before it was set")
	e.MemoryAlarm(3000, call)
	e.MemoryAlarm(4000, call)
	c.Keep(3500)
	expect(2, "replaced")
	c.PauseReceiving()
	c.Input(make([]byte, 600))
	expect(3, "input held")
}

// A pause that ended does not count for the next one.
func TestLingerRestarts(t *testing.T) {
	e := newFake()
	c, s, p := connect(e)
	c.EndOfInput() // closes: fakeProtocol is no HalfCloser
	if len(p.lost) != 1 {
		t.Fatal("not closed")
	}
	half := &halfProtocol{}
	c = e.Accept(half, s, "", "")
	c.EndOfInput()
	at := func(second int, room int) {
		e.now = time.Duration(second) * time.Second
		e.Turn()
		if s.room = room; room > 0 {
			c.Writable()
		} else {
			c.Write([]byte("owed"))
		}
		e.Turn()
	}
	at(0, 0)
	at(6, 10) // delivered
	at(9, 0)
	for e.now = 10 * time.Second; e.now < 19*time.Second; e.now += time.Second {
		e.Turn()
	}
	if len(half.lost) > 0 {
		t.Fatal("lost for", half.lost)
	}
	e.now = 19 * time.Second
	e.Turn()
	if len(half.lost) != 1 || half.lost[0] != ErrLinger {
		t.Fatal("lost for", half.lost)
	}
}

// halfProtocol stays open after a half-close.
type halfProtocol struct{ fakeProtocol }

func (p *halfProtocol) BuildProtocol(string) Protocol { return p }
func (p *halfProtocol) ReadConnectionLost()           {}

// After the end of file was sent, at most maxDiscard bytes are discarded.
func TestDiscardIsLimited(t *testing.T) {
	e := newFake()
	c, s, p := connect(e)
	c.Write([]byte("bye"))
	c.LoseConnection()
	e.Turn()
	if !s.shut || len(p.lost) > 0 {
		t.Fatal("no end of file:", s.shut, p.lost)
	}
	c.Input(make([]byte, maxDiscard))
	if len(p.lost) > 0 {
		t.Fatal("lost for", p.lost)
	}
	c.Input([]byte("x"))
	if len(p.lost) != 1 || p.lost[0] != ErrConnectionDone {
		t.Fatal("lost for", p.lost)
	}
}

// Input that arrives between ResumeReceiving and the delivery of held input waits behind it.
func TestHeldInputComesFirst(t *testing.T) {
	e := newFake()
	c, _, p := connect(e)
	var got []byte
	p.data = func(b []byte) { got = append(got, b...) }
	c.PauseReceiving()
	c.Input([]byte("first "))
	c.ResumeReceiving()
	c.Input([]byte("second"))
	e.Turn()
	if string(got) != "first second" {
		t.Fatalf("got %q", got)
	}
}

// CloseAll closes connections that wait for the peer's end of file cleanly, and no new ones are accepted.
func TestCloseAll(t *testing.T) {
	e := newFake()
	_, s1, p1 := connect(e)
	c2, s2, p2 := connect(e)
	c3, s3, p3 := connect(e)
	c2.LoseConnection()
	e.Turn()
	s3.room = 0
	c3.Write([]byte("owed"))
	e.Turn()
	e.CloseAll()
	if p1.lost[0] != ErrConnectionAborted || s1.wasReset {
		t.Error("an idle connection:", p1.lost, s1.wasReset)
	}
	if p2.lost[0] != ErrConnectionDone || s2.wasReset {
		t.Error("a closing connection:", p2.lost, s2.wasReset)
	}
	if p3.lost[0] != ErrConnectionAborted || !s3.wasReset {
		t.Error("a connection with pending output:", p3.lost, s3.wasReset)
	}
	if c, _, _ := connect(e); c != nil {
		t.Error("a connection was accepted after CloseAll")
	}
}

func BenchmarkWriteTurn(b *testing.B) {
	e := newFake()
	c, s, p := connect(e)
	reply := make([]byte, 100)
	p.data = func([]byte) {
		for range 16 {
			c.Write(reply)
		}
	}
	in := []byte("x")
	b.ReportAllocs()
	for b.Loop() {
		s.got, s.room = s.got[:0], 1<<30
		c.Input(in)
	}
}

// A lost connection is not read, even if a read was scheduled.
func TestNoReadAfterLoss(t *testing.T) {
	e := newFake()
	c, _, _ := connect(e)
	c.Readable(func() { t.Error("read was called") })
	c.Broken(errors.New("reset"))
	e.Turn()
}
