package view

import (
	"fmt"
	"math"
	"slices"
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
			Server: name, Engine: DefaultEngine, Now: noon, Digest: "be6e3088cee05488", Records: 7,
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
		"same digest, fewer":  {func(_, b *herd.Status) { b.Records, b.Links[0].Behind = 8, 1 }, false, Text{Notice, "catching up (1 behind)"}},
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
		if got := Agreement(a, all); got != test.want {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
		if len(test.want.Text) > 26 {
			t.Errorf("%s is too long for a table", test.want.Text)
		}
	}
	if got := Agreement(pair()[0].Status, nil); got != (Text{Good, "in sync"}) {
		t.Error(got)
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
		"it moves":                {func(_, now []ask.Status) { now[1].Status.Digest, now[0].Status.Tail = "0", 1 }, false},
		"one of them is full":     {func(_, now []ask.Status) { now[1].Status.Digest = FullDigest }, false},
		"one of them is gone":     {func(_, now []ask.Status) { now[1].Status = nil }, false},
		"it had not answered yet": {func(before, now []ask.Status) { before[1].Status, now[1].Status.Digest = nil, "0" }, true},
	} {
		before, now := pair(), pair()
		test.change(before, now)
		if got := Disagree(before, now); got != test.want {
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
	got := Summarize(all, true)
	want := []Line{
		{[]string{"Holiday"}, "no answer"}, {nil, "the servers do not have the same records"},
		{[]string{"Alford", "Ball"}, "link to Holiday is down: refused"},
	}
	if got.Answered != 2 || got.Consoles != 3 || got.Well() || fmt.Sprint(got.Problems) != fmt.Sprint(want) ||
		fmt.Sprint(got.Notes) != fmt.Sprint([]Line{{[]string{"Alford", "Ball"}, "1,000 log entries dropped"}}) {
		t.Errorf("%+v", got)
	}
	if v := Summarize(pair(), false); !v.Well() || HasProblem(pair()[0].Status) {
		t.Errorf("%+v", v)
	}
	if Summarize(slices.Clip(all[2:3]), false).Well() {
		t.Error("no console, and all is well")
	}
}

func TestFormats(t *testing.T) {
	for seconds, want := range map[float64]string{0: "0.1 ms", 0.00023: "0.2 ms", 0.0123: "12 ms", 2.34: "2.3 s", 1740: "29m0s", 7200: "2h0m"} {
		if got := Latency(seconds, true); got != want {
			t.Errorf("%v: %s, want %s", seconds, got, want)
		}
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
	for n, want := range map[uint64]string{0: "0", 1_000_000: "1,000,000", 9_999_999: "9,999,999", 12_345_678: "12.3M", 999_600_000: "1G",
		math.MaxUint64: "18.4E"} {
		if got := Number(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
	for want, c := range map[string]*herd.ClockStatus{
		"unknown": nil, "within 0.3 ms": {Ahead: -0.0001, Uncertainty: 0.0002}, "29m0s ahead": {Ahead: 1740, Uncertainty: 0.1},
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
