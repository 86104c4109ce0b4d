package reactor

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// lines records the lines of a LineReceiver, and pauses after every pauseEvery-th line.
type lines struct {
	r          *LineReceiver
	got        []string
	exceeded   []string
	pauseEvery int
	onLine     func(string)
}

func (l *lines) LineReceived(line []byte) {
	l.got = append(l.got, string(line))
	if l.pauseEvery > 0 && len(l.got)%l.pauseEvery == 0 {
		l.r.Pause()
	}
	if l.onLine != nil {
		l.onLine(string(line))
	}
}

func (l *lines) LineLengthExceeded(prefix []byte) {
	l.exceeded = append(l.exceeded, string(prefix))
}

func newLines(max int) *lines {
	l := &lines{}
	l.r = NewLineReceiver(max, l)
	return l
}

// cutUp is the reference implementation: the same lines, found slowly.
func cutUp(in []byte, max int) (got, exceeded []string) {
	for {
		line, rest, found := bytes.Cut(in, []byte("\n"))
		line = bytes.TrimSuffix(line, []byte("\r"))
		if len(line) > max {
			return got, []string{string(line[:max])}
		}
		if found {
			got = append(got, string(line))
		} else if len(in) > 0 {
			got = append(got, string(line)) // by Finish
		}
		if !found {
			return got, nil
		}
		in = rest
	}
}

// check compares the result for in, split into pieces, with the reference.
func check(t *testing.T, in []byte, max, pauseEvery int, pieces ...[]byte) {
	t.Helper()
	l := newLines(max)
	l.pauseEvery = pauseEvery
	for _, p := range pieces {
		chunk := bytes.Clone(p)
		l.r.DataReceived(chunk)
		for i := range chunk {
			chunk[i] = '!' // the engine reuses its buffer
		}
		for l.r.Held() > 0 {
			l.r.Resume()
		}
		l.r.Resume()
	}
	l.r.Finish()
	l.r.Resume()
	got, exceeded := cutUp(in, max)
	if !slices.Equal(l.got, got) || !slices.Equal(l.exceeded, exceeded) {
		t.Fatalf("%q in %q, pausing every %d:\n got %q, exceeded %q\nwant %q, exceeded %q",
			in, pieces, pauseEvery, l.got, l.exceeded, got, exceeded)
	}
}

func checkAllCuts(t *testing.T, in []byte, max int) {
	t.Helper()
	for pauseEvery := range 3 {
		check(t, in, max, pauseEvery, in)
		for size := 1; size <= 9; size++ {
			check(t, in, max, pauseEvery, slices.Collect(slices.Chunk(in, size))...)
		}
		for cut := range in {
			check(t, in, max, pauseEvery, in[:cut], in[cut:])
		}
	}
}

func TestLinesCutAnywhere(t *testing.T) {
	for _, in := range []string{
		"", "\n", "\r\n", "\r", "\n\n\n", "one", "one\n", "one\r\ntwo\n\nthree",
		"a\rb\r\r\n", "\r\r\r\n\r", "12345678\n", "12345678\r\n12345678\r\n", "12345678",
		"12345678\r", "123456789\n", "123456789", "12345678\r\r\n", "12345678\rx\n",
		"ok\n123456789012345678901234567890\nnever\n", "\x00\xff\n\u0085\u00a0\n",
	} {
		checkAllCuts(t, []byte(in), 8)
	}
}

func FuzzLineReceiver(f *testing.F) {
	f.Add([]byte("one\r\ntwo\n\nthree"), uint8(8), uint8(3), uint8(1))
	f.Add([]byte("12345678\r\n123456789\n"), uint8(8), uint8(1), uint8(0))
	f.Fuzz(func(t *testing.T, in []byte, max, size, pauseEvery uint8) {
		pieces := slices.Collect(slices.Chunk(in, int(size)+1))
		check(t, in, int(max)+1, int(pauseEvery), pieces...)
	})
}

func TestLinesHeldAcrossEndOfInput(t *testing.T) {
	l := newLines(100)
	l.pauseEvery = 1
	l.r.DataReceived([]byte("one\ntwo\nthr"))
	l.r.DataReceived([]byte("ee\nlast"))
	l.r.Finish()
	for n := 1; n <= 4; n++ {
		if len(l.got) != n {
			t.Fatalf("%d lines after %d pauses: %q", len(l.got), n, l.got)
		}
		l.r.Resume()
	}
	if want := []string{"one", "two", "three", "last"}; !slices.Equal(l.got, want) {
		t.Fatalf("got %q", l.got)
	}
}

func TestLinesFinishWhilePaused(t *testing.T) {
	l := newLines(100)
	l.r.DataReceived([]byte("last"))
	l.r.Pause()
	l.r.Finish()
	if len(l.got) > 0 {
		t.Fatalf("paused, and got %q", l.got)
	}
	l.r.Resume()
	if want := []string{"last"}; !slices.Equal(l.got, want) {
		t.Fatalf("got %q", l.got)
	}
}

