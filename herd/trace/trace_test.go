package trace

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"serverherd/herd"
	"serverherd/herd/config"
	"serverherd/herd/recorder"
	"serverherd/protocol"
)

const (
	hash   = 0xabc
	traced = "AT Alford +0.1 kiwi +34.068930-118.445127 1520023934"
	newer  = "AT Ball +0.1 kiwi +34.068930-118.445127 1520023999"
	older  = "AT Ball +0.1 kiwi +34.068930-118.445127 1520023900"
)

var now = time.Unix(1_790_000_000, 0)

// flood returns the answer of a server with events, which were the given number of microseconds after now.
func flood(server string, latest *herd.FloodRecord, events ...recorder.Event) *herd.Flood {
	f := &herd.Flood{Hash: protocol.Digest(hash).String(), Latest: latest, Events: events}
	f.Server, f.Now, f.NowNS = server, now, 0
	f.CompleteNS = -time.Hour.Nanoseconds()
	return f
}

func has(via, from string) *herd.FloodRecord {
	return &herd.FloodRecord{AT: []byte(traced), Hash: protocol.Digest(hash).String(), Seq: 7, Source: via, Neighbor: from}
}

func other(at string) *herd.FloodRecord {
	return &herd.FloodRecord{AT: []byte(at), Hash: protocol.Digest(1).String(), Seq: 8, Source: "neighbor", Neighbor: "Ball"}
}

func event(kind recorder.Kind, neighbor string, us int) recorder.Event {
	e := recorder.Event{Kind: kind, Neighbor: neighbor, At: time.Duration(us) * time.Microsecond, Hash: hash, Position: 7}
	if kind == recorder.Copied {
		e.Hash, e.Position, e.First, e.Last, e.New = 0, 0, 5, 9, 5
	}
	return e
}

func linked(f *herd.Flood, links ...herd.LinkStatus) *herd.Flood {
	f.Links = links
	return f
}

// everything is a herd in which each server has another outcome.
func everything() (servers []config.Server, answers []Answer) {
	add := func(name, address string, f *herd.Flood, neighbors ...string) {
		servers = append(servers, config.Server{Name: name, Address: address, Neighbors: neighbors})
		answers = append(answers, Answer{Server: name, Flood: f})
	}
	const here, there = "127.0.0.1:1", "192.0.2.1:1"
	clock := &herd.ClockStatus{Ahead: -0.001, Uncertainty: 0.0002}
	add("Alford", here, linked(flood("Alford", has("client", ""), event(recorder.Stored, "", 0), event(recorder.Sent, "Ball", 1)),
		herd.LinkStatus{Neighbor: "Egan", State: "down", Error: "connection refused"}), "Ball", "Carol", "Egan", "Nobody")
	add("Ball", here, flood("Ball", has("neighbor", "Alford"), event(recorder.Applied, "Alford", 212), event(recorder.Duplicate, "Carol", 300)),
		"Alford", "Carol", "Dean", "Frank", "Grace")
	add("Carol", there, linked(flood("Carol", other(newer), event(recorder.Applied, "Alford", 1500), event(recorder.Duplicate, "Ball", 2000)),
		herd.LinkStatus{Neighbor: "Alford", Clock: clock}), "Alford", "Ball", "Ivan", "Egan")
	add("Dean", here, flood("Dean", has("neighbor", "Ball"), event(recorder.Copied, "Ball", 9000)), "Ball")
	add("Egan", here, flood("Egan", nil), "Alford", "Carol", "Frank", "Gone")
	add("Frank", here, nil, "Ball", "Egan")
	answers[5].Error = "no answer at 127.0.0.1:2"
	add("Grace", here, flood("Grace", other(newer)), "Ball", "Heidi")
	add("Heidi", here, flood("Heidi", has("journal", "")), "Grace")
	add("Ivan", here, flood("Ivan", has("neighbor", "Carol")), "Carol")
	add("Judy", there, flood("Judy", other(newer)))
	add("Lea", here, flood("Lea", has("bucket", "")))
	add("Mia", here, flood("Mia", has("bucket", ""), event(recorder.Read, "", 5000)))
	full := flood("Kim", other(older))
	full.Full = true
	add("Kim", here, full, "Alford")
	return servers, answers
}

