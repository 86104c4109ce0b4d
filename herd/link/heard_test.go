package link

import (
	"fmt"
	"testing"
	"time"

	"serverherd/herd/feed"
	"serverherd/protocol"
)

// A MARK contains the position in the neighbor's feed only if it goes to the process that this feed came from. The
// two differ between the WELCOME of a restarted neighbor and its own dial.
func TestMarkNamesOnlyTheFeedOfItsProcess(t *testing.T) {
	for name, c := range map[string]struct {
		from, to protocol.Epoch
		marked   bool
		want     bool
	}{
		"same process":       {2, 2, true, true},
		"no MARK yet":        {2, 2, false, false},
		"restarted":          {2, 3, true, false},
		"never connected":    {0, 2, false, false},
		"former process":     {3, 2, true, false},
		"restarted, no MARK": {2, 3, false, false},
	} {
		store := feed.NewStore("ucla", 1)
		sent := NewSent(store)
		heard := NewHeard(store, sent)
		now := Time{time.Unix(1520000000, 0), time.Hour}
		var out Output
		if c.from != 0 {
			in := &Inbound{self: &Self{Epoch: 1}, name: "Ball", epoch: c.from}
			in.Join(heard)
			if c.marked {
				in.Line([]byte("MARK 7 7 - 0 0000000000000000"), now, &out)
			}
		}
		o := &Outbound{self: &Self{Name: "Alford", Epoch: 1}, sent: sent, heard: heard}
		o.welcomed(protocol.Welcome{Epoch: c.to}, now, &out)
		o.Mark(now, out.Reset())
		l, err := protocol.ParseLink(out.Lines[:max(len(out.Lines)-len("\r\n"), 0)])
		if err != nil || l.Verb != protocol.LinkMark {
			t.Fatalf("%s: %q", name, out.Lines)
		}
		if l.Mark.HeardAny != c.want || c.want && l.Mark.Heard != 7 {
			t.Errorf("%s: %q", name, out.Lines)
		}
	}
}

// A difference counts only if it is known what the neighbor had when it sent its MARK. Equality counts always.
func TestCompare(t *testing.T) {
	now := Time{time.Unix(1520000000, 0), time.Hour}
	for name, c := range map[string]struct {
		heard uint64
		then  func(h *Heard, s *Sent)
		want  string // what is noticed: equality, a difference
	}{
		"nothing on its way":      {2, func(*Heard, *Sent) {}, "both"},
		"our tail":                {5, func(_ *Heard, s *Sent) { s.marked(protocol.Mark{Seq: 5, Tail: 5}) }, "both"},
		"beyond our tail":         {6, func(*Heard, *Sent) {}, "neither"},
		"records on their way":    {2, func(_ *Heard, s *Sent) { s.marked(protocol.Mark{Seq: 4, Tail: 4}) }, "equality"},
		"they have arrived":       {4, func(_ *Heard, s *Sent) { s.marked(protocol.Mark{Seq: 4, Tail: 4}) }, "both"},
		"our MARK was incomplete": {4, func(_ *Heard, s *Sent) { s.marked(protocol.Mark{Seq: 4, Tail: 5}) }, "equality"},
		"one of them": {4, func(_ *Heard, s *Sent) {
			s.marked(protocol.Mark{Seq: 3, Tail: 5})
			s.marked(protocol.Mark{Seq: 4, Tail: 4})
		}, "both"},
		"sent to another process": {2, func(_ *Heard, s *Sent) { s.peer = 3 }, "equality"},
		"a copy begins":           {2, func(_ *Heard, s *Sent) { s.welcomed(1, protocol.Welcome{Epoch: 2}) }, "equality"},
		"too soon":                {2, func(h *Heard, _ *Sent) { h.nextMoving = now.in(1) }, "neither"},
		"our tail is never too soon": {5, func(h *Heard, s *Sent) {
			s.marked(protocol.Mark{Seq: 5, Tail: 5})
			h.nextMoving = now.in(1)
		}, "both"},
		"it has sent an older record": {2, func(h *Heard, _ *Sent) { h.older = 5 }, "equality"},
		"and what replaced it since":  {2, func(h *Heard, _ *Sent) { h.older = 2 }, "both"},
	} {
		for _, equal := range []bool{true, false} {
			store, theirs := feed.NewStore("ucla", 10), feed.NewStore("ucla", 10)
			sent := NewSent(store)
			heard := NewHeard(store, sent)
			for i := range 5 {
				l, err := protocol.ParseLink(fmt.Appendf(nil, "AT Alford +0.1 c%d +1-1 1 Alford", i))
				if err != nil {
					t.Fatal(err)
				}
				store.ApplyOwn(l.Record)
				if i < int(c.heard) {
					theirs.Apply(l.Record, 1)
				}
			}
			heard.epoch, sent.peer = 2, 2
			sent.marked(protocol.Mark{Seq: 2, Tail: 2})
			c.then(heard, sent)
			m := protocol.Mark{Heard: c.heard, Count: uint64(theirs.Len()), Digest: theirs.Digest()}
			if !equal {
				m.Digest++
			}
			compared, same := heard.compare(m, now)
			if want := c.want == "both" || equal && c.want == "equality"; compared != want || same != (want && equal) {
				t.Errorf("%s, equal %v: compared %v, equal %v", name, equal, compared, same)
			}
			if again, _ := heard.compare(m, now); again && c.heard != 5 {
				t.Errorf("%s: compared again at once", name)
			}
		}
	}
}

// That the neighbor has sent an old record, as in a copy, does not make forgotten that it has sent a recent one.
func TestSameOfACopy(t *testing.T) {
	now := Time{time.Unix(1520000000, 0), time.Hour}
	store := feed.NewStore("ucla", 2*feed.Recent)
	sent := NewSent(store)
	heard := NewHeard(store, sent)
	heard.epoch, sent.peer = 2, 2
	record := func(i int) protocol.Record {
		l, err := protocol.ParseLink(fmt.Appendf(nil, "AT Campbell +0.1 c%d +1-1 1 Campbell", i))
		if err != nil {
			t.Fatal(err)
		}
		return l.Record
	}
	for i := range feed.Recent + 1 {
		store.Apply(record(i), 99)
	}
	sent.marked(protocol.Mark{Seq: feed.Recent, Tail: feed.Recent})
	for _, i := range []int{feed.Recent, 0} {
		store.Apply(record(i), 2)
		heard.dropped(2)
	}
	m := protocol.Mark{Heard: feed.Recent, Count: feed.Recent + 1, Digest: store.Digest()}
	if compared, equal := heard.compare(m, now); !compared || !equal {
		t.Errorf("compared %v, equal %v", compared, equal)
	}
}

// A server that is about to stop drops what it receives, so it does not compare.
func TestNoComparisonAfterClose(t *testing.T) {
	store := feed.NewStore("ucla", 10)
	sent := NewSent(store)
	heard := NewHeard(store, sent)
	in := &Inbound{self: &Self{Epoch: 1}, name: "Ball", epoch: 2}
	in.Join(heard)
	heard.Close()
	var out Output
	for _, line := range []string{"AT Ball +0.1 c1 +1-1 1 Ball", "MARK 1 1 0 1 0000000000000001"} {
		in.Line([]byte(line), Time{time.Unix(1520000000, 0), time.Hour}, &out)
	}
	if heard.Checks() > 0 {
		t.Error("compared")
	}
}
