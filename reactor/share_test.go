package reactor

import (
	"errors"
	"slices"
	"testing"
	"time"
)

// crowd is an engine with LimitEvents, and connections whose input takes half a TurnShare for each KiB or part of
// one. served lists the connections that were served, in order.
type crowd struct {
	*fakeEngine
	conns  []*Conn
	served []int
}

func newCrowd(n int) *crowd {
	w := &crowd{fakeEngine: newFake()}
	w.LimitEvents()
	for i := range n {
		c, _, p := connect(w.fakeEngine)
		p.data = func(b []byte) {
			w.served = append(w.served, i)
			w.now += time.Duration((len(b)+kib-1)/kib) * TurnShare / 2
		}
		w.conns = append(w.conns, c)
	}
	return w
}

// send has a connection receive n bytes.
func (w *crowd) send(i, n int) { w.conns[i].Input(make([]byte, n)) }

func (w *crowd) expect(t *testing.T, when string, want ...int) {
	t.Helper()
	if !slices.Equal(w.served, want) {
		t.Fatalf("%s: %v were served, want %v", when, w.served, want)
	}
	w.served = w.served[:0]
}

const kib = 1 << 10

// Input is delivered at once until events have taken their share; then it waits for the turn, except for a few
// lines.
func TestEventsHaveAShare(t *testing.T) {
	w := newCrowd(4)
	w.send(0, kib)
	w.send(1, kib)
	w.expect(t, "within the share", 0, 1)
	w.send(2, kib)
	w.expect(t, "after it")
	w.send(3, lightBytes)
	w.expect(t, "a few lines", 3)
	if w.wakes != 1 {
		t.Errorf("%d turns requested", w.wakes)
	}
	if n := w.Stats().InputWaits; n != 1 {
		t.Errorf("%d chunks counted as waiting", n)
	}
	w.Turn()
	w.expect(t, "in the turn", 2)
	w.send(0, kib)
	w.expect(t, "after the turn", 0)
}

// An engine without the limit delivers everything at once.
func TestNoShareWithoutLimit(t *testing.T) {
	w := newCrowd(1)
	w.limited = false
	for range 10 {
		w.send(0, 8*kib)
	}
	w.expect(t, "no limit", 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
}

// Waiting input is served round robin, a part of a round per turn; connections that have just begun to wait come
// first, once.
func TestRounds(t *testing.T) {
	w := newCrowd(5)
	w.send(0, 2*kib) // the share is used up
	w.expect(t, "within the share", 0)
	for i := 1; i < 4; i++ {
		w.send(i, 24*kib)
	}
	w.Turn() // a piece of a fresh connection, and one of the round
	w.expect(t, "first turn", 1, 1)
	w.Turn()
	w.expect(t, "second turn", 2, 1)
	w.busy = TurnShare
	w.send(4, 24*kib)
	w.Turn()
	w.expect(t, "third turn", 3, 2)
	w.Turn()
	w.expect(t, "a newcomer", 4, 3)
	for range 10 {
		w.Turn()
	}
	w.expect(t, "the rest", 2, 4, 3, 4)
	if len(w.fresh)+len(w.ready) > 0 {
		t.Error("connections wait without input")
	}
}

// A connection that was served waits for the end of the round, even with new input.
func TestServedWaitForTheRound(t *testing.T) {
	w := newCrowd(3)
	w.send(0, 2*kib)
	for i := 1; i < 3; i++ {
		w.send(i, 24*kib)
	}
	w.Turn()
	w.Turn()
	w.expect(t, "two turns", 0, 1, 1, 2, 1) // 1 has no more input
	w.send(1, 2*kib)
	w.expect(t, "in the round")
	w.send(0, kib)
	w.expect(t, "not in the round", 0)
	w.Turn()
	w.expect(t, "third turn", 2)
	w.Turn()
	w.expect(t, "fourth turn", 1)
	w.Turn()
	w.expect(t, "fifth turn", 2)
}

// A connection with priority is served in each turn, however many others wait.
func TestPriority(t *testing.T) {
	w := newCrowd(10)
	w.conns[9].Prioritize()
	w.busy = TurnShare
	for i := range w.conns {
		w.send(i, 16*kib)
	}
	for range 2 {
		w.served = w.served[:0]
		w.Turn()
		if !slices.Contains(w.served, 9) {
			t.Errorf("%v were served", w.served)
		}
	}
}

// A Producer with much output waits for its turn, too.
func TestProducersShareTheTurn(t *testing.T) {
	w := newCrowd(100)
	for _, c := range w.conns {
		c.PauseReceiving()
		c.Input(make([]byte, 8*kib))
	}
	for _, c := range w.conns {
		c.ResumeReceiving()
	}
	w.Turn()
	w.expect(t, "a turn", 0)
	w.Turn()
	w.expect(t, "the next", 1)
}

// upgradable is a fakeSocket with StartTLS.
type upgradable struct {
	*fakeSocket
	given string // to StartTLS
}

func (s *upgradable) StartTLS(data []byte, _ TLSConfig) (Socket, error) {
	s.given += string(data)
	return &fakeSocket{room: 1 << 30}, nil
}

// A peer begins TLS and closes, and both wait for the turn. The end of its input is TLS's affair: the Protocol is told
// how the handshake has failed.
func TestStartTLSBeforeTheEndThatWaits(t *testing.T) {
	w := newCrowd(2)
	s, p := &upgradable{fakeSocket: &fakeSocket{room: 1 << 30}}, &fakeProtocol{}
	c := w.Accept(p, s, "peer:1", "host:1")
	p.data = func(b []byte) { p.t.StartTLS(b, nil) }
	w.send(0, 2*kib)
	w.send(1, kib)
	hello := string(make([]byte, kib))
	c.Input([]byte(hello))
	c.EndOfInput()
	if s.given != "" || len(p.lost) > 0 {
		t.Fatalf("%q before the turn, lost: %v", s.given, p.lost)
	}
	w.Turn()
	w.Turn()
	if s.given != hello || len(p.lost) > 0 {
		t.Fatalf("%d bytes given to TLS, lost: %v", len(s.given), p.lost)
	}
	failed := &HandshakeError{errors.New("EOF")}
	c.Broken(failed)
	if len(p.lost) != 1 || p.lost[0] != failed {
		t.Errorf("lost: %v", p.lost)
	}
}
