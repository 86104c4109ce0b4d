package trace

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"serverherd/herd"
	"serverherd/herd/config"
	"serverherd/herd/recorder"
)

// text is a replay, a line a step.
func (r *Replay) text() string {
	if r == nil {
		return "none"
	}
	var b strings.Builder
	for _, s := range r.Steps {
		fmt.Fprintf(&b, "%d", s.NS/1000)
		if s.Uncertainty != 0 {
			fmt.Fprintf(&b, "±%d", s.Uncertainty/1000)
		}
		if s.Unknown {
			b.WriteString("?")
		}
		fmt.Fprintf(&b, " %s %s %s", s.Server, s.Kind, s.Neighbor)
		if s.Hop != nil {
			fmt.Fprintf(&b, " +%d", *s.Hop/1000)
		}
		if s.HopUncertainty != 0 {
			fmt.Fprintf(&b, "±%d", s.HopUncertainty/1000)
		}
		if s.Number != 0 {
			fmt.Fprintf(&b, " #%d", s.Number)
		}
		b.WriteString("\n")
	}
	return b.String()
}

func sent(to string, us int, first, last uint64) recorder.Event {
	return recorder.Event{Kind: recorder.Sent, Neighbor: to, At: time.Duration(us) * time.Microsecond, First: first, Last: last}
}

// herdOf returns servers that are all neighbors of each other, on one machine or each on its own.
func herdOf(machines bool, names ...string) (servers []config.Server) {
	for i, name := range names {
		s := config.Server{Name: name, Address: fmt.Sprintf("127.0.0.1:%d", 1+i)}
		if machines {
			s.Address = fmt.Sprintf("192.0.2.%d:1", 1+i)
		}
		for _, other := range names {
			if other != name {
				s.Neighbors = append(s.Neighbors, other)
			}
		}
		servers = append(servers, s)
	}
	return servers
}

