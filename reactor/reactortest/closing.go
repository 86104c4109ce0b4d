package reactortest

import (
	"testing"
	"time"

	"serverherd/reactor"
)

var closeTests = []test{
	{"OutputToSlowReader", outputToSlowReader},
	{"OutputToHalfClosedSlowReader", outputToHalfClosed},
	{"OutputBeforeHalfClose", outputBeforeHalfClose},
	{"HalfCloseDuringLoseConnection", halfCloseWhileClosing},
	{"LateReplyAfterHalfClose", lateReply},
	{"HalfCloseWithoutHalfCloser", noHalfCloser},
	{"UnreadInputDoesNotResetTheReply", unreadInput},
	{"CloseWaitIsBounded", closeWaitIsBounded},
	{"Abort", abort},
	{"LostOnce", lostOnce},
	{"LateWriteIsDropped", lateWrite},
	{"LateWriteIsDroppedAfterHalfClose", lateWriteHalfClosed},
	{"HalfClosedAndReset", halfClosedAndReset},
	{"Linger", linger},
	{"LingerHalfClosed", lingerHalfClosed},
	{"LingerSparesSlowReaders", lingerSpares},
}

const muchOutput = 10 << 20 // far more than kernel buffers can hold

// Fact 5: 10 MB and LoseConnection: a reader that starts late gets every byte, then the end of file.
func outputToSlowReader(t *testing.T, h Harness) {
	p := &recorder{test: t}
	want := pattern(muchOutput)
	p.onData = func([]byte) {
		p.t.Write(want)
		p.t.LoseConnection()
		p.t.Write([]byte("not this"))
	}
	peer := h.Dial(serveOne(t, h, p))
	peer.Send([]byte("x"))
	h.Wait("the write", func() bool { return len(p.in) > 0 && p.t.Backlog() < len(want) })
	got, err := peer.ReceiveAll()
	if err != nil {
		t.Fatal(err)
	}
	same(t, got, want)
	peer.Close()
	orderly(t, h, p)
}

// Fact 6: the same for a peer that has half-closed before (gnet drops unsent output).
func outputToHalfClosed(t *testing.T, h Harness) {
	p := &recorder{test: t}
	want := pattern(muchOutput)
	p.onEOF = func() {
		p.t.Write(want)
		p.t.LoseConnection()
	}
	peer := h.Dial(serveOne(t, h, halfRecorder{p}))
	peer.Send([]byte("x"))
	peer.CloseWrite()
	h.Wait("the end of input", func() bool { return p.eof == 1 })
	got, err := peer.ReceiveAll()
	if err != nil {
		t.Fatal(err)
	}
	same(t, got, want)
	orderly(t, h, p)
	peer.Close()
}

// Fact 6: output that was pending at the half-close comes first, then a late reply.
func outputBeforeHalfClose(t *testing.T, h Harness) {
	p := &recorder{test: t}
	want := pattern(muchOutput)
	p.onData = func([]byte) { p.t.Write(want) }
	peer := h.Dial(serveOne(t, h, halfRecorder{p}))
	peer.Send([]byte("x"))
	h.Wait("the write", func() bool { return len(p.in) > 0 })
	peer.CloseWrite()
	h.Wait("the end of input", func() bool { return p.eof == 1 })
	h.Do(func() {
		if p.t.Backlog() == 0 {
			t.Error("no pending output: the test is void")
		}
		p.t.Write([]byte("late"))
	})
	same(t, peer.Receive(len(want)), want)
	h.Do(func() {
		p.t.Write([]byte(" and later"))
		p.t.LoseConnection()
	})
	if got, err := peer.ReceiveAll(); string(got) != "late and later" || err != nil {
		t.Fatalf("got %q, %v", got, err)
	}
	orderly(t, h, p)
	peer.Close()
}

// Fact 6: a half-close during LoseConnection changes nothing.
func halfCloseWhileClosing(t *testing.T, h Harness) {
	p := &recorder{test: t}
	want := pattern(muchOutput)
	p.onData = func([]byte) {
		p.t.Write(want)
		p.t.LoseConnection()
	}
	peer := h.Dial(serveOne(t, h, p))
	peer.Send([]byte("x"))
	h.Wait("the write", func() bool { return len(p.in) > 0 })
	peer.CloseWrite()
	same(t, peer.Receive(1_000_000), want[:1_000_000])
	got, err := peer.ReceiveAll()
	if err != nil {
		t.Fatal(err)
	}
	same(t, got, want[1_000_000:])
	orderly(t, h, p)
	peer.Close()
}

