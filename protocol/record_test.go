package protocol

import (
	"bytes"
	"cmp"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// checkRecord checks that the record of an IAMAT keeps the client's bytes and is valid on a link.
func checkRecord(t *testing.T, c Command, now time.Time) {
	t.Helper()
	r := MakeRecord(nil, "Alford", now, c)
	if string(r.Origin()) != "Alford" || !bytes.Equal(r.Client(), c.Client) ||
		!bytes.Equal(r.Coords(), c.Coords) || !bytes.Equal(r.Time(), c.Time) {
		t.Fatalf("the record of %+v is %q", c, r.Text())
	}
	if r.Stamp().Compare(c.Stamp) != 0 {
		t.Fatalf("the stamp of %q is %+v, want %+v", r.Text(), r.Stamp(), c.Stamp)
	}
	if lat, lng := r.Position(); lat != c.Lat || lng != c.Lng {
		t.Fatalf("the position of %q is %v, %v", r.Text(), lat, lng)
	}
	line := r.AppendLinkAT(nil, "Ball")
	body, ok := bytes.CutSuffix(line, []byte("\r\n"))
	if !ok {
		t.Fatalf("%q does not end in CRLF", line)
	}
	l, err := ParseLink(body)
	if err != nil || l.Verb != LinkAT || string(l.Sender) != "Ball" {
		t.Fatalf("%q: %+v, %v", body, l, err)
	}
	if !bytes.Equal(l.Record.Text(), r.Text()) || l.Record.Compare(r) != 0 ||
		!bytes.Equal(l.Record.Diff(), r.Diff()) {
		t.Fatalf("%q came back as %q", r.Text(), l.Record.Text())
	}
	// With any white space.
	for _, odd := range [][]byte{
		bytes.ReplaceAll(body, []byte(" "), []byte("\t \v")),
		bytes.ReplaceAll(body, []byte(" "), []byte("  ")),
		bytes.Replace(body, []byte("Alford "), []byte("Alford\t"), 1),
	} {
		if l, err = ParseLink(odd); err != nil || !bytes.Equal(l.Record.Text(), r.Text()) {
			t.Fatalf("%q came back as %q, %v", odd, l.Record.Text(), err)
		}
	}
}

func digits(r *rand.Rand, n int) string {
	var b strings.Builder
	for range n {
		b.WriteByte(byte('0' + r.IntN(10)))
	}
	return b.String()
}

func randomTime(r *rand.Rand) string {
	whole := fmt.Sprint(r.Int64N(maxSeconds + 1))
	if r.IntN(3) == 0 {
		whole = fmt.Sprint(1520023934 + r.IntN(2))
	}
	if r.IntN(3) == 0 {
		return whole
	}
	return whole + "." + digits(r, 1+r.IntN(maxTimeText-len(whole)-1))
}

func randomCoords(r *rand.Rand) string {
	sign := func() string { return "+-"[r.IntN(2):][:1] }
	degrees := func(limit int) string {
		s := sign() + fmt.Sprint(r.IntN(limit))
		if r.IntN(4) > 0 {
			s += "." + digits(r, 1+r.IntN(24))
		}
		return s
	}
	return degrees(90) + degrees(180) + "/"[:r.IntN(2)]
}

// Each valid IAMAT makes a record that is valid on a link, whatever the server's clock says.
func TestIAMATSubsetOfAT(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 3_000 {
		client := make([]byte, 1+r.IntN(MaxClientID))
		for i := range client {
			for client[i] = byte(r.Uint32()); isSpace(client[i]); {
				client[i]++
			}
		}
		line := fmt.Appendf(nil, "IAMAT %s %s %s", client, randomCoords(r), randomTime(r))
		c, err := Paper.Parse(line, MaxClientID)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		checkRecord(t, c, time.Unix(r.Int64N(maxSeconds), r.Int64N(1e9)))
	}
}

func TestRecordAtTheExtremes(t *testing.T) {
	name := strings.Repeat("N", 32)
	client := strings.Repeat("\xff", MaxClientID)
	coords := "+34." + strings.Repeat("1", maxCoordsText-4-8) + "-118.123"
	for _, c := range []struct {
		now  time.Time
		time string
		diff string
	}{
		{time.Unix(0, 0), "0", "+0.000000000"},
		{time.Unix(0, 0), "253402300799.999999999999999", "-253402300799.999999999"},
		{time.Unix(maxSeconds, 999999999), "0", "+253402300799.999999999"},
		{time.Unix(0, 0), strings.Repeat("0", maxTimeText), "+0.000000000"},
	} {
		line := "IAMAT " + client + " " + coords + " " + c.time
		command, err := Paper.Parse([]byte(line), MaxClientID)
		if err != nil {
			t.Fatal(err)
		}
		r := MakeRecord(nil, name, c.now, command)
		if string(r.Diff()) != c.diff {
			t.Errorf("diff %s, want %s", r.Diff(), c.diff)
		}
		at := bytes.TrimSuffix(r.AppendLinkAT(nil, name), []byte("\r\n"))
		if l, err := ParseLink(at); err != nil || !bytes.Equal(l.Record.Text(), r.Text()) {
			t.Errorf("%s at %v is refused on a link: %v", c.time, c.now, err)
		}
	}
}

func TestAppendAT(t *testing.T) {
	c, err := Paper.Parse([]byte(paperIAMAT), MaxClientID)
	if err != nil {
		t.Fatal(err)
	}
	r := MakeRecord(nil, "Alford", paperNow, c)
	if got := string(r.AppendAT([]byte("before "))); got != "before "+paperAT {
		t.Errorf("%q, want %q", got, paperAT)
	}
	if got := string(r.AppendLinkAT(nil, "Ball")); got != paperAT+" Ball\r\n" {
		t.Errorf("%q", got)
	}
}

func TestCloneIntoKeepsNothing(t *testing.T) {
	line := []byte(paperAT + " Ball")
	l, err := ParseLink(line)
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 0, 512)
	clone := l.Record.CloneInto(buf)
	clear(line)
	if string(clone.Text()) != paperRecord {
		t.Errorf("%q", clone.Text())
	}
	if &clone.Text()[0] != &buf[:1][0] {
		t.Error("the buffer was not used")
	}
	// The capacity ends with the text, so that appending to it does not overwrite the line.
	if r := l.Record.Text(); cap(r) != len(r) {
		t.Errorf("a parsed record has %d bytes of spare capacity", cap(r)-len(r))
	}
}

