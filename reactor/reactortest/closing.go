package reactortest

import (
	"testing"
	"time"

	"serverherd/reactor"
)

var closeTests = []test{
	{"OwedToSlowReader", owedToSlowReader},
	{"OwedToSlowReaderHalfClosed", owedHalfClosed},
	{"OwedBeforeHalfClose", owedBeforeHalfClose},
	{"OwedAndClosingBeforeHalfClose", owedAndClosing},
	{"LateReplyAfterHalfClose", lateReply},
	{"HalfCloseWithoutHalfCloser", noHalfCloser},
	{"UnreadInputSparesTheReply", unreadInput},
	{"GoodbyeIsBounded", goodbyeIsBounded},
	{"Abort", abort},
	{"LostOnce", lostOnce},
	{"LateWriteReachesNobody", lateWrite},
	{"LateWriteReachesNobodyAfterHalfClose", lateWriteHalfClosed},
	{"HalfClosedAndReset", halfClosedAndReset},
	{"Linger", linger},
	{"LingerHalfClosed", lingerHalfClosed},
	{"LingerSparesSlowReaders", lingerSpares},
}

const muchOwed = 10 << 20 // far more than kernel buffers hold

// Fact 5: 10 MB and LoseConnection: a reader that begins late gets every byte, then the end.
func owedToSlowReader(t *testing.T, h Harness) {
	p := &recorder{test: t}
	want := pattern(muchOwed)
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

// Fact 6: the same for a peer that has half-closed before (gnet drops what it has not sent).
func owedHalfClosed(t *testing.T, h Harness) {
	p := &recorder{test: t}
	want := pattern(muchOwed)
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

// Fact 6: what was owed at the moment of the half-close comes first, a late reply behind it.
func owedBeforeHalfClose(t *testing.T, h Harness) {
	p := &recorder{test: t}
	want := pattern(muchOwed)
	p.onData = func([]byte) { p.t.Write(want) }
	peer := h.Dial(serveOne(t, h, halfRecorder{p}))
	peer.Send([]byte("x"))
	h.Wait("the write", func() bool { return len(p.in) > 0 })
	peer.CloseWrite()
	h.Wait("the end of input", func() bool { return p.eof == 1 })
	h.Do(func() {
		if p.t.Backlog() == 0 {
			t.Error("nothing is owed, which tests nothing")
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

// Fact 6: a half-close in the middle of an orderly close changes nothing.
func owedAndClosing(t *testing.T, h Harness) {
	p := &recorder{test: t}
	want := pattern(muchOwed)
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

// Fact 6: a reply that is ready only after the half-close, with nothing owed at that moment.
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

// Without a HalfCloser the end of input closes, after what is owed.
func noHalfCloser(t *testing.T, h Harness) {
	p := &recorder{test: t}
	want := pattern(muchOwed)
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

// Fact 7: a socket closed with unread input resets, which destroys the last reply on its way.
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

// Fact 7: a peer that neither closes nor ends cannot hold a connection after its last reply.
func goodbyeIsBounded(t *testing.T, h Harness) {
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

// AbortConnection drops what is owed, and the peer can tell that something is missing.
func abort(t *testing.T, h Harness) {
	p := &recorder{test: t}
	p.onData = func([]byte) {
		p.t.Write(pattern(muchOwed))
		p.t.AbortConnection()
	}
	peer := h.Dial(serveOne(t, h, p))
	peer.Send([]byte("x"))
	lostFor(t, h, p, reactor.ErrConnectionAborted)
	if got, err := peer.ReceiveAll(); err == nil {
		t.Errorf("%d of %d bytes and an orderly end", len(got), muchOwed)
	}
	peer.Close()
}

// However many reasons there are, a connection is lost once.
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
	h.Do(func() {}) // recorder fails the test if anything was called after the loss
}

// Fact 8: a Transport kept after ConnectionLost writes into nobody's connection, whoever got the
// descriptor next.
func lateWrite(t *testing.T, h Harness) {
	late(t, h, func(p *recorder) reactor.Protocol { return p }, Peer.Close)
}

// The same for the descriptor that is ours after a half-close.
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
				t.Error("the dead have a backlog")
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

// A half-closed connection that breaks is noticed, also when there is nothing to write.
func halfClosedAndReset(t *testing.T, h Harness) {
	p := &recorder{test: t}
	peer := h.Dial(serveOne(t, h, halfRecorder{p}))
	peer.CloseWrite()
	h.Wait("the end of input", func() bool { return p.eof == 1 })
	peer.Reset()
	lostFor(t, h, p, nil)
}

// A closing connection whose peer takes nothing is given up after Linger.
func linger(t *testing.T, h Harness) {
	p := &recorder{test: t}
	p.onData = func([]byte) {
		p.t.Write(pattern(muchOwed))
		p.t.LoseConnection()
	}
	lingers(t, h, p, p, func(peer Peer) {})
}

// The same for one that is half-closed and not even closing.
func lingerHalfClosed(t *testing.T, h Harness) {
	p := &recorder{test: t}
	p.onData = func([]byte) { p.t.Write(pattern(muchOwed)) }
	lingers(t, h, p, halfRecorder{p}, Peer.CloseWrite)
}

// A peer that takes something is not given up, although the kernel takes nothing meanwhile: it makes
// room when the peer has read a third of what it holds.
func lingerSpares(t *testing.T, h Harness) {
	if !h.Virtual() {
		t.Parallel() // it takes 20 s
	}
	p := &recorder{test: t}
	p.onEOF = func() { p.t.Write(pattern(muchOwed)) }
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
	peer := h.Dial(serveOne(t, h, protocol))
	peer.Send([]byte("x"))
	then(peer)
	h.Wait("the write", func() bool { began = h.Reactor().Now(); return len(p.in) > 0 })
	lostFor(t, h, p, reactor.ErrLinger)
	h.Do(func() {
		if waited := h.Reactor().Now().Sub(began); waited < reactor.Linger-time.Second {
			t.Errorf("given up after %v", waited)
		}
	})
	if got, err := peer.ReceiveAll(); err == nil {
		t.Errorf("%d of %d bytes and an orderly end", len(got), muchOwed)
	}
	peer.Close()
}
