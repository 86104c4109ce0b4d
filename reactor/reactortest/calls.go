package reactortest

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"serverherd/reactor"
)

var callTests = []test{
	{"PostedInOrder", postedInOrder},
	{"PostingStarvesNothing", postingStarvesNothing},
	{"CallLater", callLater},
	{"CallLaterOfCallLater", callLaterOfCallLater},
	{"CallSoon", callSoon},
	{"DeferToThread", deferToThread},
	{"BeforeShutdown", beforeShutdown},
	{"ShutdownDoneInACall", shutdownDoneInACall},
	{"NothingAfterStop", nothingAfterStop},
}

// Fact 4: posted calls run in FIFO order, however many there are (gnet's own queue does not beyond 1,024).
func postedInOrder(t *testing.T, h Harness) {
	const threads, each = 8, 20_000
	var got [threads][]int
	post := func(n int) {
		for i := range each {
			h.Reactor().CallFromThread(func() { got[n] = append(got[n], i) })
		}
	}
	if h.Virtual() {
		for n := range threads {
			post(n)
		}
	} else {
		var all sync.WaitGroup
		for n := range threads {
			all.Go(func() { post(n) })
		}
		all.Wait()
	}
	h.Do(func() { // posted after all of them
		for n := range threads {
			if len(got[n]) != each || !slices.IsSorted(got[n]) {
				t.Errorf("thread %d: %d of %d calls, in order: %v", n, len(got[n]), each,
					slices.IsSorted(got[n]))
			}
		}
	})
}

// Fact 4: a call that posts itself again and again starves neither sockets nor other calls.
func postingStarvesNothing(t *testing.T, h Harness) {
	echo := &recorder{test: t}
	echo.onData = func(p []byte) { echo.t.Write(p) }
	addr := serveOne(t, h, echo)
	stop := false
	posts, soons := 0, 0
	var again, soon func()
	again = func() {
		if posts++; !stop && posts < 1_000_000 {
			h.Reactor().CallFromThread(again)
		}
	}
	soon = func() {
		if soons++; !stop && soons < 1_000_000 {
			h.Reactor().CallSoon(soon)
		}
	}
	h.Do(again)
	h.Do(soon)
	p := h.Dial(addr)
	p.Send([]byte("hello"))
	same(t, p.Receive(5), []byte("hello"))
	h.Do(func() {
		stop = true
		if posts >= 1_000_000 || soons >= 1_000_000 || posts == 0 || soons == 0 {
			t.Errorf("the socket had its turn after %d posts, %d CallSoons", posts, soons)
		}
	})
	p.Close()
}

// Fact 2: gnet has no delayed calls. Ours run in the order of their times, once, on the loop.
func callLater(t *testing.T, h Harness) {
	r := h.Reactor()
	var got []int
	note := func(n int) func() { return func() { got = append(got, n) } }
	var began time.Time
	var canceled, moved *reactor.DelayedCall
	h.Do(func() {
		began = r.Now()
		r.CallLater(30*time.Millisecond, note(3))
		r.CallLater(10*time.Millisecond, note(1))
		r.CallLater(20*time.Millisecond, note(2))
		r.CallLater(20*time.Millisecond, note(21))
		canceled = r.CallLater(15*time.Millisecond, note(-1))
		moved = r.CallLater(5*time.Millisecond, note(4))
		canceled.Cancel()
		moved.Reset(40 * time.Millisecond)
	})
	h.Wait("the last call", func() bool { return !moved.Active() })
	h.Do(func() {
		if want := []int{1, 2, 21, 3, 4}; !slices.Equal(got, want) {
			t.Errorf("ran %v instead of %v", got, want)
		}
		if took := r.Now().Sub(began); took < 40*time.Millisecond {
			t.Errorf("a call after 40 ms ran after %v", took)
		}
	})
}

// A call scheduled by a delayed call waits for the next pass, so it cannot block the loop.
func callLaterOfCallLater(t *testing.T, h Harness) {
	r := h.Reactor()
	var got []string
	h.Do(func() {
		r.CallLater(0, func() {
			r.CallLater(0, func() { got = append(got, "made by it") })
			r.CallSoon(func() { got = append(got, "after its pass") })
			got = append(got, "call")
		})
	})
	h.Wait("three calls", func() bool { return len(got) == 3 })
	h.Do(func() {
		if want := []string{"call", "after its pass", "made by it"}; !slices.Equal(got, want) {
			t.Errorf("ran %q instead of %q", got, want)
		}
	})
}

