package link

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"serverherd/herd/feed"
	"serverherd/protocol"
)

// honest is one direction of an edge between two ends that keep to the protocol: the connection that end dials.
type honest struct {
	end         *end
	tap         *feed.Cursor
	history     []protocol.Record // by position
	there, back [][]byte          // lines on their way
	in          *Inbound          // at the other end
	checked     uint64            // this much of the history is at the other end
	third       []protocol.Record // of a third server, on their way to this end
}

func newHonest(e *end) *honest { return &honest{end: e, tap: e.store.Head()} }

// cut loses the connection and everything that is on its way.
func (h *honest) cut(other *end) {
	if h.end.dial != nil {
		h.end.dial.Close()
		h.end.dial = nil
	}
	if h.in != nil {
		other.heard.Lost(h.in)
	}
	h.there, h.back, h.in, other.calls = nil, nil, nil, nil
}

// check looks at what the other end says that it has of this feed.
func (h *honest) check(t *testing.T, other *end) {
	t.Helper()
	for item, ok := h.tap.Next(); ok; item, ok = h.tap.Next() {
		h.history = append(h.history, item.Record.CloneInto(nil))
	}
	if uint64(len(h.history)) != h.end.store.Tail() {
		t.Fatalf("%d records applied, tail %d", len(h.history), h.end.store.Tail())
	}
	seq, ok := other.heard.Seq()
	if !ok || other.heard.Epoch() != h.end.self.Epoch {
		return
	}
	if seq > h.end.store.Tail() {
		t.Fatalf("%s has position %d of a feed of %d", other.self.Name, seq, h.end.store.Tail())
	}
	for ; h.checked < seq; h.checked++ {
		r := h.history[h.checked]
		if item, ok := other.store.Lookup(r.Client()); !ok || item.Record.Compare(r) < 0 {
			t.Fatalf("%s has position %d, but not record %d", other.self.Name, seq, h.checked+1)
		}
	}
}

// TestHonestEdge runs an edge whose ends keep to the protocol, while connections are cut and processes restart. An
// end never has a position in the other's feed before it has all records up to it, the window is kept, and the states
// are never found to differ. A third server sends records to both ends, to each in its own time.
func TestHonestEdge(t *testing.T) {
	moving := 0
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 2))
		script := make([]byte, 1500)
		for i := range script {
			script[i] = "\x00\x01\x01\x01\x02\x02\x03\x03\x03\x03\x04\x04\x04\x05\x0a\x0b"[r.IntN(16)] | byte(r.IntN(8))<<4
			if r.IntN(40) == 0 {
				script[i] = byte(r.IntN(256)&0xf0) | 6
			}
			if r.IntN(150) == 0 {
				script[i] = byte(r.IntN(256)&0xf0) | byte(7+r.IntN(3))
			}
		}
		t.Run(fmt.Sprint(seed), func(t *testing.T) { moving += runHonest(t, script) })
	}
	if moving < 100 {
		t.Errorf("%d comparisons while records were on their way", moving)
	}
}

// runHonest runs a script: each byte is a step of one end. It returns how often states were compared while they changed.
func runHonest(t *testing.T, script []byte) (moving int) {
	long := strings.Repeat("x", 1000)
	now := Time{time.Unix(1520000000, 0), time.Hour}
	ways := [2]*honest{newHonest(newEnd(t, "Alford", "Ball", 1)), newHonest(newEnd(t, "Ball", "Alford", 2))}
	second, burst := 0, false
	for _, op := range script {
		side := int(op / 16 % 2)
		way, back := ways[side], ways[1-side]
		e, other := way.end, back.end
		sync := func(at *end, in *Inbound, q *[][]byte) {
			lost := false
			for _, event := range at.out.Events {
				if event.Kind == Diverged {
					t.Fatalf("%s differs from %s without damage: %+v", at.self.Name, at.peer, event.Mark)
				}
				lost = lost || event.Kind == Closed
			}
			*q = append(*q, at.check(in)...)
			if lost {
				way.cut(other)
				back.cut(e)
			}
			way.check(t, other)
			back.check(t, e)
		}
		move := func(client string) {
			second++
			l, _ := protocol.ParseLink(fmt.Appendf(nil, "AT %s +0.1 %s +1-1 %d %s", e.self.Name, client, second, e.self.Name))
			e.store.ApplyOwn(l.Record)
			e.out.Reset()
			sync(e, nil, &way.there)
		}
		pump := func() {
			if e.out.Reset(); e.dial != nil {
				e.dial.Pump(now, false, &e.out)
			}
			sync(e, nil, &way.there)
		}
		switch op % 16 {
		case 0:
			if e.dial == nil {
				e.connect(now)
				sync(e, nil, &way.there)
			}
		case 1:
			move(fmt.Sprint("c", op/32))
		case 2:
			pump()
		case 3: // up to 8 lines arrive
			for range 1 + op/32 {
				if len(way.there) == 0 {
					break
				}
				line := way.there[0]
				way.there = way.there[1:]
				other.out.Reset()
				if bytes.HasPrefix(line, []byte("HELLO")) {
					other.accept(line, now)
					way.in = other.calls[0]
				} else {
					other.heard.nextMoving = 0
					checks := other.heard.checks
					other.call(way.in, line, now)
					if mark, err := protocol.ParseLink(line); err == nil && other.heard.checks > checks && mark.Mark.Heard != other.store.Tail() {
						moving++
					}
				}
				sync(other, way.in, &way.back)
			}
		case 4:
			if len(way.back) > 0 {
				line := way.back[0]
				way.back = way.back[1:]
				e.answer(line, now)
				sync(e, nil, &way.there)
			}
		case 5:
			now = Time{now.Wall.Add(AckDelay), now.Steady + AckDelay}
			if other.out.Reset(); way.in != nil {
				way.in.Tick(now, &other.out)
			}
			sync(other, way.in, &way.back)
		case 6:
			now = Time{now.Wall.Add(AckDelay), now.Steady + AckDelay}
			if e.out.Reset(); e.dial != nil {
				e.dial.Tick(now, &e.out)
			}
			sync(e, nil, &way.there)
		case 7:
			way.cut(other)
		case 8: // a restart
			way.cut(other)
			back.cut(e)
			ways[side] = newHonest(newEnd(t, e.self.Name, e.peer, e.self.Epoch+2))
			ways[side].third = way.third
			back.checked = 0
		case 10: // the third server gets a record
			second++
			l, _ := protocol.ParseLink(fmt.Appendf(nil, "AT Campbell +0.1 c%d +1-1 %d Campbell", op/32, second))
			way.third, back.third = append(way.third, l.Record), append(back.third, l.Record)
		case 11: // the next one of its records arrives, or the newest one of its client instead of those before
			if len(way.third) == 0 {
				break
			}
			next := way.third[0]
			way.third = way.third[1:]
			for i := len(way.third) - 1; i >= 0 && op/64%2 == 0; i-- {
				if bytes.Equal(way.third[i].Client(), next.Client()) {
					next = way.third[i]
					break
				}
			}
			e.store.Apply(next, 99)
			e.out.Reset()
			sync(e, nil, &way.there)
		case 9: // more than a window, of which nothing is acknowledged; once, as it is slow
			if burst || e.dial == nil || !e.dial.Sending() {
				break
			}
			burst = true
			for i := range 1200 {
				move(fmt.Sprint("l", i%20, long))
				if i%20 == 19 {
					pump()
				}
			}
		}
	}
	return moving
}
