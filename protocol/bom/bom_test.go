package bom

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

var cases = []struct {
	text, rest string
	err        error
}{
	{"", "", nil},
	{"a", "a", nil},
	{"kiwi +1-1\n", "kiwi +1-1\n", nil},
	{UTF8, "", nil},
	{UTF8 + "kiwi +1-1\n", "kiwi +1-1\n", nil},
	{UTF8 + UTF8 + "a", UTF8 + "a", nil},
	{"a" + UTF8, "a" + UTF8, nil},
	{"\xef\xbb", "\xef\xbb", nil},
	{"\xef\xbbx", "\xef\xbbx", nil},
	{"\xff", "\xff", nil},
	{"\xfe\xfe", "\xfe\xfe", nil},
	{UTF16LE + "k\x00", "", ErrUTF16},
	{UTF16BE + "\x00k", "", ErrUTF16},
	{UTF16LE, "", ErrUTF16},
}

func TestTrim(t *testing.T) {
	for _, c := range cases {
		rest, err := Trim([]byte(c.text))
		if !errors.Is(err, c.err) || err == nil && string(rest) != c.rest {
			t.Errorf("%q: %q, %v; want %q, %v", c.text, rest, err, c.rest, c.err)
		}
	}
}

func TestSkip(t *testing.T) {
	for _, c := range cases {
		for _, source := range []io.Reader{
			strings.NewReader(c.text), iotest.OneByteReader(strings.NewReader(c.text)),
			iotest.DataErrReader(strings.NewReader(c.text)),
		} {
			r := bufio.NewReader(source)
			if err := Skip(r); !errors.Is(err, c.err) {
				t.Errorf("%q: %v, want %v", c.text, err, c.err)
			}
			if rest, err := io.ReadAll(r); c.err == nil && (string(rest) != c.rest || err != nil) {
				t.Errorf("%q: then %q, %v; want %q", c.text, rest, err, c.rest)
			}
		}
	}
}

// On interactive input a short line is available at once.
func TestSkipDoesNotWaitForMore(t *testing.T) {
	in, out := io.Pipe()
	defer in.Close()
	go func() { _, _ = io.WriteString(out, "\n") }() // then stays open
	r := bufio.NewReader(in)
	if err := Skip(r); err != nil {
		t.Fatal(err)
	}
	if line, err := r.ReadString('\n'); line != "\n" || err != nil {
		t.Errorf("%q, %v", line, err)
	}
}

// A read error is returned by the next read.
func TestSkipLeavesErrors(t *testing.T) {
	broken := errors.New("broken")
	r := bufio.NewReader(iotest.ErrReader(broken))
	if err := Skip(r); err != nil {
		t.Fatal(err)
	}
	if _, err := r.ReadByte(); !errors.Is(err, broken) {
		t.Error(err)
	}
}