func TestCompareOrder(t *testing.T) {
	// In ascending order; neighbors differ in the deciding field.
	texts := []string{
		"Zed +9.0 k +9+9 999999999.5",
		"Alford +2.0 k +2+2 1000000000.25",
		"Alford +0.1 k +1+1 1000000000.5",
		"Alford +0.1 k +1+2 1000000000.5",
		"Alford +0.2 k +1+2 1000000000.5",
		"Alford +0.1 k +1+1 1000000000.50",
		"Ball +0.1 k +0+0 1000000000.5",
		"Alford +0.1 k +0+0 1000000000.500000000000000000001",
		"Alford +0.1 k +0+0 1000000001",
		"Alford +0.1 k +0+0 1000000001.918963997",
		"Alford +0.1 k +0+0 1000000001.918963998",
	}
	for i, x := range texts {
		for j, y := range texts {
			a, b := record(t, x), record(t, y)
			want := cmp.Compare(i, j)
			if got := a.Compare(b); got != want {
				t.Errorf("%s against %s: %d, want %d", x, y, got, want)
			}
		}
	}
	if record(t, texts[2]).CompareTime(record(t, texts[5])) != 0 {
		t.Error(".5 and .50 are not the same time")
	}
}

func record(t *testing.T, text string) Record {
	t.Helper()
	l, err := ParseLink([]byte("AT " + text + " Ball"))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return l.Record
}

// The order is total: exactly one of <, =, > holds, equal means the same bytes, and it is
// transitive. Few values, so that ties are common.
func TestCompareIsATotalOrder(t *testing.T) {
	pick := func(r *rand.Rand, of ...string) string { return of[r.IntN(len(of))] }
	r := rand.New(rand.NewPCG(5, 6))
	some := func() Record {
		return record(t, fmt.Sprintf("%s %s k %s %s", pick(r, "Alford", "Ball", "B"),
			pick(r, "+0.1", "+0.10", "-0.1"), pick(r, "+1+1", "+1+1/", "+01+1"),
			pick(r, "1", "01", "1.0", "1.5", "1.50", "2", "10", "1.05")))
	}
	for range 20_000 {
		a, b, c := some(), some(), some()
		ab, ba := a.Compare(b), b.Compare(a)
		if ab != -ba {
			t.Fatalf("%q and %q: %d and %d", a.Text(), b.Text(), ab, ba)
		}
		if (ab == 0) != bytes.Equal(a.Text(), b.Text()) {
			t.Fatalf("%q and %q: %d", a.Text(), b.Text(), ab)
		}
		if ab <= 0 && b.Compare(c) <= 0 && a.Compare(c) > 0 {
			t.Fatalf("%q <= %q <= %q, but not the first and last", a.Text(), b.Text(), c.Text())
		}
	}
}

func TestReceivedAt(t *testing.T) {
	for _, test := range []struct {
		diff, time string
		seconds    int64
		nanos      int64
		ok         bool
	}{
		{"+0.263873386", "1520023934.918963997", 1520023935, 182837383, true},
		{"-0.5", "1520023934.25", 1520023933, 750000000, true},
		{"+0", "1520023934", 1520023934, 0, true},
		{"-3600.000000001", "1520023934.9999999999", 1520020334, 999999998, true},
		{"+999999999999.999999999", "1520023934", 0, 0, false},
		{"-999999999999", "1", 0, 0, false},
		{"0.5", "1520023934.25", 1520023934, 750000000, true},
		{"-.5", "1520023934.25", 1520023933, 750000000, true},
		{"5.", "1520023934", 1520023939, 0, true},
		{"+9.5367431640625e-07", "1520023934", 1520023934, 953, true},
		{"-1.5e3", "1520023934", 1520022434, 0, true},
		{"25E-1", "1520023934", 1520023936, 500000000, true},
		{"1e-400", "1520023934", 1520023934, 0, true},
		{"00000000000000000000000000000007", "1520023934", 1520023941, 0, true},
		{"1e12", "1520023934", 0, 0, false},
		{"1e308", "1520023934", 0, 0, false},
		{"0e-9999999999999999999", "1520023934", 0, 0, false},
	} {
		r := record(t, "Ball "+test.diff+" kiwi +1-1 "+test.time)
		at, ok := r.ReceivedAt()
		if ok != test.ok || ok && (at.Unix() != test.seconds || int64(at.Nanosecond()) != test.nanos) {
			t.Errorf("%s %s: %v %v", test.diff, test.time, at.UTC(), ok)
		}
	}
}