// Facts 4 and 8: CallSoon runs after the current event, from whatever call it is used, before new events.
func callSoon(t *testing.T, h Harness) {
	r := h.Reactor()
	var got []string
	p := &recorder{test: t}
	p.onData = func([]byte) {
		r.CallSoon(func() {
			got = append(got, "soon")
			r.CallSoon(func() { got = append(got, "soon of soon") })
		})
		got = append(got, "data")
	}
	peer := h.Dial(serveOne(t, h, p))
	peer.Send([]byte("x"))
	h.Wait("three calls", func() bool { return len(got) == 3 })
	h.Do(func() {
		if want := []string{"data", "soon", "soon of soon"}; !slices.Equal(got, want) {
			t.Errorf("ran %q instead of %q", got, want)
		}
	})
	peer.Close()
}

// DeferToThread runs work off the loop and returns its result to the loop.
func deferToThread(t *testing.T, h Harness) {
	const calls = 1000
	wrong := errors.New("odd")
	done, failed := 0, 0
	h.Do(func() {
		for n := range calls {
			reactor.DeferToThread(h.Reactor(), func() (int, error) {
				if n%2 == 1 {
					return 0, wrong
				}
				return n * n, nil
			}, func(v int, err error) {
				done++
				if err == wrong {
					failed++
				} else if v != n*n {
					t.Errorf("result %d for %d", v, n)
				}
			})
		}
	})
	h.Wait("all results", func() bool { return done == calls })
	h.Do(func() {
		if failed != calls/2 {
			t.Errorf("%d errors of %d", failed, calls/2)
		}
	})
}

// Stop runs all BeforeShutdown functions, waits for each, then closes what is open, once.
func beforeShutdown(t *testing.T, h Harness) {
	r := h.Reactor()
	p := &recorder{test: t}
	peer := h.Dial(serveOne(t, h, p))
	h.Wait("the connection", func() bool { return p.made == 1 })
	var order []string
	h.Do(func() {
		r.BeforeShutdown(func(done func()) {
			order = append(order, "first")
			r.CallLater(20*time.Millisecond, func() {
				order = append(order, "first is done")
				p.t.Write([]byte("bye"))
				done()
			})
		})
		r.BeforeShutdown(func(done func()) {
			order = append(order, "second")
			r.Stop() // a second call does nothing
			done()
		})
		p.onLost = func() { order = append(order, "lost") }
	})
	h.Stop()
	if want := []string{"first", "second", "first is done", "lost"}; !slices.Equal(order, want) {
		t.Errorf("%q instead of %q", order, want)
	}
	if !errors.Is(p.reason, reactor.ErrConnectionAborted) {
		t.Errorf("lost for %v", p.reason)
	}
	peer.Close()
}

// A Protocol may complete the shutdown within DataReceived. Its connection is lost after that call, not in it.
func shutdownDoneInACall(t *testing.T, h Harness) {
	r := h.Reactor()
	p := &recorder{test: t}
	peer := h.Dial(serveOne(t, h, p))
	h.Wait("the connection", func() bool { return p.made == 1 })
	h.Do(func() {
		r.BeforeShutdown(func(done func()) {
			p.onData = func([]byte) {
				done()
				if p.lost > 0 {
					t.Error("lost in the middle of DataReceived")
				}
			}
			p.t.Write([]byte("stopping"))
		})
	})
	r.Stop()
	same(t, peer.Receive(8), []byte("stopping"))
	peer.Send([]byte("x"))
	h.Stop()
	if string(p.in) != "x" || p.lost != 1 {
		t.Errorf("%q received, lost %d times", p.in, p.lost)
	}
	peer.Close()
}

// Fact 10: after the loop has stopped, a posted call is dropped; it neither runs nor crashes.
func nothingAfterStop(t *testing.T, h Harness) {
	h.Stop()
	for range 10 {
		h.Reactor().CallFromThread(func() { t.Error("ran after Stop") })
	}
	h.Reactor().Stop()
}
