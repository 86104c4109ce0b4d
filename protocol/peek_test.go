package protocol

import (
	"bytes"
	"testing"
)

// PeekClient returns the client of every IAMAT and AT line with single spaces.
func TestPeekClient(t *testing.T) {
	for _, test := range []struct{ line, want string }{
		{paperIAMAT, "kiwi.cs.ucla.edu"},
		{paperAT + " Ball\r", "kiwi.cs.ucla.edu"},
		{"IAMAT  kiwi +1-1 1", ""}, // two spaces
		{"IAMAT kiwi", ""},
		{"IAMAT ", ""},
		{"AT ", ""},
		{"AT Alford", ""},
		{"AT Alford +1 kiwi", ""},
		{"WHATSAT kiwi 1 1", ""},
		{"iamat kiwi +1-1 1", ""},
		{"", ""},
	} {
		if got := PeekClient([]byte(test.line)); string(got) != test.want {
			t.Errorf("%q: %q, want %q", test.line, got, test.want)
		}
	}
	lines, _ := corpus(t, "valid.txt")
	for _, line := range lines {
		c, err := Paper.Parse(line, MaxClientID)
		if err != nil || c.Verb != VerbIAMAT || !bytes.Equal(c.AppendLine(nil), line) {
			continue
		}
		if got := PeekClient(line); !bytes.Equal(got, c.Client) {
			t.Errorf("%q: %q, want %q", line, got, c.Client)
		}
	}
	lines, _ = corpus(t, "links.txt")
	for _, line := range lines {
		l, err := ParseLink(line)
		if err != nil || l.Verb != LinkAT || !bytes.Equal(l.Record.AppendLinkAT(nil, string(l.Sender)), append(line, "\r\n"...)) {
			continue
		}
		if got := PeekClient(line); !bytes.Equal(got, l.Record.Client()) {
			t.Errorf("%q: %q, want %q", line, got, l.Record.Client())
		}
	}
}

// FuzzPeekClient takes any line. What it returns of a valid one is its client, or nothing.
func FuzzPeekClient(f *testing.F) {
	for _, file := range []string{"valid.txt", "invalid.txt", "links.txt", "not-links.txt"} {
		lines, _ := corpus(f, file)
		for _, line := range lines {
			f.Add(line)
		}
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		got := PeekClient(line)
		if c, err := Paper.Parse(line, MaxClientID); err == nil && c.Verb == VerbIAMAT && len(got) > 0 &&
			!bytes.ContainsFunc(line, func(r rune) bool { return r < ' ' }) && !bytes.Equal(got, c.Client) {
			t.Errorf("%q: %q, want %q", line, got, c.Client)
		}
	})
}

func BenchmarkPeekClient(b *testing.B) {
	line := []byte(paperAT + " Ball")
	for b.Loop() {
		if PeekClient(line) == nil {
			b.Fatal("no client")
		}
	}
}
