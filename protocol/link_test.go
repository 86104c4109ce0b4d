package protocol

import (
	"bytes"
	"math"
	"math/rand/v2"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// appendLink writes a parsed line as its sender does.
func appendLink(l LinkLine) []byte {
	switch l.Verb {
	case LinkHello:
		return AppendHello(nil, l.Hello)
	case LinkChallenge:
		return AppendChallenge(nil, l.Nonce)
	case LinkRefuse:
		return AppendRefuse(nil, string(l.Reason))
	case LinkProof:
		return AppendProof(nil, l.MAC)
	case LinkWelcome:
		return AppendWelcome(nil, l.Welcome)
	case LinkAT:
		return l.Record.AppendLinkAT(nil, string(l.Sender))
	case LinkMark:
		return AppendMark(nil, l.Mark)
	case LinkAck:
		return AppendAck(nil, l.N)
	case LinkPing:
		return AppendPing(nil, l.N)
	case LinkPong:
		return AppendPong(nil, l.N)
	}
	panic("no such verb")
}

// sameLine compares the values of lines, not the slices that they alias.
func sameLine(a, b LinkLine) bool { return reflect.DeepEqual(a, b) }

// checkLink checks, for any line, that a parsed line is unchanged by writing and parsing it, and that its written
// form is stable.
func checkLink(t *testing.T, line []byte) {
	t.Helper()
	l, err := ParseLink(line)
	if err != nil {
		if !sameLine(l, LinkLine{}) {
			t.Fatalf("%q: refused, but the result is %+v", line, l)
		}
		return
	}
	again := appendLink(l)
	body, ok := bytes.CutSuffix(again, []byte("\r\n"))
	if !ok || bytes.IndexByte(body, '\n') >= 0 && bytes.IndexByte(line, '\n') < 0 {
		t.Fatalf("%q is written as %q, not one line with CRLF", line, again)
	}
	m, err := ParseLink(body)
	if err != nil || !sameLine(l, m) {
		t.Fatalf("%q is %+v, written as %q it is %+v, %v", line, l, again, m, err)
	}
	if third := appendLink(m); !bytes.Equal(again, third) {
		t.Fatalf("%q, then %q", again, third)
	}
	if l.Verb == LinkAT && bytes.ContainsFunc(l.Record.Text(), func(r rune) bool {
		return r < ' ' && isSpace(byte(r))
	}) {
		t.Fatalf("%q: %q is not joined by spaces", line, l.Record.Text())
	}
}

func TestParseLinkValid(t *testing.T) {
	lines, _ := corpus(t, "links.txt")
	for _, line := range lines {
		if _, err := ParseLink(line); err != nil {
			t.Errorf("%q: %v", line, err)
		}
		checkLink(t, line)
	}
}

func TestParseLinkInvalid(t *testing.T) {
	lines, _ := corpus(t, "not-links.txt")
	lines = append(lines,
		[]byte("AT Alford +0.1 "+strings.Repeat("k", MaxClientID+1)+" +1+1 1 Ball"),
		[]byte("AT Alford +0.1 kiwi +1."+strings.Repeat("1", 92)+"+1 1 Ball"),
		[]byte("AT Alford +0.1 kiwi +1+1 "+strings.Repeat("0", 97)+" Ball"),
		[]byte("AT Alford +"+strings.Repeat("1", 70_000)+" kiwi +1+1 1 Ball"))
	for _, line := range lines {
		if l, err := ParseLink(line); err != ErrLinkLine {
			t.Errorf("%q: %v, taken for %+v", line, err, l)
		}
		checkLink(t, line)
	}
}

func TestParseLinkFields(t *testing.T) {
	parse := func(line string) LinkLine {
		t.Helper()
		l, err := ParseLink([]byte(line))
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		return l
	}
	h := parse("HELLO herd/1 paper Alford Ball 0123456789abcdef 00112233445566778899aabbccddeeff").Hello
	if string(h.Version) != Version || string(h.Herd) != "paper" || string(h.From) != "Alford" ||
		string(h.To) != "Ball" || h.Epoch != 0x0123456789abcdef || h.Nonce[1] != 0x11 ||
		h.Nonce[15] != 0xff || h.Epoch.String() != "0123456789abcdef" {
		t.Errorf("%+v", h)
	}
	w := parse("WELCOME 0123456789abcdef - 0000000000000002 42").Welcome
	if w.Epoch != 0x0123456789abcdef || string(w.MAC) != "-" ||
		w.SinceEpoch != 2 || w.SinceSeq != 42 {
		t.Errorf("%+v", w)
	}
	if got := w.Unsigned(); got != "WELCOME 0123456789abcdef 0000000000000002 42" {
		t.Errorf("without its mac: %s", got)
	}
	m := parse("MARK 1 2 3 4 0000000000000005").Mark
	if m != (Mark{Seq: 1, Tail: 2, Heard: 3, HeardAny: true, Count: 4, Digest: 5}) {
		t.Errorf("%+v", m)
	}
	m = parse("MARK 1 2 - 4 full").Mark
	if m != (Mark{Seq: 1, Tail: 2, Count: 4, Full: true}) {
		t.Errorf("%+v", m)
	}
	if l := parse("  REFUSE  REFUSE not  here \r"); string(l.Reason) != "REFUSE not  here" {
		t.Errorf("%q", l.Reason)
	}
	for verb, line := range map[LinkVerb]string{
		LinkAck: "ACK 7", LinkPing: "PING 7", LinkPong: "PONG 7",
	} {
		if l := parse(line); l.Verb != verb || l.N != 7 {
			t.Errorf("%s: %+v", line, l)
		}
	}
}

func TestValidName(t *testing.T) {
	for name, want := range map[string]bool{
		"": false, "A": true, "z9_-": true, "9a": false, "-a": false, "_a": false, "a b": false,
		"a.b": false, "é": false, "a\x00": false, "@": false, "[": false, "`": false, "{": false,
		strings.Repeat("a", 32): true, strings.Repeat("a", 33): false,
	} {
		if ValidName(name) != want {
			t.Errorf("%q: %v, want %v", name, !want, want)
		}
	}
}

// diffForm is the grammar of a diff, which must also be in the range of a float64.
var diffForm = regexp.MustCompile(`^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$`)

// checkDiff checks that a diff is valid on links if it is a finite decimal of up to 32 bytes, and that it is
// forwarded unchanged: to a client, over a link, and through a journal.
func checkDiff(t *testing.T, diff string) {
	t.Helper()
	if strings.ContainsAny(diff, " \t\n\v\f\r") {
		return // more than one field, or none
	}
	f, err := strconv.ParseFloat(diff, 64)
	want := len(diff) <= 32 && diffForm.MatchString(diff) && err == nil
	line := "AT Ball " + diff + " kiwi +1-1 1520023934.9 Welsh"
	l, err := ParseLink([]byte(line))
	if (err == nil) != want {
		t.Fatalf("%q: %v, want valid: %v", diff, err, want)
	}
	checkLink(t, []byte(line))
	if err != nil {
		return
	}
	text := "Ball " + diff + " kiwi +1-1 1520023934.9"
	if string(l.Record.Diff()) != diff || string(l.Record.Text()) != text ||
		string(l.Record.AppendAT(nil)) != "AT "+text ||
		string(l.Record.AppendLinkAT(nil, "Alford")) != "AT "+text+" Alford\r\n" {
		t.Fatalf("%q is forwarded as %q", diff, l.Record.Text())
	}
	at, ok := l.Record.ReceivedAt()
	sent := time.Unix(1520023934, 900000000)
	if ok && math.Abs(at.Sub(sent).Seconds()-f) > 1e-9+math.Abs(f)*1e-12 && math.Abs(f) < 9e9 {
		t.Fatalf("%q: received %v after %v", diff, at.Sub(sent), sent)
	}
	if !ok && math.Abs(f) < 1e9 && !strings.ContainsAny(diff, "eE") {
		t.Fatalf("%q: ReceivedAt failed", diff)
	}
}

// Each AT line of a link is also a valid legacy line, with any number of senders.
func TestParseLegacyAT(t *testing.T) {
	lines, _ := corpus(t, "links.txt")
	bad, _ := corpus(t, "not-links.txt")
	for _, line := range append(lines, bad...) {
		l, err := ParseLink(line)
		at := err == nil && l.Verb == LinkAT
		r, sender, ok := ParseLegacyAT(line)
		if one := string(line) == "AT Alford +0.1 kiwi +1+1 1 Ball x"; ok != (at || one) {
			t.Errorf("%q: accepted: %v", line, ok)
		}
		if !at {
			continue
		}
		if !bytes.Equal(r.Text(), l.Record.Text()) || !bytes.Equal(sender, l.Sender) {
			t.Errorf("%q: %q of %q", line, r.Text(), sender)
		}
		for n := range 20 {
			many := string(line) + strings.Repeat(" Holiday", n) + "\tWelsh"
			r, sender, ok := ParseLegacyAT([]byte(many))
			if !ok || !bytes.Equal(r.Text(), l.Record.Text()) || string(sender) != "Welsh" {
				t.Errorf("%q: %q of %q", many, r.Text(), sender)
			}
			if _, _, ok := ParseLegacyAT([]byte(many + strings.Repeat(" Holiday", n) + " 9 Ball")); ok {
				t.Errorf("%q with an invalid name is accepted", many)
			}
		}
	}
}

// Diffs of legacy servers: Python's str(float), with and without a sign.
var diffs = []string{
	"+0.0007719993591308594", "+9.5367431640625e-07", "0.000939", "-0", "0", "+.5", ".5", "5.", "-5.", "+5.e0",
	"1E5", "1e+05", "-1.7976931348623157e+308", "1e-400", "+1234567890123.0", "+1.1234567890",
	"00000000000000000000000000000001", "0.00000000000000000000000000000000000", "1e400", "-1e309", "nan",
	"inf", "-Infinity", "0x1p-2", "1_0", "+", ".", "e5", "1e", "1e+", "1.2.3", "--1", "1,5", "", "1 2", "١",
}

func TestDiffs(t *testing.T) {
	for _, diff := range diffs {
		checkDiff(t, diff)
	}
	r := rand.New(rand.NewPCG(7, 8))
	for range 20_000 {
		diff := make([]byte, r.IntN(36))
		for i := range diff {
			diff[i] = "0123456789000+-..eE_xn"[r.IntN(22)]
		}
		checkDiff(t, string(diff))
	}
}

func FuzzDiff(f *testing.F) {
	for _, diff := range diffs {
		f.Add(diff)
	}
	f.Fuzz(checkDiff)
}

func FuzzParseLink(f *testing.F) {
	for _, file := range []string{"links.txt", "not-links.txt"} {
		lines, _ := corpus(f, file)
		for _, line := range lines {
			f.Add(line)
		}
	}
	f.Fuzz(checkLink)
}
