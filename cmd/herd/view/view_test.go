package view

import (
	"fmt"
	"math"
	"testing"
	"time"

	"serverherd/cmd/herd/ask"
	"serverherd/herd"
)

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.Local)

// pair is the answers of two servers that agree.
func pair() []ask.Status {
	checked := noon.Add(-4 * time.Second)
	one := func(name, other string) ask.Status {
		return ask.Status{Server: name, Status: &herd.Status{
			Server: name, Engine: DefaultEngine, Now: noon, Digest: "be6e3088cee05488", Records: 7000, Tail: 9000,
			Links: []herd.LinkStatus{{Neighbor: other, State: "live", Receiving: true, Checked: &checked}},
		}}
	}
	return []ask.Status{one("Alford", "Ball"), one("Ball", "Alford")}
}

func TestAgreement(t *testing.T) {
	ago := func(d time.Duration) *time.Time { t := noon.Add(-d); return &t }
	differ := func(b *herd.Status) { b.Digest = "0" }
	for name, test := range map[string]struct {
		change func(a, b *herd.Status) // of Alford, which is judged, and Ball
		alone  bool                    // Ball did not answer
		want   Text
	}{
		"in sync":             {func(_, _ *herd.Status) {}, false, Text{Good, "in sync"}},
		"in sync, alone":      {func(_, _ *herd.Status) {}, true, Text{Good, "in sync"}},
		"not acknowledged":    {func(a, b *herd.Status) { a.Links[0].Behind, b.Links[0].Behind = 1, 1 }, false, Text{Good, "in sync"}},
		"behind":              {func(_, b *herd.Status) { differ(b); b.Links[0].Behind = 1052 }, false, Text{Notice, "catching up (1,052 behind)"}},
		"same digest, fewer":  {func(_, b *herd.Status) { b.Records, b.Links[0].Behind = 7001, 1 }, false, Text{Notice, "catching up (1 behind)"}},
		"the other is behind": {func(a, b *herd.Status) { differ(b); a.Links[0].Behind = 1052 }, false, Text{Good, "in sync"}},
		"an absent one lacks": {func(a, _ *herd.Status) { a.Links[0].Behind = 1052 }, true, Text{Notice, "a neighbor is 1,052 behind"}},
		"diverged":            {func(a, _ *herd.Status) { a.Links[0].DivergedSince = ago(time.Minute) }, false, Text{Bad, "diverged since 11:59:00"}},
		"diverged yesterday":  {func(a, _ *herd.Status) { a.Links[0].DivergedSince = ago(24 * time.Hour) }, false, Text{Bad, "diverged since 2026-03-01"}},
		"full":                {func(a, _ *herd.Status) { a.Digest = FullDigest }, false, Text{Bad, "full: lacks records"}},
		"full neighbor": {func(a, b *herd.Status) { b.Digest = FullDigest; a.Links[0].Agreement = FullDigest },
			false, Text{Bad, "a neighbor is full"}},
		"both full":      {func(a, b *herd.Status) { a.Digest, b.Digest = FullDigest, FullDigest }, false, Text{Bad, "full: lacks records"}},
		"no neighbors":   {func(a, _ *herd.Status) { a.Links = nil }, false, Text{Unknown, "no neighbors"}},
		"not compared":   {func(a, b *herd.Status) { differ(b); a.Links[0].Checked = nil }, false, Text{Unknown, "not compared"}},
		"equal, as seen": {func(a, _ *herd.Status) { a.Links[0].Checked = nil }, false, Text{Good, "in sync"}},
		"legacy":         {func(a, _ *herd.Status) { a.Links[0].State = "plain" }, true, Text{Unknown, "not compared"}},
		"long ago":       {func(a, _ *herd.Status) { a.Links[0].Checked = ago(2 * time.Minute) }, true, Text{Notice, "compared 2m0s ago"}},
		"one of two": {func(a, _ *herd.Status) {
			a.Links = append(a.Links, herd.LinkStatus{Neighbor: "Welsh", State: "live"})
		}, false, Text{Unknown, "not compared"}},
	} {
		all := pair()
		a, b := all[0].Status, all[1].Status
		test.change(a, b)
		if test.alone {
			all[1].Status, all[1].Error = nil, "no answer"
		}
		if got := Of(nil, all).Agreement(a); got != test.want {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
		if len(test.want.Text) > 26 {
			t.Errorf("%s is too long for a table", test.want.Text)
		}
	}
	if got := Of(nil, nil).Agreement(pair()[0].Status); got != (Text{Good, "in sync"}) {
		t.Error(got)
	}
}

// What is under way, what the neighbor itself sent, and updates that are no records are not what a server lacks.
func TestLag(t *testing.T) {
	for name, test := range map[string]struct {
		tailBefore   uint64 // of Ball, half a second earlier; it is 9,000 now
		link         herd.LinkStatus
		lag          uint64
		want         Text
		anotherEpoch bool
	}{
		"a long link":          {9000, herd.LinkStatus{Behind: 54978}, 7000, Text{Notice, "catching up (7,000 behind)"}, false},
		"its own updates":      {9000, herd.LinkStatus{Behind: 5000, Sent: 9000}, 0, Text{Good, "in sync"}, false},
		"on the wire":          {9000, herd.LinkStatus{Behind: 5000, Sent: 9000, Unacknowledged: 33}, 3, Text{Notice, "catching up (3 behind)"}, false},
		"not sent":             {9000, herd.LinkStatus{Behind: 5000, Sent: 8990, Unacknowledged: 32}, 12, Text{Notice, "catching up (12 behind)"}, false},
		"under way":            {8900, herd.LinkStatus{Behind: 200}, 200, UnderWay, false},
		"more than under way":  {8900, herd.LinkStatus{Behind: 201}, 201, Text{Notice, "catching up (201 behind)"}, false},
		"of a process before":  {8900, herd.LinkStatus{Behind: 200}, 200, Text{Notice, "catching up (200 behind)"}, true},
		"hostile":              {9001, herd.LinkStatus{Behind: 1 << 63, Sent: 1 << 62, Unacknowledged: -1}, 7000, Text{Notice, "catching up (7,000 behind)"}, false},
		"acknowledged by none": {0, herd.LinkStatus{Behind: 9000}, 7000, UnderWay, false},
	} {
		before, now := pair(), pair()
		for _, b := range before {
			b.Status.Now = noon.Add(-Settling)
		}
		alford, ball := now[0].Status, now[1].Status
		alford.Digest = "0"
		before[1].Status.Tail = test.tailBefore
		if test.anotherEpoch {
			before[1].Status.Epoch = "1"
		}
		l := &ball.Links[0]
		l.Behind, l.Sent, l.Unacknowledged = test.link.Behind, test.link.Sent, test.link.Unacknowledged
		h := Of(before, now)
		if got := h.Lag(ball, l); got != test.lag {
			t.Errorf("%s: %d, want %d", name, got, test.lag)
		}
		if got := h.Agreement(alford); got != test.want {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}

// Servers compare their records when nothing is under way: that they have not for long is no news under load.
func TestNotComparedUnderLoad(t *testing.T) {
	before, now := pair(), pair()
	long := noon.Add(-time.Hour)
	now[0].Status.Links[0].Checked, now[0].Status.Digest = &long, "0"
	if got := Of(nil, now).Agreement(now[0].Status); got != (Text{Notice, "compared 1h0m ago"}) {
		t.Error(got)
	}
	before[0].Status.Now, before[0].Status.Tail = noon.Add(-Settling), 8999
	if got := Of(before, now).Agreement(now[0].Status); got != UnderWay {
		t.Error(got)
	}
}

// Whatever a console answers, a summary has a bounded number of lines, and none names a server twice.
func TestSummaryOfManyLinks(t *testing.T) {
	const many = 26_000
	for name, error := range map[string]func(i int) string{
		"different": func(i int) string { return fmt.Sprint(i) },
		"equal":     func(int) string { return "refused" },
	} {
		all := pair()
		for i := range many {
			all[1].Status.Links = append(all[1].Status.Links, herd.LinkStatus{Neighbor: "x", State: herd.LinkDown, Error: error(i)})
		}
		v := Of(nil, all).Summary()
		if name == "equal" {
			if len(v.Problems) != 1 || len(v.Problems[0].Servers) != 1 {
				t.Errorf("%d problems, %d servers", len(v.Problems), len(v.Problems[0].Servers))
			}
			continue
		}
		if n := len(v.Problems); n != MaxLines+1 || v.Problems[n-1].Text != "and 25,800 more" {
			t.Errorf("%d problems, the last one %v", n, v.Problems[n-1])
		}
	}
}

func TestDisagree(t *testing.T) {
	for name, test := range map[string]struct {
		change func(before, now []ask.Status)
		want   bool
	}{
		"equal":                   {func(_, _ []ask.Status) {}, false},
		"different":               {func(_, now []ask.Status) { now[1].Status.Digest = "0" }, true},
		"a different number":      {func(_, now []ask.Status) { now[1].Status.Records++ }, true},
		"it moves":                {func(_, now []ask.Status) { now[1].Status.Digest, now[0].Status.Tail = "0", 9001 }, false},
		"one of them is full":     {func(_, now []ask.Status) { now[1].Status.Digest = FullDigest }, false},
		"one of them is gone":     {func(_, now []ask.Status) { now[1].Status = nil }, false},
		"it had not answered yet": {func(before, now []ask.Status) { before[1].Status, now[1].Status.Digest = nil, "0" }, true},
	} {
		before, now := pair(), pair()
		for _, b := range before {
			b.Status.Now = noon.Add(-Settling)
		}
		test.change(before, now)
		if got := Of(before, now).Disagree(); got != test.want {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}

func TestSummary(t *testing.T) {
	all := append(pair(), ask.Status{Server: "Welsh", NoConsole: true, Error: "no console"}, ask.Status{Server: "Holiday", Error: "no answer"})
	for i := range 2 {
		down := herd.LinkStatus{Neighbor: "Holiday", State: "down", Error: "refused"}
		all[i].Status.Links = append(all[i].Status.Links, down)
		all[i].Status.Counters.LogDropped = 1000
	}
	differ := pair()
	for _, a := range differ {
		a.Status.Now = noon.Add(-time.Second)
	}
	all[1].Status.Digest = "0"
	got := Of(differ, all).Summary()
	want := []Line{
		{[]string{"Holiday"}, "no answer"}, {nil, "the servers do not have the same records"},
		{[]string{"Alford", "Ball"}, "link to Holiday is down: refused"},
	}
	if got.Answered != 2 || got.Consoles != 3 || got.Well() || fmt.Sprint(got.Problems) != fmt.Sprint(want) ||
		fmt.Sprint(got.Notes) != fmt.Sprint([]Line{{[]string{"Alford", "Ball"}, "1,000 log entries dropped"}}) {
		t.Errorf("%+v", got)
	}
	if v := Of(nil, pair()).Summary(); !v.Well() || HasProblem(pair()[0].Status) {
		t.Errorf("%+v", v)
	}
	if Of(nil, all[2:3]).Summary().Well() {
		t.Error("no console, and all is well")
	}
}

func TestFormats(t *testing.T) {
	for seconds, want := range map[float64]string{0: "0 us", 1e-7: "<1 us", -1e-7: "<1 us", 0.00023: "230 us", -0.00023: "-230 us", 0.0009996: "1.0 ms",
		0.00999: "10 ms", 0.0123: "12 ms", 0.9999: "1.0 s", 2.34: "2.3 s", -3: "-3.0 s", 59.99: "1m0s", 1740: "29m0s", -7200: "-2h0m", 1e300: "104166d"} {
		if got := Latency(seconds, true); got != want {
			t.Errorf("%v: %s, want %s", seconds, got, want)
		}
	}
	for n, want := range map[float64]string{0: "0", 0.04: "0.0", 9.94: "9.9", 9.96: "10", 99_999: "99,999", 99_999.6: "100k", 1e30: "huge"} {
		if got := Rate(n); got != want || len(got) > 6 {
			t.Errorf("%v/s: %s, want %s", n, got, want)
		}
	}
	for n, want := range map[float64]string{0: "0 B", 999: "999 B", 999.6: "1.0 kB", 9960: "10 kB", 123e6: "123 MB", 1e30: "huge"} {
		if got := Bytes(n); got != want || len(got) > 6 {
			t.Errorf("%v bytes: %s, want %s", n, got, want)
		}
	}
	if got := Bound(0.131072, true) + Bound(0, false); got != "<131 ms-" {
		t.Error(got)
	}
	for d, want := range map[time.Duration]string{0: "0s", 59 * time.Second: "59s", time.Minute: "1m0s", 100 * time.Hour: "4d4h",
		100*24*time.Hour - time.Second: "99d23h", 100 * 24 * time.Hour: "100d", math.MaxInt64: "106751d", -time.Minute: "0s"} {
		if got := Duration(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", -999: "-999", -1000: "-1,000", 1234567: "1,234,567"} {
		if got := Count(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
	for n, want := range map[uint64]string{0: "0", 999_999: "999,999", 1_000_000: "1.00M", 12_345_678: "12.3M", 999_600_000: "1.00G",
		math.MaxUint64: "18.4E"} {
		if got := Number(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
	for want, c := range map[string]*herd.ClockStatus{
		"unknown": nil, "within 300 us": {Ahead: -0.0001, Uncertainty: 0.0002}, "29m0s ahead": {Ahead: 1740, Uncertainty: 0.1},
		"2h0m behind": {Ahead: -7200},
	} {
		if got := ClockOf(c); got != want {
			t.Errorf("%+v: %s, want %s", c, got, want)
		}
	}
	if Plural(1, "link", "links") != "1 link" || Plural(1000, "link", "links") != "1,000 links" {
		t.Error("plural")
	}
}
