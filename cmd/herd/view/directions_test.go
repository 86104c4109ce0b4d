package view

import (
	"testing"
	"time"

	"serverherd/cmd/herd/ask"
	"serverherd/herd"
	"serverherd/herd/config"
)

func TestDirections(t *testing.T) {
	servers := []config.Server{{Name: "A", Neighbors: []string{"B"}}, {Name: "B", Neighbors: []string{"A"}}}
	answered := func(name string, l herd.LinkStatus) ask.Status {
		return ask.Status{Server: name, Status: &herd.Status{Server: name, Records: 5000, Tail: 9000, Digest: name, Links: []herd.LinkStatus{l}}}
	}
	silent := func(name string) ask.Status { return ask.Status{Server: name, Error: "no answer"} }
	for _, test := range []struct {
		what   string
		a, b   ask.Status
		want   Text // of A to B
		behind uint64
		sent   bool
	}{
		{"live", answered("A", herd.LinkStatus{Neighbor: "B", State: "live"}), silent("B"), Text{Good, "live"}, 0, true},
		{"behind", answered("A", herd.LinkStatus{Neighbor: "B", State: "live", Behind: 1052}), silent("B"), Text{Notice, "1,052 behind"}, 1052, true},
		{"copying", answered("A", herd.LinkStatus{Neighbor: "B", State: "copying"}), silent("B"), Text{Notice, "copying"}, 0, true},
		{"dialling", answered("A", herd.LinkStatus{Neighbor: "B", State: "dialling"}), silent("B"), Text{Notice, "connecting"}, 0, true},
		{"greeting", answered("A", herd.LinkStatus{Neighbor: "B", State: "greeting"}), silent("B"), Text{Notice, "connecting"}, 0, true},
		{"plain", answered("A", herd.LinkStatus{Neighbor: "B", State: "plain"}), silent("B"), Text{Unknown, "legacy neighbor"}, 0, true},
		{"down", answered("A", herd.LinkStatus{Neighbor: "B", State: "down", Error: "refused"}), silent("B"), Text{Bad, "down: refused"}, 0, true},
		{"another herd.toml", answered("A", herd.LinkStatus{Neighbor: "C", State: "live"}), silent("B"), Text{Bad, "not in its herd.toml"}, 0, true},
		{"nobody answers", silent("A"), silent("B"), Text{Unknown, "unknown: neither server answers"}, 0, false},
		{"the neighbor is connected", silent("A"), answered("B", herd.LinkStatus{Neighbor: "A", Receiving: true}), Text{Notice, "connected, says B"}, 0, false},
		{"the neighbor is not", silent("A"), answered("B", herd.LinkStatus{Neighbor: "A"}), Text{Bad, "not connected, says B"}, 0, false},
	} {
		got := Of(nil, []ask.Status{test.a, test.b}).Directions(servers)
		d := got[0]
		if len(got) != 2 || d.From != "A" || d.To != "B" || got[1].From != "B" || d.State != test.want || d.Behind != test.behind || (d.Sent != nil) != test.sent {
			t.Errorf("%s: %+v, want %v", test.what, got, test.want)
		}
	}
	// What is under way is not what a neighbor lacks.
	for behind, want := range map[uint64]Text{200: {Good, "live"}, 201: {Notice, "201 behind"}} {
		before, now := answered("A", herd.LinkStatus{}), answered("A", herd.LinkStatus{Neighbor: "B", State: "live", Behind: behind})
		now.Status.Now = time.Unix(100, 0)
		before.Status.Now, before.Status.Tail = now.Status.Now.Add(-underWay), now.Status.Tail-200
		b := answered("B", herd.LinkStatus{Neighbor: "A"})
		if d := Of([]ask.Status{before, b}, []ask.Status{now, b}).Directions(servers)[0]; d.State != want || d.Behind != behind {
			t.Errorf("%+v, want %v", d, want)
		}
		want = Text{Notice, Count(behind) + " behind"}
		if d := Of([]ask.Status{before, b}, []ask.Status{now, silent("B")}).Directions(servers)[0]; d.State != want {
			t.Errorf("%+v without an answer, want %v", d, want)
		}
	}
	if got := Of(nil, []ask.Status{silent("A")}).Directions([]config.Server{{Name: "A"}}); got != nil {
		t.Errorf("%v", got)
	}
}
