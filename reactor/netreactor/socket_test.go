package netreactor

import (
	"io"
	"net"
	"testing"
	"time"
)

// run runs r until the test ends.
func run(t *testing.T, r *Reactor) {
	ran := make(chan error)
	go func() { ran <- r.Run() }()
	t.Cleanup(func() {
		r.Stop()
		if err := <-ran; err != nil {
			t.Error(err)
		}
	})
}

// timeout is far longer than anything here should take.
const timeout = 60 * time.Second

// pair returns the two ends of a connection.
func pair(t *testing.T) (ours, theirs net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if theirs, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if ours, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ours.Close(); theirs.Close() })
	_ = theirs.SetDeadline(time.Now().Add(timeout))
	return ours, theirs
}

// Room that the peer makes between a short write and the wait for room is detected. The poller reports it once, and
// RawConn.Write forgets what was reported before it began.
func TestRoomBeforeTheWait(t *testing.T) {
	r := New(Options{})
	run(t, r)
	ours, theirs := pair(t)
	s, err := r.newSocket(ours)
	if err != nil {
		t.Fatal(err)
	}
	s.closed = true       // there is no Conn
	const size = 64 << 20 // more than the kernel takes while nobody reads
	out := make([]byte, size)
	s.out = &out
	for before := -1; s.sent > before; {
		before = s.sent
		if err := s.raw.Write(s.writing); err != nil || s.sendErr != nil {
			t.Fatal(err, s.sendErr)
		}
	}
	taken := s.sent
	if taken == size {
		t.Fatal("the kernel took everything: the test is void")
	}
	if _, err := io.CopyN(io.Discard, theirs, int64(taken)); err != nil {
		t.Fatal(err)
	}
	// The poller reports in order: after this event it has also reported the room.
	a, b := pair(t)
	for range 2 {
		go b.Write([]byte("x"))
		if _, err := a.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	r.serving.Add(1)
	go s.sendRest()
	if _, err := io.CopyN(io.Discard, theirs, int64(size-taken)); err != nil {
		t.Fatal(err)
	}
}
