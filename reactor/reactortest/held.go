package reactortest

import (
	"strconv"
	"testing"
	"time"

	"serverherd/reactor"
)

// Tests of input that is received while the Protocol has paused.
var heldTests = []test{
	{"EndBehindHeldInput", endBehindHeldInput},
	{"HeldInputPushesBack", heldInputPushesBack},
	{"HeldInputWithoutProgress", heldWithoutProgress},
	{"CloseWhileReadPaused", closeWhileReadPaused},
	{"ResetWhileReadPaused", resetWhileReadPaused},
	{"ResumeReadingRepeatedly", resumeReadingRepeatedly},
	{"HeldInputIsShared", heldInputIsShared},
	{"ManyResumeAtOnce", manyResumeAtOnce},
}

// received returns the number of bytes that the reactor has read from all connections. Loop only.
func received(h Harness) uint64 {
	return h.Reactor().(interface{ Stats() reactor.Stats }).Stats().BytesIn
}

// maxRead is the maximum of one read of any engine.
const maxRead = 64 << 10

// holding dials a connection whose Protocol is p, which pauses it at once, and has the peer send so much that the
// connection is not read any more.
func holding(t *testing.T, h Harness, p *recorder, protocol reactor.Protocol, input []byte) Peer {
	t.Helper()
	var before uint64
	p.onMade = func() {
		p.t.PauseReceiving()
		before = received(h)
	}
	peer := h.Dial(serveOne(t, h, protocol))
	h.Wait("the connection", func() bool { return p.made == 1 })
	peer.Send(input)
	h.Wait("held input", func() bool { return received(h)-before >= reactor.MaxHeldInput })
	return peer
}

// The end of input is reported after held input of any size, also if the last held byte is delivered exactly when a
// turn's share is used up. Held input is delivered in powers of two.
func endBehindHeldInput(t *testing.T, h Harness) {
	ends := []struct {
		name string
		end  func(Peer, *recorder)
		most int // StopReceiving leaves in the kernel what was not read
	}{
		{"end of file", func(p Peer, _ *recorder) { p.CloseWrite() }, 4 * reactor.MaxHeldInput},
		{"StopReceiving", func(_ Peer, r *recorder) { h.Do(r.t.StopReceiving) }, reactor.MaxHeldInput},
	}
	var sizes []int
	for n := 1 << 10; n < 8<<10; n += 1 << 10 {
		sizes = append(sizes, n-1, n, n+1)
	}
	for n := 8 << 10; n <= 4*reactor.MaxHeldInput; n += 8 << 10 {
		sizes = append(sizes, n-1, n, n+1)
	}
	input := pattern(sizes[len(sizes)-1])
	var p *recorder
	addr := serve(t, h, func(string) reactor.Protocol {
		p.onMade = func() { p.t.PauseReceiving() }
		return halfRecorder{p}
	})
	for _, e := range ends {
		for _, n := range sizes {
			if n > e.most {
				break
			}
			var began uint64
			h.Do(func() {
				p = &recorder{test: t}
				began = received(h)
			})
			peer := h.Dial(addr)
			peer.Send(input[:n])
			h.Wait("held input", func() bool { return received(h)-began >= uint64(min(n, reactor.MaxHeldInput)) })
			e.end(peer, p)
			h.Do(p.t.ResumeReceiving)
			h.Wait(e.name+" behind "+strconv.Itoa(n)+" held bytes", func() bool { return p.eof > 0 })
			h.Do(p.t.LoseConnection)
			same(t, p.in, input[:n])
			peer.Close()
			orderly(t, h, p)
		}
	}
}