// Steps of few servers.
func TestSteps(t *testing.T) {
	clock := func(of string, ahead float64) herd.LinkStatus {
		return herd.LinkStatus{Neighbor: of, Clock: &herd.ClockStatus{Ahead: ahead, Uncertainty: -0.0002}}
	}
	stored, applied, duplicate, copied := recorder.Stored, recorder.Applied, recorder.Duplicate, recorder.Copied
	for _, test := range []struct {
		name     string
		machines bool
		floods   []*herd.Flood // of Alford, Ball and Carol; nil: no answer
		want     string
	}{
		{"a triangle", false, []*herd.Flood{
			flood("Alford", nil, event(stored, "", 100), sent("Ball", 120, 7, 7), sent("Carol", 120, 5, 8)),
			flood("Ball", nil, event(applied, "Alford", 300), sent("Carol", 310, 7, 7), event(duplicate, "Carol", 420)),
			flood("Carol", nil, event(applied, "Alford", 310), sent("Ball", 320, 7, 7), event(duplicate, "Ball", 420), sent("Alford", 30_000, 1, 9)),
		}, `0 Alford stored 
20 Alford sent Ball
20 Alford sent Carol
200 Ball applied Alford +200
210 Ball sent Carol
210 Carol applied Alford +210
220 Carol sent Ball
320 Ball duplicate Carol #1
320 Carol duplicate Ball #2
`},
		{"all in one turn, or with a receiver whose turn began before", false, []*herd.Flood{
			flood("Alford", nil, event(stored, "", 100), sent("Ball", 100, 7, 7)),
			flood("Ball", nil, event(applied, "Alford", 90), sent("Carol", 90, 7, 7)),
			flood("Carol", nil, event(applied, "Ball", 100)),
		}, `0 Alford stored 
0 Alford sent Ball
0 Ball applied Alford
0 Ball sent Carol
0 Carol applied Ball +10
`},
		{"what was sent back, before, after a copy, of other records or of a newer one is not shown", false, []*herd.Flood{
			flood("Alford", nil, sent("Ball", 0, 1, 9), event(stored, "", 100), sent("Ball", 120, 6, 6), sent("Ball", 130, 8, 9),
				sent("Carol", 140, 7, 9), sent("Ball", 150, 1, 9), sent("Nobody", 150, 7, 7)),
			flood("Ball", nil, event(applied, "Alford", 300), sent("Alford", 310, 7, 7), sent("Carol", 900_000, 1, 9)),
			flood("Carol", nil, event(duplicate, "Ball", 400)),
		}, `0 Alford stored 
50 Alford sent Ball
200 Ball applied Alford +200
300 Carol duplicate Ball #1
`},
		{"one does not answer", false, []*herd.Flood{
			flood("Alford", nil, event(stored, "", 0), sent("Carol", 1, 7, 7), sent("Ball", 2, 7, 7)),
			flood("Ball", nil, event(applied, "Alford", 300), event(duplicate, "Carol", 320)), nil,
		}, `0 Alford stored 
1 Alford sent Carol
2 Alford sent Ball
300 Ball applied Alford +300
320 Ball duplicate Carol #1
`},
		{"its origin does not", false, []*herd.Flood{nil,
			flood("Ball", nil, event(applied, "Alford", 300), sent("Carol", 320, 7, 7)),
			flood("Carol", nil, event(applied, "Ball", 500)),
		}, `0 Ball applied Alford
20 Ball sent Carol
200 Carol applied Ball +200
`},
		{"machines whose clocks are compared", true, []*herd.Flood{
			flood("Alford", nil, event(stored, "", 0), sent("Ball", 10, 7, 7)),
			linked(flood("Ball", nil, event(applied, "Alford", -1_000_000), sent("Carol", -999_900, 7, 7)), clock("Alford", 1.0005)),
			linked(flood("Carol", nil, event(applied, "Ball", 1_000_000), event(duplicate, "Alford", 1_000_100)), clock("Ball", -1.999)),
		}, `0 Alford stored 
10 Alford sent Ball
500±200 Ball applied Alford +500±200
600±200 Ball sent Carol
1500±400 Carol applied Ball +1000±200
1600±400 Carol duplicate Alford #1
`},
		{"by another way than that of the update", true, []*herd.Flood{
			flood("Alford", nil, event(stored, "", 0)),
			flood("Ball", nil, event(applied, "Alford", 9000), event(duplicate, "Carol", 9100)),
			linked(flood("Carol", nil, event(applied, "Ball", 700)), clock("Alford", 0)),
		}, `0 Alford stored 
0? Ball applied Alford
700±200 Carol applied Ball
700? Ball duplicate Carol #1
`},
		{"a clock was set", false, []*herd.Flood{
			flood("Alford", nil, event(stored, "", 0), sent("Ball", 10, 7, 7)),
			flood("Ball", nil, event(applied, "Alford", -3_600_000_000)),
			flood("Carol", nil, event(applied, "Ball", 3_600_000_000)),
		}, `0 Alford stored 
0 Ball applied Alford
3600000000 Carol applied Ball +7200000000
`},
		{"a copy", false, []*herd.Flood{
			flood("Alford", has("client", ""), event(stored, "", 0)),
			flood("Ball", has("neighbor", "Alford"), event(copied, "Carol", 50), event(copied, "Alford", 90), event(copied, "Alford", 95)),
			flood("Carol", nil),
		}, `0 Alford stored 
90 Ball copied Alford +90
`},
		{"nothing", false, []*herd.Flood{flood("Alford", has("client", "")), nil, flood("Carol", nil)}, "none"},
		{"wrong: in a circle, from itself, from nobody, twice, and much", false, []*herd.Flood{
			flood("Alford", nil, append([]recorder.Event{event(applied, "Carol", 0), event(stored, "", 1), event(stored, "", 1)},
				slices.Repeat([]recorder.Event{event(duplicate, "Ball", 2), sent("Ball", 2, 0, 99)}, 500)...)...),
			flood("Ball", nil, event(applied, "Ball", 2), event(applied, "Alford", 3)),
			flood("Carol", nil, event(applied, "\x1b", 4)),
		}, `0 Ball applied 
2 Carol applied 
2 Alford applied Carol
2 Alford duplicate Ball #1
2 Alford sent Ball
2 Alford duplicate Ball #2
2 Alford duplicate Ball #3
`},
	} {
		servers := herdOf(test.machines, "Alford", "Ball", "Carol")
		answers := make([]Answer, len(servers))
		for i, f := range test.floods {
			answers[i] = Answer{Server: servers[i].Name, Flood: f}
		}
		if got := Steps(servers, answers, hashText).text(); got != test.want {
			t.Errorf("%s:\n%swant\n%s", test.name, got, test.want)
		}
	}
}

const hashText = "0000000000000abc" // of hash

// Times of a console that is none.
func TestStepsOfImpossibleTimes(t *testing.T) {
	servers := herdOf(true, "Alford", "Ball", "Carol")
	for _, wall := range []time.Time{{}, time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), time.Unix(0, 0)} {
		for _, at := range []time.Duration{0, math.MaxInt64, math.MinInt64} {
			for _, ahead := range []float64{0, math.MaxFloat64, -math.MaxFloat64} {
				f := flood("Ball", nil, recorder.Event{Kind: recorder.Applied, Neighbor: "Alford", Hash: hash, Position: 7, At: at},
					recorder.Event{Kind: recorder.Duplicate, Neighbor: "Carol", Hash: hash, At: -at})
				f.Now, f.NowNS = wall, int64(-at)
				f.Links = []herd.LinkStatus{{Neighbor: "Alford", Clock: &herd.ClockStatus{Ahead: ahead, Uncertainty: ahead}}}
				r := Steps(servers, []Answer{{Flood: flood("Alford", nil, event(recorder.Stored, "", 0))}, {Flood: f}, {}}, hashText)
				for i, s := range r.Steps {
					if s.NS < 0 || s.Uncertainty < 0 || i > 0 && s.NS < r.Steps[i-1].NS {
						t.Errorf("%v, %v, %v: %+v", wall, at, ahead, r)
					}
				}
				if _, err := r.Start.MarshalJSON(); err != nil {
					t.Errorf("%v, %v, %v: %v", wall, at, ahead, err)
				}
			}
		}
	}
}
