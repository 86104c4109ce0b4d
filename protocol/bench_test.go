package protocol

import (
	"testing"
	"time"
)

const (
	paperIAMAT  = "IAMAT kiwi.cs.ucla.edu +34.068930-118.445127 1520023934.918963997"
	paperRecord = "Alford +0.263873386 kiwi.cs.ucla.edu +34.068930-118.445127 1520023934.918963997"
	paperAT     = "AT " + paperRecord
)

// paperNow is the server's clock in the paper's example: its time plus its diff.
var paperNow = time.Unix(1520023935, 182837383)

func BenchmarkParseIAMAT(b *testing.B) {
	line := []byte(paperIAMAT)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Paper.Parse(line, MaxClientID); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseLinkAT(b *testing.B) {
	line := []byte(paperAT + " Ball")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseLink(line); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMakeRecord(b *testing.B) {
	c, err := Paper.Parse([]byte(paperIAMAT), MaxClientID)
	if err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, 0, 256)
	b.ReportAllocs()
	for b.Loop() {
		buf = MakeRecord(buf, "Alford", paperNow, c).Text()
	}
}

func BenchmarkAppendAT(b *testing.B) {
	l, err := ParseLink([]byte(paperAT + " Ball"))
	if err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, 0, 256)
	b.ReportAllocs()
	for b.Loop() {
		buf = l.Record.AppendAT(buf[:0])
	}
}

func BenchmarkCompare(b *testing.B) {
	l, err := ParseLink([]byte(paperAT + " Ball"))
	if err != nil {
		b.Fatal(err)
	}
	o := l.Record.CloneInto(nil)
	b.ReportAllocs()
	for b.Loop() {
		if l.Record.Compare(o) != 0 {
			b.Fatal("a record is not equal to its copy")
		}
	}
}

// What happens for each valid line does not allocate.
func TestNoAllocations(t *testing.T) {
	buf := make([]byte, 0, 4096)
	lines, _ := corpus(t, "links.txt")
	check := func(what string, f func()) {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", what, n)
		}
	}
	for _, line := range lines {
		l, err := ParseLink(line)
		if err != nil {
			t.Fatal(err)
		}
		if line[0] == ' ' || l.Verb < LinkAT {
			continue
		}
		check("ParseLink "+string(line), func() { _, _ = ParseLink(line) })
	}
	for _, text := range []string{paperIAMAT, "WHATSAT kiwi 10 5", "help", "quit", "what"} {
		line := []byte(text)
		check("Parse "+text, func() { _, _ = Paper.Parse(line, MaxClientID) })
		check("AppendUnknown", func() { buf = Paper.AppendUnknown(buf[:0], line) })
	}
	c, err := Paper.Parse([]byte(paperIAMAT), MaxClientID)
	if err != nil {
		t.Fatal(err)
	}
	var r Record
	check("MakeRecord", func() {
		r = MakeRecord(buf, "Alford", paperNow, c)
		buf = r.Text()
	})
	r = r.CloneInto(nil)
	check("CloneInto", func() { _ = r.CloneInto(buf) })
	check("Compare", func() { _ = r.Compare(r) })
	check("Stamp", func() { _ = r.Stamp() })
	check("Position", func() { _, _ = r.Position() })
	check("Ahead", func() { _ = c.Stamp.Ahead(paperNow, time.Hour) })
	check("AppendAck", func() { buf = Paper.AppendAck(buf[:0], r) })
	check("AppendLinkAT", func() { buf = r.AppendLinkAT(buf[:0], "Ball") })
	check("AppendMark", func() { buf = AppendMark(buf[:0], Mark{Seq: 1, HeardAny: true}) })
	check("AppendAck", func() { buf = AppendAck(buf[:0], 1<<63) })
	check("AppendPing", func() { buf = AppendPing(buf[:0], 1<<63) })
}
