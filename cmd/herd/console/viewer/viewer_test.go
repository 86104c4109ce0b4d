package viewer

import (
	"fmt"
	"testing"
	"time"

	"github.com/coder/websocket"

	"serverherd/herd"
)

// script is a stream that has a message whenever its turn comes, or nothing until a time.
type script struct {
	Stream
	name  string
	again time.Time
}

func (s script) Next(time.Time) (m Message, again time.Time) {
	if s.name != "" {
		m.Data = []byte(s.name)
	}
	return m, s.again
}

// Streams that always have something take turns; otherwise the earliest one says when.
func TestStreamsTakeTurns(t *testing.T) {
	now := time.Now()
	c := &connection{streams: []Stream{script{name: "a"}, script{}, script{name: "b"}, script{again: now}, script{name: "c"}}}
	order := ""
	for range 9 {
		m, _ := c.next(now)
		order += string(m.Data)
	}
	if order != "abcabcabc" {
		t.Error(order)
	}
	for _, test := range []struct {
		streams []Stream
		want    time.Time
	}{
		{nil, time.Time{}},
		{[]Stream{script{}, script{}}, time.Time{}},
		{[]Stream{script{}, script{again: now.Add(2)}, script{again: now.Add(1)}, script{again: now.Add(3)}}, now.Add(1)},
	} {
		c := &connection{streams: test.streams}
		if m, again := c.next(now); m.Data != nil || again != test.want {
			t.Errorf("%q, again %v, want %v", m.Data, again, test.want)
		}
	}
}

// Of each type the newest requests wait, in their order.
func TestInbox(t *testing.T) {
	c := &connection{wake: make(chan struct{}, 1), byType: map[string]Stream{"name": script{}, "dots": script{}}}
	accept := func(format string, args ...any) {
		t.Helper()
		if reason := c.accept(websocket.MessageText, fmt.Appendf(nil, format, args...)); reason != "" {
			t.Error(reason)
		}
	}
	accept(`{"type":"dots","on":true}`)
	for i := range 3 * herd.PageRequests {
		accept(`{"type":"name","generation":7,"slot":%d}`, i)
	}
	accept(`{"type":"dots","on":false}`)
	if n := len(c.inbox); n != herd.PageRequests+2 || !c.inbox[0].On || c.inbox[n-1].On || c.inbox[1].Slot != 2*herd.PageRequests {
		t.Errorf("%+v", c.inbox)
	}
	if len(c.wake) != 1 {
		t.Error("nobody is woken")
	}
}