// Fact 6: a reply that is ready only after the half-close, without pending output at that moment.
func lateReply(t *testing.T, h Harness) {
	p := &recorder{test: t}
	peer := h.Dial(serveOne(t, h, halfRecorder{p}))
	peer.CloseWrite()
	h.Wait("the end of input", func() bool { return p.eof == 1 })
	h.Do(func() { p.t.Write([]byte("one ")) })
	h.Do(func() {
		h.Reactor().CallLater(60*time.Millisecond, func() {
			p.t.Write([]byte("two"))
			p.t.LoseConnection()
		})
	})
	if got, err := peer.ReceiveAll(); string(got) != "one two" || err != nil {
		t.Fatalf("got %q, %v", got, err)
	}
	orderly(t, h, p)
	peer.Close()
}

// Without a HalfCloser the end of input closes the connection after pending output.
func noHalfCloser(t *testing.T, h Harness) {
	p := &recorder{test: t}
	want := pattern(muchOutput)
	p.onData = func([]byte) { p.t.Write(want) }
	peer := h.Dial(serveOne(t, h, p))
	peer.Send([]byte("x"))
	peer.CloseWrite()
	got, err := peer.ReceiveAll()
	if err != nil {
		t.Fatal(err)
	}
	same(t, got, want)
	orderly(t, h, p)
	peer.Close()
}

// Fact 7: closing a socket with unread input sends a reset, which destroys a reply that was not read yet.
func unreadInput(t *testing.T, h Harness) {
	for range 20 {
		p := &recorder{test: t}
		p.onData = func([]byte) {
			p.t.Write([]byte("goodbye"))
			p.t.LoseConnection()
		}
		peer := h.Dial(serveOne(t, h, p))
		peer.Send(pattern(300_000))
		h.Wait("the first bytes", func() bool { return len(p.in) > 0 })
		peer.Send(pattern(300_000))
		if got, err := peer.ReceiveAll(); string(got) != "goodbye" || err != nil {
			t.Fatalf("got %q, %v", got, err)
		}
		peer.Close()
		orderly(t, h, p)
	}
}

// Fact 7: a peer that does not close cannot keep a connection open after the last reply.
func closeWaitIsBounded(t *testing.T, h Harness) {
	for _, more := range []int{0, 4 << 20} {
		p := &recorder{test: t}
		p.onData = func([]byte) {
			p.t.Write([]byte("goodbye"))
			p.t.LoseConnection()
		}
		peer := h.Dial(serveOne(t, h, p))
		peer.Send(pattern(1 + more))
		orderly(t, h, p)
		peer.Close()
	}
}

// AbortConnection drops pending output, and the peer sees an error.
func abort(t *testing.T, h Harness) {
	p := &recorder{test: t}
	p.onData = func([]byte) {
		p.t.Write(pattern(muchOutput))
		p.t.AbortConnection()
	}
	peer := h.Dial(serveOne(t, h, p))
	peer.Send([]byte("x"))
	lostFor(t, h, p, reactor.ErrConnectionAborted)
	if got, err := peer.ReceiveAll(); err == nil {
		t.Errorf("%d of %d bytes and a clean end", len(got), muchOutput)
	}
	peer.Close()
}

// ConnectionLost is called once, even if there are several reasons.
func lostOnce(t *testing.T, h Harness) {
	for n := range 20 {
		p := &recorder{test: t}
		peer := h.Dial(serveOne(t, h, p))
		peer.Send([]byte("x"))
		h.Wait("the byte", func() bool { return len(p.in) > 0 })
		peer.Close()
		h.Do(func() {
			if p.lost == 0 && n%2 == 0 {
				p.t.LoseConnection()
			}
			p.t.AbortConnection()
			p.t.AbortConnection()
			p.t.LoseConnection()
		})
		h.Wait("the loss", func() bool { return p.lost > 0 })
	}
	h.Do(func() {}) // recorder fails the test if it is called after ConnectionLost
}

// Fact 8: a Transport used after ConnectionLost does not write to another connection that reuses the descriptor.
func lateWrite(t *testing.T, h Harness) {
	late(t, h, func(p *recorder) reactor.Protocol { return p }, Peer.Close)
}

// The same for the duplicate descriptor after a half-close.
func lateWriteHalfClosed(t *testing.T, h Harness) {
	late(t, h, func(p *recorder) reactor.Protocol {
		p.onEOF = func() { h.Reactor().CallLater(time.Millisecond, func() { p.t.LoseConnection() }) }
		return halfRecorder{p}
	}, Peer.CloseWrite)
}

