package link

import (
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
		sent, heard := NewSent(store), NewHeard(store)
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