// A tree with every outcome, as it is printed.
func TestEveryOutcome(t *testing.T) {
	servers, answers := everything()
	if got, at, err := Latest([]byte("kiwi"), answers); err != nil || string(at) != newer || got != protocol.Digest(1).String() {
		t.Errorf("the latest is %s %q, %v", got, at, err)
	}
	tree, err := Build(servers, answers, protocol.Digest(hash).String(), []byte(traced))
	if err != nil {
		t.Fatal(err)
	}
	want := `
Alford from a client
├─ Ball from Alford after 212 us; duplicate from Carol
│  └─ Dean from Ball in a copy or resume after 9.0 ms
└─ Carol from Alford after 500 us ± 200 us; duplicate from Ball
   └─ Ivan from Carol, too old for the flight recorder
Mia from the bucket
Heidi loaded from the journal
Lea from the bucket
Egan behind: link from Alford is down: connection refused; Carol has no link to it; Frank did not answer; Gone is not in herd.toml
Frank no answer at 127.0.0.1:2
Grace superseded: a newer update was here first
Judy superseded: it has a newer update
Kim behind: full: it drops records beyond max_clients
8 of 13 servers have it, 2 a newer one, the last one after 500 us ± 200 us
AT lines: 4 are known, 2 of them duplicates; a flood needs at most 12
`
	var b strings.Builder
	for _, r := range tree.Rows() {
		fmt.Fprintf(&b, "\n%s%s %s", r.Branch, r.Server, r.Text)
	}
	got := b.String() + "\n" + strings.Join(tree.Summary(), "\n") + "\n"
	if got != want {
		t.Errorf("got%s\nwant%s", got, want)
	}
	if tree.Complete() {
		t.Error("the tree is complete, though servers are behind")
	}
	if tree.Edges != 12 {
		t.Errorf("%d edges", tree.Edges)
	}
}

