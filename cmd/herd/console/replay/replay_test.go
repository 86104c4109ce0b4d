package replay

import (
	"encoding/json"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"strings"
	"testing"
	"time"

	"serverherd/herd"
	"serverherd/herd/config"
	"serverherd/herd/recorder"
)

var began = time.Unix(1_790_000_000, 0).UTC()

// line is Alford, Ball and Carol, each a neighbor of the next one, with real recorders.
type line struct {
	now       time.Time
	recorders []*recorder.Recorder
	next      []uint64
	epochs    []string
	position  uint64
}

var servers = []config.Server{
	{Name: "Alford", Address: "127.0.0.1:1", Console: "127.0.0.1:2", Neighbors: []string{"Ball"}},
	{Name: "Ball", Address: "127.0.0.1:3", Console: "127.0.0.1:4", Neighbors: []string{"Alford", "Carol"}},
	{Name: "Carol", Address: "127.0.0.1:5", Console: "127.0.0.1:6", Neighbors: []string{"Ball"}},
}

func newLine() *line {
	l := &line{now: began, next: make([]uint64, 3), epochs: []string{"a", "b", "c"}}
	for _, s := range servers {
		l.recorders = append(l.recorders, recorder.New(began, s.Neighbors))
	}
	return l
}

// update lets an update spread from Alford, a millisecond a hop.
func (l *line) update(hash uint64, id string) {
	l.position++
	at := func(ms int) time.Time { return l.now.Add(time.Duration(ms) * time.Millisecond) }
	a, b, c := l.recorders[0], l.recorders[1], l.recorders[2]
	a.Stored(at(0), hash, l.position, []byte(id))
	a.Sent(at(0), 0, l.position, l.position)
	b.Applied(at(1), 0, hash, l.position, []byte(id))
	b.Sent(at(1), 1, l.position, l.position)
	c.Applied(at(2), 0, hash, l.position, []byte(id))
	l.now = at(3)
}

// answers are what the servers answer after a time.
func (l *line) answers(after time.Duration) []Answer {
	l.now = l.now.Add(after)
	all := make([]Answer, len(servers))
	for i := range servers {
		all[i] = l.answer(i)
	}
	return all
}

func (l *line) answer(i int) (a Answer) {
	r := l.recorders[i]
	for {
		p := r.Sampled(l.next[i], herd.MaxEvents)
		l.next[i] = p.Next
		a.Pages = append(a.Pages, herd.EventPage{FlightStamp: herd.FlightStamp{Server: servers[i].Name, Epoch: l.epochs[i],
			Now: l.now, NowNS: r.Elapsed(l.now).Nanoseconds(), K: r.K()}, Events: p.Events, Next: p.Next})
		if len(p.Events) < herd.MaxEvents {
			return a
		}
	}
}

func (f Flood) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%q one of %d:", f.ID, f.OneOf)
	for _, s := range f.Steps {
		fmt.Fprintf(&b, " %d %s %s %s,", s.NS/1e6, s.Server, s.Kind, s.Neighbor)
	}
	fmt.Fprintf(&b, " missing %v", f.Missing)
	return b.String()
}

const whole = ` one of 1: 0 Alford stored , 0 Alford sent Ball, 1 Ball applied Alford, 1 Ball sent Carol, 2 Carol applied Ball, missing []`

func expect(t *testing.T, what string, got []Flood, want ...string) {
	t.Helper()
	var texts []string
	for _, f := range got {
		texts = append(texts, f.text())
	}
	if strings.Join(texts, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s: got\n%s\nwant\n%s", what, strings.Join(texts, "\n"), strings.Join(want, "\n"))
	}
}