func late(t *testing.T, h Harness, half func(*recorder) reactor.Protocol, end func(Peer)) {
	const n = 20
	var old []*recorder
	addr := serve(t, h, func(string) reactor.Protocol {
		p := &recorder{test: t}
		old = append(old, p)
		return half(p)
	})
	for i := range n {
		peer := h.Dial(addr)
		h.Wait("the connection", func() bool { return len(old) == i+1 })
		end(peer)
		h.Wait("its loss", func() bool { return old[i].lost == 1 })
		peer.Close()
	}
	var peers []Peer
	for i := range n {
		peers = append(peers, h.Dial(addr))
		h.Wait("the connection", func() bool { return len(old) == n+i+1 })
	}
	h.Do(func() {
		for _, p := range old[:n] {
			p.t.Write([]byte("from the dead"))
			p.t.ResumeReceiving()
			p.t.PauseReceiving()
			p.t.LoseConnection()
			p.t.AbortConnection()
			if p.t.Backlog() != 0 {
				t.Error("a lost connection has a backlog")
			}
		}
	})
	h.Do(func() {
		for _, p := range old[n:] {
			p.t.Write([]byte("alive"))
		}
	})
	for _, p := range peers {
		same(t, p.Receive(5), []byte("alive"))
		p.CloseWrite()
		if got, err := p.ReceiveAll(); len(got) > 0 || err != nil {
			t.Fatalf("then %q, %v", got, err)
		}
		p.Close()
	}
}

// A broken half-closed connection is detected, even when there is nothing to write.
func halfClosedAndReset(t *testing.T, h Harness) {
	p := &recorder{test: t}
	peer := h.Dial(serveOne(t, h, halfRecorder{p}))
	peer.CloseWrite()
	h.Wait("the end of input", func() bool { return p.eof == 1 })
	peer.Reset()
	lostFor(t, h, p, nil)
}

// A closing connection whose peer reads nothing is closed after Linger.
func linger(t *testing.T, h Harness) {
	p := &recorder{test: t}
	p.onData = func([]byte) {
		p.t.Write(pattern(muchOutput))
		p.t.LoseConnection()
	}
	lingers(t, h, p, p, func(peer Peer) {})
}

// The same for a half-closed connection that is not closing.
func lingerHalfClosed(t *testing.T, h Harness) {
	p := &recorder{test: t}
	p.onData = func([]byte) { p.t.Write(pattern(muchOutput)) }
	lingers(t, h, p, halfRecorder{p}, Peer.CloseWrite)
}

// A peer that reads is not disconnected, although the kernel takes nothing meanwhile: it makes room only when the
// peer has read a third of its buffer.
func lingerSpares(t *testing.T, h Harness) {
	if !h.Virtual() {
		t.Parallel() // it takes 20 s
	}
	p := &recorder{test: t}
	p.onEOF = func() { p.t.Write(pattern(muchOutput)) }
	peer := h.Dial(serveOne(t, h, halfRecorder{p}))
	peer.CloseWrite()
	h.Wait("the write", func() bool { return p.eof == 1 && p.t.Backlog() > 0 })
	var began time.Time
	h.Do(func() { began = h.Reactor().Now() })
	for reading := true; reading; {
		peer.Receive(10_000)
		ready := false
		h.Do(func() {
			h.Reactor().CallLater(100*time.Millisecond, func() { ready = true })
			reading = h.Reactor().Now().Sub(began) < 2*reactor.Linger && p.lost == 0
		})
		h.Wait("a moment", func() bool { return ready })
	}
	h.Do(func() {
		if p.lost > 0 {
			t.Errorf("lost for %v after %v", p.reason, h.Reactor().Now().Sub(began))
		}
	})
	peer.Close()
}

func lingers(t *testing.T, h Harness, p *recorder, protocol reactor.Protocol, then func(Peer)) {
	if !h.Virtual() {
		t.Parallel() // it takes 10 s
	}
	var began time.Time
	write := p.onData
	p.onData = func(b []byte) {
		began = h.Reactor().Now()
		write(b)
	}
	peer := h.Dial(serveOne(t, h, protocol))
	peer.Send([]byte("x"))
	then(peer)
	lostFor(t, h, p, reactor.ErrLinger)
	h.Do(func() {
		if waited := h.Reactor().Now().Sub(began); waited < reactor.Linger-time.Second {
			t.Errorf("closed after %v", waited)
		}
	})
	if got, err := peer.ReceiveAll(); err == nil {
		t.Errorf("%d of %d bytes and a clean end", len(got), muchOutput)
	}
	peer.Close()
}