// Fact 9: a connection that holds MaxHeldInput is not read. The peer waits, and neither input, nor its end, nor the
// reply is lost.
func heldInputPushesBack(t *testing.T, h Harness) {
	p := &recorder{test: t}
	p.onEOF = func() {
		p.t.Write([]byte("bye"))
		p.t.LoseConnection()
	}
	want := pattern(16 << 20) // more than kernel buffers hold
	peer := holding(t, h, p, halfRecorder{p}, want)
	peer.CloseWrite()
	// The Protocol pauses after each piece. What was read and not delivered is held.
	take := func([]byte) {
		if held := int(received(h)) - len(p.in); held > reactor.MaxHeldInput+maxRead {
			t.Errorf("%d bytes held", held)
		}
		if m := p.t.Memory(); m > 4*(reactor.MaxHeldInput+maxRead) {
			t.Errorf("%d bytes of buffers", m)
		}
		p.t.PauseReceiving()
		h.Reactor().CallSoon(p.t.ResumeReceiving)
	}
	h.Do(func() {
		p.onData = take
		p.t.ResumeReceiving()
	})
	if got, err := peer.ReceiveAll(); string(got) != "bye" || err != nil {
		t.Fatalf("got %q, %v", got, err)
	}
	orderly(t, h, p)
	same(t, p.in, want)
	peer.Close()
}

// A connection that is not read and makes no progress is closed after HeldInputTimeout.
func heldWithoutProgress(t *testing.T, h Harness) {
	if !h.Virtual() {
		t.Parallel() // it takes 30 s
	}
	p := &recorder{test: t}
	var began time.Time
	p.onMade = func() {
		p.t.PauseReceiving()
		began = h.Reactor().Now()
	}
	peer := h.Dial(serveOne(t, h, p))
	peer.Send(pattern(16 << 20))
	lostFor(t, h, p, reactor.ErrHeldInput)
	h.Do(func() {
		if waited := h.Reactor().Now().Sub(began); waited < reactor.HeldInputTimeout-time.Second {
			t.Errorf("closed after %v", waited)
		}
		if n := received(h); len(p.in) > 0 || n > reactor.MaxHeldInput+maxRead {
			t.Errorf("%d bytes were read and %d delivered", n, len(p.in))
		}
	})
	peer.Close()
}

// LoseConnection discards unread input, so the last reply arrives.
func closeWhileReadPaused(t *testing.T, h Harness) {
	p := &recorder{test: t}
	peer := holding(t, h, p, p, pattern(reactor.MaxHeldInput+500_000))
	h.Do(func() {
		p.t.Write([]byte("goodbye"))
		p.t.LoseConnection()
	})
	if got, err := peer.ReceiveAll(); string(got) != "goodbye" || err != nil {
		t.Fatalf("got %q, %v", got, err)
	}
	h.Wait("more input", func() bool { return received(h) > reactor.MaxHeldInput+maxRead })
	peer.Close()
	orderly(t, h, p)
}

// A connection that breaks while it is not read is lost, also if it was paused and resumed before.
func resetWhileReadPaused(t *testing.T, h Harness) {
	input := pattern(reactor.MaxHeldInput)
	for before := range 3 {
		p := &recorder{test: t}
		peer := holding(t, h, p, halfRecorder{p}, input)
		for range before {
			holdAgain(t, h, p, peer, input)
		}
		peer.Reset()
		lostFor(t, h, p, nil)
		h.Do(func() {
			if len(p.in) != before*len(input) || p.eof > 0 || p.reason == reactor.ErrHeldInput {
				t.Errorf("%d bytes and %d ends reported, lost for %v", len(p.in), p.eof, p.reason)
			}
		})
	}
}

// holdAgain has p receive what is held, and then pauses reading again.
func holdAgain(t *testing.T, h Harness, p *recorder, peer Peer, input []byte) {
	t.Helper()
	had := 0
	h.Do(func() {
		had = len(p.in)
		p.t.ResumeReceiving()
	})
	h.Wait("all of it", func() bool { return len(p.in) == had+len(input) })
	var before uint64
	h.Do(func() {
		p.t.PauseReceiving()
		before = received(h)
	})
	peer.Send(input)
	h.Wait("held input", func() bool { return received(h)-before == uint64(len(input)) })
}