// A flood is given once, when it is over, and again if a late answer changes it.
func TestRounds(t *testing.T) {
	l, g := newLine(), New(servers)
	round := func(a []Answer) []Flood {
		floods, oneOf := g.Round(l.now, a)
		if oneOf != 1 {
			t.Errorf("one of %d", oneOf)
		}
		return floods
	}
	expect(t, "nothing", round(l.answers(0)))
	l.update(1<<63|1, "kiwi")
	expect(t, "settled", round(l.answers(time.Second)), `"kiwi"`+whole)
	expect(t, "given", round(l.answers(time.Second)))
	l.update(1<<63|2, "\x1b\xff"+strings.Repeat("x", 40))
	expect(t, "too fresh", round(l.answers(time.Millisecond)))
	got := round(l.answers(time.Millisecond))
	expect(t, "unchanged for a round", got, `"\\x1b\\xff`+strings.Repeat("x", 30)+`"`+whole)
	if len(got) == 1 && (!got[0].Cut || got[0].Base64 != "G/94eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHg=") {
		t.Errorf("%+v", got[0])
	}
	l.update(1<<63|3, "kiwi")
	late := l.answers(time.Second)
	carol := late[2]
	late[2] = Answer{Error: "no answer"}
	expect(t, "one does not answer", round(late),
		`"kiwi" one of 1: 0 Alford stored , 0 Alford sent Ball, 1 Ball applied Alford, 1 Ball sent Carol, missing [{Carol no answer true}]`)
	late = l.answers(time.Second)
	late[2].Pages = append(carol.Pages, late[2].Pages...)
	expect(t, "its answer is late", round(late), `"kiwi"`+whole)

	// Ball is restarted: what it did before is not known any more.
	l.update(1<<63|4, "kiwi")
	expect(t, "fresh", round(l.answers(0)))
	l.epochs[1], l.recorders[1], l.next[1] = "b2", recorder.New(l.now, servers[1].Neighbors), 0
	l.recorders[1].Applied(l.now, 0, 1<<63|4, 1, []byte("kiwi")) // anew
	l.update(1<<63|5, "kiwi")
	expect(t, "restarted", round(l.answers(time.Second)), `"kiwi"`+whole)
	expect(t, "received anew", round(l.answers(time.Second)),
		`"kiwi" one of 1: 0 Alford stored , 0 Alford sent Ball, 3 Ball applied Alford, 3 Carol applied Ball, missing []`)

	for range 2 * rounds {
		round(l.answers(time.Second))
	}
	if len(g.open) > 0 || len(g.processes[1].positions) > 0 {
		t.Errorf("%d floods are still open", len(g.open))
	}
}

// The first round has the floods of the minute before it. Later, old events are those of floods that were given: when a
// server answers again after a while, they do not begin others.
func TestHistory(t *testing.T) {
	l, g := newLine(), New(servers)
	l.update(1<<63|1, "old")
	l.now = l.now.Add(40 * time.Second)
	l.update(1<<63|2, "kiwi")
	all := l.answers(30 * time.Second)
	carol := all[2]
	all[2] = Answer{Error: "no answer"}
	floods, _ := g.Round(l.now, all)
	expect(t, "first", floods, `"kiwi" one of 1: 0 Alford stored , 0 Alford sent Ball, 1 Ball applied Alford, 1 Ball sent Carol, missing [{Carol no answer true}]`)
	for range rounds {
		floods, _ = g.Round(l.now, l.answers(time.Second))
		expect(t, "nothing", floods)
	}
	all = l.answers(time.Second)
	all[2].Pages = append(carol.Pages, all[2].Pages...)
	floods, _ = g.Round(l.now, all)
	expect(t, "late", floods)
}

// Of a server with a greater K the others' floods are dropped.
func TestGreatestK(t *testing.T) {
	l, g := newLine(), New(servers)
	l.update(1<<61, "two zero bits")
	l.update(1<<60, "three")
	all := l.answers(time.Second)
	all[1].Pages[0].K = 3
	floods, oneOf := g.Round(l.now, all)
	expect(t, "K 3", floods, `"three"`+strings.Replace(whole, "of 1", "of 8", 1))
	if oneOf != 8 {
		t.Errorf("one of %d", oneOf)
	}
	l.update(1<<61|1, "two zero bits")
	floods, oneOf = g.Round(l.now, l.answers(time.Second))
	expect(t, "K 0 again", floods, `"two zero bits"`+whole)
	if oneOf != 1 {
		t.Errorf("one of %d", oneOf)
	}
}

// At a high rate a part of the floods is given, chosen by hash, and each of these is complete.
func TestManyFloods(t *testing.T) {
	l, g := newLine(), New(servers)
	n, given := uint64(0), 0
	for range 240 {
		for range 40 {
			n++
			l.update(n*0x9e3779b97f4a7c15, fmt.Sprint("client ", n))
		}
		floods, oneOf := g.Round(l.now, l.answers(500*time.Millisecond))
		for _, f := range floods {
			var hash uint64
			_, _ = fmt.Sscanf(f.Hash, "%x", &hash)
			if len(f.Missing) > 0 || len(f.Steps) != 5 || bits.LeadingZeros64(hash) < bits.Len64(f.OneOf)-1 || f.OneOf > 8*oneOf {
				t.Fatalf("%s %s of now 1 of %d", f.Hash, f.text(), oneOf)
			}
		}
		if given += len(floods); len(g.ready) > herd.ReplayFloods {
			t.Fatalf("%d floods", len(g.ready))
		}
	}
	t.Logf("%d updates, %d floods given, at last one of %d", n, given, 1<<g.kBefore)
	if given < herd.ReplayFloods/4 {
		t.Errorf("of %d updates only %d floods are given", n, given)
	}
}