// Trees of few servers, each with what one answer may look like.
func TestBuild(t *testing.T) {
	servers := []config.Server{{Name: "Alford", Address: "a:1", Neighbors: []string{"Ball"}}, {Name: "Ball", Address: "b:1", Neighbors: []string{"Alford"}}}
	tests := []struct {
		name         string
		alford, ball *herd.Flood
		want         string
	}{
		{"the clock of another machine is unknown",
			flood("Alford", has("client", ""), event(recorder.Stored, "", 0)),
			flood("Ball", has("neighbor", "Alford"), event(recorder.Applied, "Alford", 100)),
			"Alford from a client|└─ Ball from Alford, after an unknown time"},
		{"the clocks are compared",
			flood("Alford", has("client", ""), event(recorder.Stored, "", 0)),
			linked(flood("Ball", has("neighbor", "Alford"), event(recorder.Applied, "Alford", -1_000_000)),
				herd.LinkStatus{Neighbor: "Alford", Clock: &herd.ClockStatus{Ahead: 1.05, Uncertainty: 0.01}}),
			"Alford from a client|└─ Ball from Alford after 50 ms ± 10 ms"},
		{"the origin was restarted, and has its update from the other one",
			flood("Alford", has("neighbor", "Ball"), event(recorder.Copied, "Ball", 5000)),
			flood("Ball", has("neighbor", "Alford"), event(recorder.Applied, "Alford", 100)),
			"Ball from Alford, after an unknown time|└─ Alford from Ball in a copy or resume"},
		{"the origin has forgotten it",
			flood("Alford", nil),
			flood("Ball", has("neighbor", "Alford"), event(recorder.Applied, "Alford", 100)),
			"Ball from Alford, after an unknown time|Alford behind: Ball has no link to it"},
		{"the sender's process is not known any more",
			flood("Alford", has("client", "")),
			flood("Ball", has("neighbor", "")),
			"Alford from a client, too old for the flight recorder|Ball from a neighbor, too old for the flight recorder"},
		{"the root is too old",
			flood("Alford", has("client", "")),
			flood("Ball", has("neighbor", "Alford"), event(recorder.Applied, "Alford", 100)),
			"Alford from a client, too old for the flight recorder|└─ Ball from Alford, after an unknown time"},
		{"it is on its way",
			linked(flood("Alford", has("client", "")), herd.LinkStatus{Neighbor: "Ball", State: "live", Behind: 1_996_946}),
			flood("Ball", nil),
			"Alford from a client, too old for the flight recorder|Ball behind: link from Alford is live"},
		{"a neighbor that does not have it either",
			flood("Alford", nil), flood("Ball", other(older)),
			"Alford behind: Ball does not have it|Ball behind: Alford does not have it"},
		{"an update that a copy may have brought is not said to be here",
			flood("Alford", has("client", ""), event(recorder.Stored, "", 0)),
			flood("Ball", other(newer), event(recorder.Copied, "Alford", 100)),
			"Alford from a client|Ball superseded: it has a newer update"},
		{"copied from another neighbor than the record came from",
			flood("Alford", has("neighbor", "Ball"), event(recorder.Copied, "Carol", 100)),
			flood("Ball", has("client", "")),
			"Ball from a client, too old for the flight recorder|└─ Alford from Ball, too old for the flight recorder"},
		{"a hostile answer about another client",
			flood("Alford", has("client", ""), event(recorder.Stored, "", 0)),
			flood("Ball", other("AT Ball +0.1 pear +34.068930-118.445127 9999999999")),
			"Alford from a client|Ball its answer is not about this client"},
		{"an answer that is no AT line",
			flood("Alford", has("client", "")), flood("Ball", other("\x1b[31m")),
			"Alford from a client, too old for the flight recorder|Ball its answer is not about this client"},
		{"each names the other, without times",
			flood("Alford", has("neighbor", "Ball")), flood("Ball", has("neighbor", "Alford")),
			"Alford from Ball, too old for the flight recorder|└─ Ball from Alford, too old for the flight recorder"},
		{"each names itself",
			flood("Alford", has("neighbor", "Alford"), event(recorder.Applied, "Alford", 5)), flood("Ball", has("neighbor", "Nobody")),
			"Ball from Nobody, too old for the flight recorder|Alford from Alford, 0 us later"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			tree, err := Build(servers, []Answer{{"Alford", "", test.alford}, {"Ball", "", test.ball}}, protocol.Digest(hash).String(), []byte(traced))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, r := range tree.Rows() {
				got = append(got, r.Branch+r.Server+" "+r.Text)
			}
			if s := strings.Join(got, "|"); s != test.want {
				t.Errorf("got  %s\nwant %s", s, test.want)
			}
		})
	}
	if _, err := Build(servers, nil, "", []byte("AT x")); err == nil {
		t.Error("a line that is no AT line was traced")
	}
}

// On one machine times can be compared: a server that has the update in a copy since its restart is not the one that sent
// it on before.
func TestARestartedServer(t *testing.T) {
	line := func(name string, neighbors ...string) config.Server {
		return config.Server{Name: name, Address: "127.0.0.1:1", Neighbors: neighbors}
	}
	servers := []config.Server{line("Alford", "Ball"), line("Ball", "Alford", "Carol"), line("Carol", "Ball", "Dean"), line("Dean", "Carol")}
	answers := []Answer{
		{Server: "Alford", Flood: flood("Alford", has("client", ""), event(recorder.Stored, "", 0))},
		{Server: "Ball", Flood: flood("Ball", has("neighbor", "Alford"), event(recorder.Copied, "Alford", 149_000_000))},
		{Server: "Carol", Flood: flood("Carol", has("neighbor", "Ball"), event(recorder.Applied, "Ball", 300))},
		{Server: "Dean", Flood: flood("Dean", has("neighbor", "Carol"), event(recorder.Applied, "Carol", 1450))},
	}
	answers[2].Flood.Epoch, answers[3].Flood.Latest.FromEpoch = "2", "1"
	answers[3].Flood.Events = nil
	tree, err := Build(servers, answers, protocol.Digest(hash).String(), []byte(traced))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"Alford from a client", "└─ Ball from Alford in a copy or resume after 2m29s",
		"Carol from Ball, which was restarted since", "Dean from Carol, which was restarted since, too old for the flight recorder"}
	var got []string
	for _, r := range tree.Rows() {
		got = append(got, r.Branch+r.Server+" "+r.Text)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if s := tree.Summary(); s[0] != "4 of 4 servers have it" || !strings.HasPrefix(s[1], "AT lines: 1 are known") {
		t.Errorf("%q", s)
	}
}

