package reactortest

import (
	"bytes"
	"testing"

	"serverherd/reactor"
)

var connTests = []test{
	{"MadeDataLost", madeDataLost},
	{"ManyAtOnce", manyAtOnce},
	{"RefusedByNil", refusedByNil},
	{"DialAndAccept", dialAndAccept},
	{"DialRefused", dialRefused},
	{"StopListening", stopListening},
	{"NoCallInsideACall", noCallInsideACall},
	{"PauseReceiving", pauseReceiving},
	{"PauseAgainWhileDelivering", pauseAgain},
	{"EndOfInputWhilePaused", endWhilePaused},
	{"StopReceiving", stopReceiving},
	{"BacklogAndProducer", backlogAndProducer},
	{"MemoryAndTaken", memoryAndTaken},
	{"ResetByPeer", resetByPeer},
}

// ConnectionMade, DataReceived and ConnectionLost are called in order, and both addresses are right.
func madeDataLost(t *testing.T, h Harness) {
	p := &recorder{test: t}
	addr := serveOne(t, h, p)
	peer := h.Dial(addr)
	want := pattern(100_000)
	for part := range bytes.SplitSeq(want, []byte{0}) { // in pieces of all sizes
		peer.Send(part)
	}
	want = bytes.ReplaceAll(want, []byte{0}, nil)
	h.Wait("all bytes", func() bool { return len(p.in) == len(want) })
	h.Do(func() {
		if p.t.Peer() != peer.Addr() || p.t.Host() != addr {
			t.Errorf("peer %s, host %s; they are %s, %s", p.t.Peer(), p.t.Host(), peer.Addr(), addr)
		}
	})
	same(t, p.in, want)
	peer.Close()
	orderly(t, h, p)
}

// Every one of many connections gets its own bytes back.
func manyAtOnce(t *testing.T, h Harness) {
	const n = 200
	addr := serve(t, h, func(string) reactor.Protocol {
		p := &recorder{test: t}
		p.onData = func(b []byte) { p.t.Write(b) }
		return p
	})
	var peers [n]Peer
	for i := range peers {
		peers[i] = h.Dial(addr)
		peers[i].Send(pattern(1000 + i))
	}
	for i, p := range peers {
		same(t, p.Receive(1000+i), pattern(1000+i))
		p.Close()
	}
}

// A Factory refuses a connection by returning nil: it is closed, and nothing more is called.
func refusedByNil(t *testing.T, h Harness) {
	refused := 0
	addr := serve(t, h, func(string) reactor.Protocol {
		refused++
		return nil
	})
	for range 10 {
		p := h.Dial(addr)
		if got, _ := p.ReceiveAll(); len(got) > 0 {
			t.Fatalf("%q received from a refused connection", got)
		}
		p.Close()
	}
	h.Do(func() {
		if refused != 10 {
			t.Errorf("asked %d times", refused)
		}
	})
}

// Fact 1: dialed and accepted connections behave alike.
func dialAndAccept(t *testing.T, h Harness) {
	server := &recorder{test: t}
	server.onData = func(p []byte) { server.t.Write(p) }
	addr := serveOne(t, h, server)
	client := &recorder{test: t}
	client.onMade = func() { client.t.Write([]byte("hello")) }
	var failed []error
	h.Do(func() {
		h.Reactor().ConnectTCP(addr, timeout, clientFactory{
			func(string) reactor.Protocol { return client }, &failed})
		if client.made > 0 {
			t.Error("connected before ConnectTCP returned")
		}
	})
	h.Wait("the echo", func() bool { return string(client.in) == "hello" })
	h.Do(func() {
		if client.t.Peer() != addr || server.t.Peer() != client.t.Host() {
			t.Errorf("%s dialed %s and got %s", client.t.Host(), addr, client.t.Peer())
		}
		client.t.LoseConnection()
	})
	orderly(t, h, client)
	orderly(t, h, server)
	if len(failed) > 0 {
		t.Error("and failed:", failed)
	}
}

// A failed dial is reported once, in a later call.
func dialRefused(t *testing.T, h Harness) {
	l, addr := h.Listen()
	l.Close()
	var failed []error
	h.Do(func() {
		h.Reactor().ConnectTCP(addr, timeout, clientFactory{func(string) reactor.Protocol {
			t.Error("connected without a listener")
			return nil
		}, &failed})
		if len(failed) > 0 {
			t.Error("failed before ConnectTCP returned")
		}
	})
	h.Wait("the failure", func() bool { return len(failed) > 0 })
	h.Do(func() {
		if len(failed) != 1 || failed[0] == nil {
			t.Errorf("failed with %v", failed)
		}
	})
}