// Other connections are served while much held input is delivered.
func heldInputIsShared(t *testing.T, h Harness) {
	const many = 64
	var heavy []*recorder
	pieces := 0
	addr := serve(t, h, func(string) reactor.Protocol {
		p := &recorder{test: t}
		p.onMade = func() { p.t.PauseReceiving() }
		heavy = append(heavy, p)
		return p
	})
	input := pattern(reactor.MaxHeldInput)
	var peers []Peer
	for range many {
		peer := h.Dial(addr)
		peer.Send(input)
		peers = append(peers, peer)
	}
	h.Wait("held input", func() bool { return received(h) == many*uint64(len(input)) })
	at := 0
	light := &recorder{test: t}
	light.onData = func([]byte) { at = pieces }
	peer := h.Dial(serveOne(t, h, light))
	h.Wait("a connection", func() bool { return light.made == 1 })
	h.Do(func() {
		for _, p := range heavy {
			p.onData = func([]byte) {
				if pieces++; pieces == 1 {
					peer.Send([]byte("hello"))
				}
				if !h.Virtual() {
					for end := h.Reactor().Now().Add(2 * time.Millisecond); time.Now().Before(end); {
					}
				}
			}
			p.t.ResumeReceiving()
		}
	})
	h.Wait("all input", func() bool {
		for _, p := range heavy {
			if len(p.in) < len(input) {
				return false
			}
		}
		return len(light.in) > 0
	})
	h.Do(func() {
		if !h.Virtual() && at > pieces/2 {
			t.Errorf("another connection was served after %d of %d pieces", at, pieces)
		}
	})
	for _, p := range append(peers, peer) {
		p.Close()
	}
}

// A connection whose reading was paused several times works normally afterwards.
func resumeReadingRepeatedly(t *testing.T, h Harness) {
	for _, end := range []func(Peer){Peer.Close, Peer.CloseWrite, Peer.Reset} {
		p := &recorder{test: t}
		input := pattern(reactor.MaxHeldInput)
		peer := holding(t, h, p, p, input)
		for range 2 {
			holdAgain(t, h, p, peer, input)
		}
		h.Do(p.t.ResumeReceiving)
		h.Wait("all of it", func() bool { return len(p.in) == 3*len(input) })
		h.Do(func() { p.onData = func(b []byte) { p.t.Write(b) } })
		for range 100 {
			peer.Send([]byte("hello"))
			same(t, peer.Receive(5), []byte("hello"))
		}
		end(peer)
		h.Wait("the loss", func() bool { return p.lost == 1 })
		peer.Close()
	}
}

// Two hundred connections pause at every piece of their input and resume a moment later, in which their peers stop, close
// or reset them, or they are closed or aborted here. Nothing is lost, and each of them ends once.
func manyResumeAtOnce(t *testing.T, h Harness) {
	const many = 200
	input := pattern(3 * reactor.MaxHeldInput)
	ends := []struct {
		whole bool // all input arrives
		here  func(*recorder)
		there func(Peer)
	}{
		{true, nil, Peer.CloseWrite},
		{false, nil, Peer.Reset},
		{false, func(p *recorder) { p.t.LoseConnection() }, Peer.CloseWrite},
		{false, func(p *recorder) { p.t.AbortConnection() }, Peer.CloseWrite},
		{false, func(p *recorder) { p.t.LoseConnection() }, Peer.Reset},
	}
	var all []*recorder
	var began uint64
	h.Do(func() { began = received(h) })
	addr := serve(t, h, func(string) reactor.Protocol {
		n := len(all)
		end := ends[n%len(ends)]
		p := &recorder{test: t}
		all = append(all, p)
		p.onMade = func() { p.t.PauseReceiving() }
		p.onData = func([]byte) {
			if end.here != nil && len(p.in) > len(input)/many*n {
				end.here(p)
				return
			}
			p.t.PauseReceiving()
			h.Reactor().CallLater(time.Duration(n%3)*time.Millisecond, p.t.ResumeReceiving)
		}
		return p
	})
	var peers []Peer
	for n := range many {
		peer := h.Dial(addr)
		h.Wait("the connection", func() bool { return len(all) > n })
		peer.Send(input)
		peers = append(peers, peer)
	}
	h.Wait("held input", func() bool { return received(h)-began >= many*reactor.MaxHeldInput })
	h.Do(func() {
		for _, p := range all {
			p.t.ResumeReceiving()
		}
	})
	for n, peer := range peers {
		end, p := ends[n%len(ends)], all[n]
		if end.here != nil {
			h.Wait("the end", func() bool { return len(p.in) > len(input)/many*n })
		}
		end.there(peer)
	}
	for n, p := range all {
		h.Wait("ConnectionLost", func() bool { return p.lost == 1 })
		if ends[n%len(ends)].whole {
			same(t, p.in, input)
		}
		peers[n].Close()
	}
}