// Answers to the second question may have lost events that answers to the first had.
func TestMerge(t *testing.T) {
	one := flood("Alford", has("client", ""), event(recorder.Stored, "", 0))
	lost := flood("Alford", other(newer))
	ofAnother := flood("Ball", has("client", ""), event(recorder.Stored, "", 0))
	ofAnother.Hash = protocol.Digest(1).String()
	asked := flood("Ball", other(newer), event(recorder.Applied, "Alford", 5), event(recorder.Duplicate, "Carol", 5))
	first := []Answer{{Server: "Alford", Flood: one}, {Server: "Ball", Flood: ofAnother}, {Server: "Carol", Error: "down"}}
	second := []Answer{{Server: "Alford", Flood: lost}, {Server: "Ball", Flood: asked}, {Server: "Carol", Error: "down"}}
	got := Merge(protocol.Digest(hash).String(), first, second)
	if got[0].Flood != one || got[1].Flood != asked || got[2].Error != "down" {
		t.Errorf("%+v", got)
	}
	second[0].Flood = nil // it does not answer any more
	if got := Merge(protocol.Digest(hash).String(), first, second); got[0].Flood != one {
		t.Errorf("%+v", got)
	}
}

// The greatest record is traced. Answers that are not about the client are ignored.
func TestLatest(t *testing.T) {
	part := func(at string, hash string) Answer {
		return Answer{Flood: &herd.Flood{Latest: &herd.FloodRecord{AT: []byte(at), Hash: hash}}}
	}
	one, two := protocol.Digest(1).String(), protocol.Digest(2).String()
	answers := []Answer{{Error: "down"}, {Flood: &herd.Flood{}}, part(older, one), part(newer, two), part(traced, one),
		part("AT x +1 pear +1-1 9999999999", one), part("garbage", one),
		part("AT Ball +0.1 kiwi +34.068930-118.445127 9999999999", "x&y")}
	if hash, at, err := Latest([]byte("kiwi"), answers); err != nil || hash != two || string(at) != newer {
		t.Errorf("%s %q %v", hash, at, err)
	}
	if _, _, err := Latest([]byte("plum"), answers); !errors.Is(err, ErrUnknown) {
		t.Errorf("an unknown client: %v", err)
	}
	for text, want := range map[string]uint64{"00000000000000ff": 255, "ff": 0, "": 0, "00000000000000fg": 0, "+000000000000001": 0} {
		if got := Number(text); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}

// Answers survive JSON, with ids of any bytes.
func TestAnswersAsJSON(t *testing.T) {
	_, answers := everything()
	for _, a := range answers {
		if a.Flood == nil {
			continue
		}
		a.Flood.Events = slices.Clone(a.Flood.Events)
		for i := range a.Flood.Events {
			if e := &a.Flood.Events[i]; e.Kind < recorder.Sent {
				e.ID, e.IDLength = []byte("<\x00\xff\x1b"), 4
			} else {
				e.Hash, e.Position = 0, 0
			}
		}
		text, err := json.Marshal(a.Flood)
		var back herd.Flood
		if err == nil {
			err = json.Unmarshal(text, &back)
		}
		back.Now = back.Now.Local()
		if err != nil || !reflect.DeepEqual(&back, a.Flood) {
			t.Errorf("%s\n%+v\n%+v\n%v", text, &back, a.Flood, err)
		}
	}
}