func TestLinesStopInTheMiddle(t *testing.T) {
	l := newLines(100)
	l.onLine = func(line string) {
		if line == "quit" {
			l.r.Stop()
		}
	}
	l.r.DataReceived([]byte("one\nquit\ntwo\nthr"))
	l.r.DataReceived([]byte("ee\n"))
	l.r.Finish()
	if want := []string{"one", "quit"}; !slices.Equal(l.got, want) || l.r.Pending() != 0 {
		t.Fatalf("got %q, %d bytes pending", l.got, l.r.Pending())
	}
}

func TestLinesPending(t *testing.T) {
	l := newLines(100)
	l.r.DataReceived([]byte("one\ntwo"))
	if l.r.Pending() != 3 {
		t.Fatalf("%d bytes pending instead of 3", l.r.Pending())
	}
	l.r.DataReceived([]byte("\n"))
	if l.r.Pending() != 0 {
		t.Fatalf("%d bytes pending after the end of the line", l.r.Pending())
	}
}

func TestLinesSetMaxLength(t *testing.T) {
	l := newLines(100)
	l.onLine = func(string) { l.r.SetMaxLength(3) }
	l.r.DataReceived([]byte("a long enough line\nabc\nabcd\n"))
	if want := []string{"a long enough line", "abc"}; !slices.Equal(l.got, want) {
		t.Fatalf("got %q", l.got)
	}
	if want := []string{"abc"}; !slices.Equal(l.exceeded, want) {
		t.Fatalf("exceeded %q", l.exceeded)
	}
}

// A handler that pauses and resumes for every line must not recurse.
func TestLinesResumeIsNoRecursion(t *testing.T) {
	l := newLines(100)
	depth, deepest := 0, 0
	l.onLine = func(string) {
		depth++
		deepest = max(deepest, depth)
		l.r.Pause()
		l.r.Resume()
		depth--
	}
	l.r.DataReceived([]byte(strings.Repeat("x\n", 10000)))
	if len(l.got) != 10000 || deepest != 1 {
		t.Fatalf("%d lines, %d deep", len(l.got), deepest)
	}
}

type countLines int

func (n *countLines) LineReceived([]byte)       { *n++ }
func (n *countLines) LineLengthExceeded([]byte) { panic("too long") }

func BenchmarkLineReceiver(b *testing.B) {
	line := "IAMAT kiwi.cs.ucla.edu +34.068930-118.445127 1520023934.918963997\r\n"
	for _, chunk := range []int{len(line), 8 << 10} {
		b.Run(fmt.Sprintf("chunk=%d", chunk), func(b *testing.B) {
			in := []byte(strings.Repeat(line, 1000))
			var n countLines
			r := NewLineReceiver(16384, &n)
			b.ReportAllocs()
			b.SetBytes(int64(len(line)))
			for int(n) < b.N {
				for p := range slices.Chunk(in, chunk) {
					r.DataReceived(p)
				}
			}
		})
	}
}

// A handler may continue a line beyond its LF, and may drop the beginning of an unfinished line.
func TestLinesContinued(t *testing.T) {
	const in = "(a\r\nb\n)c\n(\n(\nd))\nlast("
	for size := 1; size <= len(in); size++ {
		var got []string
		l := newLines(100)
		l.onLine = func(line string) {
			if strings.Count(line, "(") > strings.Count(line, ")") {
				l.r.Continue([]byte(line))
			} else {
				got = append(got, line)
			}
		}
		for p := range slices.Chunk([]byte(in), size) {
			l.r.DataReceived(p)
		}
		if p := l.r.Unfinished(); string(p) != "last(" {
			t.Errorf("in pieces of %d: %q is unfinished", size, p)
		}
		l.r.Discard(4)
		if p := l.r.Unfinished(); string(p) != "(" || l.r.Pending() != 1 {
			t.Errorf("in pieces of %d: then %q", size, p)
		}
		l.r.Finish() // no more input for the last line
		if want := []string{"(a\nb\n)c", "(\n(\nd))"}; !slices.Equal(got, want) {
			t.Errorf("in pieces of %d: %q, want %q", size, got, want)
		}
	}
}

// The maximum length also applies to a continued line.
func TestLinesContinuedTooLong(t *testing.T) {
	l := newLines(8)
	l.onLine = func(line string) { l.r.Continue([]byte(line)) }
	l.r.DataReceived([]byte("abc\ndef\nghi\n"))
	if want := []string{"abc\ndef\n"}; !slices.Equal(l.exceeded, want) {
		t.Errorf("%q is too long, want %q", l.exceeded, want)
	}
}