// Connections stay open when their port is closed.
func stopListening(t *testing.T, h Harness) {
	echo := &recorder{test: t}
	echo.onData = func(p []byte) { echo.t.Write(p) }
	l, addr := h.Listen()
	var port reactor.Port
	h.Do(func() {
		port, _ = h.Reactor().ListenTCP(l, factory(func(string) reactor.Protocol { return echo }))
	})
	h.Do(func() {
		if port.Addr() != addr {
			t.Errorf("Addr is %s, the listener's %s", port.Addr(), addr)
		}
	})
	peer := h.Dial(addr)
	h.Wait("the connection", func() bool { return echo.made == 1 })
	h.Do(port.StopListening)
	h.Do(port.StopListening)
	peer.Send([]byte("still there"))
	same(t, peer.Receive(11), []byte("still there"))
	peer.Close()
	orderly(t, h, echo)
	var failed []error
	h.Do(func() {
		h.Reactor().ConnectTCP(addr, timeout, clientFactory{func(string) reactor.Protocol {
			t.Error("accepted after StopListening")
			return nil
		}, &failed})
	})
	h.Wait("the refusal", func() bool { return len(failed) > 0 })
}

// Fact 8: no Transport method calls the Protocol before it returns; recorder checks it.
func noCallInsideACall(t *testing.T, h Harness) {
	p := &recorder{test: t}
	p.onData = func([]byte) {
		p.t.PauseReceiving()
		p.t.Write(pattern(100_000))
		p.t.ResumeReceiving()
		p.t.LoseConnection()
		p.t.AbortConnection()
		p.t.Write([]byte("nothing"))
	}
	p.onLost = p.onDataAgain
	peer := h.Dial(serveOne(t, h, p))
	peer.Send([]byte("x"))
	lostFor(t, h, p, reactor.ErrConnectionAborted)
	peer.Close()
}

// onDataAgain calls everything once more, from ConnectionLost.
func (r *recorder) onDataAgain() { r.onData(nil) }

// Held input is delivered completely, in order, and not before ResumeReceiving.
func pauseReceiving(t *testing.T, h Harness) {
	p := &recorder{test: t}
	p.onMade = func() { p.t.PauseReceiving() }
	peer := h.Dial(serveOne(t, h, p))
	want := pattern(300_000)
	peer.Send(want)
	h.Wait("the connection", func() bool { return p.made == 1 })
	h.Do(func() {
		if len(p.in) > 0 {
			t.Errorf("%d bytes despite PauseReceiving", len(p.in))
		}
		p.t.ResumeReceiving()
		if len(p.in) > 0 {
			t.Error("delivered before ResumeReceiving returned")
		}
	})
	h.Wait("all bytes", func() bool { return len(p.in) == len(want) })
	same(t, p.in, want)
	peer.Close()
	orderly(t, h, p)
}

// A Protocol may pause again at each delivery; nothing is lost, duplicated or reordered.
func pauseAgain(t *testing.T, h Harness) {
	p := &recorder{test: t}
	p.onData = func([]byte) {
		p.t.PauseReceiving()
		h.Reactor().CallSoon(p.t.ResumeReceiving)
	}
	peer := h.Dial(serveOne(t, h, p))
	want := pattern(500_000)
	peer.Send(want[:250_000])
	peer.Send(want[250_000:])
	h.Wait("all bytes", func() bool { return len(p.in) == len(want) })
	same(t, p.in, want)
	peer.Close()
	orderly(t, h, p)
}

// Fact 6: an end of file is reported after held input.
func endWhilePaused(t *testing.T, h Harness) {
	p := &recorder{test: t}
	p.onData = func([]byte) { p.t.PauseReceiving() }
	p.onEOF = func() {
		p.t.Write([]byte("bye"))
		p.t.LoseConnection()
	}
	peer := h.Dial(serveOne(t, h, halfRecorder{p}))
	want := pattern(50_000)
	peer.Send(want)
	peer.CloseWrite()
	for n := 0; n < len(want); {
		h.Wait("a piece", func() bool { return len(p.in) > n })
		h.Do(func() {
			n = len(p.in)
			if p.eof > 0 {
				t.Error("end of input before the last byte")
			}
			p.t.ResumeReceiving()
		})
	}
	if got, err := peer.ReceiveAll(); string(got) != "bye" || err != nil {
		t.Fatalf("got %q, %v", got, err)
	}
	same(t, p.in, want)
	orderly(t, h, p)
	peer.Close()
}