// What no server would answer.
func TestBadAnswers(t *testing.T) {
	for _, bad := range []herd.EventPage{
		{FlightStamp: herd.FlightStamp{K: 64}}, {Events: []recorder.Event{{K: maxK + 1}}}, {Events: make([]recorder.Event, herd.MaxEvents+1)},
		{FlightStamp: herd.FlightStamp{K: -1}}, {Events: []recorder.Event{{K: -1}}},
		{FlightStamp: herd.FlightStamp{K: math.MinInt}, Events: []recorder.Event{{K: math.MaxInt}}},
	} {
		if Check(&bad) == nil {
			t.Errorf("accepted %d events, K %d", len(bad.Events), bad.K)
		}
	}
	l, g := newLine(), New(servers)
	for round := range 20 {
		l.update(uint64(round+1), "kiwi")
		all := l.answers(time.Second)
		bad := herd.EventPage{FlightStamp: herd.FlightStamp{Server: "Carol", Epoch: "c", Now: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), NowNS: math.MinInt64 + int64(round)}}
		for i := range herd.MaxEvents {
			bad.Events = append(bad.Events,
				recorder.Event{Kind: recorder.Applied, Neighbor: "\x1b<b>", Hash: uint64(1000*round + i), Position: uint64(i), At: time.Duration(math.MinInt64 + int64(i)), ID: make([]byte, 1<<10)},
				recorder.Event{Kind: recorder.Duplicate, Neighbor: "Alford", Hash: uint64(round + 1), At: math.MaxInt64},
				recorder.Event{Kind: recorder.Sent, Neighbor: "Ball", First: 0, Last: math.MaxUint64})
		}
		all[2].Pages = []herd.EventPage{bad, all[2].Pages[0], bad}
		if round%2 == 0 {
			for i := range bad.Events {
				bad.Events[i].At = l.recorders[2].Elapsed(l.now)
			}
			bad.FlightStamp = all[2].Pages[1].FlightStamp
			all[2].Pages = append(all[2].Pages, bad)
		}
		if round == 0 { // very many at once
			for page := range 9 {
				for i := range bad.Events {
					bad.Events[i].Hash = uint64(page*herd.MaxEvents+i) | 1<<63
				}
				more := bad
				more.Events = slices.Clone(bad.Events)
				all[2].Pages = append(all[2].Pages, more)
			}
		}
		floods, _ := g.Round(l.now, all)
		for _, f := range g.open {
			for _, lane := range f.lanes {
				if len(lane.events) > maxLane {
					t.Fatalf("%d events of a flood", len(lane.events))
				}
			}
		}
		for _, f := range floods {
			if _, err := json.Marshal(f); err != nil || len(f.ID) > 4*recorder.IDBytes || len(f.Steps) > 20 {
				t.Fatalf("%v %.1000s", err, f.text())
			}
		}
		if len(g.open) > maxOpen || len(g.ready) > herd.ReplayFloods || len(g.processes[2].positions) > 2*maxPast {
			t.Fatalf("%d open, %d ready, %d positions", len(g.open), len(g.ready), len(g.processes[2].positions))
		}
	}
}

// A neighbor that hung for longer than a flood may change applies it late. The flood that was given stays.
func TestLateForFinishedFlood(t *testing.T) {
	l, g := newLine(), New(servers)
	const hash = 1<<63 | 1
	l.recorders[0].Stored(l.now, hash, 1, []byte("kiwi"))
	l.recorders[1].Applied(l.now, 0, hash, 1, []byte("kiwi"))
	floods, _ := g.Round(l.now, l.answers(time.Second))
	if len(floods) != 1 || len(floods[0].Missing) != 1 {
		t.Fatalf("got %v, want a flood without Carol", floods)
	}
	for range rounds {
		floods, _ = g.Round(l.now, l.answers(herd.ReplayPause))
		expect(t, "given", floods)
	}
	l.recorders[2].Applied(l.now, 0, hash, 1, []byte("kiwi"))
	for range 3 {
		floods, _ = g.Round(l.now, l.answers(time.Second))
		expect(t, "late", floods)
	}
}