// Input received before StopReceiving is delivered, later input is not, and the end is reported once, although the
// peer closes later, too.
func stopReceiving(t *testing.T, h Harness) {
	p := &recorder{test: t}
	p.onData = func([]byte) { p.t.PauseReceiving() }
	p.onEOF = func() { p.t.Write([]byte("bye")) }
	peer := h.Dial(serveOne(t, h, halfRecorder{p}))
	want := pattern(reactor.MaxHeldInput)
	peer.Send(want)
	h.Wait("all of it", func() bool { return received(h) >= uint64(len(want)) })
	h.Do(func() { p.t.StopReceiving() })
	peer.Send([]byte("not this"))
	for n := 0; n < len(want); {
		h.Wait("a piece", func() bool { return len(p.in) > n })
		h.Do(func() {
			n = len(p.in)
			if p.eof > 0 {
				t.Error("end of input before the last byte")
			}
			p.t.ResumeReceiving()
		})
	}
	if got := peer.Receive(3); string(got) != "bye" {
		t.Fatalf("got %q", got)
	}
	peer.CloseWrite()
	h.Do(func() { p.t.LoseConnection() })
	if rest, err := peer.ReceiveAll(); len(rest) > 0 || err != nil {
		t.Fatalf("got %q, %v", rest, err)
	}
	same(t, p.in, want)
	orderly(t, h, p)
	if p.eof != 1 {
		t.Errorf("end reported %d times", p.eof)
	}
	peer.Close()
}

// Fact 5: Backlog is exact, and ResumeProducing is called once each time that the backlog has drained.
func backlogAndProducer(t *testing.T, h Harness) {
	p := &recorder{test: t}
	peer := h.Dial(serveOne(t, h, p))
	h.Wait("the connection", func() bool { return p.made == 1 })
	want := pattern(10 << 20)
	for round := 1; round <= 2; round++ {
		h.Do(func() {
			p.t.Write(want[:1000])
			p.t.Write(want[1000:])
			if n := p.t.Backlog(); n != len(want) {
				t.Errorf("backlog of %d bytes after a Write of %d", n, len(want))
			}
		})
		h.Do(func() {
			if n := p.t.Backlog(); n == 0 || n > len(want) || p.full != round-1 {
				t.Errorf("backlog of %d while nobody reads, %d times drained", n, p.full)
			}
		})
		same(t, peer.Receive(len(want)), want)
		h.Wait("ResumeProducing", func() bool { return p.full == round })
		// An engine that writes outside of the loop may learn a moment later than the peer that the kernel has taken all.
		taken := func() bool { return p.t.Backlog() == 0 }
		h.Wait("an empty backlog after everything was read", taken)
		h.Do(func() { p.t.Write(want[:100]) }) // below LowWater ResumeProducing is not called
		same(t, peer.Receive(100), want[:100])
		h.Wait("an empty backlog", taken)
	}
	h.Do(func() {
		if p.full != 2 {
			t.Errorf("ResumeProducing was called %d times", p.full)
		}
	})
	peer.Close()
	orderly(t, h, p)
}

// Unsent output and held input count as memory until they are gone. Taken is what the peer has received.
func memoryAndTaken(t *testing.T, h Harness) {
	p := &recorder{test: t}
	peer := h.Dial(serveOne(t, h, p))
	h.Wait("the connection", func() bool { return p.made == 1 })
	want := pattern(muchOutput)
	alarms := 0
	h.Do(func() {
		h.Reactor().MemoryAlarm(10_000, func() { alarms++ })
		p.t.PauseReceiving()
	})
	peer.Send(want[:reactor.MaxHeldInput])
	h.Wait("held input", func() bool { return p.t.Memory() >= reactor.MaxHeldInput })
	h.Wait("the alarm", func() bool { return alarms == 1 })
	h.Do(p.t.ResumeReceiving)
	h.Wait("no held input", func() bool { return p.t.Memory() == 0 })
	h.Do(func() { p.t.Write(want) })
	h.Do(func() {
		memory, backlog, taken := p.t.Memory(), p.t.Backlog(), p.t.Taken()
		if memory < backlog || taken+uint64(backlog) > muchOutput {
			t.Errorf("%d bytes of memory, %d unsent, %d taken", memory, backlog, taken)
		}
		p.t.Keep(1000)
	})
	same(t, peer.Receive(len(want)), want)
	h.Wait("nothing but what is kept", func() bool { return p.t.Memory() == 1000 && p.t.Backlog() == 0 })
	h.Wait("all taken", func() bool { return p.t.Taken() == muchOutput })
	peer.Close()
	orderly(t, h, p)
	h.Do(func() {
		if n := p.t.Memory() + h.Reactor().Memory(); n != 0 {
			t.Errorf("%d bytes are left", n)
		}
	})
}

// A reset is not reported as a clean end.
func resetByPeer(t *testing.T, h Harness) {
	p := &recorder{test: t}
	peer := h.Dial(serveOne(t, h, halfRecorder{p}))
	peer.Send([]byte("half a li"))
	h.Wait("the bytes", func() bool { return len(p.in) > 0 })
	peer.Reset()
	lostFor(t, h, p, nil)
	h.Do(func() {
		if p.eof > 0 {
			t.Error("a reset was reported as an end of input")
		}
	})
}
